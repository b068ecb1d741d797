"""Lit pixels of a near-field stack; they live with the detector, where every room may use them."""

from __future__ import annotations

from refimpl.detector.lit_pixels import LitPixels, lit_at

__all__ = ["LitPixels", "lit_at"]
