"""Reflection tables (``.refl``, msgpack): read and written without the program they come from.

``["dials::af::reflection_table", version, {"identifiers": {id: str}, "nrows": n, "data": {name:
[type, [n, bytes]]}}]``, little endian, no padding. A shoebox is u32 panel, 6 i32 box, u8 flag and,
where the flag is 1 or 2, float32 data, the mask (int32 for flag 1, uint8 for flag 2) and float32
background. Strings are u32 length and UTF-8. Source: DIALS ``reflection_table_msgpack_adapter.h``
(whose own strings are images of C++ objects, which nothing can read back).

A table that is read and written is the same file to the last byte.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FormatError
from refimpl.io.atomic import atomic_path
from refimpl.io.expt_files import refuse_pickle
from refimpl.io.reflection_table import TYPES, ReflectionTable, Shoeboxes
from refimpl.reading import MOST_OF_TABLES, read_bytes

__all__ = ["read_refl", "write_refl"]

_KIND: Final = "dials::af::reflection_table"
_BOX: Final = struct.Struct("<I6iB")
_MASK_SIZE: Final = {1: 4, 2: 1}


def read_refl(path: str | Path) -> ReflectionTable:
    """Read a reflection table.

    Parameters
    ----------
    path
        ``.refl``, or any file that starts like one.

    Returns
    -------
    Columns as read-only arrays in the order of the file.

    Raises
    ------
    FormatError
        Missing, truncated, a pickle, of another kind or version; a column of an unknown type or
        of a wrong size.
    """
    import msgpack

    file = Path(path)
    try:
        data = read_bytes(file, most=MOST_OF_TABLES)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=file) from error
    refuse_pickle(file, data[:64])
    head = b"\x93" + msgpack.packb(_KIND)
    if data[: len(head)] != head[: len(data)] or not data:
        raise FormatError(f"not a reflection table: starts with {data[:16]!r}", path=file)
    try:
        _, version, content = msgpack.unpackb(data, strict_map_key=False)
    except (ValueError, TypeError) as error:  # data that end too early; a list as a key
        raise FormatError(f"truncated or corrupt after {len(data)} bytes", path=file) from error
    if version not in (1, 2):
        raise FormatError(f"version {version!r} of the table: expected 1 or 2", path=file)
    if missing := {"nrows", "data"} - set(content if isinstance(content, dict) else ()):
        raise FormatError(f"missing key {sorted(missing)[0]!r}", path=file)
    for name, kind in (("nrows", int), ("data", dict), ("identifiers", dict)):
        if not isinstance(content.get(name, {}), kind) or isinstance(content.get(name), bool):
            raise FormatError(f"{name} is a {type(content[name]).__name__}", path=file, key=name)
    if content["nrows"] < 0:
        raise FormatError(f"{content['nrows']} rows", path=file, key="nrows")
    return _table(content, version, file)


def _table(content: dict[str, Any], version: int, file: Path) -> ReflectionTable:
    n = content["nrows"]
    columns: dict[str, NDArray[Any]] = {}
    boxes: dict[str, Shoeboxes] = {}
    types: dict[str, str] = {}
    for name, column in content["data"].items():
        try:
            label, (size, data) = column
        except (TypeError, ValueError) as error:
            raise FormatError(f"column {name!r} is not [type, [n, bytes]]", path=file) from error
        if size != n or not isinstance(data, bytes):
            raise FormatError(
                f"column {name!r} has {size} rows: the table has {n}", path=file, key=name
            )
        types[name] = label
        if label == "Shoebox<>":
            boxes[name] = _shoeboxes(data, n, name, file)
        elif label == "std::string":
            columns[name] = _strings(data, n, name, file)
        else:
            columns[name] = _array(data, n, name, label, file)
    identifiers = dict(content.get("identifiers", {}))
    return ReflectionTable(columns, types, identifiers, boxes, file, version)


def _array(data: bytes, n: int, name: str, label: str, file: Path) -> NDArray[Any]:
    if not isinstance(label, str) or label not in TYPES:
        known = ", ".join([*TYPES, "std::string", "Shoebox<>"])
        raise FormatError(
            f"column {name!r} has the unknown type {label!r}: expected one of {known}",
            path=file,
            key=name,
        )
    kind = TYPES[label]
    shape = (n, *kind.shape)
    expected = int(np.prod(shape)) * np.dtype(kind.dtype).itemsize
    if len(data) != expected:
        raise FormatError(
            f"column {name!r} ({label}) has {len(data)} bytes: {expected} for {n} rows",
            path=file,
            key=name,
        )
    return np.frombuffer(data, dtype=kind.dtype).reshape(shape)


def _strings(data: bytes, n: int, name: str, file: Path) -> NDArray[np.str_]:
    out, at = [], 0
    for _ in range(n):
        end = at + 4
        size = int.from_bytes(data[at:end], "little")
        out.append(data[end : end + size])
        at = end + size
    try:
        if at != len(data):
            raise ValueError
        return np.array([text.decode("utf-8") for text in out], dtype=np.str_)
    except ValueError as error:
        raise FormatError(
            f"column {name!r} (std::string): {len(data)} bytes are not {n} strings with their "
            "lengths",
            path=file,
            key=name,
        ) from error


# --- shoeboxes -----------------------------------------------------------------------------------


def _shoeboxes(data: bytes, n: int, name: str, file: Path) -> Shoeboxes:
    """Unpack records one after another; only their headers are visited by Python."""
    heads = np.empty((n, 8), dtype=np.int64)
    places = np.empty(n, dtype=np.int64)
    at = 0
    for row in range(n):
        if at + _BOX.size > len(data):
            raise FormatError(f"column {name!r} is cut in shoebox {row} of {n}", path=file)
        head = _BOX.unpack_from(data, at)
        heads[row], places[row] = head, at + _BOX.size
        x0, x1, y0, y1, z0, z1, flag = head[1:]
        if flag not in (0, 1, 2) or x1 < x0 or y1 < y0 or z1 < z0:
            raise FormatError(
                f"column {name!r}: shoebox {row} has box {head[1:7]} and flag {flag}", path=file
            )
        size = (x1 - x0) * (y1 - y0) * (z1 - z0)
        at = int(places[row]) + (size * (8 + _MASK_SIZE[flag]) if flag else 0)
    if at != len(data):
        raise FormatError(f"column {name!r} has {len(data)} bytes: its boxes need {at}", path=file)
    return _filled(data, heads, places)


def _filled(data: bytes, heads: NDArray[np.int64], places: NDArray[np.int64]) -> Shoeboxes:
    bbox, flag = heads[:, 1:7].astype(np.int32), heads[:, 7].astype(np.uint8)
    sizes = np.prod(heads[:, [2, 4, 6]] - heads[:, [1, 3, 5]], axis=1) * (flag > 0)
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    total = int(start[-1])
    values, background = np.empty(total, np.float32), np.empty(total, np.float32)
    mask = np.empty(total, np.int32 if (flag == 1).any() else np.uint8)
    for row in np.flatnonzero(sizes):
        part, n, at = slice(start[row], start[row + 1]), int(sizes[row]), int(places[row])
        kind = "<i4" if flag[row] == 1 else "u1"
        values[part] = np.frombuffer(data, "<f4", n, at)
        mask[part] = np.frombuffer(data, kind, n, at + 4 * n)
        background[part] = np.frombuffer(data, "<f4", n, at + (4 + _MASK_SIZE[int(flag[row])]) * n)
    return Shoeboxes(heads[:, 0].astype(np.uint32), bbox, flag, start, values, mask, background)


def _packed_boxes(boxes: Shoeboxes) -> bytes:
    data, background = (a.astype("<f4").tobytes() for a in (boxes.data, boxes.background))
    masks = {flag: boxes.mask.astype(kind).tobytes() for flag, kind in ((1, "<i4"), (2, "u1"))}
    parts = []
    heads = zip(boxes.panel.tolist(), boxes.bbox.tolist(), boxes.flag.tolist(), strict=True)
    for row, (panel, bbox, flag) in enumerate(heads):
        parts.append(_BOX.pack(panel, *bbox, flag))
        if flag:
            a, b, size = int(boxes.start[row]), int(boxes.start[row + 1]), _MASK_SIZE[flag]
            parts.append(data[4 * a : 4 * b])
            parts.append(masks[flag][size * a : size * b])
            parts.append(background[4 * a : 4 * b])
    return b"".join(parts)


# --- writing -------------------------------------------------------------------------------------


def write_refl(path: str | Path, table: ReflectionTable) -> Path:
    """Write a reflection table; the file appears whole or not at all.

    Raises
    ------
    ConfigError
        The folder is missing or cannot be written to.
    FormatError
        A whole number that its column's type cannot hold.
    """
    import msgpack

    data = {}
    for name, label in table.types.items():
        if name in table.shoeboxes:
            content = _packed_boxes(table.shoeboxes[name])
        else:
            content = _packed(name, label, table.columns[name])
        data[name] = [label, [len(table), content]]
    whole = [
        _KIND,
        table.version,
        {"identifiers": dict(table.identifiers), "nrows": len(table), "data": data},
    ]
    with atomic_path(path) as temporary:
        temporary.write_bytes(msgpack.packb(whole))
    return Path(path)


def _packed(name: str, label: str, values: NDArray[Any]) -> bytes:
    if label == "std::string":
        texts = [str(v).encode("utf-8") for v in values]
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    dtype = np.dtype(TYPES[label].dtype)
    if dtype.kind in "iu" and values.size:
        limits = np.iinfo(dtype)
        low, high = int(values.min()), int(values.max())
        if low < limits.min or high > limits.max:
            raise FormatError(
                f"column {name!r}: {low} to {high} does not fit the type {label}", key=name
            )
    return np.ascontiguousarray(values).astype(dtype).tobytes()
