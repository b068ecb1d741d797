"""The same pixels of one image in two geometries, for :mod:`refimpl.testing.judge_geometry`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from refimpl.detector.orientation import model_from_file
from refimpl.detector.panel import Detector
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = ["KnownGeometry", "PixelPairs", "is_stack", "pixel_pairs"]

_GAP: Final = -1
_OUTSIDE: Final = -2


@dataclass(frozen=True, eq=False)
class KnownGeometry:
    """A geometry to be compared.

    Attributes
    ----------
    detector
        In the lab frame.
    wavelength_angstrom
        None if the file does not state it.
    parameters
        name -> (value, standard uncertainty) of the refinement that it came from; empty if not
        known.
    notes
        What the file says and the detector does not hold.
    """

    detector: Detector
    wavelength_angstrom: float | None = None
    parameters: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class PixelPairs:
    """The same n pixels in two geometries: lab [mm], two-theta [rad]; image px, panel of each.

    ``missing`` are pixels of the first beyond the image of the second.
    """

    lab: tuple[F64, F64]
    two_theta: tuple[F64, F64]
    image_px: F64
    panel: I64
    missing: int


def is_stack(detector: Detector) -> bool:
    """Whether the panels share no image: each counts its own pixels."""
    return len(detector.panels) > 1 and len({p.image_origin_px for p in detector.panels}) == 1


def pixel_pairs(a: Detector, b: Detector, codes: Sequence[int]) -> PixelPairs:
    """Points evenly over the panels of A, and the same pixels of B.

    Parameters
    ----------
    a, b
        Detectors.
    codes
        ImTransOpt codes that take the image of A to that of B.

    Raises
    ------
    ConfigError
        No pixel in common; panels without a common image that are not the same.
    """
    per = {1: 33, 2: 21}.get(len(a.panels), 9 if len(a.panels) <= 80 else 4)
    stack = is_stack(a) or is_stack(b)
    sizes = [[p.size_px for p in d.panels] for d in (a, b)]
    if stack and sizes[0] != sizes[1]:
        raise ConfigError(
            f"panels that share no image: {len(sizes[0])} in one geometry, {len(sizes[1])} in the "
            "other, or of other sizes"
        )
    if stack and codes:
        raise ConfigError("--image-transform is of panels that share an image")
    matrix, offset = model_from_file(codes, a.image_shape)
    lab: tuple[list[F64], list[F64]] = ([], [])
    theta: tuple[list[F64], list[F64]] = ([], [])
    places, numbers, missing = [], [], 0
    for k, panel in enumerate(a.panels):
        # from the centre of the first pixel to that of the last
        sides = (np.linspace(0.5, n - 0.5, min(per, n)) for n in panel.size_px)
        f, s = (g.ravel() for g in np.meshgrid(*sides))
        image = np.stack([f, s], axis=1) + panel.image_origin_px
        there = np.full(len(f), k) if stack else _panel_of(b, image @ matrix.T + offset)
        missing += int((there == _OUTSIDE).sum())
        for j in np.unique(there[there >= 0]):
            rows = there == j
            own = image[rows]
            seen = own - panel.image_origin_px
            if not stack:
                seen = own @ matrix.T + offset - b.panels[j].image_origin_px
            for side, (d, n, px) in enumerate(
                ((a, k, own - panel.image_origin_px), (b, int(j), seen))
            ):
                lab[side].append(d.panels[n].lab_mm(*px.T))
                theta[side].append(_two_theta(d, px, n))
            places.append(own)
            numbers.append(np.full(len(own), k))
    if not places:
        raise ConfigError("the two geometries have no pixel in common")
    x1, x2 = (np.concatenate(v) for v in lab)
    t1, t2 = (np.concatenate(v) for v in theta)
    good = np.isfinite(t1) & np.isfinite(t2)
    return PixelPairs(
        (x1[good], x2[good]), (t1[good], t2[good]), np.concatenate(places)[good],
        np.concatenate(numbers)[good], missing,
    )  # fmt: skip


def _two_theta(detector: Detector, px: F64, panel: int) -> F64:
    if any(detector.distortion.p) or detector.distortion.parallax_mm:
        return detector.two_theta_eta(px[:, 0], px[:, 1], panel)[0]
    x, y, z = detector.panels[panel].lab_mm(*px.T).T  # also beyond 90 degrees
    return np.asarray(np.arctan2(np.hypot(x, y), z))


def _panel_of(detector: Detector, image_px: F64) -> I64:
    """(n,) panel that each place of the image lies on, _GAP between panels, _OUTSIDE beyond."""
    ends = np.array([np.add(p.image_origin_px, p.size_px) for p in detector.panels]).max(axis=0)
    inside = ((image_px >= 0.0) & (image_px < ends)).all(axis=1)
    out = np.where(inside, _GAP, _OUTSIDE)
    for k, panel in enumerate(detector.panels):
        low = np.array(panel.image_origin_px)
        out[((image_px >= low) & (image_px < low + panel.size_px)).all(axis=1)] = k
    return out
