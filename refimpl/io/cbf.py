"""Binary CBF images with byte-offset compression: one image and the text before it.

What is read is what detectors and XDS write: one binary section, little endian, 32 bits, stored
fast axis first. The text is given as it is; mini headers are understood in ``io.minicbf``. Full
CBF (imgCIF) files are read as images too, their categories are not. ``io.images.read`` reads any
CBF through fabio; this reader is its fast and strict counterpart for rotation data.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import zlib
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FormatError
from refimpl.io.atomic import atomic_path
from refimpl.io.byte_offset import decode_byte_offset, encode_byte_offset
from refimpl.reading import read_unpacked

__all__ = ["read_bytes", "read_cbf", "read_head", "split_cbf", "write_cbf"]

SECTION: Final = b"--CIF-BINARY-FORMAT-SECTION--"
_MOST_DIGITS: Final = 18  # of a whole number: it fits 64 bits
START: Final = b"\x0c\x1a\x04\xd5"


def read_bytes(path: str | Path, most: int = -1) -> bytes:
    """Content of a file, gzip or bzip2 unpacked (told by its first bytes).

    Parameters
    ----------
    path
        Any file.
    most
        Bytes wanted from its beginning; all by default.

    Raises
    ------
    FormatError
        The file cannot be read, or its compressed content is cut.
    """
    file = Path(path)
    try:
        return read_unpacked(file, None if most < 0 else most)
    except FormatError:
        raise
    except (EOFError, ValueError, zlib.error) as error:
        raise FormatError(f"truncated or corrupt compressed file: {error}", path=file) from error
    except OSError as error:
        what = "cannot be read" if error.strerror else "truncated or corrupt compressed file"
        raise FormatError(f"{what}: {error.strerror or error}", path=file) from error


def read_head(path: str | Path) -> tuple[str, dict[str, str]]:
    """Text before the binary section and the section's own fields; the pixels are not read.

    Raises
    ------
    FormatError
        See :func:`split_cbf`.
    """
    file, most = Path(path), _HEAD
    data = read_bytes(file, most)
    while _is_longer(data, most):
        most *= 8
        data = read_bytes(file, most)
    text, fields, _ = _split(data, file)
    return text, fields


_HEAD: Final = 1 << 14
_LONGEST: Final = 1 << 24
"""Bytes read at first for a header, and at most."""


def _is_longer(data: bytes, most: int) -> bool:
    """Whether the beginning of a CBF was cut before the end of its header."""
    cut = data.startswith(b"###CBF") and START not in data and len(data) == most
    return cut and most < _LONGEST


def split_cbf(data: bytes, path: Path) -> tuple[str, dict[str, str], memoryview]:
    """Text before the binary section, the section's own fields, and its compressed bytes.

    Raises
    ------
    FormatError
        Not a CBF, no binary section, a field that is missing, or a section that is cut.
    """
    text, fields, body = _split(data, path)
    size = _number(fields, "X-Binary-Size", path)
    if len(body) < size:
        raise FormatError(
            f"truncated: the pixels have {len(body)} of {size} bytes (X-Binary-Size)", path=path
        )
    return text, fields, body[:size]


def _split(data: bytes, path: Path) -> tuple[str, dict[str, str], memoryview]:
    if not data.startswith(b"###CBF"):
        raise FormatError(f"not a CBF: starts with {data[:8]!r}, not ###CBF", path=path)
    section = data.find(SECTION)
    start = data.find(START, max(section, 0))
    if section < 0 or start < 0:
        what = "a CBF without a binary section" if section < 0 else "truncated before its pixels"
        raise FormatError(what, path=path)
    head = data[section + len(SECTION) : start]
    body = memoryview(data)[start + len(START) :]  # no copy of the pixels
    fields: dict[str, str] = {}
    for line in head.decode("ascii", errors="replace").replace("\r", "").split("\n"):
        key, colon, value = line.partition(":")
        if colon:
            fields[key.strip()] = value.strip().strip('";')
        elif "conversions" in line:
            fields["conversions"] = line.partition("=")[2].strip().strip('";')
    return data[:section].decode("latin-1"), fields, body


def _number(fields: dict[str, str], key: str, path: Path) -> int:
    value = fields.get(key, "")
    if not value.isdecimal() or len(value) > _MOST_DIGITS:
        raise FormatError(f"binary section: {key} {value!r} is no number", path=path, key=key)
    return int(value)


def read_cbf(path: str | Path) -> tuple[NDArray[np.int32], str]:
    """Image and header text of a byte-offset CBF.

    Parameters
    ----------
    path
        ``.cbf``, ``.cbf.gz`` or ``.cbf.bz2``.

    Returns
    -------
    image
        (n_slow, n_fast) counts as stored: -1 in gaps, -2 for bad pixels.
    text
        Everything before the binary section.

    Raises
    ------
    FormatError
        Not such a file, truncated, another compression or type, a checksum that differs.
    """
    file = Path(path)
    text, fields, body = split_cbf(read_bytes(file), file)
    return _pixels(fields, body, file), text


def _pixels(fields: dict[str, str], body: memoryview, file: Path) -> NDArray[np.int32]:
    kind = fields.get("conversions", "none")
    if kind != "x-CBF_BYTE_OFFSET":
        raise FormatError(f"compression {kind}: only x-CBF_BYTE_OFFSET is read", path=file)
    element = fields.get("X-Binary-Element-Type", "signed 32-bit integer")
    if element not in ("signed 32-bit integer", "unsigned 32-bit integer"):
        raise FormatError(f"pixels of type {element!r}: only 32-bit integers are read", path=file)
    n_fast = _number(fields, "X-Binary-Size-Fastest-Dimension", file)
    n_slow = _number(fields, "X-Binary-Size-Second-Dimension", file)
    stated = _number({"n": str(n_fast * n_slow), **fields}, "X-Binary-Number-of-Elements", file)
    if stated != n_fast * n_slow:
        raise FormatError(f"{stated} pixels are not {n_slow} x {n_fast}", path=file)
    if (md5 := fields.get("Content-MD5")) is not None:
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        if md5.encode() != base64.b64encode(digest):
            raise FormatError("corrupt: the MD5 of the pixels differs from the header's", path=file)
    pixels, end = decode_byte_offset(np.frombuffer(body, np.uint8), stated)
    if int(end[0]) != stated or int(end[2]):
        raise FormatError(
            f"corrupt: {int(end[0])} of {stated} pixels decoded, {int(end[2])} beyond 32 bits",
            path=file,
        )
    return pixels.reshape(n_slow, n_fast)


def write_cbf(path: str | Path, image: NDArray[np.int32], text: str = "") -> Path:
    """Write an image with byte-offset compression; the file appears whole or not at all.

    Parameters
    ----------
    path
        ``.cbf``; ``.cbf.gz`` and ``.cbf.bz2`` are compressed once more.
    image
        (n_slow, n_fast) counts.
    text
        Header lines, each beginning with ``#`` in a mini header; without the line ends of CBF.

    Raises
    ------
    FormatError
        Not a 2-D array of whole numbers that 32 bits hold.
    ConfigError
        The folder is missing or cannot be written to.
    """
    values = np.asarray(image)
    whole = values.astype(np.int32)
    if values.ndim != 2 or values.dtype.kind not in "iu" or not np.array_equal(values, whole):
        raise FormatError(
            f"an array of {values.dtype} and shape {values.shape} is no image of 32-bit integers",
            path=path,
        )
    data = encode_byte_offset(whole)
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    name = Path(path).name.split(".")[0]
    header = ['_array_data.header_convention "PILATUS_1.2"', "_array_data.header_contents", ";"]
    header = [*header, *text.splitlines(), ";", ""] if text else []
    lines = [
        "###CBF: VERSION 1.5", "", f"data_{name}", "",
        *header, "_array_data.data", ";", SECTION.decode(),
        "Content-Type: application/octet-stream;", '     conversions="x-CBF_BYTE_OFFSET"',
        "Content-Transfer-Encoding: BINARY", f"X-Binary-Size: {len(data)}", "X-Binary-ID: 1",
        'X-Binary-Element-Type: "signed 32-bit integer"',
        "X-Binary-Element-Byte-Order: LITTLE_ENDIAN", f"Content-MD5: {md5}",
        f"X-Binary-Number-of-Elements: {whole.size}",
        f"X-Binary-Size-Fastest-Dimension: {whole.shape[1]}",
        f"X-Binary-Size-Second-Dimension: {whole.shape[0]}", "X-Binary-Size-Padding: 4095", "", "",
    ]  # fmt: skip
    tail = ["", SECTION.decode() + "--", ";", "", ""]
    content = "\r\n".join(lines).encode("latin-1") + START + data + bytes(4095)
    content += "\r\n".join(tail).encode()
    suffix = Path(path).suffix
    if suffix in (".gz", ".bz2"):
        content = gzip.compress(content, mtime=0) if suffix == ".gz" else bz2.compress(content)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)
