"""Grouping: beam shifts to holes, orientations to grains."""
