"""Geometry to and from other codes."""
