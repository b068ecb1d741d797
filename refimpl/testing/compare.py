"""Comparers that say what is wrong: case, column, unit, worst point, both values, difference.

They raise :class:`Mismatch`, an ``AssertionError``, so that they read like ``assert`` in a test
and work just as well outside pytest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refimpl.frames import I64
from refimpl.testing.tolerances import EXACT, Tolerance

__all__ = [
    "Mismatch",
    "assert_close",
    "assert_columns",
    "assert_same_rows",
    "assert_same_text",
    "canonical_labels",
    "ulp_difference",
]


@dataclass(frozen=True)
class _Worst:
    index: tuple[int, ...]
    got: float
    expected: float
    allowed: float
    ulp: float


class Mismatch(AssertionError):
    """Two results differ by more than the tolerance."""


def ulp_difference(got: ArrayLike, expected: ArrayLike) -> NDArray[np.float64]:
    """(...) difference in units in the last place of the larger magnitude; NaN only for NaN.

    Equal values, infinities included, differ by 0; a finite and an infinite one by infinity.
    """
    a, b = np.broadcast_arrays(
        np.asarray(got, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    )
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(a - b) / np.spacing(np.maximum(np.abs(a), np.abs(b)))
    difference = np.where(np.isinf(a) | np.isinf(b), np.inf, difference)
    difference = np.where(np.isnan(a) | np.isnan(b), np.nan, difference)
    return np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, difference)


def assert_close(
    got: ArrayLike,
    expected: ArrayLike,
    tolerance: Tolerance = EXACT,
    *,
    case: str = "",
    column: str = "value",
    unit: str = "1",
) -> None:
    """Compare two arrays of numbers.

    Parameters
    ----------
    got, expected
        Same shape; nothing is broadcast. NaN matches NaN and nothing else.
    tolerance
        From :mod:`refimpl.testing.tolerances`.
    case, column, unit
        For the message; the absolute tolerance is in this unit.

    Raises
    ------
    Mismatch
        Shapes differ, or a difference exceeds the tolerance.
    """
    a, b = np.asarray(got, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    where = f"{case or 'comparison'}: {column} [{unit}]"
    if a.shape != b.shape:
        raise Mismatch(f"{where}: shape {a.shape}, expected {b.shape}")
    with np.errstate(invalid="ignore"):
        difference = np.abs(a - b)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    allowed = tolerance.allowed(b)
    bad = ~same & ~(difference <= allowed)
    if not bad.any():
        return
    excess = np.where(bad, np.where(np.isfinite(difference), difference - allowed, np.inf), -np.inf)
    at = tuple(int(i) for i in np.unravel_index(int(excess.argmax()), a.shape))
    worst = _Worst(
        at, float(a[at]), float(b[at]), float(allowed[at]), float(ulp_difference(a[at], b[at]))
    )
    raise Mismatch(_message(where, unit, tolerance, worst, int(bad.sum()), a.size))


def _message(
    where: str, unit: str, tolerance: Tolerance, worst: _Worst, bad: int, total: int
) -> str:
    index = ", ".join(str(i) for i in worst.index) or "scalar"
    return (
        f"{where}: {bad} of {total} values outside {tolerance.name} "
        f"(atol {tolerance.atol:g} {unit}, rtol {tolerance.rtol:g}, {tolerance.ulp} ulp)\n"
        f"  worst at [{index}]: got {worst.got:.17g}, expected {worst.expected:.17g}\n"
        f"  difference {abs(worst.got - worst.expected):.3g} {unit} = {worst.ulp:.3g} ulp, "
        f"allowed {worst.allowed:.3g} {unit}"
    )


def assert_columns(
    got: Mapping[str, ArrayLike],
    expected: Mapping[str, ArrayLike],
    tolerances: Mapping[str, tuple[Tolerance, str]],
    *,
    case: str = "",
) -> None:
    """Compare a table column by column.

    Parameters
    ----------
    got, expected
        Columns by name.
    tolerances
        (tolerance, unit) of each column to compare; every one must be in both tables.

    Raises
    ------
    Mismatch
        A column is missing or outside its tolerance; all such columns are listed.
    """
    faults = []
    for column, (tolerance, unit) in tolerances.items():
        missing = [n for n, t in (("got", got), ("expected", expected)) if column not in t]
        if missing:
            faults.append(f"{case}: column {column!r} is missing in {' and '.join(missing)}")
            continue
        try:
            assert_close(
                got[column], expected[column], tolerance, case=case, column=column, unit=unit
            )
        except Mismatch as exc:
            faults.append(str(exc))
    if not tolerances:
        faults.append(f"{case}: no column to compare")
    if faults:
        raise Mismatch("\n".join(faults))


def assert_same_rows(got: Iterable[Any], expected: Iterable[Any], *, case: str = "") -> None:
    """Compare two collections of rows whatever their order; a repeated row counts.

    Raises
    ------
    Mismatch
        Some rows are in one only; the first three of each kind are listed.
    """
    from collections import Counter

    a, b = Counter(tuple(row) for row in got), Counter(tuple(row) for row in expected)
    extra, missing = list((a - b).elements()), list((b - a).elements())
    if extra or missing:
        raise Mismatch(
            f"{case or 'rows'}: {len(missing)} missing {missing[:3]}, "
            f"{len(extra)} not expected {extra[:3]}"
        )


def assert_same_text(got: str, expected: str, *, case: str = "") -> None:
    """Compare two texts line by line.

    Raises
    ------
    Mismatch
        With the number of the first line that differs, and both lines.
    """
    a, b = got.splitlines(), expected.splitlines()
    for number, (x, y) in enumerate(zip(a, b, strict=False), start=1):
        if x != y:
            raise Mismatch(f"{case or 'text'}: line {number}\n  got      {x!r}\n  expected {y!r}")
    if len(a) != len(b):
        raise Mismatch(f"{case or 'text'}: {len(a)} lines, expected {len(b)}")
    if got != expected:
        raise Mismatch(f"{case or 'text'}: line ends differ")


def canonical_labels(labels: Sequence[int] | NDArray[np.integer[Any]]) -> I64:
    """(n,) cluster labels renumbered from 0 by first appearance; noise stays -1.

    Examples
    --------
    >>> canonical_labels([7, 7, -1, 3, 7]).tolist()
    [0, 0, -1, 1, 0]
    """
    order: dict[int, int] = {}
    out = [-1 if v < 0 else order.setdefault(v, len(order)) for v in np.asarray(labels).tolist()]
    return np.array(out, dtype=np.int64)
