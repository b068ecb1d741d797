"""Zarr stores whose Blosc frames are looked at before they are unpacked.

numcodecs hands a frame to the Blosc library without telling it how long the frame is: a damaged
header sends the library beyond its end, where the process crashes. Source: C-Blosc 1.21,
README_HEADER.rst. Imported where Zarr is read, since zarr takes a second to import.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any, Final

from zarr.storage import LocalStore, ZipStore

from refimpl.errors import FormatError

__all__ = ["CheckedLocalStore", "CheckedZipStore", "blosc_trouble"]

_HEAD: Final = 16
_COPIED: Final = 0x02  # flag: not compressed
_VERSIONS: Final = (1, 2)
_METADATA: Final = (".zarray", ".zgroup", ".zattrs", ".zmetadata", "zarr.json")


def blosc_trouble(data: bytes) -> str:
    """Why the Blosc library must not unpack a frame; empty where it may.

    Parameters
    ----------
    data
        A whole frame.
    """
    if len(data) < _HEAD:
        return f"a Blosc frame of {len(data)} bytes: its header has {_HEAD}"
    version, _, flags, size = data[:4]
    unpacked, block, packed = struct.unpack("<III", data[4:_HEAD])
    if version not in _VERSIONS:
        return f"a Blosc frame of version {version}: expected 1 or 2"
    if packed != len(data):
        return f"a Blosc frame that states {packed} bytes and has {len(data)}"
    if flags & _COPIED:
        whole = unpacked + _HEAD == packed
        return "" if whole else f"a Blosc frame of {unpacked} plain bytes in {packed}"
    if not unpacked:
        return ""
    if not size or not 0 < block <= unpacked:
        return f"a Blosc frame of {unpacked} bytes in blocks of {block}, elements of {size}"
    n = -(-unpacked // block)
    if _HEAD + 4 * n > packed:
        return f"a Blosc frame of {packed} bytes with {n} blocks"
    starts = struct.unpack_from(f"<{n}I", data, _HEAD)
    if min(starts) < _HEAD + 4 * n or max(starts) > packed - 4:
        return "a Blosc frame whose blocks begin outside of it"
    return ""


def _is_packed(array: Any) -> bool:
    """Whether the chunks of an array are Blosc frames, by its metadata."""
    if not isinstance(array, dict):
        return False
    last = array.get("compressor") or (array.get("filters") or [None])[-1]  # version 2
    codecs = array.get("codecs")  # version 3
    if isinstance(codecs, list) and codecs:
        last = codecs[-1]
    return isinstance(last, dict) and "blosc" in (last.get("id"), last.get("name"))


def _packed_arrays(key: str, data: bytes) -> Iterator[str]:
    """Yield paths, with their slash, of the arrays of Blosc frames that metadata describe."""
    try:
        read = json.loads(data)
    except ValueError:
        return  # zarr says it
    folder, _, name = key.rpartition("/")
    base = f"{folder}/" if folder else ""
    if not isinstance(read, dict):
        return
    if name in (".zarray", "zarr.json") and _is_packed(read):
        yield base
    inner = read if name == ".zmetadata" else read.get("consolidated_metadata")
    inner = inner.get("metadata") if isinstance(inner, dict) else None
    for path, array in inner.items() if isinstance(inner, dict) else ():
        if _is_packed(array):
            yield f"{base}{path.removesuffix('.zarray').rstrip('/')}/".lstrip("/")


class _Checked:
    """What both stores do with a value before zarr has it."""

    async def get(self, key: str, *args: Any, **named: Any) -> Any:
        """Value of a key; of Blosc frames only sound ones."""
        value = await super().get(key, *args, **named)  # type: ignore[misc]
        if value is None:
            return None
        packed: set[str] = self.__dict__.setdefault("_packed", set())
        if key.rsplit("/", 1)[-1] in _METADATA:
            packed.update(_packed_arrays(key, value.to_bytes()))
        elif any(key.startswith(path) for path in packed):
            trouble = blosc_trouble(value.to_bytes())
            if trouble:
                file = getattr(self, "path", None) or getattr(self, "root", None)
                raise FormatError(f"damaged chunk {key}: {trouble}", path=file)
        return value


class CheckedZipStore(_Checked, ZipStore):  # type: ignore[misc]
    """A zip."""


class CheckedLocalStore(_Checked, LocalStore):  # type: ignore[misc]
    """A folder."""
