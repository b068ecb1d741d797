"""Experiments of NeXus files: beam, sensor, goniometer, scan, and what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from refimpl.detector.attenuation import silicon_mu_per_mm
from refimpl.errors import ConfigError, FormatError
from refimpl.interop.nexus_experiment import experiment_from_nexus
from refimpl.units import DEG

DETECTOR, SAMPLE = "/entry/instrument/detector", "/entry/sample"
BEAM = "/entry/instrument/beam"
STEPS = f"{SAMPLE}/transformations"


def group(file: Any, path: str, nx_class: str) -> Any:
    node = file.require_group(path)
    node.attrs["NX_class"] = nx_class
    return node


def field(file: Any, path: str, value: Any, kind: str, units: str, vector: Any, on: str) -> None:
    node = file.create_dataset(path, data=value)
    node.attrs.update(transformation_type=kind, units=units, vector=vector, depends_on=on)


@pytest.fixture
def nexus(tmp_path: Path) -> Path:
    """One module 100 mm behind the sample, which sits on phi, kappa and omega; omega turns."""
    path = tmp_path / "a.nxs"
    with h5py.File(path, "w") as file:
        base = group(file, DETECTOR, "NXdetector")
        base["saturation_value"] = 1000
        base["sensor_material"] = "Si"
        base["sensor_thickness"] = 450e-6
        base["sensor_thickness"].attrs["units"] = "m"
        group(file, f"{DETECTOR}/transformations", "NXtransformations")
        away = f"{DETECTOR}/transformations/distance"
        field(file, away, 0.1, "translation", "m", (0, 0, 1), ".")
        module = group(file, f"{DETECTOR}/module", "NXdetector_module")
        module["data_origin"], module["data_size"] = (0, 0), (40, 50)
        offset = f"{DETECTOR}/module/module_offset"
        field(file, offset, 5.0, "translation", "mm", (1, 0, 0), away)
        for name, vector in (("fast", (-1, 0, 0)), ("slow", (0, -1, 0))):
            place = f"{DETECTOR}/module/{name}_pixel_direction"
            field(file, place, 75e-6, "translation", "m", vector, offset)
        beam = group(file, BEAM, "NXbeam")
        beam["incident_wavelength"] = 0.97625
        beam["incident_wavelength"].attrs["units"] = "angstrom"
        sample = group(file, SAMPLE, "NXsample")
        sample["depends_on"] = f"{STEPS}/phi"
        group(file, STEPS, "NXtransformations")
        field(file, f"{STEPS}/phi", [5.0], "rotation", "deg", (1, 0, 0), "sam_x")
        field(file, f"{STEPS}/sam_x", 0.3, "translation", "mm", (1, 0, 0), "kappa")
        field(file, f"{STEPS}/kappa", 0.5, "rotation", "rad", (0, 1, 0), "omega")
        angles = 10.0 + 0.2 * np.arange(4)
        field(file, f"{STEPS}/omega", angles, "rotation", "deg", (-2, 0, 0), ".")
    return path


def edit(path: Path, change: Callable[[Any], None]) -> Path:
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def test_everything_is_read(nexus):
    made = experiment_from_nexus(nexus)
    assert made.beam.s0.tolist() == pytest.approx([0.0, 0.0, 1.0 / 0.97625])  # +Z along the beam
    (module,) = made.detector.modules
    assert made.detector.d[0].T.tolist() == [[-1, 0, 0], [0, -1, 0], [5.0, 0.0, 100.0]]
    assert (module.size_px, module.trusted_range) == ((50, 40), (0.0, 1000.0))
    assert module.pixel_size_mm == pytest.approx((0.075, 0.075))
    assert module.thickness_mm == pytest.approx(0.45)
    assert (module.mu_per_mm, module.parallax) == (silicon_mu_per_mm(0.97625), True)
    assert made.scan.image_range == (1, 4)
    assert made.scan.oscillation_deg == pytest.approx((10.0, 0.2), rel=1e-12)
    goniometer = made.goniometer
    assert (goniometer.names, goniometer.scan_axis) == (("phi", "kappa", "omega"), 2)
    assert goniometer.angles_deg == pytest.approx((5.0, 0.5 / DEG, 10.0))
    assert goniometer.rotation_axis.tolist() == [-1.0, 0.0, 0.0]
    c, s = np.cos(0.5), np.sin(0.5)
    kappa = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    p, q = np.cos(5 * DEG), np.sin(5 * DEG)
    assert np.allclose(goniometer.fixed, kappa @ [[1, 0, 0], [0, p, -q], [0, q, p]])
    assert not made.is_still


def remove(*names: str):
    def change(file: Any) -> None:
        for name in names:
            del file[name]

    return change


def put(name: str, value: Any, attribute: str | None = None):
    def change(file: Any) -> None:
        if attribute is not None:
            file[name].attrs[attribute] = value
            return
        old = dict(file[name].attrs) if name in file else {}
        if name in file:
            del file[name]
        file[name] = value
        file[name].attrs.update(old)

    return change


def test_one_image_takes_the_stated_increment(nexus):
    edit(nexus, put(f"{STEPS}/omega", [10.0]))
    assert experiment_from_nexus(nexus).is_still
    edit(nexus, put(f"{STEPS}/omega_end", [10.25]))
    scan = experiment_from_nexus(nexus).scan
    assert (scan.image_range, scan.oscillation_deg) == ((1, 1), (10.0, 0.25))
    edit(nexus, put(f"{STEPS}/omega_increment_set", 0.5))
    assert experiment_from_nexus(nexus).scan.oscillation_deg == (10.0, 0.5)


def test_a_single_axis_and_none(nexus):
    edit(nexus, put(f"{SAMPLE}/depends_on", f"{STEPS}/omega"))
    goniometer = experiment_from_nexus(nexus).goniometer
    assert (goniometer.scan_axis, goniometer.rotation_axis.tolist()) == (None, [-1.0, 0.0, 0.0])
    edit(nexus, put(f"{SAMPLE}/depends_on", "."))
    assert experiment_from_nexus(nexus).is_still


def test_a_sensor_that_is_not_stated(nexus):
    (module,) = experiment_from_nexus(
        edit(nexus, remove(f"{DETECTOR}/sensor_thickness"))
    ).detector.modules
    assert (module.thickness_mm, module.parallax) == (0.0, False)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (remove(BEAM), FormatError, "no NXbeam with incident_wavelength"),
        (remove(f"{BEAM}/incident_wavelength"), FormatError, "no NXbeam with incident_wavelength"),
        (put(f"{BEAM}/incident_wavelength", "keV", "units"), FormatError,
         f"{BEAM}/incident_wavelength: units 'keV': expected one of angstrom"),
        (remove(f"{DETECTOR}/saturation_value"), FormatError, "has no field saturation_value"),
        (put(f"{DETECTOR}/sensor_material", "CdTe"), ConfigError,
         "attenuation of CdTe is not known"),
        (remove(f"{DETECTOR}/module"), FormatError, "no NXdetector with NXdetector_module groups"),
        (remove(f"{SAMPLE}/depends_on"), FormatError,
         "no goniometer: /entry/sample has no sample with depends_on"),
        (remove(SAMPLE), FormatError, "no goniometer: the file has no sample with depends_on"),
        (remove(f"{STEPS}/kappa"), FormatError, "sam_x depends on 'kappa', which is not in the fi"),
        (put(f"{STEPS}/omega", "phi", "depends_on"), FormatError, "goes round in a circle"),
        (put(f"{STEPS}/phi", [1.0, 2.0]), FormatError, "several rotations move: phi, omega; one"),
        (put(f"{STEPS}/omega", [1.0, 2.0, 4.0]), FormatError, "the angles of omega are not in eq"),
        (put(f"{STEPS}/omega", [1.0, np.nan]), FormatError, "omega holds no angles"),
        (put(f"{STEPS}/omega", "turn", "units"), FormatError, "units 'turn': expected one of deg"),
    ],
)  # fmt: skip
def test_refused_files(nexus, change, error, message):
    with pytest.raises(error, match=message) as caught:
        experiment_from_nexus(edit(nexus, change))
    assert str(caught.value).startswith(str(nexus))


def test_beams_that_disagree(nexus):
    def change(file: Any) -> None:
        other = group(file, "/entry/sample/beam", "NXbeam")
        other["incident_wavelength"] = 0.1
        other["incident_wavelength"].attrs["units"] = "nm"

    with pytest.raises(FormatError, match=r"several beams of different wavelength: \[.*\] Å"):
        experiment_from_nexus(edit(nexus, change))
