"""EPU's own plan of a session: where the holes of a square were found, and what grid it is.

``Metadata/GridSquare_<id>.dm`` lists the targets of a square, on regular grids below
``TargetLocationsEfficient``, on lacey ones below a second ``TargetLocations``. ``EpuSession.dm``
holds the size and spacing of the holes that the hole finder was given. Both are XML in metres; the
prefixes and the namespaces of their inner types differ between versions of EPU, so the elements
are found by their local names, by the whole path from the root.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from refimpl.errors import FormatError
from refimpl.io.safe_xml import SEPARATOR, parse

__all__ = ["Grid", "Target", "read_grid", "read_targets"]

_TARGETS = {"TargetLocationsEfficient", "TargetLocations"}
_PAIR = "KeyValuePairOfintTargetLocation"
_WIDEST_UM = 100.0


class Target(NamedTuple):
    """A foil hole and where EPU found it [um]."""

    hole: int
    stage_x_um: float
    stage_y_um: float


class Grid(NamedTuple):
    """Spacing (centre to centre) and diameter of the holes [um]; None where not told."""

    hole_spacing_um: float | None
    hole_size_um: float | None


def read_targets(data: bytes) -> tuple[Target, ...]:
    """Read the holes of a ``GridSquare_*.dm``; those without a position are left out.

    Raises
    ------
    FormatError
        Not XML, a document type declaration, or another root than ``GridSquareXml``.
    """
    found: list[Target] = []
    one: dict[str, str] = {}

    def leaf(path: tuple[str, ...], text: str) -> None:
        if not _is_pair(path):
            return
        if path[5:] == ("key",) or path[5:-1] == ("value", "StagePosition"):
            one[path[-1]] = text

    def end(path: tuple[str, ...]) -> None:
        if len(path) == 5 and _is_pair(path):
            target = _target(one)
            if target is not None:
                found.append(target)
            one.clear()

    _walk(data, "GridSquareXml", leaf, end)
    return tuple(found)


def read_grid(data: bytes) -> Grid:
    """Read hole spacing and size of an ``EpuSession.dm``: those of its first sample.

    Raises
    ------
    FormatError
        Not XML, a document type declaration, or another root than ``EpuSessionXml``.
    """
    texts: dict[str, str] = {}
    settings = ("EpuSessionXml", "Samples", "_items", "SampleXml", "FilterHolesSettings")

    def leaf(path: tuple[str, ...], text: str) -> None:
        if path[:-1] == settings and path[-1] in ("HoleSpacing", "HoleSize"):
            texts.setdefault(path[-1], text)

    _walk(data, "EpuSessionXml", leaf, lambda path: None)
    return Grid(_length_um(texts.get("HoleSpacing")), _length_um(texts.get("HoleSize")))


def _is_pair(path: tuple[str, ...]) -> bool:
    return (
        len(path) > 4
        and path[4].startswith(_PAIR)
        and path[1] == "TargetLocations"
        and path[2] in _TARGETS
        and path[3] == "m_serializationArray"
    )


def _target(texts: dict[str, str]) -> Target | None:
    try:
        hole = int(texts["key"])
        x_um, y_um = (float(texts[axis]) * 1e6 for axis in "XY")
    except (KeyError, ValueError):
        return None
    return Target(hole, x_um, y_um) if math.isfinite(x_um) and math.isfinite(y_um) else None


def _length_um(text: str | None) -> float | None:
    """A length of a grid, or None for the zero and the nonsense of settings never made."""
    try:
        length_um = float(text or "nan") * 1e6
    except ValueError:
        return None
    return length_um if 0.0 < length_um < _WIDEST_UM else None


def _walk(data: bytes, root: str, leaf: Any, end: Any) -> None:
    """Call ``leaf(path, text)`` and ``end(path)`` as elements end; paths of local names."""
    path: list[str] = []
    texts: list[str] = []
    is_leaf = False

    def start(name: str, _: object) -> None:
        nonlocal is_leaf
        local = name.rpartition(SEPARATOR)[2]
        if not path and local != root:
            raise FormatError(f"the root is {local}, not {root}", got=name)
        path.append(local)
        texts.clear()
        is_leaf = True

    def finish(_: str) -> None:
        nonlocal is_leaf
        whole = tuple(path)
        if is_leaf:
            leaf(whole, "".join(texts).strip())
        end(whole)
        is_leaf = False
        path.pop()

    def attach(parser: Any) -> None:
        parser.StartElementHandler = start
        parser.EndElementHandler = finish
        parser.CharacterDataHandler = texts.append

    parse(data, attach)
