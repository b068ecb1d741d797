"""Small simulated detectors, and images with spots, that the tests of the commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from refimpl.cli.main import main
from refimpl.forward.experiment import Beam, Experiment, Goniometer, Scan
from refimpl.forward.rotation_scene import crystal_of_cell, grid_of_panels
from refimpl.io.cbf import write_cbf
from refimpl.io.dials_files import write_expt, write_refl
from refimpl.io.reflection_table import USED_IN_REFINEMENT
from refimpl.metrology.simulate import ORIENTATION, simulate
from refimpl.testing.rotation_case import rotation_case

HEADER = (
    "# Detector: PILATUS3 100K-A, S/N 1-0001\n# Pixel_size 172e-6 m x 172e-6 m\n"
    "# Silicon sensor, thickness 0.000320 m\n# Count_cutoff 1048500 counts\n"
    "# Wavelength 0.97625 A\n# Detector_distance 0.18000 m\n# Beam_xy (240.00, 100.00) pixels\n"
    "# Start_angle {start:.4f} deg.\n# Angle_increment 0.5000 deg.\n"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six panels that are off, some 400 reflections each."""
    folder = tmp_path_factory.mktemp("made")
    experiment = Experiment(
        "six", Beam(np.array([0.0, 0.0, 1.0]), 0.97625),
        grid_of_panels((2, 3), distance_mm=180.0, beam_px=(490.0, 309.5)),
        Goniometer(np.array([1.0, 0.0, 0.0])), Scan((1, 300), (10.0, 0.15)),
        crystal_of_cell((57.784, 57.784, 150.011), ORIENTATION),
    )  # fmt: skip
    scene = simulate(experiment, d_min_angstrom=2.0, counts=[400] * 6, seed=4)
    write_expt(folder / "start.expt", scene.start)
    write_expt(folder / "truth.expt", scene.truth)
    write_refl(folder / "spots.refl", scene.table)
    return folder


@pytest.fixture(scope="session")
def nine_panels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine panels that are off: start, truth (as if refined) and 1800 reflections."""
    folder = tmp_path_factory.mktemp("nine")
    case = rotation_case(seed=11, n=1800, turn_mrad=3.0, shift_mm=0.2)
    write_expt(folder / "start.expt", case.start)
    write_expt(folder / "refined.expt", case.truth)
    flags = case.table["flags"] | np.array(USED_IN_REFINEMENT, dtype=case.table["flags"].dtype)
    flags[np.asarray(case.table["panel"]) == 4] = 0
    write_refl(folder / "refined.refl", case.table.with_columns(flags=flags))
    write_refl(folder / "spots.refl", case.table)
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder with the data that the module has made, or with those above."""
    monkeypatch.chdir(tmp_path)
    for path in made.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command; the one line of stderr, without its beginning.

    Nothing is printed, made, changed or left behind.
    """

    def run(*arguments: object, code: int = 2) -> str:
        before = {p: p.stat().st_mtime_ns for p in Path().rglob("*")}
        capsys.readouterr()
        assert main(["metrology", *(str(a) for a in arguments)]) == code
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("refimpl: ")
        assert said.err.count("\n") == 1
        assert "Traceback" not in said.err
        assert {p: p.stat().st_mtime_ns for p in Path().rglob("*")} == before
        return said.err.removeprefix("refimpl: ").rstrip("\n")

    return run


@pytest.fixture(scope="session")
def pictures() -> list[np.ndarray]:
    """Nine images: background with spots that go on from image to image."""
    rng = np.random.default_rng(3)
    centres = rng.uniform([15, 15, 0], [180, 470, 9], (60, 3))
    s, f = np.mgrid[:195, :487]
    out = []
    for k in range(9):
        bright = np.zeros((195, 487))
        for slow, fast, z in centres:
            away = ((s - slow) ** 2 + (f - fast) ** 2) / 2.0 + (k + 0.5 - z) ** 2
            bright += 200.0 * np.exp(-0.5 * away)
        out.append(rng.poisson(1.0 + bright).astype(np.int32))
    return out


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory, pictures: list[np.ndarray]) -> Path:
    """Folder of these, imported."""
    folder = tmp_path_factory.mktemp("images")
    for k, image in enumerate(pictures):
        write_cbf(folder / f"x_{k + 1:04d}.cbf", image, HEADER.format(start=10.0 + 0.5 * k))
    wanted = ("import", str(folder / "x_####.cbf"), "-o", str(folder / "imported.expt"))
    assert main(["metrology", *wanted]) == 0
    return folder


@pytest.fixture
def image_folder(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder; the images are in another."""
    monkeypatch.chdir(tmp_path)
    return images


def write_nxmx(path: Path, omega_deg: np.ndarray) -> None:
    """Three images of one module 100 mm behind the sample, at three angles; spots on two."""

    def step(file: h5py.File, name: str, value, kind: str, units: str, vector, on: str) -> None:
        node = file.create_dataset(name, data=value)
        node.attrs.update(transformation_type=kind, units=units, vector=vector, depends_on=on)

    images = np.random.default_rng(2).poisson(4.0, (3, 80, 100)).astype(np.int32)
    images[0, 20:23, 30:33] += 300
    images[2, 60:63, 70:73] += 300
    detector = "/entry/instrument/detector"
    with h5py.File(path, "w") as file:
        for name, kind in (
            ("/entry", "NXentry"), ("/entry/instrument", "NXinstrument"), (detector, "NXdetector"),
            (f"{detector}/transformations", "NXtransformations"),
            (f"{detector}/module", "NXdetector_module"), ("/entry/instrument/beam", "NXbeam"),
            ("/entry/sample", "NXsample"),
            ("/entry/sample/transformations", "NXtransformations"), ("/entry/data", "NXdata"),
        ):  # fmt: skip
            file.require_group(name).attrs["NX_class"] = kind
        file["/entry/data/data"] = images
        file["/entry/data"].attrs["signal"] = "data"
        node = file[detector]
        node["saturation_value"], node["sensor_material"] = 100_000, "Si"
        node["sensor_thickness"] = 450e-6
        node["sensor_thickness"].attrs["units"] = "m"
        away = f"{detector}/transformations/distance"
        step(file, away, 0.1, "translation", "m", (0, 0, 1), ".")
        module = file[f"{detector}/module"]
        module["data_origin"], module["data_size"] = (0, 0), (80, 100)
        for name, vector in (("fast", (-1, 0, 0)), ("slow", (0, -1, 0))):
            place = f"{detector}/module/{name}_pixel_direction"
            step(file, place, 75e-6, "translation", "m", vector, away)
        file["/entry/instrument/beam/incident_wavelength"] = 0.97625
        file["/entry/instrument/beam/incident_wavelength"].attrs["units"] = "angstrom"
        turn = "/entry/sample/transformations/omega"
        file["/entry/sample/depends_on"] = turn
        step(file, turn, omega_deg, "rotation", "deg", (-1, 0, 0), ".")


@pytest.fixture
def nxmx() -> Callable[[Path, np.ndarray], None]:
    """Writer of a small NXmx file: path, angles of the three images [deg]."""
    return write_nxmx
