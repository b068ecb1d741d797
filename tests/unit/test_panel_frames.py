"""Data files of the published panel program: types, darks, masks, and one file at a time."""

import re

import h5py
import numpy as np
import pytest
import tifffile
from fabio.cbfimage import CbfImage

from refimpl.errors import ConfigError
from refimpl.io.midas_params import read_params
from refimpl.powder.panel_frames import (
    file_mask,
    read_published_frame,
    read_stored,
    value_mask,
)

SHAPE = (40, 50)
COUNTS = np.random.default_rng(3).integers(1, 200, SHAPE)
TEXT = "FileStem f\nStartNr 1\nNrPixelsY 50\nNrPixelsZ 40\n"


def params(tmp_path, text):
    (tmp_path / "ps.txt").write_text(TEXT + text)
    return read_params(tmp_path / "ps.txt")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


RAW = {1: "<u2", 2: "<f8", 3: "<f4", 4: "<u4", 5: "<i4"}
TIFF = {6: np.uint32, 7: np.uint8, 9: np.uint16}


@pytest.mark.parametrize("code", range(1, 11))
def test_every_data_type_reads_the_same_frame(code, here):
    ext = {8: ".h5", 10: ".cbf"}.get(code, ".raw" if code in RAW else ".tif")
    path = here / f"f_000001{ext}"
    more = ""
    if code in RAW:
        path.write_bytes(b"h" * 100 + COUNTS.astype(RAW[code]).tobytes())
        more = "HeadSize 100\n"
    elif code in TIFF:
        tifffile.imwrite(path, COUNTS.astype(TIFF[code]))
    elif code == 8:
        with h5py.File(path, "w") as file:
            file["exchange/data"] = COUNTS[None].astype(np.uint16)
    else:
        CbfImage(data=COUNTS.astype(np.int32)).write(str(path))
    given = params(here, f"Ext {ext}\nDataType {code}\n{more}")
    np.testing.assert_array_equal(read_stored(given, path).data, COUNTS)
    image, mask, shape = read_published_frame(given, path)
    np.testing.assert_array_equal(image, COUNTS)
    assert (mask.any(), shape) == (False, SHAPE)


def test_a_name_says_enough_where_the_type_is_not_given(here):
    tifffile.imwrite("f_000001.tif", COUNTS.astype(np.int32))
    given = params(here, "Ext .tif\n")
    np.testing.assert_array_equal(read_stored(given, here / "f_000001.tif").data, COUNTS)
    COUNTS.astype("<u2").tofile("f_000001.raw")
    raw = params(here, "Ext .raw\nHeadSize 0\n")  # DataType 1, as published
    np.testing.assert_array_equal(read_stored(raw, here / "f_000001.raw").data, COUNTS)


def test_frames_are_averaged_and_the_dark_taken_off(here):
    frames = np.stack([COUNTS + 900, COUNTS, COUNTS + 2]).astype("<u4")
    frames.tofile("f_000001.raw")
    np.stack([np.full(SHAPE, 99), np.full(SHAPE, 3), np.full(SHAPE, 5)]).astype("<u4").tofile("d")
    given = params(here, "Ext .raw\nDataType 4\nHeadSize 0\nSkipFrame 1\nDark d\n")
    for image in (read_stored(given, here / "f_000001.raw").data,
                  read_published_frame(given, here / "f_000001.raw")[0]):  # fmt: skip
        np.testing.assert_array_equal(image, COUNTS + 1.0 - 4.0)


def marked(here):
    """Frame with -1 and 7 in it, and a dark with 0, 5 and 7 in it."""
    frame, dark = COUNTS.astype("<i4") + 10, np.full(SHAPE, 1, dtype="<i4")
    frame[0, :4], frame[1, :3] = -1, 7
    dark[5, :6], dark[6, :5], dark[7, :2] = 7, 5, 0
    frame.tofile("f_000001.raw")
    np.stack([dark, np.full(SHAPE, 1, "<i4")]).tofile("dark.raw")
    return here / "f_000001.raw"


RAW_INT = "Ext .raw\nDataType 5\nHeadSize 0\n"


