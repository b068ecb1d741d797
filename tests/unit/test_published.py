"""The published calibration on simulated rings."""

import dataclasses
import re

import numpy as np
import pytest

from refimpl.crystal.calibrants import calibrant
from refimpl.detector.model import TiltedFlat
from refimpl.dispatch import use_backend
from refimpl.errors import ConfigError, NoRingsError
from refimpl.imaging.chord_bins import chord_bias
from refimpl.io.midas_outputs import read_corr, read_mean_values
from refimpl.io.midas_params import read_params
from refimpl.powder.published import (
    calibrate_published,
    from_published_vector,
    published_vector,
    strain_of,
)
from refimpl.powder.published_files import write_plots_hdf, write_results
from refimpl.powder.published_loop import auto_calibrate, published_start
from refimpl.powder.published_options import PublishedOptions
from refimpl.powder.published_points import extract_points, published_rings, ring_pairs
from refimpl.units import DEG

WAVELENGTH = 0.2
POWDER = calibrant("CeO2").with_lattice_parameter(5.4115)
TRUTH = TiltedFlat(
    shape=(420, 404),
    pixel_size_mm=(0.2, 0.2),
    lsd_mm=300.0,
    beam_centre_px=(201.3, 212.8),
    tilts_rad=(0.0, 0.2 * DEG, -0.3 * DEG),
    rho_d_mm=42.0,
    image_transform=(0,),
)
START = TRUTH.replace(lsd_mm=300.6, beam_centre_px=(200.6, 213.5), tilts_rad=(0.0, 0.0, 0.0))
FLAT = PublishedOptions(
    width_mm=0.6, tol_p0=0.0, tol_p1=0.0, tol_p2=0.0, tol_p3_deg=0.0, restarts=3, tol_lsd_mm=3.0
)


def _rings(detector=START):
    return published_rings(POWDER, WAVELENGTH, detector.lsd_mm, 39.0)


@pytest.fixture(scope="module")
def image():
    two_theta, _ = TRUTH.maps()
    radius = TRUTH.lsd_mm * np.tan(two_theta)
    frame = np.full(TRUTH.shape, 50.0)
    for t in _rings().two_theta_rad:
        frame += 4000.0 * np.exp(-0.5 * ((radius - TRUTH.lsd_mm * np.tan(t)) / 0.3) ** 2)
    return np.random.default_rng(8).poisson(frame).astype(float)


@pytest.fixture(scope="module")
def run(image):
    return calibrate_published(image, START, _rings(), FLAT)


def test_arcs_find_the_truth(run):
    assert _rings().number.tolist() == [1, 2, 3, 4, 5]
    assert len(run.points) > 300
    found = run.detector
    assert found.lsd_mm == pytest.approx(300.0, rel=1e-4)
    assert found.beam_centre_px == pytest.approx(TRUTH.beam_centre_px, abs=0.02)
    np.testing.assert_allclose(found.tilts_rad, TRUTH.tilts_rad, atol=0.08 * DEG)  # it stops early
    assert run.summary.clip_mean < 150e-6  # 0.02 px
    assert run.mean_strain == pytest.approx(np.abs(run.strain).mean())
    np.testing.assert_allclose(strain_of(run.points, found), run.strain)


def test_chords_put_their_bias_on_the_distance(image):
    found = {}
    for size in (4.0, 10.0):
        options = dataclasses.replace(FLAT, eta_bin_deg=size, published_chords=True)
        chords = calibrate_published(image, START, _rings(), options)
        arcs = calibrate_published(
            image, START, _rings(), dataclasses.replace(options, published_chords=False)
        )
        found[size] = chords.detector.lsd_mm / arcs.detector.lsd_mm
        assert arcs.detector.lsd_mm == pytest.approx(300.0, rel=1e-4)
    # 1e-4: the simplex stops at 1e-5 of the distance, the noise does the rest
    assert found[10.0] == pytest.approx(chord_bias(10.0), abs=1e-4)
    assert found[4.0] == pytest.approx(chord_bias(4.0), abs=1e-4)


