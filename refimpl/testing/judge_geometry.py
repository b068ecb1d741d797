r"""Two geometries of one image: where each puts the same pixels, and which ring they lie on.

Both are asked for the same pixels of the image as stored. What no ring tells is taken out: the
roll about the beam from the azimuths. What two detectors of one shape differ by is one rigid move:
it is fitted over the pixels (Kabsch), told, and taken out of ``aligned``. Wavelength and distance
stand in for each other; what both leave alone is the spacing :math:`d = \lambda / 2\sin\theta` that
a pixel stands for, and its relative difference is the strain that one geometry would see in the
other's calibrant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from refimpl.frames import F64, eta_of_lab
from refimpl.rotations import rotation_vector
from refimpl.testing.judge import Judgement, Measure, judged, rms
from refimpl.testing.judge_geometry_parts import (
    beam_parts,
    hint,
    panel_parts,
    pictures,
    sigma_parts,
)
from refimpl.testing.judge_pixels import KnownGeometry, PixelPairs, pixel_pairs
from refimpl.units import MICROSTRAIN, UM

__all__ = ["DEFAULTS", "geometry_judgement"]

DEFAULTS: Final = {
    "unmatched_share": 0.0,
    "two_theta_max_px": 0.1,
    "eta_max_px": 0.1,
    "aligned_max_px": 0.1,
    "wavelength_ppm": 10.0,
}
"""Tolerances unless others are given: a tenth of a pixel, and a wavelength to 1e-5."""

_FAR: Final = 0.25
"""Part of the largest two-theta below which a strain says little: it grows as 1 / two-theta."""


def geometry_judgement(
    a: KnownGeometry,
    b: KnownGeometry,
    *,
    names: tuple[str, str] = ("A", "B"),
    tolerances: Mapping[str, float | None] | None = None,
    image_transform: Sequence[int] = (),
) -> Judgement:
    """Compare two geometries of one image.

    Parameters
    ----------
    a, b
        Geometries.
    names
        For the report.
    tolerances
        By name of the measure, over :data:`DEFAULTS`.
    image_transform
        ImTransOpt codes that take the image of the first to the one that the second was made for.

    Raises
    ------
    ConfigError
        They have no pixel in common, or panels without a common image that are not the same.
    """
    from refimpl.metrology.congruence import best_motion

    p = pixel_pairs(a.detector, b.detector, image_transform)
    size = a.detector.panels[0].pixel_size_mm[0]
    (x1, x2), (t1, t2) = p.lab, p.two_theta
    far = np.sqrt((x1**2).sum(axis=1))
    d_theta_px = far * (t2 - t1) / size
    d_eta = _wrapped(eta_of_lab(x2) - eta_of_lab(x1))
    arm = np.hypot(x1[:, 0], x1[:, 1])
    roll = float(np.angle(np.sum(arm * np.exp(1j * d_eta))))
    eta_px = arm * _wrapped(d_eta - roll) / size
    turn, shift = best_motion(x2, x1, np.ones(len(x1)))
    left = x2 @ turn.T + shift - x1
    middle = x1.mean(axis=0)
    move = np.linalg.solve(turn, middle - shift) - middle  # from A's centre to where B has it
    strain = _strain(p, a.wavelength_angstrom, b.wavelength_angstrom)
    ppm = float("nan")
    if a.wavelength_angstrom and b.wavelength_angstrom:
        ppm = 1e6 * abs(b.wavelength_angstrom / a.wavelength_angstrom - 1.0)
    plain, aligned = (np.sqrt((v**2).sum(axis=1)) / size for v in (x2 - x1, left))
    spin = -1e3 * rotation_vector(turn)
    measures = [
        Measure("unmatched_share", p.missing / (p.missing + len(x1)), "pixels beyond B's image"),
        Measure("two_theta_rms_px", rms(d_theta_px), "2θ times the distance from the sample"),
        Measure("two_theta_max_px", _top(d_theta_px), "its largest value"),
        Measure("eta_rms_px", rms(eta_px), "azimuth times the distance from the beam, no roll"),
        Measure("eta_max_px", _top(eta_px), "its largest value"),
        Measure("roll_mrad", 1e3 * abs(roll), "common turn about the beam"),
        Measure("strain_rms_ue", rms(strain) / MICROSTRAIN, "d-spacing that a pixel stands for"),
        Measure("strain_max_ue", _top(strain) / MICROSTRAIN, "its largest value"),
        Measure("position_max_px", _top(plain), "places as they stand"),
        Measure("aligned_rms_px", rms(aligned), "places after one common rigid move"),
        Measure("aligned_max_px", _top(aligned), "its largest value"),
        Measure("shift_um", float(np.sqrt(move @ move)) / UM, "length of the common move"),
        Measure("turn_mrad", float(np.sqrt(spin @ spin)), "angle of the common move"),
    ]
    notes = [*a.notes, *b.notes]
    if np.isnan(ppm):
        notes.append("a file states no wavelength: the strain is at equal wavelengths")
    else:
        measures.append(Measure("wavelength_ppm", ppm, "relative difference of the wavelengths"))
    details: dict[str, Any] = {
        "pixels": len(x1), "roll_mrad": 1e3 * roll, "shift_um": (move / UM).tolist(),
        "turn_mrad": spin.tolist(), "wavelength_angstrom": [a.wavelength_angstrom,
                                                            b.wavelength_angstrom],
    }  # fmt: skip
    notes.append(
        "common move from A to B: shift ({:.4g}, {:.4g}, {:.4g}) µm".format(*(move / UM))
        + ", turn ({:.4g}, {:.4g}, {:.4g}) mrad about x, y, z of the lab".format(*spin)
    )
    notes += hint(a.detector, b.detector, image_transform, rms(plain))
    more = [beam_parts(a.detector, p, image_transform), panel_parts(a, b), sigma_parts(a, b)]
    for found, words, numbers in more:
        measures += found
        notes += words
        details |= numbers
    given = tolerances or {}
    defaults = {k: v for k, v in DEFAULTS.items() if k in {m.name for m in measures}}
    return Judgement(
        "geometry", *names, judged(measures, defaults, given), tuple(notes), details,
        pictures(a.detector, p, d_theta_px, left / size),
    )  # fmt: skip


def _top(values: F64) -> float:
    return float(np.abs(values).max()) if values.size else float("nan")


def _wrapped(angle: F64) -> F64:
    return np.asarray(np.angle(np.exp(1j * angle)))


def _strain(p: PixelPairs, first: float | None, second: float | None) -> F64:
    """Relative difference of d of the pixels that are far enough from the beam."""
    t1, t2 = p.two_theta
    ratio = second / first if first and second else 1.0
    keep = (t1 > _FAR * t1.max(initial=0.0)) & (t2 > 0.0)
    return np.asarray(ratio * np.sin(0.5 * t1[keep]) / np.sin(0.5 * t2[keep]) - 1.0)
