"""Unit tests of writing simulated frames and reading their truth back."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConfigError, FormatError
from refimpl.forward.powder_image import simulate
from refimpl.forward.simulated_frame import SimulatedFrame
from refimpl.io.images import read
from refimpl.io.simulated_frame import DATASET, load_truth


def small(noise: str | None = "poisson") -> SimulatedFrame:
    boxes = np.array([[0, 0, 30, 60], [33, 0, 80, 60]])
    model = TiltedFlat((60, 80), (0.1, 0.1), 200.0, (40.0, 31.0), panel_boxes=boxes)
    return simulate(
        model,
        ([0.008], [1.0]),
        wavelength_angstrom=0.2,
        background=lambda t: 5.0 + t,
        noise=noise,
        seed=4,
    )


@pytest.mark.parametrize("name", ["frame.tif", "frame.TIFF", "frame.h5", "frame.hdf5"])
def test_image_and_truth_come_back(name: str, tmp_path: Path) -> None:
    frame = small()
    path = frame.save(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == [name], "no temporary file is left"
    image = read(path)
    np.testing.assert_array_equal(image.mask, frame.mask)
    np.testing.assert_array_equal(image.data[~frame.mask], frame.image[~frame.mask])
    truth = load_truth(path)
    assert truth["model"]["lsd_mm"] == 200.0
    assert truth["model"]["panel_boxes"][1] == [33, 0, 80, 60]
    assert truth["seed"] == 4
    assert truth["two_theta_rad"] == [0.008]
    assert len(truth["background"]["counts"]) == 64


def test_an_expectation_is_a_float_tiff(tmp_path: Path) -> None:
    frame = small(noise=None)
    stored = tifffile.imread(frame.save(tmp_path / "mean.tif"))
    assert stored.dtype == np.float32
    np.testing.assert_allclose(stored, frame.image, rtol=1e-6)  # float32 has 24 bits


def test_hdf5_holds_the_defects(tmp_path: Path) -> None:
    frame = small()
    with h5py.File(frame.save(tmp_path / "frame.h5")) as file:
        np.testing.assert_array_equal(file["entry/data/defects"][()], frame.defects)
        assert file[DATASET].dtype == np.int32


def test_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot tell the format of a simulated frame: expected"):
        small().save(tmp_path / "frame.png")


def test_files_without_truth_are_refused(tmp_path: Path) -> None:
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, np.zeros((4, 4), np.int32))
    with pytest.raises(FormatError, match=r"plain.tif: holds no truth of a simulated frame"):
        load_truth(plain)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["truth"] = "[1]"
    with pytest.raises(FormatError, match=r"other.h5: holds no truth of a simulated frame"):
        load_truth(other)
    with pytest.raises(FormatError, match=r"none.tif: no such file"):
        load_truth(tmp_path / "none.tif")
