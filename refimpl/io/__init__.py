"""One file a format: bytes to frozen values and back."""
