"""Damaged Blosc frames are refused before the Blosc library has them; sound ones are not."""

from __future__ import annotations

import itertools
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from numcodecs import Blosc

from refimpl.io.images import read
from refimpl.io.zarr_stores import blosc_trouble

COUNTS = np.random.default_rng(2).poisson(30.0, (3, 40, 50)).astype(np.int32)


@pytest.mark.parametrize("name", ["lz4", "lz4hc", "blosclz", "zstd", "zlib"])
def test_sound_frames(name: str) -> None:
    for shuffle, level, size in itertools.product((0, 1, 2), (0, 1, 9), (0, 1, 100, 5_000)):
        data = np.resize(COUNTS, size)
        frame = bytes(Blosc(name, clevel=level, shuffle=shuffle).encode(data))
        assert blosc_trouble(frame) == "", (shuffle, level, size)
    assert blosc_trouble(bytes(Blosc(name).encode(np.resize(COUNTS, 400_000)))) == ""


def test_damaged_frames() -> None:
    frame = bytes(Blosc("lz4").encode(np.resize(COUNTS, 400_000)))
    assert struct.unpack_from("<I", frame, 8)[0] < 800_000  # blocks, several
    assert "states" in blosc_trouble(frame[:-1])
    assert "states" in blosc_trouble(frame + b"x")
    assert "its header has 16" in blosc_trouble(frame[:15])
    for at, value, words in (
        (0, b"\x07", "version 7"),
        (3, b"\x00", "elements of 0"),
        (8, struct.pack("<I", 0), "blocks of 0"),
        (8, struct.pack("<I", 2**31), "in blocks of"),
        (8, struct.pack("<I", 1), "blocks"),
        (16, struct.pack("<I", 4), "begin outside"),
        (20, struct.pack("<I", len(frame) - 3), "begin outside"),
    ):
        assert words in blosc_trouble(frame[:at] + value + frame[at + len(value) :]), at
    plain = bytes(Blosc("lz4", clevel=0).encode(COUNTS))
    assert "plain" in blosc_trouble(plain[:4] + struct.pack("<I", 8) + plain[8:])


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("is_zip", [False, True])
def test_trees_with_a_damaged_frame(tmp_path: Path, version: int, is_zip: bool) -> None:
    path = tmp_path / ("a.zip" if is_zip else "a.zarr")
    store = zarr.storage.ZipStore(path, mode="w") if is_zip else zarr.storage.LocalStore(path)
    packed = (
        Blosc("lz4") if version == 2 else zarr.codecs.BloscCodec(cname="lz4", clevel=5, typesize=4)
    )
    group = zarr.open_group(store, mode="w", zarr_format=version)  # type: ignore[arg-type]
    array = group.create_array("exchange/data", shape=COUNTS.shape, dtype="i4",
                               chunks=(1, 40, 50), compressors=packed)  # fmt: skip
    array[:] = COUNTS
    chunk = "exchange/data/" + ("1.0.0" if version == 2 else "c/1/0/0")
    if is_zip:
        store.close()
    np.testing.assert_array_equal(read(path, average=False).data, COUNTS)
    _damage(path, chunk)
    # in a process of its own: without the look it dies
    code = f"from refimpl.io.images import read\nread({str(path)!r}, average=False)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 1
    assert f"damaged chunk {chunk}: a Blosc frame that states" in run.stderr.splitlines()[-1]


def _damage(path: Path, chunk: str) -> None:
    """Let the frame of a chunk state 1.6 GB."""
    import zipfile

    def spoil(frame: bytes) -> bytes:
        return frame[:12] + b"\x67\x02\x31\x65" + frame[16:]

    if path.is_dir():
        file = path / chunk
        file.write_bytes(spoil(file.read_bytes()))
        return
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, spoil(content) if name == chunk else content)
