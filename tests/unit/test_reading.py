"""Whole files, and how much of them is too much."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import os
import threading
import zlib
from pathlib import Path

import pytest

from refimpl import reading
from refimpl.errors import FormatError
from refimpl.reading import (
    check_numbers,
    check_size,
    parse_json,
    read_bytes,
    read_text,
    read_unpacked,
)

DATA = bytes(range(256)) * 20_000


def test_files_that_are_sparse_and_huge(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"Lsd 100\n")
    os.truncate(path, 10 << 30)
    for read in (read_bytes, read_text, read_unpacked, check_size):
        with pytest.raises(FormatError, match=r"a\.txt: 10 GiB or more: expected at most 1 GiB"):
            read(path)
    assert read_unpacked(path, 7) == b"Lsd 100"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_pipes_do_not_tell_their_size(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for most, fits in ((len(DATA), True), (len(DATA) // 2, False)):

        def write() -> None:
            with contextlib.suppress(BrokenPipeError):  # the reader has had enough
                path.write_bytes(DATA)

        writer = threading.Thread(target=write)
        writer.start()
        if fits:
            assert read_bytes(path, most=most) == DATA
        else:
            with pytest.raises(FormatError, match="or more: expected at most"):
                read_bytes(path, most=most)
        writer.join()


def test_text_is_as_python_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("µ\r\nb\rc\n".encode())
    assert read_text(path) == path.read_text(encoding="utf-8") == "µ\nb\nc\n"
    path.write_bytes(b"\xff")
    with pytest.raises(UnicodeDecodeError):
        read_text(path)
    assert read_text(path, errors="replace") == "\ufffd"


@pytest.mark.parametrize("packed", [gzip.compress(DATA), bz2.compress(DATA), DATA])
def test_what_is_packed(packed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_PIECE", 1 << 14)
    path = tmp_path / "a"
    path.write_bytes(packed)
    assert read_unpacked(path) == DATA
    assert read_unpacked(path, 1000) == DATA[:1000]
    assert read_unpacked(path, most=len(DATA)) == DATA
    with pytest.raises(FormatError, match="or more: expected at most"):
        read_unpacked(path, most=len(DATA) - 1)
    if packed != DATA:
        path.write_bytes(packed * 3)
        assert read_unpacked(path) == DATA * 3
        path.write_bytes(packed + bytes(100_000))  # as tapes are filled up
        assert read_unpacked(path) == DATA
        path.write_bytes(packed[:-20])
        with pytest.raises(EOFError, match="ended before"):
            read_unpacked(path)
        broken = bytearray(packed)
        broken[len(packed) // 2] ^= 0xFF
        path.write_bytes(broken)
        with pytest.raises((zlib.error, OSError, EOFError)):
            read_unpacked(path)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(40 << 20), 1))
    with pytest.raises(FormatError, match="or more: expected at most"):
        read_unpacked(path, most=1 << 20)


def test_whole_numbers_that_no_float_holds() -> None:
    largest = "9" * 308
    assert float(parse_json(f'{{"a": [-{largest[1:]}]}}')["a"][0]) < -9e306
    assert parse_json(b"[1, 2.5, true]") == [1, 2.5, True]
    with pytest.raises(ValueError, match="a number of 309 digits: expected at most 308"):
        parse_json(f"[{largest}9]")
    tree = {"a": [{"b": -(10**308)}], "c": 10**308 - 1, "d": True, "e": "x"}
    with pytest.raises(ValueError, match="a whole number of more than 308 digits"):
        check_numbers(tree)
    tree["a"][0]["b"] = 1
    assert check_numbers(tree) is tree


def test_aliases_of_yaml_have_an_end() -> None:
    """A list of itself, and lists of lists that would be a billion numbers if written out."""
    endless: list[object] = [1]
    endless.append(endless)
    assert check_numbers(endless) is endless
    many: list[object] = [1]
    for _ in range(60):
        many = [many, many]
    assert check_numbers({"a": many})["a"] is many
    many.append(10**400)
    with pytest.raises(ValueError, match="more than 308 digits"):
        check_numbers(many)
