r"""Two reflection tables of the same images: the same spots, places, indices and intensities.

Spots are one if each is the other's nearest on its panel (and image set) within a reach. The gauge
of places is a common shift: half a pixel or half an image is a convention, and is told. The gauge
of indices is another choice of axes: an integer matrix M of determinant 1 or -1 with
:math:`h_B = M h_A`, found for each experiment. That of intensities is one scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refimpl.io.reflection_table import (
    CENTROID_OUTLIER,
    INDEXED,
    USED_IN_REFINEMENT,
    ReflectionTable,
)
from refimpl.testing.judge import Judgement, Measure, Picture, judged, rms
from refimpl.testing.judge_spots import (
    PLACES,
    REACH_PX,
    match_spots,
    numbers,
    reindexing,
)

__all__ = ["DEFAULTS", "reflection_judgement"]

DEFAULTS: Final = {
    "unmatched_share": 0.01, "place_rms_px": 0.1, "shift_px": 0.1, "place_rms_image": 0.1,
    "shift_image": 0.1, "predicted_median_px": 0.1, "index_share": 0.01, "intensity_r": 0.05,
}  # fmt: skip
"""Tolerances unless others are given."""

_INTENSITIES = ("intensity.sum.value", "intensity.prf.value")
_FLAGS = {"indexed": INDEXED, "used": USED_IN_REFINEMENT, "outlier": CENTROID_OUTLIER}
_LEAST_PAIRS = 10


def reflection_judgement(
    a: ReflectionTable,
    b: ReflectionTable,
    *,
    names: tuple[str, str] = ("A", "B"),
    tolerances: Mapping[str, float | None] | None = None,
    match_px: float = REACH_PX,
) -> Judgement:
    """Hold a table to another one.

    Parameters
    ----------
    a, b
        Tables.
    names
        For the report.
    tolerances
        By name of the measure, over :data:`DEFAULTS`.
    match_px
        Farthest that two places may be apart and be of one spot [px].

    Raises
    ------
    FormatError
        A table has no panel, or no places in common with the other.
    """
    rows, column = match_spots(a, b, match_px)
    total = len(a) + len(b)
    share = (total - 2 * len(rows)) / total if total else float("nan")
    measures = [Measure("unmatched_share", share, f"spots without a partner, by {column}")]
    details: dict[str, Any] = {"first": len(a), "second": len(b), "pairs": len(rows)}
    notes = [f"{len(rows)} pairs of {len(a)} and {len(b)}"]
    pictures: list[Picture] = []
    if len(rows):
        one, two = a.select(rows[:, 0]), b.select(rows[:, 1])
        for found, words, told, drawn in (
            _places(one, two, column), _indices(one, two), _intensities(one, two), _flags(one, two),
        ):  # fmt: skip
            measures += found
            notes += words
            details |= told
            pictures += drawn
    there = {m.name for m in measures}
    defaults = {k: v for k, v in DEFAULTS.items() if k in there}
    return Judgement(
        "reflections", *names, judged(measures, defaults, tolerances or {}), tuple(notes), details,
        tuple(pictures),
    )  # fmt: skip


Parts = tuple[list[Measure], list[str], dict[str, Any], list[Picture]]


# --- places ---------------------------------------------------------------------------------------


def _places(a: ReflectionTable, b: ReflectionTable, column: str) -> Parts:
    difference = numbers(b, column, 3) - numbers(a, column, 3)
    shift = np.median(difference, axis=0)
    left = difference - shift
    measures = [
        Measure("shift_px", float(np.hypot(*shift[:2])), f"median shift of {column}"),
        Measure("shift_image", abs(float(shift[2])), "the same along the rotation"),
        Measure("place_rms_px", rms(np.hypot(left[:, 0], left[:, 1])), "places, shift taken out"),
        Measure("place_rms_image", rms(left[:, 2]), "the same along the rotation"),
    ]
    words = ["common shift ({:.4g}, {:.4g}) px, {:.4g} images".format(*shift)]
    told: dict[str, Any] = {"shift": shift.tolist()}
    xy = numbers(a, column, 3)[:, :2]
    size = np.hypot(left[:, 0], left[:, 1])
    pictures = [Picture("Places, shift taken out", "offset (px)", size, xy,
                        ("fast (px)", "slow (px)"), left[:, :2], "px, B minus A")]  # fmt: skip
    name = "xyzobs.px.variance"
    if column == PLACES[0] and name in a and name in b:
        total = numbers(a, name, 3) + numbers(b, name, 3)
        z = (left / np.sqrt(np.where(total > 0.0, total, np.nan))).ravel()
        z = z[np.isfinite(z)]
        measures.append(Measure("place_sigma", rms(z), "places by their combined σ (rms)"))
        words.append("σ are combined as if independent: of the same images they are not, so that "
                     "place_sigma is below 1 for codes that agree")  # fmt: skip
        pictures.append(Picture("Places by their σ", "difference / σ", z, normal=True))
    if column != PLACES[1] and PLACES[1] in a and PLACES[1] in b:
        moved = numbers(b, PLACES[1], 3) - numbers(a, PLACES[1], 3)
        good = _told(a) & _told(b)
        if good.any():
            across = np.hypot(moved[good, 0], moved[good, 1])
            measures += [
                Measure("predicted_median_px", float(np.median(across)), "predictions, median"),
                Measure("predicted_rms_px", rms(across), "predictions, rms"),
            ]
    return measures, words, told, pictures


def _told(table: ReflectionTable) -> NDArray[np.bool_]:
    """(n,) rows with a prediction; rows that were never predicted hold 0."""
    xyz = numbers(table, PLACES[1], 3)
    return np.asarray(np.isfinite(xyz).all(axis=1) & (xyz != 0.0).any(axis=1))


# --- indices --------------------------------------------------------------------------------------


def _indices(a: ReflectionTable, b: ReflectionTable) -> Parts:
    if "miller_index" not in a or "miller_index" not in b:
        return [], ["no Miller indices in both"], {}, []
    h1, h2 = (np.nan_to_num(numbers(t, "miller_index", 3)).astype(np.int64) for t in (a, b))
    both = (h1 != 0).any(axis=1) & (h2 != 0).any(axis=1)
    one_only = (h1 != 0).any(axis=1) ^ (h2 != 0).any(axis=1)
    measures = [Measure("indexed_by_one_share", float(one_only.mean()), "pairs indexed in one")]
    if not both.any():
        return measures, ["no pair is indexed in both"], {}, []
    h1, h2 = h1[both], h2[both]
    own = numbers(a, "id")[both] if "id" in a else np.zeros(len(h1))
    turned, found = h1.copy(), []
    for number in np.unique(own):
        part = own == number
        if part.sum() < _LEAST_PAIRS:
            continue
        m = reindexing(h1[part], h2[part])
        if not np.array_equal(m, np.eye(3)):
            found.append({"id": int(number), "matrix": m.tolist()})
            turned[part] = h1[part] @ m.T
    plain = float((h1 != h2).any(axis=1).mean())
    after = float((turned != h2).any(axis=1).mean())
    measures += [
        Measure("index_share", after, "indices that differ, axes chosen alike"),
        Measure("index_plain_share", plain, "the same as they stand"),
    ]
    words = []
    if found:
        words.append(f"{len(found)} experiments have other axes; the first (id {found[0]['id']}): "
                     f"h_B = {found[0]['matrix']} h_A")  # fmt: skip
    return measures, words, {"reindexing": found}, []


# --- intensities and flags ------------------------------------------------------------------------


def _intensities(a: ReflectionTable, b: ReflectionTable) -> Parts:
    name = next((c for c in _INTENSITIES if c in a and c in b), None)
    if name is None:
        return [], [], {}, []
    i1, i2 = (numbers(t, name) for t in (a, b))
    good = np.isfinite(i1) & np.isfinite(i2) & (i1 != 0.0)
    i1, i2 = i1[good], i2[good]
    if len(i1) < 3 or not (i1 * i1).sum() > 0.0:
        return [], [f"{name}: nothing to compare"], {}, []
    strong = i1 >= np.median(i1)
    scale = float(np.median(i2[strong] / i1[strong]))
    if not scale > 0.0:
        return [], [f"{name}: no positive scale"], {}, []
    r = float(np.abs(i2 / scale - i1).sum() / np.abs(i1).sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        cc = float(np.corrcoef(i1, i2)[0, 1])
    measures = [
        Measure("intensity_r", r, f"R of {name}, one scale"),
        Measure("intensity_scale", abs(scale - 1.0), "the scale minus 1"),
        Measure("intensity_cc", 1.0 - cc, "1 minus the correlation"),
    ]
    told = {"intensity_scale": scale, "intensity_cc": cc}
    variance = name.replace("value", "variance")
    if variance in a and variance in b:
        total = numbers(a, variance)[good] + numbers(b, variance)[good] / scale**2
        z = (i2 / scale - i1) / np.sqrt(np.where(total > 0.0, total, np.nan))
        z = z[np.isfinite(z)]
        measures.append(Measure("intensity_sigma", rms(z), "intensities by their combined σ"))
    return measures, [f"intensities of B are {scale:.6g} times those of A"], told, []


def _flags(a: ReflectionTable, b: ReflectionTable) -> Parts:
    if "flags" not in a or "flags" not in b:
        return [], [], {}, []
    for table in (a, b):
        numbers(table, "flags")
    measures = [
        Measure(f"{word}_share", float((a.has_flags(bit) ^ b.has_flags(bit)).mean()),
                f"pairs flagged as {word} in one only")
        for word, bit in _FLAGS.items()
    ]  # fmt: skip
    return measures, [], {}, []
