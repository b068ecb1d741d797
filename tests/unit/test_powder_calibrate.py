"""The calibration as one call: the same bits for any threads, both twins, every way to stop."""

from __future__ import annotations

import importlib
import subprocess
import sys

import numpy as np
import pytest

from refimpl.crystal.rings import rings
from refimpl.detector.model import TiltedFlat
from refimpl.dispatch import available_backends, use_backend
from refimpl.errors import ConfigError, FormatError, GeometryError, RefimplError
from refimpl.forward.powder_image import simulate
from refimpl.powder import PowderConfig, calibrate
from refimpl.powder.config import config_from

SMALL = {"wavelength_angstrom": 0.25, "pixel_size_mm": 0.2}
NEAR = {"lsd_mm": 300.5, "beam_centre_px": (188.5, 170.5)}
"""A start, in the file's order: row 0 at the top."""


@pytest.fixture(scope="module")
def near(small_frame):
    """Calibrate the small frame from a near start, with other settings where given."""

    def run(**settings):
        everything = SMALL | NEAR | {"mask": small_frame.mask, "eta_bin_deg": 4.0} | settings
        return calibrate(small_frame.image, **everything)

    return run


@pytest.fixture(scope="module")
def plain(near):
    return near()


@pytest.mark.parametrize("name", ["calibrate", "integrate"])
@pytest.mark.parametrize(
    "before",
    ["import refimpl.powder.{0}", "from refimpl.powder.{0} import {0}", "import refimpl.powder"],
)
def test_the_function_wins_over_the_module_of_its_name(name, before) -> None:
    code = f"{before.format(name)}\nimport refimpl\nassert callable(refimpl.powder.{name})\n"
    code += f"from refimpl.powder import {name}\nassert callable({name})\nprint('fine')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "fine\n", done.stderr


def bits(result) -> bytes:
    parts = [result.model.geometry, result.covariance, result.strain, result.points.sigma_rad]
    return b"".join(np.ascontiguousarray(p).tobytes() for p in parts)


@pytest.mark.skipif("cython" not in available_backends(), reason="the twins are not compiled here")
@pytest.mark.parametrize("start", [{}, dict.fromkeys(NEAR)], ids=["near start", "no guess"])
def test_the_same_bits_for_any_number_of_threads(near, start) -> None:
    one, two, five = (near(threads=n, **start) for n in (1, 2, 5))
    assert (one.threads, two.threads, five.threads) == (1, 2, 5)
    assert bits(one) == bits(two) == bits(five)
    assert [i.parameters for i in one.iterations] == [i.parameters for i in five.iterations]


@pytest.fixture(scope="module")
def tiny():
    """160 x 160 px with the innermost rings of ceria."""
    model = TiltedFlat((160, 160), (0.2, 0.2), 80.0, (75.2, 84.8), (0.0, 0.01, -0.015))
    return simulate(
        model, rings("CeO2", 0.3, 0.3), wavelength_angstrom=0.3, fwhm_rad=5e-3,
        peak_counts=2000.0, background=20.0,
    )  # fmt: skip


@pytest.mark.skipif("cython" not in available_backends(), reason="the twins are not compiled here")
def test_definitions_and_twins_give_one_result(tiny) -> None:
    """REFIMPL_BACKEND=python on a tiny frame, to 1e-9 relative."""
    results = []
    for backend in ("python", "cython"):
        with use_backend(backend):
            results.append(
                calibrate(
                    tiny.image, wavelength_angstrom=0.3, pixel_size_mm=0.2, eta_bin_deg=15.0,
                    lsd_mm=80.8, beam_centre_px=(76.2, 76.2),
                )
            )  # fmt: skip
    ours, twin = results
    assert (ours.backend, twin.backend) == ("python", "cython")
    assert len(ours.iterations) == len(twin.iterations)
    assert ours.points.key.tolist() == twin.points.key.tolist()
    np.testing.assert_allclose(ours.model.geometry, twin.model.geometry, rtol=1e-9)
    np.testing.assert_allclose(ours.covariance, twin.covariance, rtol=1e-6, atol=1e-20)
    assert ours.summary.mean_all == pytest.approx(twin.summary.mean_all, rel=1e-6)
    assert ours.converged


