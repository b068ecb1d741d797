"""The distance below which two exposures count as duplicates: one rule, stated with the result.

The published programs disagree: the first README takes 0.9 of the beam's diameter, the code before
v200906 took 0.9 of its radius, and v200906 takes 0.2 um whatever the beam. All three are rules
here, and the last one is the default.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DEFAULT_RADIUS", "RULES", "Radius", "common_diameter_um", "diameters_um"]

RULES: Final = ("fixed", "beam", "beam-radius")
"""A length [um], a factor of the beam's diameter, a factor of half of it."""

_STEP_UM = 1e-3
"""Diameters that agree to a nanometre are one setting of the microscope."""


@dataclass(frozen=True)
class Radius:
    """Rule for the radius of the search.

    Attributes
    ----------
    rule
        One of :data:`RULES`.
    value
        A length [um] for ``fixed``, else a factor.
    """

    rule: str
    value: float

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ConfigError(
                f"radius {self.rule!r}: expected one of {', '.join(RULES)}", key="radius"
            )
        if not (math.isfinite(self.value) and self.value > 0.0):
            raise ConfigError(f"radius {self}: expected a positive number", key="radius")

    def __str__(self) -> str:
        return f"{self.rule}:{self.value:g}"

    @classmethod
    def parse(cls, text: str) -> Radius:
        """Rule from ``fixed:0.2``, ``beam:0.9``, ``beam-radius:0.9``, or a length alone.

        Raises
        ------
        ConfigError
            It is none of these, or not positive.
        """
        rule, colon, number = text.strip().rpartition(":")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if rule not in (*RULES, "") or (colon and not rule) or not 0.0 < value < math.inf:
            raise ConfigError(
                f"radius {text!r}: expected fixed:UM, beam:FACTOR, beam-radius:FACTOR or a "
                "positive length in um",
                key="radius", got=text,
            )  # fmt: skip
        return cls(rule or "fixed", value)

    def of(self, table: pd.DataFrame) -> float:
        """Radius [um] for a session.

        Parameters
        ----------
        table
            Exposures; the rules of the beam take the most frequent ``beam_diameter_um``.

        Raises
        ------
        ConfigError
            The rule needs the beam's diameter, and no exposure states it.
        """
        if self.rule == "fixed":
            return self.value
        diameter = common_diameter_um(table)
        if math.isnan(diameter):
            raise ConfigError(
                f"radius {self}: no exposure states its BeamDiameter; use fixed:UM", key="radius"
            )
        return self.value * diameter / (2.0 if self.rule == "beam-radius" else 1.0)

    def sentence(self, table: pd.DataFrame) -> str:
        """Say which radius it is and where it comes from, other diameters included."""
        um = self.of(table)
        if self.rule == "fixed":
            return f"Radius of the search: {um:g} um (fixed)."
        what = "diameter" if self.rule == "beam" else "radius"
        values, counts = diameters_um(table)
        text = f"Radius of the search: {um:.4g} um ({self.value:g} of the beam's {what}"
        if len(values) == 1:
            return f"{text}; diameter {values[0]:g} um)."
        each = ", ".join(f"{v:g} um ({n})" for v, n in zip(values, counts, strict=True))
        return f"{text}). {len(values)} diameters: {each}; the most frequent one counts."


DEFAULT_RADIUS: Final = Radius("fixed", 0.2)
"""As find_dupl v200906 runs."""


def diameters_um(table: pd.DataFrame) -> tuple[F64, I64]:
    """Beam diameters [um] and how often each occurs, most frequent first, then smallest first."""
    column = np.asarray(table["beam_diameter_um"], dtype=np.float64)
    known = np.round(column[np.isfinite(column)] / _STEP_UM).astype(np.int64)
    values, counts = np.unique(known, return_counts=True)
    order = np.lexsort((values, -counts))
    return np.round(values[order] * _STEP_UM, 3), counts[order].astype(np.int64)


def common_diameter_um(table: pd.DataFrame) -> float:
    """Most frequent beam diameter [um]; NaN if none is known.

    The published program returns the least frequent one.
    """
    values, _ = diameters_um(table)
    return float(values[0]) if len(values) else math.nan
