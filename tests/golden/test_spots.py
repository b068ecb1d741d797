"""Spots of real images against dials.find_spots and distl.signal_strength: masks, tables, lists.

The reference outputs were produced with DIALS and cctbx on the thaumatin grid images 1-10
(``metrology/fixtures``, ``metrology/spots``, ``metrology/distl``); these tests need that data.
"""

from __future__ import annotations

import bz2
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refimpl.imaging.distl import DistlResult, FlatDetector, count_spots
from refimpl.imaging.spots import SpotSettings, find_spots, strong_pixels
from refimpl.io.minicbf import experiment_from_minicbf, read_minicbf

RealData = Callable[[str], Path]
THRESHOLDS = {"dispersion": "dispersion", "extended": "dispersion_extended"}
TABLES = {
    "dispersion_3": ("dispersion", 3),
    "dispersion_6": ("dispersion", 6),
    "dispersion_extended_3": ("dispersion_extended", 3),
}
PER_IMAGE = {  # the published counts of the reference run, images 1 to 10
    "dispersion_3": [288, 1266, 1374, 1319, 1243, 1164, 1082, 1086, 942, 947],
    "dispersion_extended_3": [303, 1187, 1359, 1320, 1242, 1198, 1160, 1146, 1040, 1008],
}
LISTS = {
    "spots_non_ice": "spots_non-ice",
    "remove_ice": "ice_free_resolution_spots",
    "in_resolution": "lo_pass_resolution_spots",
    "unimodal": "spots_unimodal",
    "good_bragg": "inlier_spots",
}
SPOT_TOTAL = [280, 977, 960, 944, 892, 942, 922, 916, 863, 859]
QUICK = [1, 2]
SLOW = [pytest.param(n, marks=pytest.mark.slow) for n in range(3, 11)]


def name_of(number: int) -> str:
    return f"thau_3_2_{number:04d}"


@functools.lru_cache(maxsize=2)
def _read(path: Path) -> np.ndarray[Any, np.dtype[np.int32]]:
    return read_minicbf(path)[0]


