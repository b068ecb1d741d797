"""Modules of a NeXus detector as panels: chains of transformations, and every refusal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from refimpl.detector.model import TiltedFlat
from refimpl.detector.panel_grid import PanelGrid
from refimpl.errors import ConfigError, FormatError
from refimpl.interop.nexus import detector_from_nexus
from refimpl.interop.panels import tilted_flat_from_panels
from refimpl.units import DEG

DETECTOR = "/entry/instrument/detector"
ARM, DISTANCE = f"{DETECTOR}/transformations/two_theta", f"{DETECTOR}/transformations/distance"


def group(file: Any, path: str, nx_class: str) -> Any:
    node = file.require_group(path)
    node.attrs["NX_class"] = nx_class
    return node


def axis(
    file: Any, path: str, value: Any, kind: str, units: str, vector: Any, on: str, **more: Any
):
    field = file.create_dataset(path, data=value)
    field.attrs.update(transformation_type=kind, units=units, vector=vector, depends_on=on, **more)
    return field


def module(file: Any, name: str, origin: Any, size: Any, offset_mm: Any, fast: Any, slow: Any):
    """A module whose first pixel's corner lies at an offset from the end of the arm."""
    base = group(file, f"{DETECTOR}/{name}", "NXdetector_module")
    base["data_origin"], base["data_size"] = origin, size
    length = float(np.sqrt(np.dot(offset_mm, offset_mm)))
    vector = np.asarray(offset_mm) / (length or 1.0) if length else np.array([1.0, 0.0, 0.0])
    place = f"{DETECTOR}/{name}/module_offset"
    axis(file, place, length, "translation", "mm", vector, DISTANCE)
    for key, direction, pixel in (("fast", fast, 100e-6), ("slow", slow, 200e-6)):
        field = f"{DETECTOR}/{name}/{key}_pixel_direction"
        axis(file, field, pixel, "translation", "m", direction, place)


@pytest.fixture
def nexus(tmp_path: Path) -> Path:
    """Two modules at 0.25 m on an arm turned by 30 degrees about y, with an offset axis."""
    path = tmp_path / "detector.nxs"
    with h5py.File(path, "w") as file:
        group(file, DETECTOR, "NXdetector")
        group(file, f"{DETECTOR}/transformations", "NXtransformations")
        pivot = {"offset": (1.0, 2.0, 3.0), "offset_units": "mm"}
        axis(file, ARM, 30.0, "rotation", "deg", (0.0, 1.0, 0.0), ".", **pivot)
        axis(file, DISTANCE, [0.25], "translation", "m", (0.0, 0.0, 2.0), ARM)
        module(file, "module_10", (0, 60), (40, 50), (-5.0, 4.0, 0.0), (-1, 0, 0), (0, -1, 0))
        module(file, "module_9", (0, 0), (40, 50), (6.0, 4.0, 1.0), (-1, 0, 0), (0, -1, 0))
    return path


