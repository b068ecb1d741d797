"""Verdicts of the conformance kit: how far an output is off, and which cases fail.

An output is as far off as its worst point: in its unit, in units in the last place, and in
multiples of what is allowed there. A value is met where that multiple is at most 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from refimpl.frames import F64
from refimpl.testing.compare import canonical_labels, ulp_difference
from refimpl.testing.conform_records import Case, Output, Quantity

__all__ = ["CaseVerdict", "OutputVerdict", "QuantityVerdict", "judge_case", "judge_quantity"]


@dataclass(frozen=True)
class OutputVerdict:
    """How far one output of one case is off.

    Attributes
    ----------
    name, unit
        Of the output.
    error, ulp, multiple
        Of the worst point: difference in the unit, in units in the last place, and in multiples of
        the tolerance; infinite where there is nothing to compare.
    points, bad
        Number of values, and of those outside the tolerance.
    words
        What is wrong; empty if nothing is.
    """

    name: str
    unit: str
    error: float
    ulp: float
    multiple: float
    points: int
    bad: int
    words: str = ""

    @property
    def is_met(self) -> bool:
        """Whether every value is within its tolerance."""
        return not self.words


@dataclass(frozen=True)
class CaseVerdict:
    """One case: its outputs, or why there are none."""

    id: str
    outputs: tuple[OutputVerdict, ...]
    trouble: str = ""
    is_known: bool = False

    @property
    def is_met(self) -> bool:
        """Whether all outputs are met."""
        return not self.trouble and all(o.is_met for o in self.outputs)

    @property
    def words(self) -> str:
        """What is wrong, on one line."""
        return self.trouble or "; ".join(o.words for o in self.outputs if o.words)


@dataclass(frozen=True)
class QuantityVerdict:
    """One quantity of a code under test.

    Attributes
    ----------
    name
        Of the quantity.
    cases
        Verdicts of its cases; none where the code does not offer it.
    trouble
        Why the quantity as a whole could not be judged, if so.
    """

    name: str
    cases: tuple[CaseVerdict, ...] = ()
    trouble: str = ""

    @property
    def is_offered(self) -> bool:
        """Whether the code under test has it."""
        return bool(self.cases) or bool(self.trouble)

    @property
    def failing(self) -> tuple[CaseVerdict, ...]:
        """Cases that are not met and not known to fail."""
        return tuple(c for c in self.cases if not c.is_met and not c.is_known)

    @property
    def known(self) -> tuple[CaseVerdict, ...]:
        """Cases that fail and are known to."""
        return tuple(c for c in self.cases if not c.is_met and c.is_known)

    @property
    def mended(self) -> tuple[CaseVerdict, ...]:
        """Cases that are known to fail and do not."""
        return tuple(c for c in self.cases if c.is_met and c.is_known)

    @property
    def is_met(self) -> bool:
        """Whether nothing fails but what is known to."""
        return not self.trouble and not self.failing

    def worst(self) -> list[OutputVerdict]:
        """Worst case of each output, over the cases that are not known to fail."""
        out: dict[str, OutputVerdict] = {}
        for case in self.cases:
            for o in () if case.is_known else case.outputs:
                if o.name not in out or o.multiple > out[o.name].multiple:
                    out[o.name] = o
        return list(out.values())


def judge_quantity(
    quantity: Quantity,
    cases: Sequence[Case],
    got: Mapping[str, Any],
    known: Sequence[str] = (),
) -> QuantityVerdict:
    """Verdict on a quantity.

    Parameters
    ----------
    quantity, cases
        With the expected outputs.
    got
        By the name of a case, outputs by name, or a text that says why there are none.
    known
        Patterns of ids that are known to fail.
    """
    verdicts = []
    for case in cases:
        is_known = any(fnmatchcase(case.id, pattern) for pattern in known)
        values = got.get(case.name, "the code gives no outputs of this case")
        verdicts.append(judge_case(quantity, case, values, is_known=is_known))
    return QuantityVerdict(quantity.name, tuple(verdicts))


def judge_case(
    quantity: Quantity, case: Case, got: Mapping[str, Any] | str, *, is_known: bool = False
) -> CaseVerdict:
    """Verdict on one case; a text instead of outputs says why there are none."""
    if isinstance(got, str):
        return CaseVerdict(case.id, (), got, is_known)
    outputs = tuple(_judge(o, got.get(o.name), case.outputs[o.name]) for o in quantity.outputs)
    return CaseVerdict(case.id, outputs, "", is_known)


def _judge(output: Output, got: Any, expected: Any) -> OutputVerdict:
    def wrong(words: str) -> OutputVerdict:
        size = int(np.size(expected))
        lost = (math.inf, math.inf, math.inf)
        return OutputVerdict(output.name, output.unit, *lost, size, size, words)

    if got is None:
        return wrong(f"{output.name} is missing")
    try:
        a, b = np.asarray(got, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    except (TypeError, ValueError) as exc:
        return wrong(f"{output.name} holds no numbers ({exc})")
    if a.shape != b.shape:
        if a.size != b.size or a.size != 1:
            return wrong(f"{output.name} has shape {a.shape}, expected {b.shape}")
        a = a.reshape(b.shape)
    if output.compare == "labels":
        a, b = (canonical_labels(v.astype(np.int64)).astype(np.float64) for v in (a, b))
    return _numbers(output, a, b)


def _numbers(output: Output, a: F64, b: F64) -> OutputVerdict:
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        if output.compare == "angle":
            off = np.abs(np.remainder(a - b + np.pi, 2.0 * np.pi) - np.pi)
            ulp = off / np.spacing(np.maximum(np.abs(b), np.spacing(1.0)))
        else:
            off, ulp = np.abs(a - b), ulp_difference(a, b)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        off = np.where(same, 0.0, np.where(np.isnan(off), np.inf, off))
        allowed = output.tolerance.allowed(b)
        multiple = np.where(off == 0.0, 0.0, np.where(allowed > 0.0, off / allowed, np.inf))
        ulp = np.where(off == 0.0, 0.0, np.where(np.isnan(ulp), np.inf, ulp))
    if not a.size:
        return OutputVerdict(output.name, output.unit, 0.0, 0.0, 0.0, 0, 0)
    at = np.unravel_index(int(multiple.argmax()), a.shape)
    bad = int((multiple > 1.0).sum())
    words = ""
    if bad:
        place = f"[{', '.join(str(int(i)) for i in at)}]" if a.ndim else ""
        words = (
            f"{output.name}{place} = {a[at]:.17g} {output.unit}, expected {b[at]:.17g} "
            f"({bad} of {a.size} values off)"
        )
    worst = float(off[at]), float(ulp[at]), float(multiple[at])
    return OutputVerdict(output.name, output.unit, *worst, a.size, bad, words)
