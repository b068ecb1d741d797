"""Changes of a file at one place, each place in turn: what a campaign begins with."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from mutations import TEXTS, VALUES, beside, zipped

__all__ = ["sweep"]


def sweep(data: bytes, kind: str) -> Iterator[bytes]:
    """Files with one place changed: each number and word, node, member or array in turn.

    Parameters
    ----------
    kind
        See :class:`readers.Reader`; content that is not of its kind has no sweep.
    """
    if kind in _SWEEPS:
        try:
            yield from _SWEEPS[kind](data)
        except Exception:  # a library's refusal of a broken file, whichever
            return


def _each_text(data: bytes) -> Iterator[bytes]:
    for found in re.finditer(rb"[^\s,;:=\[\](){}<>\"']+", data):
        for text in TEXTS:
            yield data[: found.start()] + text + data[found.end() :]
    lines = data.split(b"\n")
    for k, line in enumerate(lines):
        yield b"\n".join(lines[:k] + lines[k + 1 :])
        yield b"\n".join([*lines[:k], line, *lines[k:]])
        yield b"\n".join(lines[:k])


def _each_node(tree: Any) -> Iterator[Any]:
    yield from (value for value in VALUES if type(value) is not type(tree) or value != tree)
    if isinstance(tree, dict):
        for key in tree:
            yield {k: v for k, v in tree.items() if k != key}
            yield from ({**tree, key: other} for other in _each_node(tree[key]))
    elif isinstance(tree, list):
        # the members of a long list are alike
        for k in (*range(min(len(tree), 4)), *range(max(len(tree) - 1, 4), len(tree))):
            yield tree[:k] + tree[k + 1 :]
            yield [*tree[:k], tree[k], *tree[k:]]
            yield from ([*tree[:k], other, *tree[k + 1 :]] for other in _each_node(tree[k]))


def _each_json(data: bytes) -> Iterator[bytes]:
    yield from (json.dumps(tree).encode() for tree in _each_node(json.loads(data)))


def _each_msgpack(data: bytes) -> Iterator[bytes]:
    import msgpack

    for tree in _each_node(msgpack.unpackb(data, strict_map_key=False)):
        try:
            yield msgpack.packb(tree)
        except (OverflowError, ValueError):  # numbers that the format does not hold
            continue


def _each_member(data: bytes) -> Iterator[bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = [(info.filename, file.read(info)) for info in file.infolist()]
    for k, (name, inner) in enumerate(members):
        before, after = members[:k], members[k + 1 :]
        yield zipped(before + after)
        for other in _each_content(name, inner):
            yield zipped([*before, (name, other), *after])


def _each_content(name: str, inner: bytes) -> Iterator[bytes]:
    yield from (b"", inner[: len(inner) // 2], inner[:-1], inner + b"\0")
    if name.endswith(".npy"):
        yield from _each_array(inner)
    elif name.endswith((".zarray", ".zattrs", ".zgroup", ".json")):
        yield from sweep(inner, "json")
    elif name.endswith((".xml", ".dm", ".csv", ".txt", ".toml")):
        yield from sweep(inner, "text")


def _each_array(inner: bytes) -> Iterator[bytes]:
    """An array of NumPy with other shapes, types and values."""
    import numpy as np

    for other in _arrays(np.load(io.BytesIO(inner))):
        out = io.BytesIO()
        np.save(out, np.asarray(other))
        yield out.getvalue()


def _arrays(old: Any) -> Iterator[Any]:
    """What may stand in the place of an array."""
    import numpy as np

    old = np.asarray(old)
    yield from (old.ravel(), old[..., None], old[None], old.T, 0, -1, np.nan, "x", b"x", True, [])
    yield from (np.zeros((0, 3)), [1, 2], np.zeros((2, 3, 4)), 2**63 - 1, 1e300, 1j)
    yield from (np.array(["a", "b"], "S1"), np.full((3, 20, 24), -1))
    if old.ndim:
        yield from (old[..., :0], old[:-1], old[::-1], np.concatenate([old, old]))
    for dtype in ("f4", "f8", "i2", "i8", "u1", "u8", "?", "S4", "c16"):
        try:
            yield old.astype(dtype)
        except (TypeError, ValueError):
            continue
    if old.size and old.dtype.kind in "iuf":
        for value in (0, -1, 1, 2**31, 2**62, np.nan, np.inf, -np.inf, 1e300):
            for where in (0, -1, slice(None)):
                new = old.copy()
                try:
                    with np.errstate(over="ignore"):
                        new.ravel()[where] = value
                except (OverflowError, ValueError):
                    new = old.astype(float)
                    new.ravel()[where] = value
                yield new


_MOST_FAILED = 4
"""Replacements of one object that a library may fail at: files of the corpus are damaged."""


def _each_object(data: bytes) -> Iterator[bytes]:
    """An HDF5 file without one of its objects or attributes, or with another in its place."""
    places = json.loads(beside(lambda: json.dumps(_places(data)).encode()))
    for place in places:
        failed = 0
        for number in itertools.count(-1):
            try:
                made = beside(lambda p=place, n=number: _replaced(data, *p, n))  # type: ignore[misc]
            except ValueError:  # the library has no answer, here or to anything
                failed += 1
                if failed == _MOST_FAILED:
                    break
                continue
            if not made:  # no more of them
                break
            yield made


def _places(data: bytes) -> list[tuple[str, str]]:
    """Objects, and their attributes, of which one may be changed."""
    import h5py

    out: list[tuple[str, str]] = []
    with h5py.File(io.BytesIO(data)) as file:
        out += [("/", key) for key in sorted(file.attrs)]

        def add(name: str, node: Any) -> None:
            out.append((name, ""))
            out.extend((name, key) for key in sorted(node.attrs))

        file.visititems(add)
    return out


def _replaced(data: bytes, name: str, key: str, number: int) -> bytes:
    """The file with the ``number``-th replacement; -1 removes. Empty where there are no more."""
    import h5py

    stream = io.BytesIO(data)
    with h5py.File(stream, "r+") as file:
        node = file[name]
        old = node.attrs[key] if key else node[()] if isinstance(node, h5py.Dataset) else 0
        others = list(_arrays(old))
        if number >= len(others):
            return b""
        if key:
            del node.attrs[key]
            if number >= 0:
                node.attrs[key] = others[number]
        else:
            attrs = dict(node.attrs)
            del file[name]
            if number >= 0:
                file[name] = others[number]
                for other, value in attrs.items():
                    file[name].attrs[other] = value
    return stream.getvalue()


def _each_packed(data: bytes) -> Iterator[bytes]:
    inner = gzip.decompress(data)
    for other in (b"", inner[: len(inner) // 2], inner[:-1], inner + b"\0", inner * 2):
        yield gzip.compress(other, mtime=0)


_SWEEPS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "text": _each_text, "json": _each_json, "msgpack": _each_msgpack, "zip": _each_member,
    "folder": _each_member, "gzip": _each_packed, "hdf5": _each_object,
}  # fmt: skip
