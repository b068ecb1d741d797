"""Panels, detectors, the tilted flat model, distortion."""
