"""Images of every format through one reader: selection, dark, mask, real frames."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from fabio.cbfimage import CbfImage
from image_files import WRITERS, Frames, marked_frames

from refimpl.errors import ConfigError, FormatError
from refimpl.io.images import check_usable, from_array, read


@pytest.fixture
def frames() -> Frames:
    return marked_frames()


@pytest.mark.parametrize("name", WRITERS)
def test_formats_agree(tmp_path: Path, frames: Frames, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path, frames)
    raw = {"data_type": 5, "head_size": 100, "shape": (40, 60)} if name == "a.raw" else {}
    image = read(path, **raw)
    bad = frames[0] < 0
    np.testing.assert_array_equal(image.mask, bad)
    np.testing.assert_array_equal(image.data, np.where(bad, 0, frames.mean(axis=0)))
    assert image.n_frames == 3
    assert image.masked == {"value -1": 40, "value -2": 2}
    assert image.path == path
    one = read(path, frames=1, **raw)
    assert one.data.dtype == np.int32
    np.testing.assert_array_equal(one.data, np.where(bad, 0, frames[1]))


def test_cbf(tmp_path: Path, frames: Frames) -> None:
    CbfImage(data=frames[0]).write(str(tmp_path / "a.cbf"))
    image = read(tmp_path / "a.cbf")
    np.testing.assert_array_equal(image.data, np.where(frames[0] < 0, 0, frames[0]))
    assert image.n_masked == 42
    assert image.metadata["format"] == "CBF"


def test_imagej_stack_behind_one_page(tmp_path: Path, frames: Frames) -> None:
    counts = np.abs(frames).astype(np.uint16)
    tifffile.imwrite(tmp_path / "ij.tif", counts, imagej=True)
    with tifffile.TiffFile(tmp_path / "ij.tif") as tif:
        last = tif.pages[0].offset
    image = read(tmp_path / "ij.tif", frames=2)
    np.testing.assert_array_equal(image.data, counts[2])
    assert last == 8


def test_ge_has_its_header_and_shape(tmp_path: Path) -> None:
    counts = np.arange(2048 * 2048, dtype="<u2").reshape(2048, 2048)
    path = tmp_path / "a.ge3"
    path.write_bytes(bytes(8192) + np.stack([counts, counts[::-1]]).tobytes())
    image = read(path, frames=1)
    assert image.shape == (2048, 2048)
    np.testing.assert_array_equal(image.data, counts[::-1])


@pytest.mark.parametrize(("code", "dtype"), [(1, "<u2"), (2, "<f8"), (3, "<f4"), (4, "<u4")])
def test_raw_types(tmp_path: Path, code: int, dtype: str) -> None:
    counts = np.arange(40 * 60).reshape(40, 60).astype(dtype)
    path = tmp_path / "a.bin"
    path.write_bytes(counts.tobytes())
    image = read(path, data_type=code, head_size=0, shape=(40, 60))
    np.testing.assert_array_equal(image.data, counts)


def test_data_type_names_the_reader(tmp_path: Path, frames: Frames) -> None:
    path = tmp_path / "frame.dat"
    tifffile.imwrite(path, np.abs(frames[0]).astype(np.uint16))
    assert read(path, data_type=9).metadata["format"] == "TIFF"
    assert read(path).metadata["format"] == "TIFF"


def test_big_endian_becomes_native(tmp_path: Path, frames: Frames) -> None:
    np.save(tmp_path / "a.npy", frames[0].astype(">i4"))
    image = read(tmp_path / "a.npy")
    assert image.data.dtype.isnative
    assert image.data.dtype == np.int32


def test_frame_selection(tmp_path: Path, frames: Frames) -> None:
    path = tmp_path / "a.npy"
    np.save(path, frames)
    good = frames[0] >= 0
    for chosen, rows in (
        (slice(1, None), [1, 2]),
        ([2, 0], [2, 0]),
        (-1, [2]),
        (range(2), [0, 1]),
    ):
        image = read(path, frames=chosen)
        np.testing.assert_allclose(image.data[good], frames[rows].mean(axis=0)[good], rtol=1e-15)
        assert image.n_frames == len(rows)
    assert read(path, skip_frames=2).n_frames == 1
    stack = read(path, average=False)
    assert stack.data.shape == (3, 40, 60)
    assert stack.data.dtype == np.int32
    np.testing.assert_array_equal(stack.data, np.where(good, frames, 0))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"frames": 3}, r"frame 3 does not exist: the file has 3 frames, numbered from 0"),
        ({"frames": [0, -4]}, "frame -4 does not exist"),
        ({"frames": slice(5, 9)}, "selects none: the file has 3 frames"),
        ({"frames": []}, "selects none"),
        ({"skip_frames": 3}, "skip_frames = 3 leaves none: the file has 3 frames"),
        ({"skip_frames": -1}, "skip_frames = -1 is negative"),
        ({"skip_frames": 1, "frames": 0}, "frames and skip_frames are both given; use one"),
        ({"dataset": "x"}, "dataset 'x' is given, but a npy file has none"),
        ({"transforms": (1, 4)}, "image transform 4 is unknown; 0 none, 1 flip left-right"),
        ({"data_type": 12, "shape": (4, 4)}, r"DataType 12 is not a raw type \(1 to 5\)"),
    ],
)
def test_bad_options(tmp_path: Path, frames: Frames, options: dict, text: str) -> None:
    np.save(tmp_path / "a.npy", frames)
    with pytest.raises(ConfigError, match=text):
        read(tmp_path / "a.npy", **options)


def test_dark_is_averaged_and_subtracted(tmp_path: Path, frames: Frames) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["exchange/data"] = frames
        file["exchange/dark"] = np.stack([np.full((40, 60), 4), np.full((40, 60), 7)])
    image = read(tmp_path / "a.h5", dark_dataset="exchange/dark")
    good = frames[0] >= 0
    assert image.dark_subtracted
    np.testing.assert_allclose(image.data[good], frames.mean(axis=0)[good] - 5.5, rtol=1e-15)
    assert (image.data[~good] == 0).all()
    dark = np.full((40, 60), 5.5)
    other = read(tmp_path / "a.h5", dark=dark)
    np.testing.assert_array_equal(other.data, image.data)
    np.save(tmp_path / "dark.npy", dark)
    again = read(tmp_path / "a.h5", dark=tmp_path / "dark.npy")
    np.testing.assert_array_equal(again.data, image.data)


def test_raw_dark_has_the_layout_of_the_data(tmp_path: Path) -> None:
    counts = np.arange(40 * 60, dtype="<u2").reshape(40, 60)
    for name, value in (("a.raw", counts + 3), ("a.dark", np.full_like(counts, 3))):
        (tmp_path / name).write_bytes(bytes(16) + value.astype("<u2").tobytes())
    options = {"data_type": 1, "head_size": 16, "shape": (40, 60)}
    image = read(tmp_path / "a.raw", dark=tmp_path / "a.dark", **options)
    np.testing.assert_array_equal(image.data, counts)


def test_marks_of_the_dark_are_masked(frames: Frames) -> None:
    dark = np.zeros((40, 60))
    dark[20, 20] = np.nan
    image = from_array(frames, dark=dark)
    assert image.masked["dark"] == 1
    assert image.mask[20, 20]


def test_dark_of_another_shape(tmp_path: Path, frames: Frames) -> None:
    np.save(tmp_path / "a.npy", frames)
    with pytest.raises(FormatError, match=r"the dark has \(40, 59\) pixels, the image \(40, 60\)"):
        read(tmp_path / "a.npy", dark=np.zeros((40, 59)))


def test_a_boolean_mask_of_numpy_is_read(tmp_path: Path, frames: Frames) -> None:
    mask = np.zeros((40, 60), np.bool_)
    mask[5, :7] = True
    np.save(tmp_path / "mask.npy", mask)
    np.save(tmp_path / "a.npy", frames)
    image = read(tmp_path / "a.npy", frames=0, mask=tmp_path / "mask.npy")
    assert image.masked["mask"] == 7
    assert image.mask[5, :7].all()


def test_mask_file_and_transforms(tmp_path: Path, frames: Frames) -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[0, :7] = 1
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    np.save(tmp_path / "a.npy", frames)
    image = read(tmp_path / "a.npy", frames=0, mask=tmp_path / "mask.tif", transforms=(2, 3))
    assert image.shape == (60, 40)
    assert image.transforms == (2, 3)
    assert image.masked == {"value -1": 40, "value -2": 2, "mask": 7}
    expected = np.flipud((frames[0] < 0) | (mask == 1)).T
    np.testing.assert_array_equal(image.mask, expected)
    # A pixel that only the mask file hides keeps its count, to be looked at.
    assert image.data[0, 39] == frames[0, 0, 0]


def test_mask_of_several_frames(tmp_path: Path, frames: Frames) -> None:
    np.save(tmp_path / "m.npy", np.zeros((2, 40, 60), np.uint8))
    np.save(tmp_path / "a.npy", frames)
    with pytest.raises(FormatError, match="a mask of 2 frames; one is needed"):
        read(tmp_path / "a.npy", mask=tmp_path / "m.npy")


def test_image_is_frozen_and_says_what_it_is(frames: Frames) -> None:
    image = from_array(frames)
    assert "40 x 60 px float64, 3 frame(s), 42 masked (2 value -2, 40 value -1)" in repr(image)
    with pytest.raises(ValueError, match="read-only"):
        image.data[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        image.mask[0, 0] = True


def test_from_array_leaves_the_array_alone(frames: Frames) -> None:
    before = frames.copy()
    from_array(frames[0])
    np.testing.assert_array_equal(frames, before)


def test_memory_is_a_few_frames(tmp_path: Path) -> None:
    stack = np.ones((40, 200, 250), np.int32)
    np.save(tmp_path / "a.npy", stack)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("exchange/data", data=stack, chunks=(1, 200, 250))
    read(tmp_path / "a.h5", frames=0)  # imports are not what is measured
    for name in ("a.npy", "a.h5"):
        tracemalloc.start()
        read(tmp_path / name)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # Sum, frame and mask in float64 are 5 frames of int32; the whole stack would be 40.
        assert peak < 8 * stack[0].nbytes


def test_pilatus_2m(real_data: Callable[[str], Path]) -> None:
    image = read(real_data("pilatus2m-ceria-hexrd/ceria_50x30_740mm_000005_Pilatus2M.hdf5"))
    assert image.shape == (1679, 1475)
    assert image.data.dtype == np.int32
    assert image.masked == {"value -1": 202021, "value -2": 1265}
    assert image.data.max() == 3564777
    assert image.data.min() == 0
    check_usable(image)


def test_ge(real_data: Callable[[str], Path]) -> None:
    image = read(real_data("ge-ceria-hexrd/ge_wppf.h5"))
    assert image.dataset == "images/ge3/images"
    assert image.shape == (2048, 2048)
    assert image.data.dtype == np.uint16
    assert image.n_masked == 0
    assert image.data.max() == 12305
    check_usable(image)


def test_pilatus_1m(real_data: Callable[[str], Path]) -> None:
    image = read(real_data("pilatus1m-ceria-cpf/CeO2_Pil207_E30_2Nov2016_001.tif"))
    assert image.shape == (1043, 981)
    assert image.n_masked == 73560
    assert image.data.max() == 2876
    assert image.saturation == 1048574
    check_usable(image)


def test_cbf_of_a_pilatus_6m(real_data: Callable[[str], Path]) -> None:
    image = read(real_data("thaumatin-grid/thau_3_2_0001.cbf.bz2"))
    assert image.shape == (2527, 2463)
    assert set(image.masked) == {"value -1", "value -2"}
    assert image.saturation == 115897