def image_of(real_data: RealData, number: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    return _read(real_data(f"thaumatin-grid/{name_of(number)}.cbf.bz2"))


# --- strong pixels --------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("gain", [None, 1.3])
@pytest.mark.parametrize("number", [1, 2, pytest.param(6, marks=pytest.mark.slow)])
def test_strong_pixels_are_identical(
    real_data: RealData, number: int, gain: float | None, threshold: str
) -> None:
    image = image_of(real_data, number)
    suffix = "" if gain is None else f"_gain{gain}"
    with np.load(real_data("metrology/fixtures/threshold_masks.npz")) as file:
        packed = file[f"{threshold}{suffix}_{number:02d}"]
        assert tuple(file["shape"]) == image.shape
    expected = np.unpackbits(packed)[: image.size].reshape(image.shape)
    settings = SpotSettings(THRESHOLDS[threshold], gain=gain)  # type: ignore[arg-type]
    found = strong_pixels(image, None, (0, 115897), settings)
    assert expected.sum() > 1500
    assert int((found != expected).sum()) == 0


# --- spots ----------------------------------------------------------------------------------------


def compare_table(real_data: RealData, table: str, numbers: list[int], **options: Any) -> None:
    """Every column of the reference table, for some of its images."""
    threshold, least = TABLES[table]
    settings = SpotSettings(threshold, min_spot_size=least)  # type: ignore[arg-type]
    images = (image_of(real_data, n) for n in numbers)
    found = find_spots(images, trusted_range=(0, 115897), is_still=True, settings=settings,
                       first_frame=numbers[0] - 1, **options)  # fmt: skip
    with np.load(real_data(f"metrology/spots/{table}.npz")) as file:
        chosen = np.isin(file["id"], np.array(numbers) - 1)
        expected = {name: file[name][chosen] for name in file}
    columns = found.columns
    if table in PER_IMAGE:
        assert found.per_image().tolist() == [PER_IMAGE[table][n - 1] for n in numbers]
    assert len(found) == chosen.sum()
    assert np.array_equal(columns["id"] + numbers[0] - 1, expected["id"])
    for name in ("bbox", "flags", "n_signal", "panel"):
        assert np.array_equal(columns[name], expected[name]), name
    for name in ("intensity.sum.value", "intensity.sum.variance"):
        assert np.array_equal(columns[name], expected[name]), name
    # sums over a spot in another order: a few ulp of 2500 px, and of the squares of that
    value, variance = "xyzobs.px.value", "xyzobs.px.variance"
    np.testing.assert_allclose(columns[value], expected[value], rtol=1e-15, atol=0)
    np.testing.assert_allclose(columns[variance], expected[variance], rtol=0, atol=1e-11)


@pytest.mark.parametrize("table", TABLES)
def test_spots_of_the_first_images(real_data: RealData, table: str) -> None:
    compare_table(real_data, table, [1, 2])


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_spots_of_all_images(real_data: RealData, table: str) -> None:
    compare_table(real_data, table, list(range(1, 11)))


def test_sixty_panels_give_the_spots_of_one(real_data: RealData, tmp_path: Path) -> None:
    path = tmp_path / f"{name_of(2)}.cbf"
    path.write_bytes(bz2.decompress(real_data(f"thaumatin-grid/{path.name}.bz2").read_bytes()))
    modules = experiment_from_minicbf(path, multi_panel=True).detector.modules
    boxes = [(*m.raw_image_offset, *m.size_px) for m in modules]
    settings = SpotSettings("dispersion")
    trusted = modules[0].trusted_range
    image = image_of(real_data, 2)
    one = find_spots([image], trusted_range=trusted, is_still=True, settings=settings)
    sixty = find_spots([image], trusted_range=trusted, is_still=True, panels=boxes,
                       settings=settings)  # fmt: skip
    assert trusted == (0.0, 115897.0)
    assert len(one) == len(sixty) == PER_IMAGE["dispersion_3"][1]
    corner = np.array([[*boxes[p][:2], 0] for p in sixty.panel])
    moved = sixty.position + corner
    order, expected = (np.lexsort(p.T) for p in (moved, one.position))
    np.testing.assert_allclose(moved[order], one.position[expected], atol=1e-9)  # px, rounding
    assert sorted(sixty.intensity.tolist()) == sorted(one.intensity.tolist())


# --- distl ----------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=2)
def _counted(path: Path) -> DistlResult:
    # header of the images: beam (1261.61, 1306.96) px, 351 mm, 0.96859 Angstrom
    beam = (1261.61 * 0.172, 1306.96 * 0.172)
    detector = FlatDetector((2527, 2463), 0.172, 351.0, 0.96859, beam)
    return count_spots(_read(path), detector, overload=115897)


def counted(real_data: RealData, number: int) -> DistlResult:
    return _counted(real_data(f"thaumatin-grid/{name_of(number)}.cbf.bz2"))


@pytest.mark.parametrize("number", [*QUICK, *SLOW])
def test_distl_lists_and_columns_are_the_published_ones(real_data: RealData, number: int) -> None:
    result, name = counted(real_data, number), name_of(number)
    assert result.spot_total == SPOT_TOTAL[number - 1]
    with np.load(real_data("metrology/distl/spots.npz")) as file:
        assert list(result.spots) == file["columns"].tolist()
        expected = file[name]
        lists = {key: file[f"{name}__idx__{theirs}"] for key, theirs in LISTS.items()}
    for column, theirs in zip(result.spots.values(), expected.T, strict=True):
        np.testing.assert_allclose(column, theirs, rtol=1e-13, atol=1e-13)  # sums of few terms
    for key, rows in lists.items():
        assert sorted(result.lists[key].tolist()) == sorted(rows.tolist()), key


@pytest.mark.parametrize("number", [*QUICK, *SLOW])
def test_distl_summary_is_the_published_one(real_data: RealData, number: int) -> None:
    result = counted(real_data, number)
    with open(real_data("metrology/distl/summary.json"), encoding="utf-8") as file:
        expected = json.load(file)["rows"][number - 1]
    pairs = [
        (result.method1_angstrom, expected["method1"]),
        (result.method2_angstrom, expected["method2"]),
        (result.max_cell_angstrom, expected["maxcell"]),
        (result.mean_eccentricity, expected["eccen"][0]),
        (result.total_signal, expected["total_signal"]),
    ]
    for ours, theirs in pairs:
        assert ours == pytest.approx(theirs, rel=1e-12)  # sums of a thousand terms
    assert len(result.ice_rings) == expected["ice_rings"]
    np.testing.assert_allclose(
        np.array(result.ice_rings).reshape(-1, 2),
        np.array(expected["ice_bounds"]).reshape(-1, 2),
        rtol=1e-12,
    )


@pytest.mark.parametrize("number", [*QUICK, *SLOW])
def test_distl_listing_is_the_published_one(real_data: RealData, number: int) -> None:
    published = real_data(f"metrology/distl/{name_of(number)}.txt").read_text()
    listing = counted(real_data, number).listing(f"{name_of(number)}.cbf")
    assert listing.count("\n") == 12
    assert published.lstrip("\n").startswith(listing)
