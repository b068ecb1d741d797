"""Reflection counts of CBF files, of an Eiger master and of logs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from distl_listing import APPENDIX_B

from refimpl.centring.counts import count_images, counts_of_log, frame_range
from refimpl.errors import ConfigError, FormatError
from refimpl.imaging.distl import DistlSettings, FlatDetector, count_spots

FLAT = FlatDetector((300, 260), 0.075, 100.0, 1.0, (9.0, 12.0))


def frame(spots: int) -> np.ndarray:
    out = np.random.default_rng(spots).poisson(20.0, FLAT.shape)
    for k in range(spots):
        out[40 + 20 * (k // 8) :, 40 + 20 * (k % 8) :][:3, :3] += 300
    return out


def master(path: Path, *, leave_out: str = "", **units: str) -> Path:
    """Eiger master with five frames in two data files, the third without spots."""
    stack = np.array([frame(n) for n in (5, 12, 0, 30, 7)], dtype=np.uint32)
    stack[:, 0, :] = 2**32 - 1
    with h5py.File(path, "w") as file:
        for k, part in enumerate((stack[:3], stack[3:]), start=1):
            with h5py.File(path.with_name(f"{path.stem}_{k}.h5"), "w") as data:
                data["data"] = part
            file[f"entry/data/data_{k:06d}"] = h5py.ExternalLink(f"{path.stem}_{k}.h5", "data")
        values = {
            "instrument/detector/x_pixel_size": (75e-6, "m"),
            "instrument/detector/detector_distance": (0.1, "m"),
            "instrument/detector/beam_center_x": (120.0, "pixel"),
            "instrument/detector/beam_center_y": (160.0, "pixel"),
            "instrument/detector/detectorSpecific/countrate_correction_count_cutoff": (9e4, ""),
            "instrument/beam/incident_wavelength": (1.0, "angstrom"),
        }
        for key, (value, unit) in values.items():
            if key.split("/")[-1] != leave_out:
                file[f"entry/{key}"] = value
                file[f"entry/{key}"].attrs["units"] = units.get(key.split("/")[-1], unit)
    return path


def expected(n: int) -> int:
    image = frame(n).astype(np.int32)
    image[0] = -1
    return count_spots(
        image, FLAT, overload=90000, settings=DistlSettings.of_detector("eiger")
    ).spot_total


def test_frames_of_a_master_count_from_one_with_both_ends(tmp_path: Path) -> None:
    path = master(tmp_path / "a_master.h5")
    seen: list[tuple[int, int]] = []
    table = count_images([path], (2, 4), progress=lambda done, of: seen.append((done, of)))
    assert table["frame"].tolist() == [2, 3, 4]
    assert table["image"].tolist() == [f"a_master.h5:{k}" for k in (2, 3, 4)]
    assert table["rc"].tolist() == [expected(12), expected(0), expected(30)]
    assert table["rc"].tolist() == [10, 0, 19]  # some lie on what looks like a ring of ice
    assert np.isnan(table["max_cell_angstrom"][1])
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert count_images([path])["frame"].tolist() == [1, 2, 3, 4, 5]


def test_masters_that_do_not_say_enough_are_refused(tmp_path: Path) -> None:
    path = master(tmp_path / "a_master.h5")
    with pytest.raises(ConfigError, match=r"frames 4:6: a_master.h5 has 5"):
        count_images([path], (4, 6))
    with pytest.raises(ConfigError, match="give an HDF5 file alone"):
        count_images([path, path])
    with pytest.raises(ConfigError, match=r"kind='jungfrau': expected one of pilatus, eiger"):
        count_images([path], kind="jungfrau")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no images given"):
        count_images([])
    with pytest.raises(FormatError, match=r"no entry/instrument/detector/detector_distance: not"):
        count_images([master(tmp_path / "b.h5", leave_out="detector_distance")])
    with pytest.raises(FormatError, match=r"incident_wavelength: not a master file"):
        count_images([master(tmp_path / "c.h5", leave_out="incident_wavelength")])
    with pytest.raises(FormatError, match=r"wavelength in 'parsec': expected angstrom, nm or m"):
        count_images([master(tmp_path / "d.h5", incident_wavelength="parsec")])
    with pytest.raises(FormatError, match=r"x_pixel_size 7.5e-05 inch: expected a length > 0"):
        count_images([master(tmp_path / "e.h5", x_pixel_size="inch")])


def test_the_published_totals_of_real_images(real_data: Callable[[str], Path]) -> None:
    folder = real_data("thaumatin-grid")
    paths = [folder / f"thau_3_2_{k:04d}.cbf.bz2" for k in range(1, 11)]
    table = count_images(paths, (1, 3))
    assert table["frame"].tolist() == [1, 2, 3]
    # distl.signal_strength with its defaults on these files
    assert table["rc"].tolist() == [280, 977, 960]
    assert table["good_bragg"].tolist() == [212, 739, 765]
    assert table["method1_angstrom"][0] == pytest.approx(2.34, abs=0.005)
    with pytest.raises(ConfigError, match=r"none of 10 images has a number in \(11, 12\)"):
        count_images(paths, (11, 12))


@pytest.mark.parametrize(("text", "ends"), [("3", (3, 3)), (" 1:400 ", (1, 400)), (None, None)])
def test_ranges_of_frames(text: str | None, ends: tuple[int, int] | None) -> None:
    assert frame_range(text) == ends


@pytest.mark.parametrize("text", ["", "0:3", "4:2", "1:2:3", "-1", "a"])
def test_other_ranges_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected N or N:M, from 1, both included"):
        frame_range(text)


def test_counts_of_logs(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text(APPENDIX_B)
    table = counts_of_log(path)
    assert table[["image", "frame", "rc"]].to_dict("list") == {
        "image": ["out000137.cbf"], "frame": [137], "rc": [1707],
    }  # fmt: skip
    assert table["good_bragg"].tolist() == [1313]
    path.write_text("| image | #spots |\n|---|---|\n| 1 | 10 |\n| 2 | 3 |\n")
    assert counts_of_log(path).to_dict("list") == {
        "image": ["1", "2"], "frame": [1, 2], "rc": [10, 3],
    }  # fmt: skip
    path.write_text("Found 28 strong pixels on image 1\n")
    with pytest.raises(FormatError, match="cut before the table of spots"):
        counts_of_log(path)
    with pytest.raises(FormatError, match="cannot read: No such file"):
        counts_of_log(tmp_path / "none.log")
