"""What was found about duplicates, in sentences and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from refimpl import __version__
from refimpl.epu.copies import COPY
from refimpl.epu.pairs import CAUSES

if TYPE_CHECKING:
    from refimpl.epu.duplicates import Duplicates

__all__ = ["sentences", "summary"]

HEALTHY_PERCENT = 0.1
"""Fewer duplicates than this are usual (README of find_dupl)."""

_WHY = {
    "repeat": "the same shot of the same hole was taken again",
    "same hole": "another shot of the same hole",
    "same position": "another hole, and the stage had not moved in between",
    "revisit": "another hole, and the stage had come back to the place",
    "neighbour": "another place of the stage",
}
_MOST_SQUARES = 10


def sentences(found: Duplicates) -> tuple[str, ...]:
    """Say how many exposures were searched how, what was found, why, and where."""
    session, n = found.session, len(found.kept)
    squares = found.squares
    bad = session.errors[~session.errors["used"].astype(bool)]
    copies = int(bad["reason"].str.startswith(COPY).sum())
    unused = len(bad) - copies
    lines = [
        f"{_count(n, 'exposure')} in {_count(len(squares), 'grid square')}"
        + (f"; {_count(unused, 'file')} could not be used" if unused else "")
        + (f"; {_count(copies, 'copied file')} left out" if copies else "")
        + ".",
        *(f"{line.rstrip('.')}." for line in found.calibration.sentences()),
        found.radius.sentence(session.table),
    ]
    if found.ignores_same_hole:
        lines.append("Different shots of one hole are not compared.")
    if not len(found.pairs):
        return (*lines, "No duplicates: no two exposures are that close.")
    groups = int(found.component.max()) + 1
    lines.append(
        f"{found.n_duplicates} of {n} exposures ({_percent(found.percent)}) are duplicates: "
        f"{_count(len(found.pairs), 'pair')} in {_count(groups, 'group')}; the earliest of those "
        "that overlap is kept."
    )
    for cause, count in _causes(found).items():
        if count:
            lines.append(f"{_count(count, 'pair')}, {cause}: {_WHY[cause]}.")
    lines += _squares(found)
    if found.percent >= HEALTHY_PERCENT:
        lines.append(
            f"A healthy session has less than {HEALTHY_PERCENT:g} %: check the calibration, the "
            "radius, and a montage of the pairs."
        )
    return tuple(lines)


def summary(found: Duplicates) -> dict[str, Any]:
    """Numbers and lists of the search, for JSON."""
    from refimpl.epu.bad_lists import jpg_paths, tiff_names

    session, n = found.session, len(found.kept)
    table = session.table
    rows = np.flatnonzero(found.bad)
    names = table["name"].to_numpy()
    errors = session.errors
    return {
        "kind": "refimpl.epu_duplicates",
        "schema": 1,
        "refimpl": __version__,
        "folder": str(session.folder),
        "method": found.calibration.method,
        "k": found.calibration.k_um,
        "matrix": found.calibration.matrix_um,
        "rms_um": found.calibration.rms_um,
        "radius_um": found.radius_um,
        "radius": str(found.radius),
        "ignore_same_hole": found.ignores_same_hole,
        "n_exposures": n,
        "n_duplicates": found.n_duplicates,
        "percent": found.percent,
        "n_pairs": len(found.pairs),
        "n_groups": int(found.component.max(initial=-1)) + 1,
        "causes": _causes(found),
        "bad": names[rows].tolist(),
        "kept": names[found.kept[rows]].tolist(),
        "badfiles_jpg": jpg_paths(found),
        "badfiles_tiff": tiff_names(found),
        "squares": found.squares.to_dict("records"),
        "errors": errors[["path", "reason", "used"]].to_dict("records"),
        "calibration": found.calibration.as_dict(),
    }


def _causes(found: Duplicates) -> dict[str, int]:
    codes = found.pairs["cause"].cat.codes.to_numpy()
    counts = np.bincount(codes, minlength=len(CAUSES)).tolist()
    return dict(zip(CAUSES, counts, strict=True))


def _squares(found: Duplicates) -> list[str]:
    """The grid squares with most duplicates, where there are several squares."""
    table = found.squares
    if len(table) < 2:
        return []
    columns = ("square", "duplicates", "exposures", "percent")
    rows = list(zip(*(table[name].tolist() for name in columns), strict=True))
    hit = sorted((row for row in rows if row[1]), key=lambda row: (-row[1], row[0]))
    words = [
        f"{square if square >= 0 else 'unknown'} {bad} of {n} ({_percent(percent)})"
        for square, bad, n, percent in hit[:_MOST_SQUARES]
    ]
    more = f", and {len(hit) - len(words)} more" if len(hit) > len(words) else ""
    return [f"By grid square: {', '.join(words)}{more}."]


def _percent(value: float) -> str:
    """Two decimals as published, and more where these would say none."""
    return f"{value:.2f} %" if value >= 0.01 else f"{value:.1g} %"


def _count(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"
