"""Which panels an image has: found from its gaps, by the detector's name, or from a file.

A description file is TOML or JSON and holds either the keys of a grid
(:class:`~refimpl.detector.panel_grid.PanelGrid`) or a list of panels, which may differ in size::

    frame = "model"            # or "file": pixels counted as in the image file
    [[panel]]
    name = "upper left"        # may be left out
    fast0 = 0                  # first pixel
    slow0 = 0
    n_fast = 243               # number of pixels
    n_slow = 195

JSON has the same keys, with the list under ``panel`` or as the whole file. Panels are numbered in
the order of the list.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.orientation import transformed_shape
from refimpl.detector.panel_boxes import boxes_in_model_frame, check_boxes, published_order
from refimpl.detector.panel_grid import NAMED_GRIDS, PanelGrid, named_grid
from refimpl.errors import ConfigError, FormatError, GeometryError
from refimpl.frames import I64
from refimpl.reading import check_numbers, parse_json, read_text

__all__ = ["resolve_grid"]

_GRID_KEYS: Final = (
    "n_fast", "n_slow", "size_fast_px", "size_slow_px", "gaps_fast_px", "gaps_slow_px",
)  # fmt: skip
_PANEL_KEYS: Final = ("fast0", "slow0", "n_fast", "n_slow")
_SUFFIXES: Final = (".toml", ".json")


def resolve_grid(
    value: str | Path,
    shape: tuple[int, int],
    *,
    usable: NDArray[np.bool_] | None = None,
    image_transform: Sequence[int] | None = None,
) -> tuple[I64, str]:
    """Panels of an image, from what a user may say.

    Parameters
    ----------
    value
        ``auto`` (between the fully masked rows and columns of `usable`), a name of
        :func:`~refimpl.detector.panel_grid.named_grids`, or the path of a description file. A
        named detector may stand upright or be turned by 90 degrees.
    shape
        (n_slow, n_fast) of the image in the model frame.
    usable
        (n_slow, n_fast) True for a pixel that counts, model frame; for ``auto``.
    image_transform
        Codes that take the stored image to the model frame; for a description file that counts
        in the frame of the image file.

    Returns
    -------
    boxes
        (p, 4) fast0, slow0, fast1, slow1, half open [px], model frame.
    description
        One line for the user.

    Raises
    ------
    ConfigError
        An unknown name or key, ``auto`` without `usable`, a missing `image_transform`.
    GeometryError
        The panels do not fit the image, or overlap, or ``auto`` finds no gaps.
    FormatError
        The file cannot be read.
    """
    text = str(value)
    if text == "auto":
        return _found(shape, usable)
    if isinstance(value, Path) or Path(text).suffix.lower() in _SUFFIXES or Path(text).is_file():
        return _described(Path(text), shape, image_transform)
    if "/" in text or "\\" in text:
        raise FormatError("cannot be read: no such panel description file", path=text)
    try:
        grid = named_grid(text)
    except ConfigError as error:
        raise ConfigError(
            f"{error}; or auto, or the path of a .toml or .json file", key="grid", got=text
        ) from error
    turned = grid.transposed().shape == tuple(shape) != grid.shape
    grid = grid.transposed() if turned else grid
    try:
        grid.check(shape)
    except GeometryError as error:
        fitting = [name for name, known in NAMED_GRIDS.items() if known.shape == tuple(shape)]
        hint = f"; {' or '.join(fitting)} would fit" if fitting else ""
        raise GeometryError(f"panel grid {text!r}: {error}{hint}", key="grid", got=text) from error
    return grid.boxes(), f"{text}{', turned by 90 degrees' if turned else ''}: {_size(grid)}"


def _size(grid: PanelGrid) -> str:
    return f"{grid.n_fast} x {grid.n_slow} panels of {grid.size_fast_px} x {grid.size_slow_px} px"


def _found(shape: tuple[int, int], usable: NDArray[np.bool_] | None) -> tuple[I64, str]:
    from refimpl.imaging.panel_map import panel_grid

    if usable is None or usable.shape != tuple(shape):
        got = "none" if usable is None else f"one of {usable.shape}"
        raise ConfigError(
            f"panel grid 'auto' needs the mask of the image of {tuple(shape)}, got {got}",
            key="grid",
            got="auto",
        )
    boxes = panel_grid(usable)[0]
    if len(boxes) < 2:
        raise GeometryError(
            "panel grid 'auto': no row or column is masked from end to end, so nothing divides "
            "the image into panels; give a mask with the gaps, the detector's name or a file",
            key="grid",
            got="auto",
        )
    return boxes, f"auto: {len(boxes)} panels between fully masked rows and columns"


# --- description files ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """Where a description comes from, for messages."""

    path: Path
    text: str

    def line(self, key: str | None, panel: int | None = None) -> int | None:
        """Line of a key (in the n-th [[panel]], or of that heading itself); TOML only."""
        if self.path.suffix.lower() == ".json":
            return None
        lines = self.text.splitlines()
        heads = [n for n, line in enumerate(lines) if re.match(r"\s*\[\[\s*panel\s*\]\]", line)]
        first, last = 0, len(lines)
        if panel is not None:
            if panel >= len(heads):  # written in another way: panel = [{...}]
                return None
            first = heads[panel]
            last = heads[panel + 1] if panel + 1 < len(heads) else len(lines)
        pattern = None if key is None else re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=")
        found = (n + 1 for n in range(first, last) if pattern and pattern.match(lines[n]))
        return next(found, None if panel is None else first + 1)


def _described(path: Path, shape: tuple[int, int], codes: Sequence[int] | None) -> tuple[I64, str]:
    source, content = _read(path)
    top = {"panel": content} if isinstance(content, list) else dict(content)
    frame = top.pop("frame", "model")
    if frame not in ("model", "file"):
        raise ConfigError(
            f"frame = {frame!r}: expected 'model' or 'file'",
            path=path, line=source.line("frame"), key="frame", got=frame,
        )  # fmt: skip
    if frame == "file" and codes is None:
        raise ConfigError(
            "frame = 'file' needs the image transform (ImTransOpt) of the image",
            path=path, line=source.line("frame"), key="frame", got=frame,
        )  # fmt: skip
    in_frame = transformed_shape(codes or (), shape) if frame == "file" else shape
    if "panel" in top:
        _known(top, ("panel",), source)
        boxes, names = _listed(top["panel"], source)
        try:
            check_boxes(boxes, in_frame, names)
        except GeometryError as error:
            line = source.line(None, error.got if isinstance(error.got, int) else None)
            raise GeometryError(str(error), path=path, line=line) from error
        what = f"{len(boxes)} panels"
    else:
        grid = _grid(top, source)
        try:
            grid.check(in_frame)
        except GeometryError as error:
            raise GeometryError(str(error), path=path, key=error.key, got=error.got) from error
        boxes, what = grid.boxes(), _size(grid)
    if frame == "file" and codes is not None:
        boxes = boxes_in_model_frame(boxes, codes, in_frame)
        boxes = boxes if "panel" in top else boxes[published_order(boxes)]
    return boxes, f"{path.name}: {what}"


def _read(path: Path) -> tuple[_Source, Any]:
    try:
        text = read_text(path)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=path) from error
    except UnicodeDecodeError as error:
        raise FormatError("cannot be read: not UTF-8 text", path=path) from error
    try:
        is_json = path.suffix.lower() == ".json"
        content = parse_json(text) if is_json else check_numbers(tomllib.loads(text))
    except json.JSONDecodeError as error:
        raise FormatError(f"not JSON: {error.msg}", path=path, line=error.lineno) from error
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found.group(1)) if found else None
        raise FormatError(f"not TOML: {error}", path=path, line=line) from error
    except (ValueError, RecursionError) as error:  # a number of 5000 digits, 1000 brackets
        raise FormatError(f"cannot be read: {error}", path=path) from error
    if not isinstance(content, (dict, list)) or not content:
        raise FormatError(
            "no panels: expected the keys of a grid (n_fast, ...) or a list panel", path=path
        )
    return _Source(path, text), content


def _known(table: Mapping[str, Any], known: Sequence[str], source: _Source) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}?" if near else f"expected {', '.join(known)}"
            raise ConfigError(
                f"unknown key {key!r}: {hint}", path=source.path, line=source.line(key), key=key
            )


def _grid(table: Mapping[str, Any], source: _Source) -> PanelGrid:
    """Grid of the keys of a file; gaps may be one number, for all of them."""
    _known(table, _GRID_KEYS, source)
    counts = [_whole(table, key, source, None, "the panel grid") for key in _GRID_KEYS[:4]]
    gaps = []
    for axis, count in zip(("fast", "slow"), counts, strict=False):
        key = f"gaps_{axis}_px"
        value = table.get(key, [])
        if isinstance(value, int) and not isinstance(value, bool):
            value = [value] * (count - 1)
        if not isinstance(value, list) or not all(type(v) is int for v in value):
            raise ConfigError(
                f"{key} = {value!r}: expected a list of whole numbers",
                path=source.path, line=source.line(key), key=key, got=value,
            )  # fmt: skip
        gaps.append(tuple(value))
    try:
        return PanelGrid(counts[0], counts[1], counts[2], counts[3], gaps[0], gaps[1])
    except GeometryError as error:
        line = source.line(error.key or "")
        raise GeometryError(str(error), path=source.path, line=line, key=error.key) from error


def _listed(panels: Any, source: _Source) -> tuple[I64, list[str]]:
    """Boxes and names of the list of a file."""
    if not isinstance(panels, list) or not panels:
        raise FormatError("panel is empty: expected a list of panels", path=source.path)
    boxes, names = [], []
    for number, table in enumerate(panels):
        if not isinstance(table, dict):
            raise FormatError(
                f"panel {number}: expected the keys {', '.join(_PANEL_KEYS)}, got {table!r}",
                path=source.path,
                line=source.line(None, number),
            )
        name = str(table.get("name", number))
        _known({key: 0 for key in table if key != "name"}, _PANEL_KEYS, source)
        fast0, slow0, n_fast, n_slow = (
            _whole(table, key, source, number, f"panel {name}") for key in _PANEL_KEYS
        )
        boxes.append((fast0, slow0, fast0 + n_fast, slow0 + n_slow))
        names.append(name)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(
            f"two panels are called {twice}", path=source.path,
            line=source.line(None, len(names) - 1 - names[::-1].index(twice)), key="name",
        )  # fmt: skip
    return np.array(boxes, dtype=np.int64), names


def _whole(
    table: Mapping[str, Any], key: str, source: _Source, panel: int | None, what: str
) -> int:
    value = table.get(key)
    if type(value) is not int:
        problem = "is missing" if key not in table else f"= {value!r}: expected a whole number"
        raise ConfigError(
            f"{what}: {key} {problem}",
            path=source.path, line=source.line(key, panel), key=key, got=value,
        )  # fmt: skip
    return value
