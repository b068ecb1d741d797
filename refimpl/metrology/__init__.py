"""Crystal, beam and every panel of a detector, refined from rotation data."""
