"""EPU's own plan of a session: where the holes of a square were found, and what grid it is.

``Metadata/GridSquare_<id>.dm`` lists the targets of a square, on regular grids below
``TargetLocationsEfficient``, on lacey ones below a second ``TargetLocations``. ``EpuSession.dm``
holds the size and spacing of the holes that the hole finder was given. Both are XML in metres; the
prefixes and the namespaces of their inner types differ between versions of EPU, so the elements
are found by their local names, by the whole path from the root.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from refimpl.errors import FormatError
from refimpl.io.safe_xml import SEPARATOR, parse

__all__ = ["Grid", "Target", "read_grid", "read_targets"]

_PAIR = "KeyValuePairOfintTargetLocation"
_HOLE = {"key": "key", "value": {"StagePosition": {"X": "X", "Y": "Y"}}}
_HOLES = {"m_serializationArray": {_PAIR: _HOLE}}
_SQUARE = {"TargetLocations": {"TargetLocationsEfficient": _HOLES, "TargetLocations": _HOLES}}
_SIZES = {"HoleSpacing": "HoleSpacing", "HoleSize": "HoleSize"}
_SESSION = {"Samples": {"_items": {"SampleXml": {"FilterHolesSettings": _SIZES}}}}
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

    def end(node: object) -> None:
        if node is _HOLE:
            target = _target(one)
            if target is not None:
                found.append(target)
            one.clear()

    _walk(data, "GridSquareXml", _SQUARE, one.__setitem__, end)
    return tuple(found)


def read_grid(data: bytes) -> Grid:
    """Read hole spacing and size of an ``EpuSession.dm``: those of its first sample.

    Raises
    ------
    FormatError
        Not XML, a document type declaration, or another root than ``EpuSessionXml``.
    """
    samples: list[dict[str, str]] = []
    one: dict[str, str] = {}

    def end(node: object) -> None:
        if node is _SIZES:
            samples.append(dict(one))
            one.clear()

    _walk(data, "EpuSessionXml", _SESSION, one.__setitem__, end)
    first = samples[0] if samples else {}
    return Grid(_length_um(first.get("HoleSpacing")), _length_um(first.get("HoleSize")))


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


def _walk(data: bytes, root: str, tree: Any, leaf: Callable[[str, str], Any], end: Any) -> None:
    """Follow a tree of local names; what is not in it is passed over, with all that is inside.

    Calls ``leaf(name, text)`` at the end of each leaf of the tree that has no elements inside, and
    ``end(node)`` at the end of each other node.
    """
    nodes: list[Any] = []
    texts: list[str] = []
    passed = 0

    def start(name: str, _: object) -> None:
        nonlocal passed
        if passed:
            passed += 1
            return
        local = name.rpartition(SEPARATOR)[2]
        if not nodes:
            if local != root:
                raise FormatError(f"the root is {local}, not {root}", got=name)
            nodes.append(tree)
            return
        parent = nodes[-1]
        if isinstance(parent, str):  # an element where a text should be
            parent = nodes[-1] = {}
        node = parent.get(_PAIR if local.startswith(_PAIR) else local)
        if node is None:
            passed = 1
            return
        nodes.append(node)
        texts.clear()

    def finish(_: str) -> None:
        nonlocal passed
        if passed:
            passed -= 1
            return
        node = nodes.pop()
        if isinstance(node, str):
            leaf(node, "".join(texts).strip())
        else:
            end(node)

    def attach(parser: Any) -> None:
        parser.StartElementHandler = start
        parser.EndElementHandler = finish
        parser.CharacterDataHandler = texts.append

    parse(data, attach)