def test_the_simplex_agrees_to_a_microstrain(near, plain) -> None:
    other = near(solver="simplex")
    assert other.converged
    assert other.summary.mean_all == pytest.approx(plain.summary.mean_all, abs=1e-6)
    assert abs(other["Lsd"].value - plain["Lsd"].value) < 0.05 * plain["Lsd"].sigma


def test_the_published_objective_is_another_minimum_and_needs_the_simplex(near, plain) -> None:
    other = near(solver="simplex", objective="published", max_iterations=3)
    l1, least = (np.sum(np.abs(r.strain)) / len(r.strain) for r in (other, plain))
    assert l1 < least * 1.01
    assert other["Lsd"].value != plain["Lsd"].value
    with pytest.raises(ConfigError, match=r"^objective 'published' is an L1 sum: it needs solver "):
        near(objective="published")


def test_the_cap_on_passes_is_kept_and_said(near) -> None:
    r = near(max_iterations=1)
    assert not r.converged
    assert len(r.iterations) == 1
    assert r.reason == "stopped after 1 passes"
    assert r.warnings[0] == "The passes did not converge: stopped after 1 passes."


def test_the_stopping_strain_stops(near) -> None:
    r = near(stopping_strain=1.0)
    assert r.converged
    assert r.reason == "stopping strain"
    assert len(r.iterations) == 1


def test_excluded_rings_have_no_say(near, plain) -> None:
    r = near(exclude_rings=(1, 3))
    assert r.excluded_rings == (1, 3)
    number = r.rings.number[r.points.ring[r.points.used]]
    assert not set(number.tolist()) & {1, 3}
    assert r["Lsd"].sigma > plain["Lsd"].sigma


def test_a_ring_out_of_place_is_left_out_by_itself() -> None:
    """One line of the pattern is displaced by 1 per mille, as by an impurity."""
    found = rings("CeO2", 0.25, 0.3)
    found = found.select(found.intensity > 1e-3)
    two_theta = found.two_theta_rad.copy()
    two_theta[3] *= 1.001
    model = TiltedFlat((380, 400), (0.2, 0.2), 300.0, (188.0, 210.0), (0.0, 0.01, -0.015))
    frame = simulate(
        model, (two_theta, found.intensity), wavelength_angstrom=0.25, fwhm_rad=2e-3,
        peak_counts=3000.0, background=20.0,
    )  # fmt: skip
    r = calibrate(frame.image, **SMALL)
    assert r.excluded_rings == (int(found.number[3]),)
    assert f"Left out: ring {found.number[3]}." in r.warnings
    assert abs(r["Lsd"].value - 300.0) < 4.0 * r["Lsd"].sigma
    kept = calibrate(frame.image, ring_multiplier=0.0, **SMALL)
    assert kept.excluded_rings == ()
    assert abs(kept["Lsd"].value - 300.0) > abs(r["Lsd"].value - 300.0)


def test_an_array_a_file_and_a_configuration_are_the_same(small_frame, plain, tmp_path) -> None:
    np.save(tmp_path / "frame.npy", small_frame.image)
    np.save(tmp_path / "mask.npy", small_frame.mask.astype(np.uint8))
    config = config_from(SMALL | NEAR | {"eta_bin_deg": 9.0})
    assert isinstance(config, PowderConfig)
    r = calibrate(
        tmp_path / "frame.npy", mask=tmp_path / "mask.npy", config=config, eta_bin_deg=4.0
    )
    assert bits(r) == bits(plain)
    assert r.provenance()["inputs"] == str(tmp_path / "frame.npy")