def edit(path: Path, change: Callable[[Any], None]) -> Path:
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def test_two_modules_on_an_arm(nexus: Path) -> None:
    detector = detector_from_nexus(nexus)
    assert [panel.name for panel in detector.panels] == ["module_9", "module_10"]
    assert detector.image_shape == (40, 110)
    first, second = detector.panels
    assert (first.image_origin_px, second.image_origin_px) == ((0, 0), (60, 0))
    assert (first.size_px, first.pixel_size_mm) == ((50, 40), pytest.approx((0.1, 0.2), rel=1e-15))
    # by hand: the arm turns z towards x (right-handed about y), then its axis is moved
    c, s = np.cos(30 * DEG), np.sin(30 * DEG)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    for panel, corner in ((first, (6.0, 4.0, 1.0)), (second, (-5.0, 4.0, 0.0))):
        expected = turn @ np.add(corner, (0, 0, 250.0)) + [1.0, 2.0, 3.0]
        np.testing.assert_allclose(panel.origin_mm, expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(panel.fast_axis, turn @ [-1, 0, 0], rtol=0, atol=1e-15)
        np.testing.assert_allclose(panel.slow_axis, (0, -1, 0), rtol=0, atol=1e-15)


def test_the_image_of_the_data(nexus: Path) -> None:
    edit(nexus, lambda f: f[DETECTOR].create_dataset("data", shape=(3, 44, 120), dtype="u2"))
    assert detector_from_nexus(nexus).image_shape == (44, 120)


def test_without_module_offset(nexus: Path) -> None:
    """The older way: the offset is an attribute of the pixel's direction."""
    before = detector_from_nexus(nexus)

    def change(file: Any) -> None:
        for name, corner in (("module_9", (6.0, 4.0, 1.0)), ("module_10", (-5.0, 4.0, 0.0))):
            base = file[f"{DETECTOR}/{name}"]
            del base["module_offset"]
            for key in ("fast", "slow"):
                base[f"{key}_pixel_direction"].attrs["depends_on"] = "../transformations/distance"
            base["fast_pixel_direction"].attrs["offset"] = np.array(corner) * 1e-3  # in its units

    after = detector_from_nexus(edit(nexus, change))
    for a, b in zip(after.panels, before.panels, strict=True):
        np.testing.assert_allclose(a.origin_mm, b.origin_mm, rtol=0, atol=1e-12)


def test_a_corrected_detector_through_nexus(tmp_path: Path) -> None:
    grid = PanelGrid(2, 3, 20, 30, (5,), (1, 4))
    scale = np.array([1.0, 1.0, DEG, 1.0, 0.0, DEG, DEG])
    model = TiltedFlat(
        grid.shape,
        (0.1, 0.1),
        200.0,
        (22.0, 51.0),
        (0.01, -0.02, 0.03),
        panel_boxes=grid.boxes(),
        panel_corrections=np.random.default_rng(4).uniform(-1, 1, (6, 7)) * scale,
    )
    path = tmp_path / "six.nxs"
    with h5py.File(path, "w") as file:
        group(file, DETECTOR, "NXdetector").create_dataset(
            "pixel_mask", shape=model.file_shape, dtype="u4"
        )
        for panel in model.detector().panels:
            base = group(file, f"{DETECTOR}/{panel.name}", "NXdetector_module")
            base["data_origin"], base["data_size"] = (
                panel.image_origin_px[::-1],
                panel.size_px[::-1],
            )
            place = f"{DETECTOR}/{panel.name}/module_offset"
            axis(file, place, 0.0, "translation", "mm", (1, 0, 0), ".", offset=panel.origin_mm)
            for key, vector in (("fast", panel.fast_axis), ("slow", panel.slow_axis)):
                field = f"{DETECTOR}/{panel.name}/{key}_pixel_direction"
                axis(file, field, 100.0, "translation", "um", vector, place)
    again = tilted_flat_from_panels(detector_from_nexus(path))
    np.testing.assert_array_equal(again.panel_boxes, grid.boxes())
    for mine, theirs in zip(again.maps(), model.maps(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-11)  # eta near the beam


# --- what is not understood ----------------------------------------------------------------------


def attribute(path: str, name: str, value: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        if value is None:
            del file[path].attrs[name]
        else:
            file[path].attrs[name] = value

    return change


def value(path: str, data: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        kept = dict(file[path].attrs)
        del file[path]
        if data is not None:
            file.create_dataset(path, data=data).attrs.update(kept)

    return change


FAST = f"{DETECTOR}/module_9/fast_pixel_direction"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (attribute(DISTANCE, "depends_on", None), "distance has no depends_on: where it is cannot"),
        (attribute(DISTANCE, "depends_on", "/no"), "distance depends on '/no', which is not in"),
        (attribute(DISTANCE, "depends_on", DETECTOR), "detector is no field: expected a transf"),
        (
            attribute(ARM, "depends_on", DISTANCE),
            "fast_pixel_direction: its depends_on goes round in a",
        ),
        (attribute(ARM, "transformation_type", "shear"), "'shear': expected translation or"),
        (attribute(ARM, "units", "m"), "two_theta: units 'm': expected one of deg, degree"),
        (attribute(DISTANCE, "units", None), "distance: units None: expected one of m, cm, mm"),
        (attribute(ARM, "offset_units", "deg"), "two_theta: offset_units 'deg': expected one of m"),
        (attribute(ARM, "offset", (1.0, 2.0)), r"two_theta: offset \[1.0, 2.0\]: expected three"),
        (attribute(ARM, "vector", (0, 0, 0)), r"vector \[0.0, 0.0, 0.0\]: expected a direction"),
        (attribute(ARM, "vector", None), r"vector \[\]: expected a direction"),
        (value(ARM, [30.0, 31.0]), "two_theta: expected one number, got 2 that are not all the"),
        (value(ARM, np.nan), "two_theta: expected one number"),
        (value(f"{DETECTOR}/module_9/data_size", (1, 40, 50)), r"data_size = \[1, 40, 50\]: exp"),
        (value(f"{DETECTOR}/module_9/data_origin", None), "module_9 has no field data_origin"),
        (value(FAST, None), "module_9 has no field fast_pixel_direction"),
        (attribute(FAST, "depends_on", "."), "module_9: .* turned differently"),
    ],
)
def test_files_refused(nexus: Path, change: Callable[[Any], None], message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        detector_from_nexus(edit(nexus, change))
    assert str(caught.value).startswith(str(nexus))
    assert "\n" not in str(caught.value)


def test_one_number_a_frame_that_never_changes(nexus: Path) -> None:
    edit(nexus, value(ARM, [30.0, 30.0, 30.0]))
    assert len(detector_from_nexus(nexus).panels) == 2


def test_which_detector(nexus: Path, tmp_path: Path) -> None:
    assert len(detector_from_nexus(nexus, DETECTOR).panels) == 2
    edit(nexus, lambda f: f.copy(DETECTOR, "/entry/instrument/other"))
    with pytest.raises(ConfigError, match=r"several detectors, name one: .*/detector, .*/other"):
        detector_from_nexus(nexus)
    with pytest.raises(ConfigError, match="'/entry' is no NXdetector with modules"):
        detector_from_nexus(nexus, "/entry")
    with pytest.raises(ConfigError, match="'none' is no NXdetector with modules"):
        detector_from_nexus(nexus, "none")
    empty = tmp_path / "empty.h5"
    h5py.File(empty, "w").close()
    with pytest.raises(FormatError, match="no NXdetector with NXdetector_module groups"):
        detector_from_nexus(empty)
    text = tmp_path / "text.nxs"
    text.write_text("no")
    with pytest.raises(FormatError, match=r"text\.nxs: cannot be read as HDF5"):
        detector_from_nexus(text)
