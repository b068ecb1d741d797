"""The text of ``XPARM.XDS`` and ``GXPARM.XDS``, version 2012 and later, in XDS' own terms.

What the numbers mean is in :mod:`refimpl.interop.xds`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from refimpl.errors import FormatError
from refimpl.frames import F64
from refimpl.reading import read_text

__all__ = ["Segment", "Triple", "Xparm", "format_xparm", "parse_xparm", "read_xparm"]

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Segment:
    """One segment, as in the file.

    Attributes
    ----------
    first, last
        (x, y) of its first and last pixel in the image, counted from 1, both included.
    origin
        ORGXS, ORGYS [px].
    distance_mm
        FS.
    fast, slow
        Axes in the detector's frame.
    """

    first: tuple[int, int]
    last: tuple[int, int]
    origin: tuple[float, float] = (0.0, 0.0)
    distance_mm: float = 0.0
    fast: Triple = (1.0, 0.0, 0.0)
    slow: Triple = (0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Xparm:
    """What the file says, line by line, in its own terms.

    Attributes
    ----------
    start
        Number of the image at ``angle_deg``.
    angle_deg, width_deg
        Spindle angle at the start of that image, and width of an image.
    axis
        Rotation axis.
    wavelength_angstrom, beam
        And the direction of the incident beam; of any length.
    space_group, cell
        Number; a, b, c [Å], alpha, beta, gamma [degrees]. Group 0 and zeros: no crystal.
    vectors
        a, b, c [Å] at angle 0.
    size_px, pixel_mm
        NX, NY and QX, QY.
    origin_px, distance_mm
        ORGX, ORGY and the signed distance.
    x, y
        Axes of the detector.
    segments
        At least one.
    """

    start: int
    angle_deg: float
    width_deg: float
    axis: Triple
    wavelength_angstrom: float
    beam: Triple
    space_group: int
    cell: tuple[float, ...]
    vectors: tuple[Triple, Triple, Triple]
    size_px: tuple[int, int]
    pixel_mm: tuple[float, float]
    origin_px: tuple[float, float]
    distance_mm: float
    x: Triple
    y: Triple
    segments: tuple[Segment, ...]


_LAYOUT = (6, 4, 7, 3, 3, 3, 5, 3, 3, 3, 3)
"""Numbers on the lines after the title, up to the segments."""


def parse_xparm(text: str, path: str | Path | None = None) -> Xparm:
    """Content of a file.

    Raises
    ------
    FormatError
        The title is not that of an XPARM.XDS of version 2012 or later, or a line has not the
        numbers that it should have.
    """
    lines = text.splitlines()
    if not lines or lines[0].split()[:1] != ["XPARM.XDS"]:
        got = lines[0].strip()[:40] if lines else ""
        raise FormatError(
            f"not an XPARM.XDS of version 2012 or later: the first line is {got!r}, expected "
            "'XPARM.XDS    VERSION ...'",
            path=path,
        )
    rows = [_numbers(lines, 1 + k, count, path) for k, count in enumerate(_LAYOUT)]
    first, beam, cell, a, b, c, size, origin, x, y, _ = rows
    segments = []
    for k in range(int(size[0])):
        at = 1 + len(_LAYOUT) + 2 * k
        _, x1, x2, y1, y2 = (int(v) for v in _numbers(lines, at, 5, path))
        v = _numbers(lines, at + 1, 9, path)
        if not (1 <= x1 <= x2 <= size[1] and 1 <= y1 <= y2 <= size[2]):
            raise FormatError(
                f"segment of pixels {x1} to {x2}, {y1} to {y2} in an image of {size[1]:g} x "
                f"{size[2]:g}", path=path, line=at + 1,
            )  # fmt: skip
        segments.append(
            Segment((x1, y1), (x2, y2), (v[0], v[1]), v[2], triple(v[3:6]), triple(v[6:9]))
        )
    if not segments:
        raise FormatError("no segments", path=path, line=8)
    return Xparm(
        int(first[0]), first[1], first[2], triple(first[3:]), beam[0], triple(beam[1:]),
        int(cell[0]), tuple(cell[1:]), (triple(a), triple(b), triple(c)),
        (int(size[1]), int(size[2])), (size[3], size[4]), (origin[0], origin[1]), origin[2],
        triple(x), triple(y), tuple(segments),
    )  # fmt: skip


def _numbers(lines: list[str], at: int, count: int, path: str | Path | None) -> list[float]:
    words = lines[at].split() if at < len(lines) else []
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) != count or not np.isfinite(values).all():
        raise FormatError(
            f"expected {count} numbers, got {' '.join(words)[:60]!r}", path=path, line=at + 1
        )
    return values


def triple(v: list[float] | F64) -> Triple:
    return float(v[0]), float(v[1]), float(v[2])


def read_xparm(path: str | Path) -> Xparm:
    """Content of a file; see :func:`parse_xparm`."""
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as exc:
        raise FormatError(f"cannot be read as text: {exc}", path=path) from exc
    return parse_xparm(text, path)


def format_xparm(xparm: Xparm) -> str:
    """Text of a file, numbers with the digits that restore them."""
    x, y = (np.array(v) for v in (xparm.x, xparm.y))
    rows: list[tuple[float, ...]] = [
        (xparm.start, xparm.angle_deg, xparm.width_deg, *xparm.axis),
        (xparm.wavelength_angstrom, *xparm.beam),
        (xparm.space_group, *xparm.cell),
        *xparm.vectors,
        (len(xparm.segments), *xparm.size_px, *xparm.pixel_mm),
        (*xparm.origin_px, xparm.distance_mm),
        xparm.x,
        xparm.y,
        triple(np.cross(x, y)),
    ]
    for k, s in enumerate(xparm.segments, start=1):
        rows.append((k, s.first[0], s.last[0], s.first[1], s.last[1]))
        rows.append((*s.origin, s.distance_mm, *s.fast, *s.slow))
    body = ["  ".join(f"{v:d}" if isinstance(v, int) else repr(float(v)) for v in r) for r in rows]
    return "\n".join([" XPARM.XDS    VERSION Jan 31, 2020  written by refimpl", *body]) + "\n"
