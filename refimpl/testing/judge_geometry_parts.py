"""Parts of :mod:`refimpl.testing.judge_geometry`: beam, panels, uncertainties, pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from refimpl.detector.hierarchy import Hierarchy, Module
from refimpl.detector.orientation import DIHEDRAL, transformed_shape
from refimpl.detector.panel import Detector, Panel
from refimpl.errors import RefimplError
from refimpl.frames import F64
from refimpl.testing.judge import Measure, Picture, rms
from refimpl.testing.judge_pixels import KnownGeometry, PixelPairs, is_stack, pixel_pairs
from refimpl.units import UM

__all__ = ["Part", "beam_parts", "hint", "panel_parts", "pictures", "sigma_parts"]

Part = tuple[list[Measure], list[str], dict[str, Any]]
"""Measures, sentences and JSON-ready numbers."""

_OFF_PX: Final = 1.0
_BETTER: Final = 10.0
"""Offset from which another turn of the image is tried, and times that it must be better."""


def hint(a: Detector, b: Detector, codes: Sequence[int], plain_rms_px: float) -> list[str]:
    """Say that the second geometry may be of a turned or mirrored image.

    Parameters
    ----------
    a, b
        Detectors.
    codes
        What was taken for the transform.
    plain_rms_px
        Offset of the pixels with it.
    """
    if plain_rms_px < _OFF_PX or is_stack(a) or is_stack(b):
        return []
    size = a.panels[0].pixel_size_mm[0]
    best, which = plain_rms_px / _BETTER, None
    for other in DIHEDRAL:
        if tuple(other) == tuple(codes) or transformed_shape(other, a.image_shape) != b.image_shape:
            continue
        try:
            x1, x2 = pixel_pairs(a, b, other).lab
        except RefimplError:
            continue
        off = rms(np.sqrt(((x2 - x1) ** 2).sum(axis=1))) / size
        if off < best:
            best, which = off, other
    if which is None:
        return []
    words = " ".join(f"--image-transform {c}" for c in which) or "no --image-transform"
    return [f"the pixels agree to {best:.3g} px (rms) instead of {plain_rms_px:.3g} with {words}"]


def beam_parts(a: Detector, p: PixelPairs, codes: Sequence[int]) -> Part:
    """Distance along the beam and place of the beam of the planes nearest to the pixels.

    Parameters
    ----------
    a
        First detector.
    p
        Pixels in both.
    codes
        Transform of the image; the beam is told in the first's pixels.
    """
    if is_stack(a):
        return [], [], {}
    columns = np.column_stack([p.image_px, np.ones(len(p.image_px))])
    found = []
    for lab in p.lab:
        fast, slow, start = np.linalg.lstsq(columns, lab, rcond=None)[0]
        across = np.stack([fast[:2], slow[:2]], axis=1)
        if abs(np.linalg.det(across)) < 1e-12:
            return [], ["a plane along the beam: no beam centre"], {}
        centre = np.linalg.solve(across, -start[:2])
        found.append([*centre, float(start[2] + centre @ [fast[2], slow[2]])])
    one, two = np.array(found)
    moved = two - one
    measures = [
        Measure("beam_px", float(np.hypot(*moved[:2])), "beam centre, in the pixels of A's image"),
        Measure("distance_um", abs(moved[2]) / UM, "sample to detector along the beam"),
    ]
    numbers = {
        "beam_fast_px": [one[0], two[0]], "beam_slow_px": [one[1], two[1]],
        "distance_mm": [one[2], two[2]],
    }  # fmt: skip
    return measures, [], {name: [float(v) for v in pair] for name, pair in numbers.items()}


def panel_parts(a: KnownGeometry, b: KnownGeometry) -> Part:
    """How the panels lie in the whole, without a common move: the congruence of both.

    Parameters
    ----------
    a, b
        Geometries; nothing is said unless they have the same two or more panels.
    """
    from refimpl.metrology.congruence import congruence

    first, second = a.detector.panels, b.detector.panels
    if len(first) < 2 or len(first) != len(second):
        return [], [], {}
    if not (is_stack(a.detector) or is_stack(b.detector)):
        places = {(p.image_origin_px, p.size_px): p for p in second}
        keys = [(p.image_origin_px, p.size_px) for p in first]
        if set(places) != set(keys):
            return [], ["the panels of the two are not the same pieces of the image"], {}
        second = tuple(places[key] for key in keys)
    try:
        c = congruence(_hierarchy(first), _hierarchy(second), aligned=True)
    except RefimplError as error:
        return [], [f"panels are not compared: {error}"], {}
    measures = [
        Measure("panel_in_plane_um", 1e3 * c.in_plane, "rms of panels along themselves, aligned"),
        Measure("panel_normal_um", 1e3 * c.normal, "the same along their normals"),
        Measure("panel_turn_mrad", c.about_normal, "rms turn about their normals, aligned"),
        Measure("panel_tilt_mrad", c.tilt, "rms tilt, aligned"),
    ]
    rows = [
        {"panel": p.name, "offset_mm": offset, "turn_mrad": turn}
        for p, offset, turn in zip(first, c.offset.tolist(), c.turn.tolist(), strict=True)
    ]
    return measures, [], {"panels": rows}


def _hierarchy(panels: Sequence[Panel]) -> Hierarchy:
    return Hierarchy(
        tuple(
            Module(p.name, p.fast_axis, p.slow_axis, p.origin_mm, p.size_px, p.pixel_size_mm)
            for p in panels
        )
    )


def sigma_parts(a: KnownGeometry, b: KnownGeometry) -> Part:
    """Differences of refined parameters in units of their combined standard uncertainty."""
    with_them = [name for name, g in (("A", a), ("B", b)) if g.parameters]
    if len(with_them) < 2:
        if not with_them:
            return [], [], {}
        return [], [f"only {with_them[0]} states uncertainties: differences have none"], {}
    rows = []
    for name, (value, sigma) in a.parameters.items():
        if name in b.parameters:
            other, own = b.parameters[name]
            total = float(np.hypot(sigma, own))
            rows.append({"name": name, "first": value, "second": other, "sigma": total,
                         "z": (other - value) / total})  # fmt: skip
    if not rows:
        return [], ["A and B refined no parameter of one name: no uncertainties"], {}
    z = np.array([row["z"] for row in rows])
    worst = rows[int(np.abs(z).argmax())]
    measures = [
        Measure("parameters_rms_sigma", rms(z), f"{len(rows)} refined parameters, by their σ"),
        Measure("parameters_max_sigma", float(np.abs(z).max()), f"that of {worst['name']}"),
    ]
    note = "σ are combined as if the two were independent: of one image they are not"
    return measures, [note], {"parameters": rows}


def pictures(a: Detector, p: PixelPairs, two_theta_px: F64, left_px: F64) -> tuple[Picture, ...]:
    """Maps of the differences over the detector.

    Parameters
    ----------
    a
        First detector.
    p
        Pixels in both.
    two_theta_px
        (n,) differences of two-theta.
    left_px
        (n, 3) places of the second after the common move, minus those of the first.
    """
    if is_stack(a):
        xy, axes = p.lab[0][:, :2], ("x (mm)", "y (mm)")
        across = left_px[:, :2]
    else:
        xy, axes = p.image_px, ("fast (px)", "slow (px)")
        fast, slow = (np.mean([getattr(q, n) for q in a.panels], axis=0)
                      for n in ("fast_axis", "slow_axis"))  # fmt: skip
        across = np.stack([left_px @ fast, left_px @ slow], axis=1)
    size = np.sqrt((left_px**2).sum(axis=1))
    return (
        Picture("Two-theta, B minus A", "2θ (px)", two_theta_px, xy, axes),
        Picture(
            "Place after one rigid move", "offset (px)", size, xy, axes, across, "px, B minus A"
        ),
    )