def test_iterations_keep_the_best_with_its_own_points(image):
    options = dataclasses.replace(FLAT, n_iterations=3, mult_factor=2.5, outlier_iterations=2)
    found = calibrate_published(image, START, _rings(), options)
    assert len(found.history) == 3
    assert found.mean_strain == pytest.approx(min(found.history), rel=1e-12)
    np.testing.assert_allclose(strain_of(found.points, found.detector), found.strain)


def test_a_masked_pixel_drops_its_bin(image):
    mask = np.zeros(image.shape, bool)
    mask[212 + 97, 201] = True  # on ring 1 at the top
    whole = extract_points(image, None, START, _rings(), FLAT)
    some = extract_points(image, mask, START, _rings(), FLAT)
    assert len(whole) - len(some) == 1
    with pytest.raises(NoRingsError, match="no ring point found: none of 360 bins of 5 rings"):
        extract_points(image, ~mask & True, START, _rings(), FLAT)


def test_doublets_give_both_rings_their_points(image):
    options = dataclasses.replace(FLAT, doublet_separation_px=20.0)
    windows = _windows()
    assert ring_pairs(windows, 20.0 * 0.2) == [(0, 1), (2,), (3, 4)]
    points = extract_points(image, None, TRUTH, _rings(TRUTH), options)
    assert set(points.ring) == {1, 2, 3, 4, 5}
    size = np.abs(strain_of(points, TRUTH))
    assert np.median(size[points.ring <= 2]) < 1e-3  # poor, as published, but at the rings


def _windows():
    from refimpl.imaging.published_bins import ring_windows

    rings = _rings()
    return ring_windows(rings.number, rings.two_theta_rad, 300.0, 42.0, 0.6, 0.2)


@pytest.mark.parametrize(
    "changes",
    [
        {"normalize_ring_weights": True},
        {"weight_by_radius": True},
        {"distortion_order": 6, "tol_p4": 1e-3},
        {"published_rho_d": True, "published_frame": True},
    ],
)
def test_options_of_the_objective_find_the_truth_too(image, changes):
    options = dataclasses.replace(FLAT, **changes)
    found = calibrate_published(image, START, _rings(), options)
    assert found.detector.beam_centre_px == pytest.approx(TRUTH.beam_centre_px, abs=0.03)
    assert (found.detector.p[4] != 0.0) == ("tol_p4" in changes)


def test_the_vector_of_unknowns_goes_both_ways():
    vector = np.array([3e5, 200.1, 210.2, 0.3, -0.4, 1e-3, 2e-3, 3e-3, 12.0, 4e-4])
    np.testing.assert_allclose(published_vector(from_published_vector(vector, START)), vector)


def test_bad_frames_are_refused(image):
    with pytest.raises(ConfigError, match=re.escape("shapes differ: image (3, 4), geometry")):
        calibrate_published(np.ones((3, 4)), START, _rings(), FLAT)
    with pytest.raises(ConfigError, match=re.escape("mask (2, 2)")):
        calibrate_published(image, START, _rings(), FLAT, np.zeros((2, 2), bool))
    with pytest.raises(ConfigError, match="every ring is excluded"):
        calibrate_published(image, START, _rings().without((1, 2, 3, 4, 5)), FLAT)
    with pytest.raises(ConfigError, match="no ring of CeO2 within RhoD = 1000 um"):
        published_rings(POWDER, WAVELENGTH, 300.0, 1.0)


def test_start_from_the_image(image):
    # rings 1 and 2 are nearer than 20 px, so that the radii begin with one of them: the second
    start = published_start(image, POWDER, WAVELENGTH, 0.2, first_ring=2)
    assert start.detector.beam_centre_px == pytest.approx(TRUTH.beam_centre_px, abs=5.0)
    assert start.detector.lsd_mm == pytest.approx(300.0, rel=0.03)  # it is good to a per cent
    assert start.arcs is not None
    assert len(start.radii_px) >= 2


