"""Whole files into memory, and no more of them than can be meant.

A parameter file of 10 GB is a mistake, and so is a picture of a megabyte that unpacks to a
terabyte: both are refused here before memory is used up, whoever reads them. So are whole numbers
that no float holds.
"""

from __future__ import annotations

import bz2
import json
import os
import stat
import zlib
from pathlib import Path
from typing import IO, Any

from refimpl.errors import FormatError

__all__ = [
    "MOST_BYTES", "MOST_OF_TABLES", "check_numbers", "check_size", "parse_json", "read_bytes",
    "read_text", "read_unpacked",
]  # fmt: skip

MOST_BYTES = 1 << 30
"""Of a file that is read whole."""
MOST_OF_TABLES = 4 << 30
"""Of tables that a large experiment fills: maps, matches, reflections."""

_MOST_DIGITS = 308
"""Digits of a whole number: one of 309 may be more than a float holds."""

_PIECE = 1 << 20
_GZIP, _BZIP = b"\x1f\x8b", b"BZh"


def read_bytes(path: str | os.PathLike[str], *, most: int = MOST_BYTES) -> bytes:
    """Return what a file holds.

    Raises
    ------
    FormatError
        It holds more than ``most`` bytes.
    OSError
        It cannot be read.
    """
    with open(path, "rb") as file:
        state = os.fstat(file.fileno())
        if stat.S_ISREG(state.st_mode):
            if state.st_size > most:
                raise _too_large(path, state.st_size, most)
            return file.read()
        pieces: list[bytes] = []
        size = 0
        while piece := file.read(_PIECE):  # a pipe does not tell its size
            pieces.append(piece)
            size += len(piece)
            if size > most:
                raise _too_large(path, size, most)
        return b"".join(pieces)


def check_size(path: str | os.PathLike[str], *, most: int = MOST_BYTES) -> None:
    """Refuse a file that is read line by line where it is too large: a line may be all of it.

    Raises
    ------
    FormatError
        It holds more than ``most`` bytes.
    OSError
        It cannot be looked at.
    """
    state = os.stat(path)
    if stat.S_ISREG(state.st_mode) and state.st_size > most:
        raise _too_large(path, state.st_size, most)


def read_text(
    path: str | os.PathLike[str], *, errors: str = "strict", most: int = MOST_BYTES
) -> str:
    """Return the UTF-8 text of a file, line ends as line feeds.

    Raises
    ------
    FormatError
        It holds more than ``most`` bytes.
    UnicodeDecodeError
        It is no UTF-8, and ``errors`` is strict.
    OSError
        It cannot be read.
    """
    text = read_bytes(path, most=most).decode("utf-8", errors)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_unpacked(
    path: str | os.PathLike[str], first: int | None = None, *, most: int = MOST_BYTES
) -> bytes:
    """Return what a file holds, gzip and bzip2 (told by its first bytes) unpacked.

    Parameters
    ----------
    first
        Bytes wanted from the beginning; all by default.

    Raises
    ------
    FormatError
        There are more than ``most`` bytes.
    EOFError, zlib.error, OSError
        What is packed is cut or damaged, or the file cannot be read.
    """
    with open(path, "rb") as file:
        magic = file.read(3)
        file.seek(0)
        if not magic.startswith((_GZIP, _BZIP)):
            return file.read(first) if first is not None else read_bytes(path, most=most)
        pieces: list[bytes] = []
        size, wanted = 0, most + 1 if first is None else first
        packed = b""
        while size < wanted:
            unpacker = zlib.decompressobj(31) if magic[:2] == _GZIP else bz2.BZ2Decompressor()
            packed, size = _member(unpacker, file, packed, pieces, size, wanted)
            if not packed.startswith(magic[:2]):  # zeros that fill a tape, or nothing
                break
    if first is None and size > most:
        raise _too_large(path, size, most)
    return b"".join(pieces)[:first]


def parse_json(text: str | bytes) -> Any:
    """JSON whose whole numbers a float holds: others would overflow where they are first used.

    Raises
    ------
    ValueError
        It is not JSON, or has a number of more than 308 digits.
    RecursionError
        It is nested too deeply.
    """
    return json.loads(text, parse_int=_whole)


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits: expected at most {_MOST_DIGITS}")
    return int(digits)


def check_numbers(tree: Any) -> Any:
    """Return what YAML or TOML gave, if it has no numbers that :func:`parse_json` refuses.

    Raises
    ------
    ValueError
        It has.
    """
    left, seen = [tree], set[int]()
    while left:
        node = left.pop()
        if isinstance(node, (dict, list)):
            if id(node) not in seen:  # YAML's aliases: lists of one list, and of themselves
                seen.add(id(node))
                left += node.values() if isinstance(node, dict) else node
        elif isinstance(node, int) and abs(node) >= 10**_MOST_DIGITS:
            raise ValueError(f"a whole number of more than {_MOST_DIGITS} digits")
    return tree


def _member(
    unpacker: zlib._Decompress | bz2.BZ2Decompressor, file: IO[bytes], packed: bytes,
    pieces: list[bytes], size: int, wanted: int,
) -> tuple[bytes, int]:  # fmt: skip
    """Unpack one packed stream; return what comes after it, and the size so far."""
    while not unpacker.eof and size < wanted:
        packed = packed or file.read(_PIECE)
        piece = unpacker.decompress(packed, _PIECE)
        if not packed and not piece:
            raise EOFError("Compressed file ended before the end-of-stream marker was reached")
        packed = getattr(unpacker, "unconsumed_tail", b"")
        while isinstance(unpacker, bz2.BZ2Decompressor) and not (
            unpacker.needs_input or unpacker.eof
        ):
            pieces.append(piece)
            size += len(piece)
            if size >= wanted:
                return b"", size
            piece = unpacker.decompress(b"", _PIECE)
        pieces.append(piece)
        size += len(piece)
    return unpacker.unused_data or file.read(_PIECE), size


def _too_large(path: str | os.PathLike[str], size: int, most: int) -> FormatError:
    gib = f"{size / 2**30:.3g} GiB" if size > 2**29 else f"{size / 2**20:.3g} MiB"
    limit = f"{most / 2**30:.3g} GiB"
    return FormatError(f"{gib} or more: expected at most {limit} in such a file", path=Path(path))
