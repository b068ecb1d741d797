"""Two results of any code side by side: measures, tolerances, a verdict, pictures.

What is compared is in :mod:`~refimpl.testing.judge_geometry`, ``judge_maps``,
``judge_reflections`` and ``judge_panels``; here is what they have in common. Every
measure is a size (never negative), so that one tolerance says what is too much.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["Judgement", "Measure", "Picture", "judged", "parse_tolerances", "rms"]


@dataclass(frozen=True)
class Measure:
    """One size of a difference.

    Attributes
    ----------
    name
        With its unit at the end.
    value
        Not negative; NaN where there is nothing to measure.
    text
        What it is.
    tolerance
        Largest value allowed; None: told only.
    sigma
        Standard uncertainty of the difference, in the same unit; None where it is not known.
    """

    name: str
    value: float
    text: str
    tolerance: float | None = None
    sigma: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether it is within the tolerance; None without one. What is not a number is not."""
        return None if self.tolerance is None else bool(self.value <= self.tolerance)


@dataclass(frozen=True, eq=False)
class Picture:
    """Points coloured by a number, with arrows, or a histogram if there is no place.

    Attributes
    ----------
    title, label
        Heading, and name of the number with its unit.
    value
        (n,) numbers; NaN is left out.
    xy
        (n, 2) places, or None: a histogram.
    axes
        Names of the two axes with their units.
    arrows
        (n, 2) along the axes, or None.
    arrow_text
        What the arrows are, with the unit.
    normal
        Of a histogram: draw the standard normal distribution beside.
    """

    title: str
    label: str
    value: F64
    xy: F64 | None = None
    axes: tuple[str, str] = ("", "")
    arrows: F64 | None = None
    arrow_text: str = ""
    normal: bool = False


@dataclass(frozen=True, eq=False)
class Judgement:
    """What the comparison of two results says.

    Attributes
    ----------
    kind
        geometry, map, reflections or panels.
    first, second
        Names of the two, the second is held to the first.
    measures
        In the order of telling.
    notes
        Sentences: what was done to bring both to one gauge, what could not be compared.
    details
        JSON-ready numbers beyond the measures.
    pictures
        For :func:`refimpl.report.judged.judged_figure`.
    """

    kind: str
    first: str
    second: str
    measures: tuple[Measure, ...]
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()

    @property
    def failed(self) -> tuple[Measure, ...]:
        """Measures beyond their tolerance."""
        return tuple(m for m in self.measures if m.met is False)

    @property
    def met(self) -> bool:
        """Whether nothing is beyond its tolerance."""
        return not self.failed

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        return {
            "schema": 1, "kind": f"refimpl.compare.{self.kind}", "met": self.met,
            "first": self.first, "second": self.second,
            "measures": [vars(m) | {"met": m.met} for m in self.measures],
            "notes": list(self.notes), "details": dict(self.details),
        }  # fmt: skip

    def text(self) -> str:
        """Table of measures, notes and the verdict."""
        lines = [f"{self.kind}: {self.second} against {self.first}"]
        wide = max((len(m.name) for m in self.measures), default=0)
        for m in self.measures:
            spread = "" if m.sigma is None else f" ± {m.sigma:.2g}"
            limit = "" if m.tolerance is None else f"<= {m.tolerance:g}"
            word = {None: "", True: "met", False: "NOT MET"}[m.met]
            figure = f"{_short(m.value)}{spread}"
            lines.append(f"  {m.name:<{wide}}  {figure:<18} {limit:<10} {word:<8} {m.text}")
        lines += [f"note: {note}" for note in self.notes]
        lines.append("met" if self.met else f"not met: {', '.join(m.name for m in self.failed)}")
        return "\n".join(line.rstrip() for line in lines)


def _short(value: float) -> str:
    return "not known" if math.isnan(value) else f"{value:.5g}"


def rms(values: F64) -> float:
    """Root mean square of all numbers of an array; NaN of none."""
    v = np.asarray(values, dtype=np.float64)
    return float(np.sqrt(np.mean(v * v))) if v.size else float("nan")


def parse_tolerances(texts: Sequence[str]) -> dict[str, float | None]:
    """Tolerances from ``NAME=VALUE``; ``none`` lifts one.

    Raises
    ------
    ConfigError
        Not of that form, or a value that is no number from 0.
    """
    out: dict[str, float | None] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        try:
            number = None if value == "none" else float(value)
        except ValueError:
            number = math.nan
        if not equals or not name or (number is not None and not number >= 0.0):
            raise ConfigError(
                f"--tolerance {text!r}: expected NAME=VALUE with a number from 0, or NAME=none",
                key="tolerance", got=text,
            )  # fmt: skip
        out[name] = number
    return out


def judged(
    measures: Sequence[Measure],
    defaults: Mapping[str, float],
    given: Mapping[str, float | None],
) -> tuple[Measure, ...]:
    """Measures with their tolerances: those that were given, else the defaults.

    Raises
    ------
    ConfigError
        A tolerance for what is not measured; names the nearest.
    """
    names = [m.name for m in measures]
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
            raise ConfigError(
                f"--tolerance {name}: no such measure here; did you mean {near[0]!r}? There are: "
                f"{', '.join(names)}", key="tolerance", got=name,
            )  # fmt: skip
    out = []
    for m in measures:
        limit = given[m.name] if m.name in given else defaults.get(m.name)
        out.append(replace(m, tolerance=limit))
    return tuple(out)