@pytest.mark.parametrize("codes", [(), (1, 2), (3, 1)])
def test_a_picture_laid_down_another_way_gives_the_same_detector(codes) -> None:
    model = TiltedFlat(
        (380, 400), (0.2, 0.2), 300.0, (188.0, 210.0), (0.0, 0.01, -0.015), image_transform=codes
    )
    arguments = {"wavelength_angstrom": 0.25, "fwhm_rad": 2e-3, "peak_counts": 2000.0, "seed": 4}
    frame = simulate(model, rings("CeO2", 0.25, 0.3), **arguments)
    r = calibrate(frame.image, image_transform=codes, eta_bin_deg=4.0, **SMALL)
    np.testing.assert_allclose(r.model.beam_centre_px, (188.0, 210.0), atol=0.02)
    assert r.model.file_shape == frame.image.shape
    # vectors in the file's order reproduce the truth's maps
    got, wanted = r.model.detector().maps()[0], model.detector().maps()[0]
    np.testing.assert_allclose(got, wanted, rtol=0, atol=5e-5)  # a tenth of a pixel is 7e-5


def test_progress_is_told(small_frame) -> None:
    told = []
    calibrate(
        small_frame.image, mask=small_frame.mask, progress=lambda s, p: told.append((s, p)),
        eta_bin_deg=4.0, **SMALL, **NEAR,
    )  # fmt: skip
    stages = [stage for stage, _ in told]
    assert stages[:2] == ["reading", "finding rings"]
    assert stages[2] == "pass 1"
    assert told[-1] == ("done", 1.0)
    assert [part for _, part in told] == sorted(part for _, part in told)


def test_a_geometry_given_says_how_the_picture_lies(small_frame, small_model) -> None:
    """The picture upside down, for a geometry that is right: found, used, and said."""
    r = calibrate(
        small_frame.image[::-1].copy(), mask=small_frame.mask[::-1].copy(), eta_bin_deg=4.0,
        geometry=small_model, **SMALL,
    )  # fmt: skip
    assert r.model.image_transform == ()
    assert r.warnings[0].startswith("The given geometry fits the image as stored: ")
    np.testing.assert_allclose(r.model.beam_centre_px, (188.0, 210.0), atol=0.02)


def test_a_pixel_size_in_other_units_is_spoken_of(small_frame) -> None:
    """Millimetres taken for micrometres show in nothing but the distance."""
    settings = SMALL | {"pixel_size_mm": SMALL["pixel_size_mm"] / 1000.0}
    r = calibrate(small_frame.image, mask=small_frame.mask, eta_bin_deg=10.0, **settings)
    assert r.warnings[0].startswith("Pixels of 0.0002 mm x 0.0002 mm are unusual. The rings fit")
    assert r.model.lsd_mm < 1.0


def test_a_wrong_start_is_no_harm(small_frame, plain) -> None:
    r = calibrate(
        small_frame.image, mask=small_frame.mask, lsd_mm=340.0, beam_centre_px=(150.0, 230.0),
        eta_bin_deg=4.0, **SMALL,
    )  # fmt: skip
    assert abs(r["Lsd"].value - plain["Lsd"].value) < plain["Lsd"].sigma


@pytest.mark.parametrize("wrong", ["LaB6", "Al2O3"])
def test_a_wrong_calibrant_is_refused(small_frame, wrong) -> None:
    with pytest.raises(RefimplError, match="calibrant") as caught:
        calibrate(small_frame.image, mask=small_frame.mask, calibrant=wrong, **SMALL)
    assert "\n" not in str(caught.value)


