"""The .MIDAS.zip archive: layout as published, and back."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from numcodecs import Blosc
from numpy.typing import NDArray

from refimpl.errors import ConfigError, FormatError
from refimpl.io.images import read
from refimpl.io.midas_params import MidasParams
from refimpl.io.midas_zip import convert, read_archive

CELL = (5.41153, 5.41153, 5.41153, 90.0, 90.0, 90.0)
PARAMS = MidasParams(
    {
        "SpaceGroup": 225, "LatticeConstant": CELL, "Wavelength": 0.2, "px": 172.0, "tx": 0.5,
        "BC": (30.5, 20.25), "RingsToExclude": (7, 8), "ImTransOpt": (2,), "FileStem": "CeO2",
    }
)  # fmt: skip
ANALYSIS = "analysis/process/analysis_parameters"


@pytest.fixture
def counts() -> NDArray[np.int32]:
    frames = np.random.default_rng(5).poisson(40, (3, 30, 50)).astype(np.int32)
    frames[:, :, 9] = -1
    return frames


def test_layout(tmp_path: Path, counts: NDArray[np.int32]) -> None:
    tifffile.imwrite(tmp_path / "CeO2_000005.tif", counts[0])
    archive = convert(tmp_path / "CeO2_000005.tif", PARAMS, convert_file=3)
    assert archive == tmp_path / "CeO2_000005.MIDAS.zip"
    with zipfile.ZipFile(archive) as file:
        names = set(file.namelist())
        described = json.loads(file.read("exchange/data/.zarray"))
        chunk = file.read(f"{ANALYSIS}/SpaceGroup/0")
        dark = json.loads(file.read("exchange/dark/.zarray"))
    assert described["zarr_format"] == 2
    assert described["shape"] == [1, 30, 50]
    assert described["chunks"] == [1, 30, 50]
    assert described["dtype"] == "<i4"
    assert described["compressor"]["cname"] == "zstd"
    assert described["compressor"]["shuffle"] == 2
    assert dark["shape"] == [1, 30, 50]
    # C programs open these chunks by name, the dark of zeros too.
    for name in ("exchange/data/0.0.0", "exchange/dark/0.0.0", "exchange/bright/0.0.0",
                 f"{ANALYSIS}/SkipFrame/0", f"{ANALYSIS}/PixelSize/0", f"{ANALYSIS}/tx/0",
                 f"{ANALYSIS}/LatticeParameter/0", f"{ANALYSIS}/Wavelength/0",
                 f"{ANALYSIS}/YCen/0", f"{ANALYSIS}/ZCen/0",
                 "measurement/process/scan_parameters/datatype/.zarray"):  # fmt: skip
        assert name in names
    assert f"{ANALYSIS}/FileStem/.zarray" not in names
    assert np.frombuffer(Blosc().decode(chunk), "<i4").tolist() == [225]
    root = zarr.open_group(zarr.storage.ZipStore(archive, mode="r"), mode="r")
    assert root[f"{ANALYSIS}/RingsToExclude"][:].tolist() == [[7.0, 8.0]]
    assert root[f"{ANALYSIS}/PixelSize"].dtype == np.float64
    assert bytes(root["measurement/process/scan_parameters/datatype"][()]) == b"int32"
    root.store.close()


def test_round_trip(tmp_path: Path, counts: NDArray[np.int32]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", counts[0])
    image, params = read_archive(convert(tmp_path / "a.tif", PARAMS))
    np.testing.assert_array_equal(image.data, np.where(counts[0] < 0, 0, counts[0]))
    assert image.masked == {"value -1": 30}
    assert not image.dark_subtracted
    expected = {k: v for k, v in PARAMS.given.items() if k != "FileStem"} | {"SkipFrame": 0}
    assert dict(params.given) == expected


def test_hdf5_with_dark_and_skipped_frames(tmp_path: Path, counts: NDArray[np.int32]) -> None:
    dark = np.stack([np.full((30, 50), value, np.int32) for value in (1000, 3, 5)])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/counts"] = counts
        file["entry/dark"] = dark
    params = MidasParams({**PARAMS.given, "SkipFrame": 1})
    archive = convert(
        tmp_path / "a.h5",
        params,
        tmp_path / "out.MIDAS.zip",
        convert_file=1,
        dataset="entry/counts",
        dark_dataset="entry/dark",
    )
    image, back = read_archive(archive, transforms=(2,))
    good = np.flipud(counts[0] >= 0)
    assert back["SkipFrame"] == 1
    assert image.n_frames == 2
    assert image.dark_subtracted
    expected = np.flipud(counts[1:].mean(axis=0) - 4.0)
    np.testing.assert_allclose(image.data[good], expected[good], rtol=1e-15)
    # Left to itself, the archive is an image like any other: all frames, no dark.
    assert read(archive).n_frames == 3
    assert read_archive(archive, frames=0)[0].n_frames == 1


def test_ge_with_dark_file(tmp_path: Path) -> None:
    frame = np.arange(1500, dtype="<u2").reshape(30, 50)
    for name, values in (("a.ge3", frame + 7), ("dark.ge3", np.full_like(frame, 7))):
        (tmp_path / name).write_bytes(bytes(64) + values.astype("<u2").tobytes())
    params = MidasParams({**PARAMS.given, "HeadSize": 64, "NrPixelsY": 50, "NrPixelsZ": 30})
    archive = convert(tmp_path / "a.ge3", params, convert_file=2, dark=tmp_path / "dark.ge3")
    image, back = read_archive(archive)
    np.testing.assert_array_equal(image.data, frame)
    assert back.shape == (30, 50)
    other = read_archive(archive, dark=np.zeros((30, 50)))[0]
    np.testing.assert_array_equal(other.data, frame + 7)


def test_convert_refusals(tmp_path: Path, counts: NDArray[np.int32]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", counts[0])
    np.save(tmp_path / "dark.npy", counts[0, :-1])
    some = MidasParams({"px": 172.0, "SpaceGroup": 225})
    with pytest.raises(ConfigError, match="missing keys: LatticeConstant, Wavelength"):
        convert(tmp_path / "a.tif", some)
    with pytest.raises(ConfigError, match=r"ConvertFile 1 is for HDF5 files .* not \.tif"):
        convert(tmp_path / "a.tif", PARAMS, convert_file=1)
    with pytest.raises(ConfigError, match="ConvertFile 0 converts nothing; 1 HDF5, 2 GE, 3 TIFF"):
        convert(tmp_path / "a.tif", PARAMS, convert_file=0)
    with pytest.raises(FormatError, match=r"the dark has \(29, 50\) pixels, the image \(30, 50\)"):
        convert(tmp_path / "a.tif", PARAMS, dark=tmp_path / "dark.npy")
    with pytest.raises(FormatError, match="no such file"):
        convert(tmp_path / "no.tif", PARAMS)
    with pytest.raises(ConfigError, match="cannot write: the folder"):
        convert(tmp_path / "a.tif", PARAMS, tmp_path / "no" / "a.zip")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "dark.npy"]


def test_nothing_half_written(tmp_path: Path, counts: NDArray[np.int32]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([counts[0], counts[1]]))
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[:-100])
    with pytest.raises(FormatError, match=r"truncated|not a readable TIFF") as caught:
        convert(tmp_path / "a.tif", PARAMS)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]


def test_archive_refusals(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file"):
        read_archive(tmp_path / "no.zip")
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(FormatError, match="not a readable Zarr archive"):
        read_archive(tmp_path / "bad.zip")
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
    group.create_array("other", data=np.ones((1, 30, 30)))
    with pytest.raises(FormatError, match="no exchange/data: not a MIDAS archive"):
        read_archive(tmp_path / "a.zarr")
    group.create_array("exchange/data", data=np.ones((1, 30, 30)))
    assert read_archive(tmp_path / "a.zarr")[1].given == {}
    group.create_array(f"{ANALYSIS}/Wavelength", data=np.array([np.nan]))
    with pytest.raises(FormatError, match="the parameter Wavelength holds no finite number"):
        read_archive(tmp_path / "a.zarr")


def test_damaged_chunk(tmp_path: Path) -> None:
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
    group.create_array("exchange/data", data=np.ones((1, 30, 30)))
    group.create_array("exchange/dark", data=np.ones((1, 30, 30)))
    (tmp_path / "a.zarr" / "exchange" / "dark" / "0.0.0").write_bytes(b"xx")
    with pytest.raises(FormatError, match=r"a\.zarr: damaged chunk exchange/dark/0\.0\.0: "):
        read_archive(tmp_path / "a.zarr")
