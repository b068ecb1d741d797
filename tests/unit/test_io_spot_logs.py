"""Logs of distl and DIALS: the published example, many images, broken and cut files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from distl_listing import APPENDIX_B, HEAD, LISTING, NOTES

from refimpl.errors import FormatError
from refimpl.imaging.distl import DistlSettings, FlatDetector, count_spots
from refimpl.io.dials_spot_log import parse_dials_spot_log, read_dials_spot_log
from refimpl.io.distl_log import parse_distl_log, read_distl_log


def test_the_example_of_the_thesis_has_every_field(tmp_path: Path) -> None:
    path = tmp_path / "out000137.log"
    path.write_text(APPENDIX_B)
    (record,) = read_distl_log(path)
    values = dataclasses.asdict(record)
    parameters = values.pop("parameters")
    assert values == {
        "file": "out000137.cbf", "spot_total": 1707, "remove_ice": 1610, "in_resolution": 1543,
        "good_bragg": 1313, "ice_rings": 6, "method1_angstrom": 1.60, "method2_angstrom": 1.52,
        "max_cell_angstrom": 153.7, "mean_eccentricity": 0.790, "saturation_percent": 1.46,
        "saturation_peaks": 50, "overloads": 0, "method2_cutoff_percent": 20.0,
        "image_number": 137, "focus_spots": 1543, "total_signal": 927143.0, "signal_min": 14.3,
        "signal_max": 18020.4, "signal_mean": 755.7, "saturation_min_percent": 0.0,
        "saturation_max_percent": 3.0, "saturation_mean_percent": 0.1,
        "detector": "MAX-IV Eiger 16M",
    }  # fmt: skip
    assert record.frame == 137
    assert len(parameters) == 28
    assert parameters["distl.image"] == (
        "/data/staff/common/ML-crystals/real_cbf/20181214/Sample-3-07/20180479_1_master/"
        "out000137.cbf"
    )
    assert parameters["distl.res.outer"] == "None"
    assert parameters["distl.bins.N"] == "20"
    assert parameters["distl.scanbox_windows"] == "101 51 51"
    assert parameters["autoindex_override_twotheta"] == "None"


def test_several_images_of_one_run_and_several_runs() -> None:
    second = LISTING.replace("137", "138").replace("1707", "12").replace(" 1.52", " None")
    notes = NOTES.replace("#137", "#138").replace("1543", "9")
    run = HEAD + LISTING + second + NOTES + notes
    records = parse_distl_log(run + APPENDIX_B)
    assert [(r.file, r.spot_total, r.focus_spots) for r in records] == [
        ("out000137.cbf", 1707, 1543), ("out000138.cbf", 12, 9), ("out000137.cbf", 1707, 1543),
    ]  # fmt: skip
    assert records[1].method2_angstrom is None
    assert [r.method2_cutoff_percent for r in records] == [20.0, 20.0, 20.0]
    assert [r.detector for r in records] == ["", "", "MAX-IV Eiger 16M"]
    concatenated = parse_distl_log(LISTING + NOTES + second + notes)
    assert [r.image_number for r in concatenated] == [137, 138]
    assert not concatenated[0].parameters


def test_an_image_without_notes_keeps_its_listing() -> None:
    (record,) = parse_distl_log(LISTING)
    assert record.spot_total == 1707
    assert record.total_signal is None
    assert record.frame == 137  # of the name
    assert dataclasses.replace(record, file="image.cbf").frame is None


def test_our_own_listing_is_read_back() -> None:
    detector = FlatDetector((300, 260), 0.2, 100.0, 1.0, (25.4, 31.2))
    image = np.random.default_rng(3).poisson(20.0, detector.shape).astype(np.int32)
    for k in range(30):
        image[30 + 8 * k : 33 + 8 * k, 40 + 6 * k : 43 + 6 * k] += 200
    found = count_spots(image, detector, overload=10**6, settings=DistlSettings())
    (record,) = parse_distl_log(found.listing("a_0007.cbf"))
    assert (record.spot_total, record.frame) == (found.spot_total, 7)
    assert found.spot_total > 20
    assert record.good_bragg == len(found.lists["good_bragg"])
    assert record.method2_angstrom == pytest.approx(found.method2_angstrom, abs=0.005)  # printed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing\n", "x.log: no listing of distl.signal_strength found"),
        ("\n File : a_1.cbf\n", r"x.log:2: listing of a_1.cbf has no 'Spot Total': broken off"),
        (LISTING.replace("1707", "many"), r"x.log:3: 'Spot Total : many': expected a number"),
        (LISTING.replace("1.60", "1.6.0"), r"x.log:13: 'Method 1 Resolution : 1.6.0': expected"),
    ],
)
def test_a_broken_listing_is_refused(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_distl_log(text, path=Path("x.log"))


def test_a_missing_log_is_refused(tmp_path: Path) -> None:
    for read in (read_distl_log, read_dials_spot_log):
        with pytest.raises(FormatError, match=r"none.log: cannot read: No such file"):
            read(tmp_path / "none.log")  # type: ignore[operator]


# --- DIALS ----------------------------------------------------------------------------------------

NEW = """\
Finding strong spots in imageset 0
Found 28 strong pixels on image 1
Found 8 strong pixels on image 2
Number of centroids per image for imageset 0:
+---------+----------+-----------------+-------------------+
|   image |   #spots |   #spots_no_ice |   total_intensity |
|---------+----------+-----------------+-------------------|
|       1 |       10 |               9 |              5163 |
|       2 |        0 |               0 |                 0 |
+---------+----------+-----------------+-------------------+
"""
OLD = """\
-------------------------------------------------------------------------------------------------
| image | #spots | #spots_no_ice | total_intensity | d_min | d_min (distl method 1) | d_min (distl method 2) |
-------------------------------------------------------------------------------------------------
| 1     | 90     | 77            | 28214           | 1.56  | 2.08 (0.09)            | 1.59 (0.27)            |
| 2     | 3      | 3             | 114             |       |                        |                        |
-------------------------------------------------------------------------------------------------
| Overall statistics |      |
| #spots             | 93   |
"""  # noqa: E501


def test_the_table_of_dials_is_read(tmp_path: Path) -> None:
    path = tmp_path / "dials.find_spots.log"
    path.write_text(NEW)
    first, second = read_dials_spot_log(path)
    assert (first.imageset, first.image, first.spots, first.spots_no_ice) == (0, 1, 10, 9)
    assert (first.total_intensity, first.strong_pixels, first.d_min_angstrom) == (5163.0, 28, None)
    assert (second.image, second.spots, second.strong_pixels) == (2, 0, 8)


def test_older_rules_and_all_columns_are_read() -> None:
    first, second = parse_dials_spot_log(OLD)
    assert (first.spots, first.d_min_angstrom) == (90, 1.56)
    assert (first.method1_angstrom, first.method1_noisiness) == (2.08, 0.09)
    assert (first.method2_angstrom, first.method2_noisiness) == (1.59, 0.27)
    assert (second.spots, second.d_min_angstrom, second.strong_pixels) == (3, None, None)


def test_times_before_the_table_and_several_image_sets() -> None:
    table = NEW[NEW.index("+") :]
    stamped = "".join(f"  16.2: {line}\n" for line in table.splitlines())
    assert [r.spots for r in parse_dials_spot_log(stamped)] == [10, 0]
    both = NEW + NEW.replace("imageset 0", "imageset 1").replace("|       10 |", "|       11 |")
    found = parse_dials_spot_log(both)
    assert [(r.imageset, r.image, r.spots) for r in found] == [
        (0, 1, 10), (0, 2, 0), (1, 1, 11), (1, 2, 0),
    ]  # fmt: skip
    assert [r.imageset for r in parse_dials_spot_log(table + table)] == [0, 0, 1, 1]


def test_a_log_cut_before_its_table_has_strong_pixels() -> None:
    found = parse_dials_spot_log(NEW[: NEW.index("Number")])
    assert [(r.image, r.spots, r.strong_pixels) for r in found] == [(1, None, 28), (2, None, 8)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "x.log: no table of spots by image"),
        (NEW.replace(" 10 ", " ten "), r"x.log:8: #spots 'ten': expected a number"),
        (NEW.replace("|       2 |", "|       1 |"), r"x.log:9: image 1 of image set 0 comes twice"),
        (NEW.replace("|       2 |", "|         |"), r"x.log:9: a row without a number"),
    ],
)
def test_a_broken_table_is_refused(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_dials_spot_log(text, path=Path("x.log"))
