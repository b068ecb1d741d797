"""Pixels that are no measurement: sentinel values told from counts on the stored numbers.

Detectors mark gaps and dead pixels in band: -1 and -2 (Dectris CBF and TIFF), the same read as
unsigned 2^32-1 and 2^32-2 (Eiger HDF5, unsigned TIFF), 65535 (16-bit Eiger), NaN (processed
floats). They are found on raw frames before any averaging, where they are exact; after a mean or
a dark they are not. Saturation is a different thing (a real, too high count) and is counted
apart. What is not modelled: zero as a gap value, which only the user can tell (``gap_values``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FormatError

__all__ = ["Sentinels", "check_mask", "detect_sentinels", "find_sentinels"]

# More distinct negative numbers than this are dark-subtracted counts, not marks.
_MAX_DISTINCT = 16
# A float image keeps the marks of the integers it came from; these exact values only.
_FLOAT_MARKS = (-1.0, -2.0, -3.0)
_UINT32_MARKS = (2**32 - 1, 2**32 - 2)
# A mask that leaves less than this of the marked pixels covered, while covering more than half of
# the others, is the wrong way round.
_COVERED, _HALF = 0.01, 0.5


@dataclass(frozen=True)
class Sentinels:
    """Which stored numbers are marks.

    Attributes
    ----------
    negative
        Whether every negative number is one.
    values
        Exact values.
    names
        What to call a value in the report: ``gap value 0``; others are ``value -1``.
    """

    negative: bool = False
    values: tuple[int | float, ...] = ()
    names: tuple[tuple[int | float, str], ...] = ()

    def name(self, value: Any) -> str:
        """Reason under which a pixel of this value is masked."""
        if not np.isfinite(value):
            return "not finite"
        plain = int(value)
        return dict(self.names).get(plain, f"value {plain}")


def detect_sentinels(
    frame: NDArray[Any], bad_values: Sequence[float] = (), gap_values: Sequence[float] = ()
) -> Sentinels:
    """Decide from one raw frame which values are marks.

    Parameters
    ----------
    frame
        (n_slow, n_fast), as stored.
    bad_values, gap_values
        Values that are marks whatever the rest says. A negative one also stands for its unsigned
        reading (-1 for 4294967295 in uint32).

    Notes
    -----
    Automatic: all negative numbers of a signed type, unless there are more than 16 different ones
    (then they are counts after a dark); 2^32-1 and 2^32-2 in types that hold them; the largest
    number of any unsigned type where it fills a whole row or column but not half the image; in
    floats -1, -2 and -3 where no other negative number occurs.
    """
    values: list[int | float] = []
    names: list[tuple[int | float, str]] = []
    for given, what in ((bad_values, "bad"), (gap_values, "gap")):
        for value in given:
            stored = value
            if value < 0 and frame.dtype.kind == "u":
                stored = value + 2 ** (8 * frame.dtype.itemsize)
            values.append(stored)
            names.append((int(stored), f"{what} value {int(value)}"))
    negative = False
    if frame.dtype.kind != "u" and frame.size and np.nanmin(frame, initial=0) < 0:
        below = np.unique(frame[frame < 0])
        if frame.dtype.kind == "i":
            negative = len(below) <= _MAX_DISTINCT
        elif np.isin(below, _FLOAT_MARKS).all():
            values.extend(float(value) for value in below)
    values.extend(_high_marks(frame))
    return Sentinels(negative, tuple(dict.fromkeys(values)), tuple(names))


def _high_marks(frame: NDArray[Any]) -> list[int]:
    """Largest numbers of the type that mark pixels rather than count photons."""
    if not frame.size:
        return []
    top = frame.max() if frame.dtype.kind in "iu" else np.nanmax(frame, initial=0)
    if frame.dtype.itemsize >= 4 and top >= _UINT32_MARKS[1]:
        return [value for value in _UINT32_MARKS if np.any(frame == value)]
    if frame.dtype.kind != "u" or top != np.iinfo(frame.dtype).max:
        return []
    at_top = frame == top
    has_line = at_top.all(axis=0).any() or at_top.all(axis=1).any()
    return [int(top)] if has_line and at_top.mean() <= _HALF else []


def find_sentinels(
    frame: NDArray[Any], rule: Sentinels, known: NDArray[np.bool_] | None, counts: Counter[str]
) -> NDArray[np.bool_] | None:
    """Marked pixels of one raw frame, joined with the known ones.

    Parameters
    ----------
    frame
        (n_slow, n_fast), as stored.
    rule
        From :func:`detect_sentinels` on the first frame.
    known
        (n_slow, n_fast) pixels marked already, or None.
    counts
        Pixels by reason; each pixel is added once, under the reason that marked it first.

    Returns
    -------
    (n_slow, n_fast) bool, True = marked; None where nothing is.
    """
    tests = [frame == value for value in rule.values if _holds(frame.dtype, value)]
    if rule.negative and frame.min(initial=0) < 0:
        tests.append(frame < 0)
    if frame.dtype.kind == "f":
        tests.append(~np.isfinite(frame))
    if not tests:
        return known
    bad = tests[0]
    for test in tests[1:]:
        np.logical_or(bad, test, out=bad)
    new = bad if known is None else bad & ~known
    for value, number in zip(*np.unique(frame[new], return_counts=True), strict=True):
        counts[rule.name(value)] += int(number)
    joined = bad if known is None else bad | known
    return joined if joined.any() else None


def _holds(dtype: np.dtype[Any], value: float) -> bool:
    """Whether an integer type can hold a value; comparing with one outside would be a mistake."""
    if dtype.kind == "f":
        return True
    limits = np.iinfo(dtype)
    return limits.min <= value <= limits.max and value == int(value)


def check_mask(
    mask: NDArray[Any],
    shape: tuple[int, int],
    marked: NDArray[np.bool_] | None = None,
    path: Path | None = None,
) -> NDArray[np.bool_]:
    """Turn a mask as stored into bool, True = bad; refuse one that cannot be understood.

    Parameters
    ----------
    mask
        (n_slow, n_fast): bool, or 0 good and 1 (or 255) masked, in the pixel order of the image
        file. The published convention is 1 = masked (one of its tables says the opposite).
    shape
        Shape of the image [px].
    marked
        Sentinel pixels of the image: a mask that spares all of them and covers most others is
        the wrong way round.

    Raises
    ------
    FormatError
        Wrong shape, values other than 0 and one of 1 or 255, everything masked, or inverted.
    """
    if mask.shape != shape:
        raise FormatError(f"the mask has {mask.shape} pixels, the image {shape}", path=path)
    if mask.dtype.kind not in "biuf":
        raise FormatError(f"a mask of type {mask.dtype} is no mask", path=path)
    if mask.dtype.kind != "b":
        found = np.unique(mask)
        if not (np.isin(found, (0, 1)).all() or np.isin(found, (0, 255)).all()):
            shown = ", ".join(str(value) for value in found[:5]) + (
                ", ..." if len(found) > 5 else ""
            )
            raise FormatError(
                f"ambiguous mask: it holds {shown}; 0 (good) and 1 or 255 (masked) are accepted",
                path=path,
            )
    bad = mask.astype(bool)
    if bad.all():
        raise FormatError("the mask hides every pixel (1 = masked, 0 = good)", path=path)
    if marked is not None:
        covered = bad[marked].mean()
        if covered < _COVERED and bad[~marked].mean() > _HALF:
            raise FormatError(
                f"the mask looks inverted: it covers {covered:.0%} of the {marked.sum()} gap "
                f"pixels and {bad[~marked].mean():.0%} of the others (1 = masked, 0 = good)",
                path=path,
            )
    return bad