def test_a_wrong_lattice_parameter_does_not_go_unsaid(small_frame) -> None:
    """At small angles it is nearly a wrong distance: the misfit of the rings gives it away."""
    r = calibrate(small_frame.image, mask=small_frame.mask, lattice_parameter_angstrom=9.0, **SMALL)
    assert any("scatter" in w or "in part only" in w for w in r.warnings)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"shape": (100, 90)}, r"^start: the geometry is for an image of 100 x 90 px "
         r"\(slow x fast, as laid down\), this image has 380 x 400 px$"),
        ({"pixel_size_mm": (0.1, 0.1)}, r"^start: the geometry has pixels of \(0\.1, 0\.1\) mm "
         r"\(fast, slow\), the settings say \(0\.2, 0\.2\)$"),
    ],
)  # fmt: skip
def test_a_start_for_another_detector_is_refused(small_frame, small_model, changes, text) -> None:
    start = small_model.replace(panel_boxes=None, **changes)
    with pytest.raises(GeometryError, match=text):
        calibrate(small_frame.image, mask=small_frame.mask, start=start, **SMALL)


@pytest.mark.parametrize("way", ["start", "geometry"])
def test_a_start_with_corrected_panels_is_taken_as_one_surface(
    small_frame, small_model, plain, way
) -> None:
    """Panel corrections of an earlier calibration are not carried: the surface is fitted anew."""
    start = small_model.replace(panel_corrections=np.full((4, 5), 1e-3))
    r = calibrate(
        small_frame.image, mask=small_frame.mask, eta_bin_deg=4.0, **{way: start}, **SMALL
    )
    assert r.model.panel_corrections is None
    assert abs(r["Lsd"].value - plain["Lsd"].value) < 0.1 * plain["Lsd"].sigma


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"refine": ("lsd",)}, "^refine: unknown parameter 'lsd': expected some of distance"),
        ({"refine": ("wavelength",)}, "^refine: 'wavelength' cannot be refined"),
        ({"tolerances": {"p0": 1.0}}, "^tolerance of 'p0': it is not refined$"),
        ({"calibrant": "Unobtainium"}, "Unobtainium"),
        ({"eta_bin": 2.0}, "^unknown setting 'eta_bin'; did you mean 'eta_bin_deg'"),
    ],
)
def test_bad_settings_are_refused_before_any_work(settings, text, monkeypatch) -> None:
    def never(*_args, **_kwargs):
        raise AssertionError("the image was read before the settings were checked")

    home = importlib.import_module("refimpl.powder.calibrate")
    monkeypatch.setattr(home, "read_source", never)
    with pytest.raises(RefimplError, match=text):
        calibrate(np.ones((100, 100)), **SMALL, **settings)


def test_noise_is_refused() -> None:
    noise = np.random.default_rng(1).poisson(50.0, (300, 300)).astype(np.int32)
    with pytest.raises(RefimplError, match=r"^no rings found: "):
        calibrate(noise, **SMALL)


def test_a_file_that_is_not_there_is_refused(tmp_path) -> None:
    with pytest.raises(FormatError, match=r"none\.tif"):
        calibrate(tmp_path / "none.tif", **SMALL)


def test_panels_farther_apart_than_the_grid_says_are_spoken_of(small_model) -> None:
    """The gauge holds the expansion at 0; the rings' slopes contradict, and the result says so."""
    boxes = small_model.panel_boxes
    arm = 0.5 * (boxes[:, :2] + boxes[:, 2:])
    moves = np.zeros((4, 7))
    moves[:, :2] = 4e-3 * (arm - arm.mean(axis=0))
    frame = simulate(
        small_model.replace(panel_corrections=moves), rings("CeO2", 0.25, 0.3),
        wavelength_angstrom=0.25, fwhm_rad=2e-3, peak_counts=20000.0, background=30.0, seed=3,
    )  # fmt: skip
    settings = SMALL | {"panels_grid": "auto", "panel_refine": ("shift",)}
    held = calibrate(frame.image, mask=frame.mask, **settings)
    (said,) = (w for w in held.warnings if "radial expansion" in w)
    assert "lie farther apart than the grid says" in said
    free = calibrate(frame.image, mask=frame.mask, panel_expansion="free", **settings)
    assert not any("radial expansion" in w for w in free.warnings)
    assert abs(free.model.lsd_mm - 300.0) < abs(held.model.lsd_mm - 300.0) / 5.0
    assert free.summary.clip_mean < 0.5 * held.summary.clip_mean
