"""Near-field diffraction microscopy: images of a polycrystal to a map of orientations."""

from __future__ import annotations

from refimpl.lazy import lazy_names

__all__: list[str] = []

_HOME: dict[str, str] = {}

__getattr__ = lazy_names(__name__, _HOME)
