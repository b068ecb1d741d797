"""Integration from end to end: against brute force, known truth and statistics; the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import typer
from scipy import stats

import refimpl
from refimpl.cli.powder_integrate import integrate as command
from refimpl.detector.model import TiltedFlat
from refimpl.dispatch import available_backends, use_backend
from refimpl.errors import ConfigError, FormatError, RefimplError
from refimpl.forward.powder_image import simulate
from refimpl.forward.simulated_frame import SimulatedFrame
from refimpl.io.geometry_json import write_geometry
from refimpl.powder.calibrate import calibrate
from refimpl.powder.integrate import integrate, integrator

CENTRES = np.array([0.04, 0.07, 0.1, 0.13])
MODEL = TiltedFlat(
    (420, 400),
    (0.1, 0.1),
    150.0,
    (205.3, 188.8),
    (0.01, 0.02, -0.015),
    p=(3e-4, 2e-4, -1e-4, 20.0) + (0.0,) * 11,
    panel_boxes=np.array([[0, 0, 190, 420], [196, 0, 400, 200], [196, 207, 400, 420]]),
    panel_corrections=np.array(
        [[0.4, -0.3, 1e-3, 0.05, 0.0], [-0.2, 0.3, -2e-3, 0.0, 1e-5], [0.1, 0.2, 0.0, -0.05, 0.0]]
    ),
)
RANGE = (0.012, 0.16)


def ceria(**changes: object) -> SimulatedFrame:
    arguments = {
        "wavelength_angstrom": 0.2,
        "fwhm_rad": 2.0e-3,
        "mixing": 0.3,
        "peak_counts": 3000.0,
        "background": 50.0,
        **changes,
    }
    return simulate(MODEL, (CENTRES, np.array([1.0, 0.6, 0.8, 0.4])), **arguments)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def frame() -> SimulatedFrame:
    return ceria(seed=3)


def test_equals_a_histogram_of_the_panels_vectors(frame: SimulatedFrame) -> None:
    """Brute force: NumPy's own histogram over maps made from vectors, not from the model."""
    two_theta, eta = MODEL.detector().maps()
    seen = (frame.image >= 0) & np.isfinite(two_theta)
    pattern = integrate(
        frame.image, MODEL, unit="two_theta_rad", n_radial=500, radial_range=RANGE, n_azimuth=36
    )
    edges = [np.linspace(-180.0, 180.0, 37), np.linspace(*RANGE, 501)]
    where = (np.degrees(eta[seen]), two_theta[seen])
    np.testing.assert_array_equal(pattern.pixels, np.histogram2d(*where, bins=edges)[0])
    np.testing.assert_array_equal(
        pattern.counts, np.histogram2d(*where, bins=edges, weights=frame.image[seen])[0]
    )


@pytest.mark.parametrize("options", [{}, {"split": "sub"}])
def test_rings_come_out_where_they_are(options: dict[str, object]) -> None:
    image = ceria(noise=None, mixing=0.0, background=0.0).image
    image[image < 0] = np.nan  # gaps
    pattern = integrate(image, MODEL, unit="two_theta_rad", n_radial=250, **options)
    width = pattern.edges[1] - pattern.edges[0]
    for centre in CENTRES:
        near = np.abs(pattern.axis - centre) < 4e-3
        weight = pattern.intensity[near]
        found = np.sum(weight * pattern.axis[near]) / np.sum(weight)
        # a bin holds a thousand pixels: their own centres scatter by 0.3 / sqrt(1000) of a bin
        # around its middle, and the steep flanks of the ring see that
        assert abs(found - centre) < 0.01 * width


def lab(model: TiltedFlat) -> tuple[np.ndarray, np.ndarray]:
    """(n_slow, n_fast, 3) lab vectors of the pixel centres, and the area vector of a pixel."""
    (panel,) = model.detector().panels
    f, s = np.meshgrid(np.arange(400) + 0.5, np.arange(420) + 0.5)
    area = np.cross(np.array(panel.fast_axis) * 0.1, np.array(panel.slow_axis) * 0.1)
    return panel.lab_mm(f, s), area


PLAIN = MODEL.replace(panel_boxes=None, panel_corrections=None, p=(0.0,) * 15)


def test_uniform_light_gives_a_flat_pattern() -> None:
    at, area = lab(PLAIN)
    light = 1e4 * np.abs(at @ area) / np.linalg.norm(at, axis=-1) ** 3 / (0.01 / 150.0**2)
    corrected = integrate(light, PLAIN, n_radial=300)
    # one value, to a few roundings
    np.testing.assert_allclose(corrected.intensity, 1e4, rtol=1e-13)
    plain = integrate(light, PLAIN, n_radial=300, solid_angle=False)
    assert np.nanmin(plain.intensity) < 0.97e4  # cos^3 of 10 degrees


