"""Published names of the distortion terms and their (cos, sin) form.

Published (MIDAS): amplitudes p0 p1 p2 p4 p5 p7 p9 p11 p13 and phases p3 p6 p8 p10 p12 p14 in
degrees. Inside, each harmonic is a pair ``a cos(phi), a sin(phi)``, in which the radius is linear
and which is not singular where the amplitude is 0.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from refimpl.errors import GeometryError
from refimpl.frames import F64
from refimpl.units import DEG

__all__ = ["AMPLITUDES", "ISOTROPIC", "PHASES", "PUBLISHED", "pairs_from_published"]
__all__ += ["published_from_pairs"]

PUBLISHED: Final = tuple(f"p{i}" for i in range(15))
"""Names of the published terms; phases are in degrees."""

ISOTROPIC: Final = {"p2": "iso_r2", "p5": "iso_r4", "p4": "iso_r6"}
"""Published name to field of the geometry vector."""

AMPLITUDES: Final = {"p7": 1, "p0": 2, "p9": 3, "p1": 4, "p11": 5, "p13": 6}
"""Published amplitude to its harmonic k."""

PHASES: Final = {"p8": 1, "p6": 2, "p10": 3, "p3": 4, "p12": 5, "p14": 6}
"""Published phase to its harmonic k."""


def pairs_from_published(p: tuple[float, ...]) -> F64:
    """(15,) distortion part of a geometry vector from the 15 published numbers.

    Raises
    ------
    GeometryError
        `p` does not hold 15 finite numbers.
    """
    if len(p) != 15 or not np.all(np.isfinite(p)):
        raise GeometryError(f"distortion p0..p14: got {p!r}: expected 15 finite numbers")
    out = np.empty(15)
    out[0], out[1], out[2] = p[2], p[5], p[4]
    by_harmonic = {k: p[int(name[1:])] for name, k in AMPLITUDES.items()}
    phase = {k: p[int(name[1:])] * DEG for name, k in PHASES.items()}
    for k in range(1, 7):
        out[1 + 2 * k] = by_harmonic[k] * np.cos(phase[k])
        out[2 + 2 * k] = by_harmonic[k] * np.sin(phase[k])
    return out


def published_from_pairs(
    pairs: F64, previous: tuple[float, ...] | None = None
) -> tuple[float, ...]:
    """Inverse of :func:`pairs_from_published`.

    The amplitude comes out with the sign, and the phase with the branch, that is nearest to
    `previous` (default: zero phase), since (a, phi) and (-a, phi + 180) are the same distortion.
    """
    before = (0.0,) * 15 if previous is None else previous
    p = [0.0] * 15
    p[2], p[5], p[4] = (float(v) for v in pairs[:3])
    phase_name = {k: int(name[1:]) for name, k in PHASES.items()}
    for name, k in AMPLITUDES.items():
        c, s = float(pairs[1 + 2 * k]), float(pairs[2 + 2 * k])
        old = before[phase_name[k]]
        amplitude, phase = float(np.hypot(c, s)), float(np.degrees(np.arctan2(s, c)))
        if amplitude == 0.0:
            phase = old
        turns = round((phase - old) / 180.0)
        p[int(name[1:])] = amplitude if turns % 2 == 0 else -amplitude
        p[phase_name[k]] = phase - 180.0 * turns
    return tuple(p)
