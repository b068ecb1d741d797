"""Files of lit pixels: ours for a distance, and the published bits of all."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.errors import FormatError
from refimpl.io.lit_files import (
    FramePixels,
    append_frame_pixels,
    lit_of_frames,
    open_frame_pixels,
    read_frame_pixels,
    stream_spots_info,
    write_frame_pixels,
)
from refimpl.io.spots_info import write_spots_info
from refimpl.testing.nearfield_scan import (
    scan,
    write_hdf5,
)


def small_pixels() -> FramePixels:
    y, z = np.array([1, 4, 0], np.uint16), np.array([2, 0, 5], np.uint16)
    return FramePixels((5, 6), y, z, np.array([0, 2, 2, 3]), "abc")


def test_lit_pixels_return_from_their_file(tmp_path: Path) -> None:
    one = small_pixels()
    path = write_frame_pixels(tmp_path / "l.h5", one)
    back = read_frame_pixels(path)
    for name in ("y", "z", "ptr"):
        assert (getattr(back, name) == getattr(one, name)).all()
    assert (back.shape_px, back.source, back.n_frames) == ((5, 6), "abc", 3)
    assert one.empty_frames.tolist() == [1]
    assert [frame.tolist() for frame in one.frames()] == [[1 * 6 + 2, 4 * 6], [], [5]]
    assert lit_of_frames([one, one]).pixels().tolist()[-1] == [1, 2, 0, 5]
    none = FramePixels((5, 6), one.y[:0], one.z[:0], np.array([0, 0]))
    assert read_frame_pixels(write_frame_pixels(path, none)).n_frames == 1


@given(ny=st.integers(1, 9), nz=st.integers(1, 9), n=st.integers(1, 5), seed=st.integers(0, 99))
def test_spots_info_is_streamed(ny: int, nz: int, n: int, seed: int) -> None:
    """Frames that begin within a byte too, against the writer that holds all pixels."""
    rng = np.random.default_rng(seed)
    lit = rng.random((2, n, ny, nz)) < rng.choice([0.0, 0.05, 0.6])
    distances = []
    for frames in lit:
        f, y, z = np.nonzero(frames)
        ptr = np.append(0, np.cumsum(np.bincount(f, minlength=n)))
        distances.append(FramePixels((ny, nz), y.astype(np.uint16), z.astype(np.uint16), ptr))
    with TemporaryDirectory() as name:
        one = stream_spots_info(Path(name) / "one.bin", distances).read_bytes()
        keys = np.flatnonzero(lit)
        assert one == write_spots_info(Path(name) / "two.bin", keys, lit.shape).read_bytes()


def test_long_frames_are_written_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refimpl.io.lit_files._HELD", 10)
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 9, (2, n)).astype(np.uint16) for n in (4, 7, 0, 30, 1)]
    with append_frame_pixels(tmp_path / "l.h5", (9, 9)) as append:
        for y, z in parts:
            append(y, z)
    back = read_frame_pixels(tmp_path / "l.h5")
    assert (back.y == np.concatenate(parts, axis=1)[0]).all()
    assert (back.z == np.concatenate(parts, axis=1)[1]).all()
    assert back.ptr.tolist() == [0, 4, 11, 11, 41, 42]


def test_files_of_lit_pixels_that_are_none(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "l.h5"
    with pytest.raises(FormatError, match="no such file"):
        read_frame_pixels(path)
    path.write_bytes(b"junk")
    with pytest.raises(FormatError, match="not a readable HDF5 file"):
        read_frame_pixels(path)
    write_hdf5(path, scan(0)[0])
    with pytest.raises(FormatError, match="not a file of lit pixels"):
        read_frame_pixels(path)
    write_frame_pixels(path, small_pixels())
    with h5py.File(path, "a") as file:
        file.attrs["schema"] = 2
    with pytest.raises(FormatError, match=r"schema 2 is newer than this refimpl .1.; upgrade"):
        read_frame_pixels(path)
    with h5py.File(path, "a") as file:
        del file.attrs["schema"], file.attrs["shape_px"]
    with pytest.raises(FormatError, match=r"truncated or corrupt: .*shape_px"):
        read_frame_pixels(path)
    one = small_pixels()
    with pytest.raises(FormatError, match="3 y, 3 z: the frames do not fit them"):
        FramePixels((5, 6), one.y, one.z, np.array([0, 2]))
    wide = FramePixels((5, 5), one.y, one.z, one.ptr)
    with pytest.raises(FormatError, match="y to 0, z to 5: outside the detector of 5 x 5 pixels"):
        list(wide.frames())
    many = np.random.default_rng(0).integers(0, 5, 9000).astype(np.uint16)
    write_frame_pixels(path, FramePixels((5, 5), many, many, np.array([0, 9000])))
    with h5py.File(path) as file:
        chunk = file["y"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    middle = chunk.byte_offset + chunk.size // 2
    content[middle : middle + 400] = bytes(400)
    path.write_bytes(content)
    with pytest.raises(FormatError, match="truncated or corrupt: "):
        read_frame_pixels(path)
    with (
        pytest.raises(FormatError, match=r"truncated or corrupt: Can't read data"),
        open_frame_pixels(write_frame_pixels(path, one)),
    ):
        raise OSError("Can't read data")  # as HDF5 does, without a number
    path.unlink()
    with pytest.raises(PermissionError), open_frame_pixels(write_frame_pixels(path, one)):
        raise PermissionError(13, "of the one who reads")
    other = FramePixels((5, 6), one.y, one.z, np.array([0, 3]))
    with pytest.raises(FormatError, match=r"1 frames of .5, 6. pixels, the first distance has 3"):
        lit_of_frames([one, other])