def test_bad_and_gap_values_have_two_readings(here):
    path = marked(here)
    keys = "BadPxIntensity 7\nGapIntensity 5\n"
    ours = read_stored(params(here, RAW_INT + keys), path)
    assert ours.mask.sum() == 4 + 3  # in the image itself: what it marks, and the value 7
    assert ours.mask[1, :3].all()
    assert not ours.mask[5:8].any()
    given = params(here, RAW_INT + keys + "Dark dark.raw\n")
    _, mask, _ = read_published_frame(given, path)
    assert mask[5, :6].all()  # in the first dark frame, 7 and 5
    assert mask[6, :5].all()
    assert not mask[7].any()
    assert not mask[1].any()
    assert mask[0, :4].all()  # -1 is a mark whoever reads it
    assert mask.sum() == 6 + 5 + 4


def test_one_value_alone_masks_zeros_too_where_published(here):
    path = marked(here)
    given = params(here, RAW_INT + "BadPxIntensity 7\nDark dark.raw\n")
    assert value_mask(given).sum() == 6
    assert value_mask(given, both=True).sum() == 6 + 2  # GapIntensity defaults to 0
    image, mask, _ = read_published_frame(given, path, published_quirks=True)
    assert mask.sum() == 8  # the -1 of the image are data then
    assert (image[0, :4] <= 0).all()
    assert value_mask(params(here, RAW_INT)) is None


def test_values_need_a_dark_where_published(here):
    path = marked(here)
    given = params(here, RAW_INT + "GapIntensity 5\n")
    text = "GapIntensity without Dark: the published program finds these pixels in the first dark"
    with pytest.raises(ConfigError, match=text) as caught:
        read_published_frame(given, path)
    assert caught.value.line == 8
    assert read_stored(given, path).n_masked == 4


def test_a_negative_value_of_an_unsigned_dark_is_its_reading(here):
    dark = np.ones(SHAPE, dtype="<u4")
    dark[2, :3] = 2**32 - 1
    dark.tofile("dark.raw")
    given = params(here, "Ext .raw\nDataType 4\nHeadSize 0\nDark dark.raw\nGapIntensity -1\n")
    assert value_mask(given).sum() == 3


def test_masks_join_and_a_mask_file_turns_values_off_where_published(here):
    path = marked(here)
    for row, name in enumerate(("m.tif", "g.tif", "b.tif")):
        mask = np.zeros(SHAPE, dtype=np.uint8)
        mask[10 + row, :2] = 1
        tifffile.imwrite(name, mask)
    keys = "MaskFile m.tif\nGapFile g.tif\nBadPxFile b.tif\nBadPxIntensity 7\nDark dark.raw\n"
    given = params(here, RAW_INT + keys)
    assert file_mask(given, SHAPE).sum() == 6
    assert read_published_frame(given, path)[1].sum() == 6 + 4
    found = read_stored(given, path)
    assert found.mask[10:13].sum() == 6
    assert found.mask[1, :3].all()
    assert file_mask(params(here, RAW_INT), SHAPE) is None


def test_a_dark_of_another_shape_is_refused(here):
    path = marked(here)
    np.ones((40, 40), "<u2").tofile("small.raw")
    tifffile.imwrite("small.tif", np.ones((40, 40), np.uint16))
    given = params(here, RAW_INT + "Dark small.tif\nBadPxIntensity 7\n")
    for reader in (read_stored, read_published_frame):
        with pytest.raises(ValueError, match=re.escape("the dark has (40, 40) pixels, the image")):
            reader(given, path)


def test_hdf5_datasets_by_name(here):
    with h5py.File("f_000001.h5", "w") as file:
        file["one"] = COUNTS[None].astype(np.uint16)
        file["off"] = np.full((2, *SHAPE), 3, dtype=np.uint16)
    keys = "Ext .h5\nDataType 8\ndataDataset one\ndarkDataset off\n"
    found = read_stored(params(here, keys), here / "f_000001.h5")
    np.testing.assert_array_equal(found.data, COUNTS - 3.0)
    marks = params(here, keys + "BadPxIntensity 3\nGapIntensity 3\n")
    assert value_mask(marks).all()
    turned = params(here, keys + "ImTransOpt 1\nImTransOpt 2\n")
    image, _, shape = read_published_frame(turned, here / "f_000001.h5")
    np.testing.assert_array_equal(image, COUNTS[::-1, ::-1] - 3.0)
    assert shape == SHAPE
