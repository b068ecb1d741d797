"""Image files that are cut, empty or something else; images that cannot be used."""

from __future__ import annotations

import bz2
import gzip
import struct
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from fabio.cbfimage import CbfImage
from fabio.edfimage import EdfImage
from image_files import WRITERS, Frames, marked_frames, write_zarr
from numpy.typing import NDArray

from refimpl.errors import ConfigError, FormatError
from refimpl.io.images import check_usable, from_array, open_source, read


@pytest.fixture
def frames() -> Frames:
    return marked_frames()


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


@pytest.mark.parametrize("name", ["a.edf", "a.edf.gz"])
def test_an_edf_of_many_dimensions(tmp_path: Path, frames: Frames, name: str) -> None:
    """fabio counts to the number behind Dim_, in any frame."""
    EdfImage(data=frames[0]).write(str(tmp_path / "good.edf"))
    good = (tmp_path / "good.edf").read_bytes()
    end = good.index(b"}\n")
    opened = gzip.open if name.endswith("gz") else open
    for key, refuses in ((b"Dim_9", False), (b"dIm_0010", True), (b"Dim_" + b"9" * 4000, True)):
        line = key + b" = 1 ;\n"
        bad = good[: end - len(line)] + line + good[end:] if len(line) < 100 else None
        bad = bad or good[:end] + line + good[end:]
        with opened(tmp_path / name, "wb") as file:
            file.write(good + bad)
        if refuses:
            with pytest.raises(FormatError, match="ten or more dimensions"):
                read(tmp_path / name)
        else:
            assert open_source(tmp_path / name).n_frames == 2


@pytest.mark.parametrize("name", ["a.edf", "a.edf.gz", "a.edf.bz2"])
def test_an_edf_that_states_more_pixels_than_it_holds(
    tmp_path: Path, frames: Frames, name: str
) -> None:
    """fabio fills up with zeros, gigabytes of them."""
    EdfImage(data=frames[0]).write(str(tmp_path / "good.edf"))
    good = (tmp_path / "good.edf").read_bytes()
    opened = {"edf": open, ".gz": gzip.open, "bz2": bz2.open}[name[-3:]]
    for change, held in (((b"Dim_2 = %d" % frames.shape[1], b"Dim_2 = 999999"), False), ((), True)):
        content = good.replace(*change) if change else good
        assert (content == good) == held
        content = content.replace(b"EDF_BinarySize", b"EDF_NoSuchSize").replace(
            b"Size =", b"None ="
        )
        with opened(tmp_path / name, "wb") as file:
            file.write(content)
        if held:
            assert read(tmp_path / name).n_frames == 1
        else:
            with pytest.raises(FormatError, match=r"truncated: .* pixels are stated in .* bytes"):
                read(tmp_path / name)


def test_an_edf_whose_pixels_are_in_another_file(tmp_path: Path, frames: Frames) -> None:
    header = (
        "{\nHeaderID = EH:000001:000000:000000 ;\nImage = 1 ;\nByteOrder = LowByteFirst ;\n"
        f"DataType = SignedInteger ;\nDim_1 = {frames.shape[2]} ;\nDim_2 = {frames.shape[1]} ;\n"
        "EDF_BinaryFileName = a.raw ;\nEDF_BinaryFilePosition = 0 ;\n"
        f"EDF_BinaryFileSize = {frames[0].size * 4} ;\n"
    )
    (tmp_path / "a.edf").write_text(header.ljust(1022) + "}\n")
    pixels = np.abs(frames[0]).astype("<i4")
    pixels.tofile(tmp_path / "a.raw")
    assert np.array_equal(read(tmp_path / "a.edf").data, pixels)
    (tmp_path / "a.raw").write_bytes(b"short")
    with pytest.raises(FormatError, match=r"truncated: .* pixels are stated in 5 bytes"):
        read(tmp_path / "a.edf")


