"""Bins of pixels, patterns and their files: hand-computed values, and every refusal."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from refimpl.detector.model import TiltedFlat
from refimpl.detector.panel import Detector, Panel
from refimpl.errors import ConfigError, FormatError
from refimpl.imaging.azimuthal import MOST_BLOCKS, PixelBins, bin_index, bin_sums, native
from refimpl.io import images
from refimpl.io.geometry_json import read_geometry, write_geometry
from refimpl.powder.integrate import integrate, integrator
from refimpl.powder.pattern import Pattern
from refimpl.powder.pixel_maps import pixel_maps

FLAT = TiltedFlat((40, 50), (0.1, 0.12), 80.0, (24.3, 18.8), (0.01, 0.02, -0.03))
FRAME = np.arange(2000, dtype=np.int32).reshape(40, 50)


# --- bins -----------------------------------------------------------------------------------------


def test_bin_index_has_the_edges_of_numpy() -> None:
    edges = np.linspace(0.1, 0.7, 7)
    x = np.concatenate([edges, np.nextafter(edges, -1.0), np.nextafter(edges, 1.0)])
    for value, index in zip(x, bin_index(x, edges), strict=True):
        expected = np.flatnonzero(np.histogram([value], bins=edges)[0])
        assert index == (expected[0] if len(expected) else -1), value


def test_bin_index_leaves_out_what_is_no_number() -> None:
    found = bin_index(np.array([np.nan, -np.inf, np.inf, 0.5]), np.array([0.0, 1.0]))
    assert found.tolist() == [-1, -1, -1, 0]
    assert found.dtype == np.int32


def test_bin_sums_by_hand() -> None:
    values = np.array([1, 2, 4, 8, 16, 32], dtype=np.uint8)
    bins = np.array([0, 2, -1, 2, 3, 0], dtype=np.int32)  # 3 is one too many
    for blocks, lanes in ((1, 1), (2, 1), (1, 4), (5, 4)):
        assert bin_sums(values, bins, 3, blocks, lanes).tolist() == [33.0, 0.0, 10.0]


def test_sub_pixels_by_hand() -> None:
    # two pixels of 2 x 2 sub-pixels, then one; the second pixel is half outside
    first = np.array([[0, 1], [0, -1], [1, 1], [0, -1]], dtype=np.int32)
    last = np.array([[2], [2], [2], [2]], dtype=np.int32)
    plan = PixelBins.split(3, 3, 2, [(0, first), (2, last)])
    assert plan.pixel is not None
    assert plan.share is not None
    assert plan.pixel.tolist() == [0, 0, 1, 2]
    assert plan.bins.tolist() == [0, 1, 1, 2]
    assert plan.share.tolist() == [3, 1, 2, 4]
    linear, squared = plan.sums_and_squares(np.array([4.0, 8.0, 16.0]))
    assert linear.tolist() == [3.0, 1.0 + 4.0, 16.0]
    assert squared.tolist() == [4.0 * 9 / 16, 4.0 / 16 + 8.0 * 4 / 16, 16.0]


@pytest.mark.parametrize("kind", ["?", "f2", ">i2", ">f4", "<u8"])
def test_types_become_those_of_the_twins(kind: str) -> None:
    values = np.array([0, 1, 1, 0]).astype(kind)
    flat = native(values.reshape(2, 2))
    assert flat.tolist() == [0, 1, 1, 0]
    assert flat.dtype.isnative
    assert flat.dtype.str[1:] in ("u1", "f4", "i2", "u8")


def test_a_native_frame_is_not_copied() -> None:
    for kind in ("u2", "i4", "f4", "f8"):
        frame = np.zeros((3, 4), dtype=kind)
        assert np.shares_memory(native(frame), frame)


def test_values_must_be_real_and_fit() -> None:
    plan = PixelBins(2, 1, np.zeros(2, dtype=np.int32))
    with pytest.raises(ConfigError, match=r"values of type complex128: expected real numbers"):
        plan.sums(np.zeros(2, dtype=complex))
    with pytest.raises(ConfigError, match=r"3 values: expected one for each of 2 px"):
        plan.sums(np.zeros(3))


def test_tables_are_a_minor_part_of_the_work() -> None:
    for n_pixels, n_bins in ((2_476_525, 1000), (2_476_525, 36_000), (2_476_525, 360_000), (9, 5)):
        plan = PixelBins(n_pixels, n_bins, np.zeros(n_pixels, dtype=np.int32))
        assert 1 <= plan.blocks <= MOST_BLOCKS
        assert plan.blocks == 1 or plan.blocks * plan.lanes * n_bins <= n_pixels / 4


# --- where pixels look ----------------------------------------------------------------------------


def panelled() -> TiltedFlat:
    boxes = np.array([[0, 0, 20, 40], [23, 0, 50, 18], [23, 21, 50, 40]], dtype=np.int64)
    moves = np.array([[0.3, -0.2, 2e-3, 0.1, 1e-5], [-0.4, 0.1, -1e-3, 0.0, 0.0], [0.0] * 5])
    return FLAT.replace(
        pixel_size_mm=(0.1, 0.1),
        panel_boxes=boxes,
        panel_corrections=moves,
        p=(1e-3, 4e-4, -2e-4, 33.0) + (0.0,) * 11,
    )


@pytest.mark.parametrize("codes", [(), (2,), (3,), (3, 1, 2)])
def test_model_and_vectors_look_the_same_way(codes: tuple[int, ...]) -> None:
    model = panelled().replace(image_transform=codes)
    ours, vectors = pixel_maps(model), pixel_maps(model.detector())
    assert vectors.model is None
    for rows in ours.blocks():
        for at in ((0.5, 0.5), (0.1, 0.8)):
            for a, b in zip(
                ours.two_theta_eta(rows, at), vectors.two_theta_eta(rows, at), strict=True
            ):
                # two ways to the same angle [rad], each a dozen roundings of numbers about 1
                np.testing.assert_allclose(a, b, rtol=0.0, atol=1e-12)
        assert np.isnan(ours.relative_solid_angle(rows)).sum() == np.isnan(a).sum()


def triangle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """Solid angle of a triangle: Van Oosterom and Strackee, IEEE TBME 30 (1983) 125."""
    la, lb, lc = (np.linalg.norm(v) for v in (a, b, c))
    below = la * lb * lc + a @ b * lc + a @ c * lb + b @ c * la
    return float(2.0 * np.arctan2(abs(a @ np.cross(b, c)), below))


def test_solid_angle_is_that_of_the_pixel_s_outline() -> None:
    model = FLAT.replace(lsd_mm=5.0, tilts_rad=(0.1, 0.3, -0.2))  # steep on purpose
    panel = model.detector().panels[0]
    maps = pixel_maps(model)
    got = maps.relative_solid_angle(slice(0, 40))
    for fast, slow in ((0, 0), (49, 0), (31, 17), (3, 39)):
        corners = [
            panel.lab_mm(np.array(float(fast + i)), np.array(float(slow + j)))
            for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))
        ]
        exact = triangle(*corners[:3]) + triangle(corners[0], *corners[2:])
        facing = 0.1 * 0.12 / 5.0**2
        # the midpoint rule is off by about (pixel / distance)^2 / 8 = 6e-5
        assert got[slow, fast] == pytest.approx(exact / facing, rel=2e-4)


def test_every_form_of_a_geometry_is_accepted(tmp_path: Path) -> None:
    path = write_geometry(tmp_path / "geometry.json", FLAT, 0.2)
    results = [
        integrate(FRAME, g, n_radial=30, radial_range=(0.1, 2.0))
        for g in (path, str(path), read_geometry(path), FLAT, FLAT.detector(), pixel_maps(FLAT))
    ]
    for other in results[1:]:
        assert other.counts.tobytes() == results[0].counts.tobytes()
    assert results[0].meta["geometry"] == str(path)


def test_no_geometry_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"geometry: got a dict: expected the path of"):
        integrate(FRAME, {"lsd": 1.0})
    with pytest.raises(FormatError, match="cannot read the geometry"):
        integrate(FRAME, "nowhere/geometry.json")


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"unit": "tth"}, "unit 'tth': expected one of two_theta_deg, two_theta_rad, q_inv"),
        ({"split": "bbox"}, "split 'bbox': expected one of no, sub"),
        ({"error_model": "azimuthal"}, "error_model 'azimuthal': expected one of poisson, none"),
        ({"n_radial": 0}, "n_radial = 0: expected a whole number from 1 to "),
        ({"n_radial": 10.5}, "n_radial = 10.5: expected a whole number"),
        ({"n_azimuth": 0}, "n_azimuth = 0: expected a whole number from 1 to "),
        ({"n_radial": 1 << 20, "n_azimuth": 360}, "n_azimuth = 360: expected a whole number from"),
        ({"subpixels": 16}, "subpixels = 16: expected a whole number from 1 to 15"),
        ({"gain": 0.0}, "gain = 0.0: expected a positive number of counts a photon"),
        ({"gain": float("nan")}, "gain = nan: expected a positive number"),
        ({"polarisation": 1.5}, "polarisation = 1.5: expected -1 to 1"),
        ({"radial_range": (2.0, 1.0)}, "two_theta_deg from 2 to 1: expected two rising numbers"),
        ({"radial_range": (0.0, float("inf"))}, "two_theta_deg from 0 to inf: expected two rising"),
        ({"azimuth_range_deg": (0.0, 361.0)}, "azimuth from 0 to 361 deg: more than a full circle"),
        ({"unit": "q_inv_angstrom"}, "unit 'q_inv_angstrom' needs wavelength_angstrom: the geo"),
        ({"unit": "q_inv_nm", "wavelength_angstrom": -1.0}, "wavelength_angstrom = -1.0: expected"),
        ({"unit": "d_angstrom"}, "unit 'd_angstrom' needs radial_range: d is infinite on the beam"),
        ({"radial_range": (40.0, 50.0)}, "no unmasked pixel lies in two_theta_deg 40 to 50"),
        (
            {"radial_range": (40.0, 50.0), "azimuth_range_deg": (0.0, 9.0)},
            "no unmasked pixel lies in two_theta_deg 40 to 50, azimuth 0 to 9 deg",
        ),
    ],
)
def test_impossible_options(options: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(text)):
        integrator(FLAT, **options)  # type: ignore[arg-type]


def test_masks_and_frames_must_fit() -> None:
    with pytest.raises(ConfigError, match=r"mask has shape \(50, 40\): the geometry is for \(40,"):
        integrator(FLAT, mask=np.zeros((50, 40), dtype=bool))
    with pytest.raises(ConfigError, match="the mask hides everything"):
        integrator(FLAT, mask=np.ones((40, 50), dtype=bool))
    plan = integrator(FLAT, n_radial=10)
    with pytest.raises(ConfigError, match=r"frame has shape \(50, 40\): the geometry is for \(40"):
        plan(FRAME.T)
    with pytest.raises(ConfigError, match=r"variance has shape \(40, 49\)"):
        plan(FRAME, variance=FRAME[:, 1:])
    with pytest.raises(ConfigError, match=r"mask has shape \(1, 1\)"):
        plan(FRAME, mask=np.zeros((1, 1), dtype=bool))


def test_what_goes_with_a_file_does_not_go_with_an_array() -> None:
    with pytest.raises(ConfigError, match="dataset: only for an image that is read from a file"):
        integrate(FRAME, FLAT, reading={"dataset": "/entry/data"})
    with pytest.raises(ConfigError, match="mask: only for a file or an array; an image as read"):
        integrate(images.from_array(FRAME), FLAT, mask=np.zeros((40, 50), dtype=bool))


def test_a_mask_may_be_a_file(tmp_path: Path) -> None:
    mask = np.zeros((40, 50), dtype=np.uint8)
    mask[3:9, 7:31] = 1
    np.save(tmp_path / "mask.npy", mask)
    np.save(tmp_path / "frame.npy", FRAME)
    ways = [
        integrate(FRAME, FLAT, n_radial=9, mask=mask.astype(bool)),
        integrate(FRAME, FLAT, n_radial=9, mask=tmp_path / "mask.npy"),
        integrate(tmp_path / "frame.npy", FLAT, n_radial=9, mask=tmp_path / "mask.npy"),
    ]
    for pattern in ways:
        assert pattern.pixels.sum() == 2000 - mask.sum()
        assert pattern.counts.sum() == FRAME[mask == 0].sum()


def test_a_single_pixel_has_a_pattern() -> None:
    mask = np.ones((40, 50), dtype=bool)
    mask[11, 13] = False
    pattern = integrate(FRAME, FLAT, n_radial=3, mask=mask)
    assert pattern.counts.sum() == FRAME[11, 13]


# --- errors ---------------------------------------------------------------------------------------


def test_variances_by_hand() -> None:
    plain = integrator(FLAT, n_radial=7, solid_angle=False, gain=2.0)
    one = plain(FRAME)
    np.testing.assert_array_equal(one.variance, 2.0 * one.counts)
    np.testing.assert_array_equal(one.sigma, np.sqrt(2.0 * one.counts) / one.pixels)
    np.testing.assert_array_equal(plain(FRAME, n_frames=4).variance, 0.5 * one.counts)
    given = plain(FRAME, variance=np.full((40, 50), 3.0))
    np.testing.assert_array_equal(given.variance, 3.0 * one.pixels)
    assert np.isnan(integrator(FLAT, n_radial=7, error_model="none")(FRAME).sigma).all()


def test_the_mean_of_a_stack_has_the_error_of_a_mean() -> None:
    stack = np.stack([FRAME, FRAME + 2])
    pattern = integrate(stack, FLAT, n_radial=7)
    assert pattern.meta["n_frames"] == 2
    np.testing.assert_array_equal(pattern.variance, 0.5 * pattern.counts)


def test_pixels_that_are_no_numbers_are_left_out() -> None:
    plan = integrator(FLAT, n_radial=7)
    frame = FRAME.astype(np.float32)
    bad = np.zeros((40, 50), dtype=bool)
    bad[5, 6] = bad[30, 2] = True
    frame[5, 6], frame[30, 2] = np.nan, np.inf
    masked = plan(FRAME, mask=bad)
    planned = integrator(FLAT, n_radial=7, mask=bad, radial_range=plan.meta["radial_range"])(FRAME)
    for one in (plan(frame), planned):
        np.testing.assert_array_equal(one.counts, masked.counts)
        np.testing.assert_array_equal(one.pixels, masked.pixels)
        # sums of the weights of the same pixels, in the same order, with zeros between them
        np.testing.assert_array_equal(one.normalisation, masked.normalisation)
    assert masked.pixels.sum() == 1998


def test_empty_bins_have_no_intensity() -> None:
    pattern = integrator(FLAT, n_radial=10, radial_range=(0.0, 20.0))(FRAME)
    empty = pattern.pixels == 0
    assert empty.any()
    assert np.isnan(pattern.intensity[empty]).all()
    assert np.isnan(pattern.sigma[empty]).all()
    assert np.isfinite(pattern.intensity[~empty]).all()


# --- axes -----------------------------------------------------------------------------------------


def test_units_are_one_axis_in_other_words() -> None:
    def edges(unit: str) -> np.ndarray:
        return integrator(FLAT, n_radial=5, unit=unit, wavelength_angstrom=0.2).edges

    two_theta = edges("two_theta_rad")[[0, -1]]
    q = 4.0 * np.pi * np.sin(0.5 * two_theta) / 0.2
    for unit, expected in (
        ("two_theta_deg", np.degrees(two_theta)),
        ("q_inv_angstrom", q),
        ("q_inv_nm", 10.0 * q),
        ("radius_mm", 80.0 * np.tan(two_theta)),
    ):
        # a few roundings of one sine
        np.testing.assert_allclose(edges(unit)[[0, -1]], expected, rtol=1e-14, err_msg=unit)
    d = integrator(
        FLAT, n_radial=1, unit="d_angstrom", radial_range=(4.0, 1e9), wavelength_angstrom=0.2
    )
    limit = integrator(
        FLAT, n_radial=1, unit="q_inv_angstrom", radial_range=(0.0, 0.5 * np.pi),
        wavelength_angstrom=0.2,
    )  # fmt: skip
    assert 0.0 < d.pixels[0] == limit.pixels[0]


def test_a_sector_may_cross_the_downward_direction() -> None:
    _, eta = FLAT.replace(image_transform=()).maps()
    plan = integrator(
        FLAT.replace(image_transform=()), n_radial=1, azimuth_range_deg=(150.0, 200.0)
    )
    inside = (np.degrees(eta) >= 150.0) | (np.degrees(eta) <= -160.0)
    assert plan.pixels.tolist() == [inside.sum()]
    assert plan.azimuth_edges_deg is None
    cake = integrator(
        FLAT.replace(image_transform=()), n_radial=1, n_azimuth=2, azimuth_range_deg=(150.0, 200.0)
    )
    assert cake.pixels.sum() == inside.sum()
    assert cake.azimuth_edges_deg is not None
    assert cake.azimuth_edges_deg.tolist() == [150.0, 175.0, 200.0]


# --- files ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cake() -> Pattern:
    return integrate(FRAME, FLAT, n_radial=6, n_azimuth=4)


def test_csv_holds_every_number_and_its_origin(tmp_path: Path, cake: Pattern) -> None:
    text = cake.save(tmp_path / "cake.csv").read_text()
    head, *body = text.splitlines()
    assert json.loads(head.removeprefix("# ")) == {**cake.meta}
    rows = list(csv.DictReader(body))
    assert len(rows) == 24
    assert list(rows[0])[:2] == ["azimuth_deg", "two_theta_deg"]
    for name in ("counts", "pixels", "normalisation"):
        assert [float(r[name]) for r in rows] == getattr(cake, name).ravel().tolist()
    pattern = cake.over_azimuth()
    lines = pattern.save(tmp_path / "p.csv").read_text().splitlines()
    rows = list(csv.DictReader(lines[1:]))
    assert [float(r["intensity"]) for r in rows] == pattern.intensity.tolist()


def test_npz_and_hdf5_hold_the_arrays(tmp_path: Path, cake: Pattern) -> None:
    with np.load(cake.save(tmp_path / "cake.npz"), allow_pickle=False) as file:
        np.testing.assert_array_equal(file["intensity"], cake.intensity)
        np.testing.assert_array_equal(file["azimuth_edges_deg"], cake.azimuth_edges_deg)
        assert json.loads(str(file["meta"]))["unit"] == "two_theta_deg"
    with h5py.File(cake.save(tmp_path / "cake.h5")) as file:
        group = file["entry/pattern"]
        assert group.attrs["signal"] == "intensity"
        assert list(group.attrs["axes"]) == ["azimuth_deg", "two_theta_deg"]
        np.testing.assert_array_equal(group["intensity_errors"], cake.sigma)
        np.testing.assert_array_equal(group["two_theta_deg"], cake.axis)


def test_other_files_are_refused_and_nothing_is_left(tmp_path: Path, cake: Pattern) -> None:
    with pytest.raises(ConfigError, match=r"a pattern is not written as \.txt: expected one of"):
        cake.save(tmp_path / "cake.txt")
    with pytest.raises(ConfigError, match="not written as a file without suffix"):
        cake.save(tmp_path / "cake")
    with pytest.raises(ConfigError, match="does not exist"):
        cake.save(tmp_path / "nowhere" / "cake.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_pattern_of_a_cake(cake: Pattern) -> None:
    pattern = cake.over_azimuth()
    direct = integrate(FRAME, FLAT, n_radial=6)
    np.testing.assert_array_equal(pattern.counts, direct.counts)  # integers: exact in any order
    np.testing.assert_array_equal(pattern.pixels, direct.pixels)
    assert pattern.over_azimuth() is pattern
    assert repr(cake).startswith("<Pattern 4 x 6 bins, two_theta_deg")


@pytest.mark.parametrize("empty", [False, True])
def test_both_can_be_drawn(cake: Pattern, empty: bool) -> None:
    for pattern in (cake, cake.over_azimuth()):
        if empty:
            sums = (np.zeros_like(pattern.counts),) * 4
            pattern = Pattern.of(pattern.unit, pattern.edges, pattern.azimuth_edges_deg, sums, {})
        figure = pattern.plot()
        assert figure.axes[0].get_xlabel() == "2θ (°)"
        figure.canvas.draw()


def test_panels_with_other_pixels_weigh_by_their_area() -> None:
    def panel(name: str, left: float, at: int, size: float) -> Panel:
        return Panel(name, (left, -1.0, 100.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (size, size),
                     (20, 20), (at, 0))  # fmt: skip

    both = Detector((panel("a", -1.0, 0, 0.05), panel("b", 0.1, 20, 0.1)), (20, 40))
    weight = integrator(both, n_radial=3).weight
    # the area is four times as large; the distance differs by less than 1e-3
    assert weight[10, 20] / weight[10, 19] == pytest.approx(4.0, rel=1e-3)