@pytest.mark.parametrize("degree", [0.9, -0.4])
def test_polarisation_is_divided_out(degree: float) -> None:
    """A dipole does not radiate along its own axis: 1 - k_x^2 for a field along x."""
    at, _ = lab(PLAIN)
    k = at / np.linalg.norm(at, axis=-1, keepdims=True)
    along, across = 0.5 * (1.0 + degree), 0.5 * (1.0 - degree)
    light = 1e4 * (along * (1.0 - k[..., 0] ** 2) + across * (1.0 - k[..., 1] ** 2))
    options = {"n_azimuth": 24, "n_radial": 30, "solid_angle": False}
    got = integrate(light, PLAIN, polarisation=degree, **options)
    np.testing.assert_allclose(got.intensity[got.pixels > 0], 1e4, rtol=1e-13)
    wrong = integrate(light, PLAIN, polarisation=-degree, **options)
    assert np.nanmax(np.abs(wrong.intensity / 1e4 - 1.0)) > 5e-3


def test_masked_pixels_do_not_count(frame: SimulatedFrame) -> None:
    hot = frame.image.copy()
    mask = np.zeros(hot.shape, dtype=bool)
    mask[100:120, 30:90] = True
    hot[mask] = 10**8
    clean = integrate(hot, MODEL, n_radial=200, mask=mask, unit="radius_mm")
    seen = (frame.image >= 0) & ~mask
    assert clean.counts.sum() == frame.image[seen].sum()
    assert clean.pixels.sum() == seen.sum()
    assert clean.intensity[np.isfinite(clean.intensity)].max() < 4000.0


def test_errors_are_those_of_counting() -> None:
    """Normalised residuals against the expectation: chi-square within its 99.9 % interval."""
    truth = ceria(noise=None)
    plan = integrator(MODEL, n_radial=300, n_azimuth=4, mask=truth.image < 0)
    expected = plan(truth.image)
    use = expected.counts > 2000.0  # where sqrt(N) of the counts themselves is their error
    patterns = [plan(ceria(seed=seed).image) for seed in range(6)]
    chi2 = sum(
        float(np.sum(((p.intensity - expected.intensity)[use] / p.sigma[use]) ** 2))
        for p in patterns
    )
    n = 6 * int(use.sum())
    low, high = stats.chi2.interval(0.999, n)
    assert n > 4000
    # dividing by the observed N instead of the expected adds 1/N: less than 5e-4 of chi-square
    assert low < chi2 < high * (1.0 + 5e-4)


def test_split_errors_are_right_bin_by_bin() -> None:
    """With splitting the variance of each bin by itself is that of its weighted pixels."""
    rng = np.random.default_rng(5)
    plan = integrator(
        MODEL, n_radial=80, split="sub", subpixels=2, radial_range=(2.0, 8.0), solid_angle=False
    )
    level, n = 200.0, 200
    patterns = [plan(rng.poisson(level, plan.shape)) for _ in range(n)]
    # bins share pixels with their neighbours only: count every third one as independent
    thirds = [
        sum(float(np.sum(((p.intensity - level) / p.sigma)[k::3] ** 2)) for p in patterns)
        for k in range(3)
    ]
    for k, part in enumerate(thirds):
        low, high = stats.chi2.interval(0.9997, n * len(range(k, 80, 3)))
        assert low < part < high


@pytest.mark.skipif("cython" not in available_backends(), reason="the twins are not compiled here")
def test_bits_do_not_depend_on_threads_nor_on_the_backend(frame: SimulatedFrame) -> None:
    floats = frame.image * np.float32(0.37)
    floats[frame.image < 0] = np.nan
    for options in ({}, {"n_azimuth": 36}, {"split": "sub", "subpixels": 2}):
        plan = integrator(MODEL, n_radial=300, mask=frame.image < 0, **options)  # type: ignore[arg-type]
        one = plan(floats, threads=1)
        with use_backend("python"):
            others = [plan(floats)]
        others += [plan(floats, threads=t) for t in (2, 5)]
        for other in others:
            for name in ("intensity", "sigma", "counts", "pixels", "normalisation"):
                assert getattr(other, name).tobytes() == getattr(one, name).tobytes(), name


def test_the_definitions_alone_give_the_pattern(frame: SimulatedFrame) -> None:
    usual = integrate(frame.image, MODEL, n_radial=100, radial_range=(1.0, 9.0))
    with use_backend("python"):
        alone = integrate(frame.image, MODEL, n_radial=100, radial_range=(1.0, 9.0))
    # the last bits of an angle could move a pixel across an edge; here none is so close
    np.testing.assert_array_equal(alone.counts, usual.counts)
    np.testing.assert_array_equal(alone.pixels, usual.pixels)
    assert alone.meta["backend"] == "python"


