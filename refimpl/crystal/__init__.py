"""Cells, Miller indices, symmetry, calibrants."""
