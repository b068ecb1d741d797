"""Reading images: every format gives the same image, and every broken one a clear line."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
import tifffile
import zarr
from fabio.cbfimage import CbfImage
from fabio.edfimage import EdfImage
from numpy.typing import NDArray

from refimpl.errors import ConfigError, FormatError
from refimpl.io.images import check_usable, from_array, read

Frames = NDArray[np.int32]


@pytest.fixture
def frames() -> Frames:
    """Three frames (3, 40, 60) of Poisson counts with a gap column and two dead pixels."""
    counts = np.random.default_rng(7).poisson(50.0, (3, 40, 60)).astype(np.int32)
    counts[:, :, 10] = -1
    counts[:, 3, 4] = counts[:, 30, 50] = -2
    return counts


def _h5(path: Path, frames: Frames) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("exchange/data", data=frames, chunks=(1, *frames.shape[1:]))


def _bitshuffle(path: Path, frames: Frames) -> None:
    with h5py.File(path, "w") as file:
        settings = hdf5plugin.Bitshuffle(cname="lz4")
        file.create_dataset("entry/data/data", data=frames, chunks=(1, 40, 60), **settings)


def _edf(path: Path, frames: Frames) -> None:
    image = EdfImage(data=frames[0])
    for frame in frames[1:]:
        image.append_frame(data=frame)
    image.write(str(path))


def _zarr(path: Path, frames: Frames) -> None:
    store = zarr.storage.ZipStore(path, mode="w") if path.suffix == ".zip" else str(path)
    group = zarr.open_group(store, mode="w", zarr_format=2 if path.suffix == ".zip" else 3)
    group.create_array("exchange/data", data=frames, chunks=(1, *frames.shape[1:]))
    if path.suffix == ".zip":
        group.store.close()


def _gz(path: Path, frames: Frames) -> None:
    plain = path.with_suffix("")
    tifffile.imwrite(plain, frames, photometric="minisblack")
    path.write_bytes(gzip.compress(plain.read_bytes()))


def _raw(path: Path, frames: Frames) -> None:
    path.write_bytes(bytes(100) + frames.astype("<i4").tobytes())


WRITERS: dict[str, Callable[[Path, Frames], object]] = {
    "a.tif": lambda path, frames: tifffile.imwrite(path, frames, photometric="minisblack"),
    "deflate.tiff": lambda path, frames: tifffile.imwrite(
        path, frames, compression="zlib", photometric="minisblack"
    ),
    "a.tif.gz": _gz,
    "a.edf": _edf,
    "a.h5": _h5,
    "eiger.nxs": _bitshuffle,
    "a.zip": _zarr,
    "a.zarr": _zarr,
    "a.npy": lambda path, frames: np.save(path, frames),
    "a.raw": _raw,
}


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


# --- HDF5 in particular ------------------------------------------------------------------------


def _eiger(folder: Path, frames: Frames, with_files: bool = True) -> Path:
    master = folder / "run_master.h5"
    with h5py.File(master, "w") as file:
        group = file.create_group("entry/data")
        for number, part in enumerate((frames[:2], frames[2:]), start=1):
            name = f"run_data_{number:06d}.h5"
            if with_files:
                with h5py.File(folder / name, "w") as data:
                    settings = hdf5plugin.Bitshuffle()
                    data.create_dataset("entry/data/data", data=part.astype("<u4"), **settings)
            group[f"data_{number:06d}"] = h5py.ExternalLink(name, "entry/data/data")
        pixel_mask = np.zeros((40, 60), np.uint32)
        pixel_mask[5, 5], pixel_mask[3, 4] = 8, 2
        file["entry/instrument/detector/detectorSpecific/pixel_mask"] = pixel_mask
        file["entry/instrument/detector/saturation_value"] = 70
    return master


def test_eiger_master(tmp_path: Path, frames: Frames) -> None:
    image = read(_eiger(tmp_path, frames))
    good = ~image.mask
    assert image.n_frames == 3
    assert image.dataset == "entry/data"
    assert image.masked == {
        "value 4294967295": 40,
        "value 4294967294": 2,
        "pixel mask of the detector": 1,
    }
    np.testing.assert_allclose(image.data[good], frames.mean(axis=0)[good], rtol=1e-15)
    assert image.saturation == 70
    assert image.n_saturated == np.count_nonzero((frames >= 70).any(axis=0) & good)
    np.testing.assert_array_equal(read(image.path, frames=2).data[good], frames[2][good])
    part = read(image.path, dataset="entry/data/data_000002")
    assert part.n_frames == 1


def test_eiger_with_a_missing_file(tmp_path: Path, frames: Frames) -> None:
    master = _eiger(tmp_path, frames, with_files=False)
    with pytest.raises(FormatError, match=r"data file run_data_000001\.h5 .* missing"):
        read(master)


def test_single_image_is_discovered(tmp_path: Path, frames: Frames) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images/ge3/images"] = np.abs(frames)
        file["table"] = np.zeros((2000, 3))
        file["thumbnail"] = np.zeros((16, 16))
        file["buffer"] = np.zeros((40, 60), bool)
    assert read(tmp_path / "a.h5").dataset == "images/ge3/images"


def test_ambiguous_hdf5_lists_candidates(tmp_path: Path, frames: Frames) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["ge1/images"] = np.abs(frames)
        file["ge2/images"] = np.abs(frames)
    text = r"several datasets could be the image: ge1/images \(3, 40, 60\), ge2/images"
    with pytest.raises(FormatError, match=text):
        read(tmp_path / "a.h5")
    assert read(tmp_path / "a.h5", dataset="/ge2/images").dataset == "ge2/images"


def test_many_candidates_are_cut_short(tmp_path: Path, frames: Frames) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for number in range(11):
            file[f"ge{number}"] = np.abs(frames[0])
    with pytest.raises(FormatError, match=r"and 3 more; name one \(dataset=\.\.\.\)"):
        read(tmp_path / "a.h5")


def test_hdf5_refusals(tmp_path: Path, frames: Frames) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["table"] = np.zeros((200, 3))
        file["group/cube"] = np.zeros((2, 2, 20, 20))
        file["words"] = np.full((20, 20), b"x")
    with pytest.raises(FormatError, match="no 2-D or 3-D numeric dataset of image size found"):
        read(path)
    with pytest.raises(ConfigError, match="dataset 'no' does not exist"):
        read(path, dataset="no")
    with pytest.raises(ConfigError, match=r"'group/cube' is of shape \(2, 2, 20, 20\)"):
        read(path, dataset="group/cube")
    with pytest.raises(ConfigError, match="'group' is a group; a dataset"):
        read(path, dataset="group")
    with pytest.raises(FormatError, match="are not numbers; integers or floats are read"):
        read(path, dataset="words")
    with h5py.File(path, "a") as file:
        file["none"] = np.zeros((0, 20, 20))
    with pytest.raises(FormatError, match="the file holds no frame"):
        read(path, dataset="none")


def test_eiger_parts_of_different_shape(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/data/data_000001"] = np.zeros((1, 20, 20))
        file["entry/data/data_000002"] = np.zeros((1, 20, 30))
    with pytest.raises(FormatError, match=r"parts of entry/data differ in shape: \[\(20, 20\)"):
        read(tmp_path / "a.h5")


def test_unknown_hdf5_filter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("exchange/data", data=np.ones((1, 20, 20)), compression="gzip")
    monkeypatch.setattr("h5py.h5z.filter_avail", lambda _: False)
    with pytest.raises(FormatError, match=r"compressed with HDF5 filter 1 \(deflate\), which is"):
        read(tmp_path / "a.h5")


# --- broken files ------------------------------------------------------------------------------

CUT = {
    "a.tif": "truncated",
    "deflate.tiff": "truncated|corrupt",
    "a.tif.gz": "not a readable TIFF",
    "a.edf": "truncated: the header states",
    "a.h5": "not a readable HDF5 file",
    "a.zip": "not a readable Zarr archive",
    "a.npy": r"not a readable \.npy array",
    "a.raw": "truncated, or head_size, data_type or shape are other",
}


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("kept", [0.95, 0.5])
def test_truncated(tmp_path: Path, frames: Frames, name: str, kept: float) -> None:
    path = tmp_path / name
    WRITERS[name](path, frames)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    raw = {"data_type": 5, "head_size": 100, "shape": (40, 60)} if name == "a.raw" else {}
    # A cut stack may show in the headers or only when its last frame is read.
    text = f"{CUT[name]}|truncated|mmap length"
    with pytest.raises(FormatError, match=text) as caught:
        read(path, **raw)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_truncated_last_page_of_a_tiff(tmp_path: Path, frames: Frames) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        for frame in frames:
            tif.write(frame, contiguous=False)
    with tifffile.TiffFile(path) as tif:
        last = tif.pages[2].offset
    path.write_bytes(path.read_bytes()[:last])
    with pytest.raises(FormatError, match=f"a page is stated at byte {last}, where the file holds"):
        read(path)


def test_truncated_cbf(tmp_path: Path, frames: Frames) -> None:
    path = tmp_path / "a.cbf"
    CbfImage(data=frames[0]).write(str(path))
    content = path.read_bytes()
    for kept in (0.95, 0.5, 0.05):
        path.write_bytes(content[: int(kept * len(content))])
        with pytest.raises(FormatError, match="pixels are cut or their checksum differs"):
            read(path)


@pytest.mark.parametrize("name", ["a.tif", "a.edf", "a.cbf", "a.h5", "a.zip", "a.npy"])
def test_not_what_the_name_says(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"this is no image\n" * 40)
    with pytest.raises(FormatError, match="not a readable"):
        read(tmp_path / name)


def test_empty_files(tmp_path: Path) -> None:
    for name in ("a.tif", "a.edf", "a.h5", "a.npy", "a.ge3", "a.zip"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(FormatError, match=r"not a readable|are not a header"):
            read(tmp_path / name)


def test_other_refusals(tmp_path: Path, frames: Frames) -> None:
    with pytest.raises(FormatError, match=r"no\.tif: no such file"):
        read(tmp_path / "no.tif")
    with pytest.raises(FormatError, match="this folder is no Zarr tree"):
        read(tmp_path)
    (tmp_path / "a.xyz").write_bytes(b"hello")
    with pytest.raises(FormatError, match=r"unknown image format \.xyz; TIFF, CBF, EDF, GE, HDF5"):
        read(tmp_path / "a.xyz")
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((20, 30, 3), np.uint8), photometric="rgb")
    with pytest.raises(FormatError, match=r"not a grey-scale image: a page has the shape"):
        read(tmp_path / "rgb.tif")
    (tmp_path / "a.raw").write_bytes(bytes(100))
    with pytest.raises(ConfigError, match=r"raw frames need data_type .* and shape"):
        read(tmp_path / "a.raw")
    np.save(tmp_path / "line.npy", np.zeros(5))
    with pytest.raises(FormatError, match=r"an array of shape \(5,\) is no image"):
        read(tmp_path / "line.npy")
    np.savez(tmp_path / "z.zip", a=np.zeros(3))
    (tmp_path / "z.zip.npz").rename(tmp_path / "z.zip")
    with pytest.raises(FormatError, match="this zip is no Zarr archive"):
        read(tmp_path / "z.zip")
    with pytest.raises(FormatError, match="pixels of type complex128 are not numbers"):
        from_array(np.zeros((20, 20), complex))


def test_zarr_refusals(tmp_path: Path, frames: Frames) -> None:
    _zarr(tmp_path / "a.zarr", frames)
    with pytest.raises(ConfigError, match="'exchange' is no array"):
        read(tmp_path / "a.zarr", dataset="exchange")
    with pytest.raises(ConfigError, match="'no' is no array"):
        read(tmp_path / "a.zarr", dataset="no")
    zarr.save(str(tmp_path / "plain.zarr"), np.abs(frames))
    assert read(tmp_path / "plain.zarr").n_frames == 3


def test_pages_of_different_size(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(np.zeros((40, 60), np.uint16))
        tif.write(np.zeros((20, 30), np.uint16))
    with pytest.raises(FormatError, match=r"frame 1 has \(20, 30\) pixels, the first one \(40"):
        read(tmp_path / "a.tif")


def test_corrupt_chunk(tmp_path: Path, frames: Frames) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("exchange/data", data=frames, chunks=(1, 40, 60), compression=4)
        chunk = data.id.get_chunk_info(1)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + 40] = b"x" * 40
    path.write_bytes(content)
    with pytest.raises(FormatError, match="frame 1 of 3 cannot be read, the file is truncated"):
        read(path)
    assert read(path, frames=0).n_frames == 1


# --- usable or not -----------------------------------------------------------------------------


def test_check_usable_passes_a_real_frame(frames: Frames) -> None:
    image = from_array(frames)
    check_usable(image)
    assert image.n_masked < image.mask.size


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        (np.zeros((40, 40), np.uint16), "all dark: every unmasked pixel holds 0"),
        (np.full((40, 40), 7.5), r"constant: every unmasked pixel holds 7\.5"),
        (np.full((40, 40), 65535, np.uint16), "saturated: 100% of the unmasked pixels"),
        (np.ones((10, 40), int), "an image of 10 x 40 px is too small; 16 px a side at least"),
        (np.eye(200)[0:1] * np.ones((200, 1)) * -5.0, "all dark: 0 of 40000 unmasked pixels"),
    ],
)
def test_check_usable_refuses(counts: NDArray, text: str) -> None:
    image = from_array(counts)
    with pytest.raises(FormatError, match=text):
        check_usable(image)


def test_partly_saturated(frames: Frames) -> None:
    counts = np.abs(frames[0]).astype(np.uint16)
    counts[:10:2, ::2] = 65535
    image = from_array(counts)
    assert image.n_saturated == 150
    assert image.saturation == 65535
    check_usable(image)
    counts[::2, ::2] = 65535
    with pytest.raises(FormatError, match=r"saturated: 25% .* at or above 65535 counts"):
        check_usable(from_array(counts))
    stated = from_array(np.abs(frames[0]), saturation=40)
    with pytest.raises(FormatError, match="at or above 40 counts"):
        check_usable(stated)


def test_everything_masked() -> None:
    with pytest.raises(FormatError, match=r"every pixel is masked \(1600 not finite\)"):
        from_array(np.full((40, 40), np.nan))


# --- real frames -------------------------------------------------------------------------------


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
