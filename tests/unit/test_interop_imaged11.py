"""ImageD11 parameters: text, what is refused, the rotation axis by hand."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.errors import ConfigError, FormatError, GeometryError
from refimpl.interop.imaged11 import (
    axis_of_par,
    format_par,
    panel_of_par,
    par_of_axis,
    parse_par,
    read_par,
)

PAR = {
    "distance": 2e5, "y_center": 10.0, "y_size": 50.0, "z_center": 20.0, "z_size": 40.0,
    "o11": 1, "o12": 0, "o21": 0, "o22": -1,
}  # fmt: skip


def test_a_pixel_by_hand() -> None:
    panel = panel_of_par(PAR, (100, 80))
    # centre of row 20, column 10 is on the beam; o22 = -1: columns go to the right, which is -x
    np.testing.assert_allclose(panel.lab_mm(10.5, 20.5), [0.0, 0.0, 200.0], atol=1e-12)
    np.testing.assert_allclose(panel.lab_mm(11.5, 22.5), [-0.05, 0.08, 200.0], atol=1e-12)
    assert panel.size_px == (80, 100)


@pytest.mark.parametrize(
    ("changes", "axis"),
    [
        ({}, (0.0, 1.0, 0.0)),
        ({"omegasign": -1.0}, (0.0, -1.0, 0.0)),
        ({"chi": 90.0}, (-1.0, 0.0, 0.0)),
        ({"wedge": 90.0}, (0.0, 0.0, -1.0)),
    ],
)
def test_axes_by_hand(changes, axis) -> None:
    np.testing.assert_allclose(axis_of_par({**PAR, **changes}), axis, atol=1e-15)
    np.testing.assert_allclose(axis_of_par(par_of_axis(np.array(axis))), axis, atol=1e-15)


def test_text_there_and_back() -> None:
    values = {**PAR, "wavelength": 0.1 + 0.2, "cell_lattice_": "P"}
    assert parse_par(format_par(values)) == values
    assert parse_par("# a comment\n\n" + format_par(values)) == values
    assert parse_par(format_par(PAR) + "tilt-x 0.5\n")["tilt_x"] == 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("distance 1 2\n", "expected 'name value'"),
        ("distance 1\n", "no y_center"),
        (format_par({**PAR, "tilt_x": "much"}), "tilt_x 'much' is not a number"),
        (format_par({**PAR, "distance": float("nan")}), "distance nan is not a number"),
    ],
)
def test_broken_files(text, message) -> None:
    with pytest.raises(FormatError, match=message):
        parse_par(text, "x.par")


def test_what_cannot_be_a_geometry(tmp_path) -> None:
    with pytest.raises(ConfigError, match="does not state the shape"):
        panel_of_par(PAR)
    for changes, message in (
        ({"t_y": 3.0}, "t_y: the sample is off the origin"),
        ({"o12": 1}, "expected a flip or a transpose"),
        ({"y_size": 0.0}, "must not be 0"),
    ):
        with pytest.raises(GeometryError, match=message):
            panel_of_par({**PAR, **changes}, (10, 10))
    with pytest.raises(FormatError, match="cannot be read"):
        read_par(tmp_path / "none.par")