@pytest.mark.parametrize(
    ("rows_a_piece", "message"),
    [(20, "1 of 800000 pieces"), (16_000_000, "768000000 bytes are stated, in")],
)
def test_a_tiff_that_states_more_pixels_than_it_holds(
    tmp_path: Path, rows_a_piece: int, message: str
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((20, 24), np.uint16), compression="zlib", rowsperstrip=20)
    with tifffile.TiffFile(path) as tif:
        tags = tif.pages[0].tags
        places = {name: tags[name].offset for name in ("ImageLength", "RowsPerStrip")}
    content = bytearray(path.read_bytes())
    for name, value in (("ImageLength", 16_000_000), ("RowsPerStrip", rows_a_piece)):
        code = struct.unpack_from("<H", content, places[name])[0]
        struct.pack_into("<HHII", content, places[name], code, 4, 1, value)
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message):
        read(path)


def test_a_cbf_with_a_long_header(tmp_path: Path, frames: Frames) -> None:
    """fabio looks for the pixels in the first 8 KiB, and then for ever."""
    path = tmp_path / "a.cbf"
    CbfImage(data=frames[0]).write(str(path))
    content = path.read_bytes()
    expected = read(path).data
    for extra in (6000, 8000, 100_000):
        lines = b"# a line that says nothing\r\n" * (extra // 28)
        path.write_bytes(content.replace(b"_array_data.data", lines + b"_array_data.data", 1))
        assert np.array_equal(read(path).data, expected)
    path.write_bytes(content.replace(b"_array_data.data", b"_array_data.data\r\n;" + b"9" * 9000))
    assert np.array_equal(read(path).data, expected)


def test_a_frame_of_more_than_can_be_meant(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (30000, 30000), }"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head) + 1) + head + b"\n")
        file.truncate(file.tell() + 8 * 30000**2)
    with pytest.raises(FormatError, match="frames of more than 4 GiB are stated"):
        read(path)


def test_names_in_an_edf_are_no_dimensions(tmp_path: Path, frames: Frames) -> None:
    header = {"title": "sample_dim_12 of dim_100, a=1", "scan_dim_22": "x", "dim_no_22": "x"}
    EdfImage(data=frames[0], header=header).write(str(tmp_path / "a.edf"))
    assert read(tmp_path / "a.edf").n_frames == 1


def test_a_later_frame_of_an_edf_that_states_more_than_it_holds(
    tmp_path: Path, frames: Frames
) -> None:
    EdfImage(data=frames[0]).write(str(tmp_path / "one.edf"))
    one = (tmp_path / "one.edf").read_bytes()
    rows = b"Dim_2 = %d ;" % frames.shape[1]
    assert rows in one
    path = tmp_path / "a.edf"
    path.write_bytes(one + one.replace(rows, b"Dim_2 = 22000000 ;"))
    start = time.process_time()
    with pytest.raises(FormatError, match=r"frame 1 of 2 cannot be read: it has \(22000000, 60\)"):
        read(path)
    assert time.process_time() - start < 5.0  # 5 GB of zeros take longer


def test_a_tiff_whose_width_is_a_list(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((20, 24), np.uint16))
    with tifffile.TiffFile(path) as tif:
        tag = tif.pages[0].tags["ImageWidth"]
        at, kind = tag.offset, "<HHII"
    content = bytearray(path.read_bytes())
    struct.pack_into(kind, content, at, 256, 3, 24, 8)  # 24 numbers of 16 bits
    path.write_bytes(content)
    with pytest.raises(FormatError, match="not a readable TIFF: the size of a page is no whole"):
        read(path)


def test_zarr_refusals(tmp_path: Path, frames: Frames) -> None:
    write_zarr(tmp_path / "a.zarr", frames)
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


@pytest.mark.parametrize("dtype", ["?", "S4", "c16"])
def test_parts_of_a_series_whose_pixels_are_no_numbers(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "a_master.h5"
    with h5py.File(path, "w") as file:
        for number, own in ((1, "u2"), (2, dtype)):
            file[f"entry/data/data_{number:06d}"] = np.ones((1, 40, 60)).astype(own)
    with pytest.raises(
        FormatError, match=r"frame 1 has pixels of type .*, the first one of uint16"
    ):
        read(path)


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
