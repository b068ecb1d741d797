"""Detector geometry from the Debye-Scherrer rings of a calibrant."""