def test_the_geometry_of_a_calibration_can_be_used_at_once() -> None:
    from refimpl.forward.scenes import scene

    made = scene(4)
    result = calibrate(
        made.simulate().image,
        calibrant=made.calibrant,
        wavelength_angstrom=made.arguments["wavelength_angstrom"],
        pixel_size_mm=made.model.pixel_size_mm[0],
    )
    image = made.simulate().image
    found = integrate(image, result, unit="q_inv_angstrom", n_radial=500)
    assert found.meta["wavelength_angstrom"] == made.arguments["wavelength_angstrom"]
    true = integrate(
        image, made.model, unit="q_inv_angstrom", n_radial=500, solid_angle=False,
        wavelength_angstrom=made.arguments["wavelength_angstrom"],
        radial_range=(float(found.edges[0]), float(found.edges[-1])),
    )  # fmt: skip
    peak = int(np.nanargmax(true.intensity))
    assert abs(int(np.nanargmax(found.intensity)) - peak) <= 1


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path, frame: SimulatedFrame) -> tuple[Path, Path]:
    np.save(tmp_path / "frame.npy", frame.image)
    return tmp_path / "frame.npy", write_geometry(tmp_path / "geometry.json", MODEL, 0.2)


def test_command_writes_pattern_and_cake(
    tmp_path: Path, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    app = typer.Typer()
    app.command()(command)
    out = tmp_path / "new" / "folder"
    line = [*map(str, files), "-o", str(out), "--bins", "90", "--azimuth-bins", "12"]
    line += ["--unit", "q_inv_angstrom", "--radial-range", "1:4", "--no-solid-angle"]
    assert app(line, standalone_mode=False) == 0
    assert sorted(p.name for p in out.iterdir()) == ["cake.h5", "integrate.json", "pattern.csv"]
    said = capsys.readouterr().out
    assert "<Pattern 12 x 90 bins, q_inv_angstrom 1 to 4," in said
    assert f"wrote {out / 'pattern.csv'}" in said
    rows = np.genfromtxt(out / "pattern.csv", delimiter=",", names=True, skip_header=1)
    with h5py.File(out / "cake.h5") as file:
        np.testing.assert_array_equal(file["entry/pattern/counts"][()].sum(axis=0), rows["counts"])
    meta = json.loads((out / "integrate.json").read_text())
    assert meta["unit"] == "q_inv_angstrom"
    assert meta["solid_angle"] is False
    assert meta["image"] == str(files[0])


def test_command_needs_no_option_but_the_folder(tmp_path: Path, files: tuple[Path, Path]) -> None:
    assert command(*files, tmp_path / "out") == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["integrate.json", "pattern.csv"]


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"radial_range": "1-4"}, ConfigError, "--radial-range '1-4': expected FROM:TO, two num"),
        ({"azimuth_range_deg": "a:b"}, ConfigError, "--azimuth-range-deg 'a:b': expected FROM:TO"),
        ({"unit": "tth"}, ConfigError, "unit 'tth': expected one of"),
        ({"image": Path("nowhere.tif")}, FormatError, "nowhere.tif"),
        ({"geometry": Path("nowhere.json")}, FormatError, "nowhere.json"),
        ({"split": "full"}, ConfigError, "split 'full': expected one of no, sub"),
    ],
)
def test_command_refuses_and_writes_nothing(
    tmp_path: Path,
    files: tuple[Path, Path],
    change: dict[str, object],
    error: type[RefimplError],
    text: str,
) -> None:
    arguments = {"image": files[0], "geometry": files[1], "out": tmp_path / "out", **change}
    with pytest.raises(error) as caught:
        command(**arguments)  # type: ignore[arg-type]
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_command_refuses_an_image_of_another_shape(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    np.save(tmp_path / "other.npy", np.ones((30, 40), dtype=np.int32))
    with pytest.raises(ConfigError, match=r"other\.npy: image has shape \(30, 40\): the geo"):
        command(tmp_path / "other.npy", files[1], tmp_path / "out")


# --- a measured frame -----------------------------------------------------------------------------


def test_a_measured_frame_shows_its_rings(real_data: Callable[[str], Path]) -> None:
    """Published geometry of HEXRD's example: ceria's rings within half a pixel of their places."""
    path = real_data("pilatus2m-ceria-hexrd/ceria_50x30_740mm_000005_Pilatus2M.hdf5")
    wavelength = 0.20215155543
    model = TiltedFlat(
        (1679, 1475), (0.172, 0.172), 739.78, (775.3, 871.4),
        (0.0, -0.0372 * np.pi / 180.0, 0.0655 * np.pi / 180.0),
    )  # fmt: skip
    pattern = integrate(path, model, n_radial=1500, unit="two_theta_rad")
    assert pattern.pixels.sum() > 2e6
    rings = refimpl.crystal.rings("CeO2", wavelength, 0.18)
    strong = rings.two_theta_rad[rings.intensity > 0.2 * rings.intensity.max()]
    assert len(strong) >= 3
    for angle in strong:
        near = np.abs(pattern.axis - angle) < 1.5e-3
        base = np.nanmin(pattern.intensity[near])
        weight = pattern.intensity[near] - base
        found = np.sum(weight * pattern.axis[near]) / np.sum(weight)
        assert abs(found - angle) * 739.78 / 0.172 < 0.5