def test_guesses_replace_what_the_image_says(image):
    start = published_start(
        *(image, POWDER, WAVELENGTH, 0.2), median=False, beam_centre_px=(9.5, 8.5), lsd_mm=77.0
    )
    assert start.detector.beam_centre_px == (9.5, 8.5)
    assert start.detector.lsd_mm == 77.0
    assert start.arcs is None
    assert not start.background.any()
    one = published_start(image, POWDER, WAVELENGTH, 0.2, median=False, lsd_mm=77.0)
    assert one.detector.beam_centre_px == pytest.approx(TRUTH.beam_centre_px, abs=5.0)


def _loop(image, **changes):
    options = {"stopping_strain": 4e-5, "max_iterations": 9} | changes
    return auto_calibrate(image, START, POWDER, WAVELENGTH, FLAT, **options)


def test_the_loop_ends_without_progress(image):
    result = _loop(image, stopping_strain=1e-9)
    assert result.status == "no progress"
    assert len(result.steps) < 9
    assert result.detector.lsd_mm == pytest.approx(300.0, rel=2e-4)


def test_the_loop_converges_and_meets_its_cap(image):
    seen = []
    result = _loop(image, stopping_strain=1e-2, progress=lambda n, step: seen.append(n))
    assert result.status == "converged"
    assert seen == list(range(1, len(result.steps) + 1))
    assert _loop(image, max_iterations=1, stopping_strain=1e-9).status == "iteration cap"
    with pytest.raises(ConfigError, match="max_iterations = 0: expected at least 1"):
        _loop(image, max_iterations=0)


def test_an_outlier_ring_is_left_out_from_the_next_run_on(image):
    two_theta, _ = TRUTH.maps()
    ghost = image.copy()
    radius = TRUTH.lsd_mm * np.tan(two_theta) / 0.2
    ring_3 = 300.0 * np.tan(_rings().two_theta_rad[2]) / 0.2
    ghost[np.abs(radius - ring_3 - 1.5) < 2.5] += 9000.0  # ring 3 is displaced
    result = _loop(ghost, rings_to_exclude=(5,))
    assert result.steps[0].excluded == (5,)
    assert result.steps[0].new_rings == (3,)
    assert 3 in result.excluded
    assert 3 not in result.run.points.ring


def test_files_read_back(image, run, tmp_path):
    result = _loop(image, max_iterations=2)
    given = {"SpaceGroup": 225, "DataType": 2}
    paths = write_results(tmp_path, "frame", result, given, WAVELENGTH)
    assert [p.name for p in paths] == [
        *("calibrant_screen_out.csv", "frame.corr.csv", "refined_MIDAS_params.txt")
    ]
    mean = read_mean_values(paths[0])
    assert mean.lsd_um == pytest.approx(result.detector.lsd_mm * 1e3, abs=1e-9)
    assert mean.mean_strain == pytest.approx(result.run.mean_strain, abs=1e-12)
    table = read_corr(paths[1])
    np.testing.assert_allclose(table.strain, np.abs(result.run.strain), atol=1e-8)  # %10.8f
    np.testing.assert_array_equal(table.ring, result.run.points.ring)
    ideal = result.run.start.lsd_mm * 1e3 * np.tan(result.run.points.two_theta_rad)
    np.testing.assert_allclose(np.abs(1 - table.rad_calc_um / ideal), table.strain_calc, atol=1e-8)
    params = read_params(paths[2])
    assert params["Lsd"] == mean.lsd_um
    assert params["BC"] == pytest.approx(tuple(np.subtract(result.detector.beam_centre_px, 0.5)))
    assert (params["NrPixelsY"], params["NrPixelsZ"]) == (404, 420)
    assert paths[2].read_text().splitlines()[0].startswith("Lsd ")


