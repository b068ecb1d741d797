"""The tolerance policy, in one table: what a comparison may demand and why.

A bound is physical: it has a unit, and its absolute part is 0 unless a reason is given. Write
``0.01 * PX`` or ``3 * MICROSTRAIN``, never a bare ``1e-2``. A literal tolerance in a test needs a
comment that justifies it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from refimpl.frames import F64
from refimpl.units import DEG, MICROSTRAIN, UM

__all__ = [
    "ANGSTROM",
    "CLASSES",
    "DEG",
    "EXACT",
    "EXTERNAL",
    "MICROSTRAIN",
    "MM",
    "NATURAL_SCALE",
    "ORACLE",
    "PHYSICAL",
    "PX",
    "RAD",
    "ROUNDTRIP",
    "SIGMA",
    "TWIN_ARITHMETIC",
    "TWIN_ITERATIVE",
    "TWIN_LIBM",
    "UM",
    "Tolerance",
    "roundtrip",
]

MM = ANGSTROM = RAD = PX = SIGMA = 1.0
"""Units of refimpl, to be written beside a number."""


@dataclass(frozen=True)
class Tolerance:
    """How far two values may be apart: the largest of the three parts that are not zero.

    Attributes
    ----------
    name
        Class of the policy.
    meaning
        What is compared with what.
    atol
        Absolute part, in the unit of the column.
    rtol
        Part relative to the expected value.
    ulp
        Part in units in the last place of the expected value.
    """

    name: str
    meaning: str
    atol: float = 0.0
    rtol: float = 0.0
    ulp: int = 0

    def allowed(self, expected: F64) -> F64:
        """(...) largest difference allowed at each expected value, in its own unit."""
        scale = np.abs(np.asarray(expected, dtype=np.float64))
        scale = np.where(np.isfinite(scale), scale, 0.0)  # nothing but itself is near infinity
        bound = np.maximum(np.full(scale.shape, self.atol), self.rtol * scale)
        return np.asarray(np.maximum(bound, self.ulp * np.spacing(scale)))


EXACT: Final = Tolerance("EXACT", "hkl, labels in canonical order, shapes, text")
TWIN_ARITHMETIC: Final = Tolerance("TWIN", "definition against twin, + - * / sqrt only")
TWIN_LIBM: Final = Tolerance("TWIN", "definition against twin, libm involved", ulp=4)
TWIN_ITERATIVE: Final = Tolerance("TWIN", "iterative fit, in its standard error", atol=1e-6 * SIGMA)
ORACLE: Final = Tolerance("ORACLE", "against mpmath or a closed form", rtol=1e-13)
ROUNDTRIP: Final = Tolerance("ROUNDTRIP", "f, then its inverse, on a scale of 1", atol=1e-12)
EXTERNAL: Final = Tolerance("EXTERNAL", "another code: its own precision, reason in provenance")
PHYSICAL: Final = Tolerance("PHYSICAL", "fits and noisy data: in px, degrees or sigma")

CLASSES: Final = {
    t.name: t for t in (EXACT, TWIN_LIBM, ORACLE, ROUNDTRIP, EXTERNAL, PHYSICAL)
}  # fmt: skip
"""The names that a provenance file may use."""

NATURAL_SCALE: Final = {"mm": 1e3, "rad": 1.0, "px": 1e3, "angstrom": 1.0, "1": 1.0}
"""Size of a typical value by unit; a round trip is held to 1e-12 of it."""


def roundtrip(unit: str) -> Tolerance:
    """ROUNDTRIP bound for a unit: 1e-9 mm, 1e-12 rad, 1e-9 px."""
    return Tolerance("ROUNDTRIP", ROUNDTRIP.meaning, atol=ROUNDTRIP.atol * NATURAL_SCALE[unit])
