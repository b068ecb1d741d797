"""Forward diffraction simulation."""