def test_hdf5_has_the_published_layout_with_true_content(image, tmp_path):
    import h5py

    start = published_start(image, POWDER, WAVELENGTH, 0.2, median=False)
    result = _loop(image, max_iterations=2, stopping_strain=1e-9)
    path = write_plots_hdf(
        tmp_path / "plots.h5", "frame.tif", image, start, result, POWDER, WAVELENGTH
    )
    with h5py.File(path) as file:
        assert file["metadata"].attrs["file_name"] == "frame.tif"
        np.testing.assert_array_equal(file["raw_image_data/raw_image"], image)
        assert set(np.unique(file["threshold_data/threshold"])) == {0, 255}
        first = file["strain_tth_data_iter1"]
        assert first.attrs["iteration"] == 1
        # 2-theta in degrees, where the published file has ring numbers
        np.testing.assert_allclose(first["two_theta"], _rings().two_theta_rad / DEG, rtol=1e-6)
        np.testing.assert_allclose(
            first["mean_strain"], list(result.steps[0].run.ring_means().values())
        )
        rows = file["results_data"]
        np.testing.assert_array_equal(rows["RingNr"], result.run.points.ring)
        np.testing.assert_allclose(rows["Strain"], np.abs(result.run.strain))
        assert len(file["final_strain_data/unique_tth"]) == 5
        assert file["parameters"].attrs["lsd"] == result.detector.lsd_mm * 1e3
        assert file["parameters"].attrs["space_group"] == 225
        assert file["ring_overlay_data"].attrs["beam_center_x"] == pytest.approx(
            start.detector.beam_centre_px[0] - 0.5
        )


def test_options_from_published_keys():
    params = {
        **{"tolP": 1e-3, "tolP1": 5e-4, "tolLsd": 2000.0, "Width": 900.0, "EtaBinSize": 2.0},
        **{"NormalizeRingWeights": 1, "nIterations": 4, "Lsd": 1.0},
    }
    found = PublishedOptions.from_params(params, published_chords=True)
    assert (found.tol_p0, found.tol_p1, found.tol_p2) == (1e-3, 5e-4, 1e-3)
    assert (found.tol_lsd_mm, found.width_mm) == pytest.approx((2.0, 0.9))
    assert (found.eta_bin_deg, found.n_iterations) == (2.0, 4)
    assert found.normalize_ring_weights is True
    assert found.published_chords is True


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_iterations": 0}, "n_iterations = 0: expected at least 1"),
        ({"max_evaluations": -1}, "max_evaluations = -1: expected at least 1"),
        ({"tol_bc_px": -1.0}, "tol_bc_px = -1.0: expected 0 or more"),
        ({"tol_p0": float("nan")}, "tol_p0 = nan: expected 0 or more"),
        ({"width_mm": 0.0}, "width_mm = 0.0: expected more than 0"),
    ],
)
def test_options_out_of_range_are_refused(changes, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        PublishedOptions(**changes)


def test_definitions_alone_give_the_same_bits():
    small = TRUTH.replace(shape=(130, 126), beam_centre_px=(62.3, 64.8), lsd_mm=130.0)
    two_theta, _ = small.maps()
    rings = published_rings(POWDER, WAVELENGTH, small.lsd_mm, 10.0)
    image = 20.0 + 1e3 * np.exp(-0.5 * ((two_theta - rings.two_theta_rad[0]) / 2e-3) ** 2)
    options = dataclasses.replace(FLAT, eta_bin_deg=20.0, published_chords=True)
    runs = []
    for backend in ("python", "auto"):
        with use_backend(backend):
            runs.append(calibrate_published(image, small, rings, options))
    np.testing.assert_array_equal(runs[0].points.radius_mm, runs[1].points.radius_mm)
    # the coordinates are within 4 ulp of each other, and the simplex may part on one of them
    assert runs[0].detector.lsd_mm == pytest.approx(runs[1].detector.lsd_mm, rel=1e-5)
