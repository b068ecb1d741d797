"""XPARM.XDS: hand-computed places, what is refused, axes and cells."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.errors import FormatError, GeometryError
from refimpl.forward.experiment import Goniometer
from refimpl.interop.xds import experiment_from_xparm, xparm_from_experiment
from refimpl.interop.xparm_file import format_xparm, parse_xparm, read_xparm

TEXT = """ XPARM.XDS    VERSION Jan 31, 2020  BUILT=20200131
     5       12.0000    0.5000  0.999988 -0.001214  0.004726
       0.750000       0.000000       0.000000       1.333333
     1     10.0000     20.0000     30.0000  90.000  90.000  90.000
      10.000000       0.000000       0.000000
       0.000000      20.000000       0.000000
       0.000000       0.000000      30.000000
         1       200       100    0.150000    0.200000
     101.500000      40.500000     179.000000
       1.000000       0.000000       0.000000
       0.000000       1.000000       0.000000
       0.000000       0.000000       1.000000
         1         1       200         1       100
    0.00    0.00    0.00  1.00000  0.00000  0.00000  0.00000  1.00000  0.00000
"""
ONE_SEGMENT = "         1         1       200         1       100\n"
TWO = TEXT.replace("         1       200       100", "         2       200       100").replace(
    ONE_SEGMENT, ONE_SEGMENT.replace("200", " 90")
) + (
    "         2       111       200         1       100\n"
    "    2.00   -3.00    4.00  0.00000  1.00000  0.00000  -1.00000  0.00000  0.00000\n"
)


def module(text):
    detector = experiment_from_xparm(parse_xparm(text)).detector
    return detector, detector.d


def test_the_pixel_of_the_origin_lies_straight_ahead() -> None:
    detector, d = module(TEXT)
    fast, slow, origin = d[0].T
    # pixel (101.5, 40.5) counted from 1 at centres is (101, 40) counted from 0 at corners
    at = origin + 101.0 * 0.15 * fast + 40.0 * 0.2 * slow
    np.testing.assert_allclose(at, [0.0, 0.0, 179.0], atol=1e-12)
    assert detector.modules[0].size_px == (200, 100)
    assert detector.modules[0].pixel_size_mm == (0.15, 0.2)


def test_a_segment_hangs_on_the_corner_of_the_detector() -> None:
    detector, d = module(TWO)
    corner = np.array([-101.0 * 0.15, -40.0 * 0.2, 179.0])
    # E1 = y, E2 = -x, E3 = z; its first pixel is 110 from the left, so 108 and 3 past its origin
    expected = corner + 108.0 * 0.15 * np.array([0, 1, 0]) + 3.0 * 0.2 * np.array([-1, 0, 0])
    np.testing.assert_allclose(d[1, :, 2], expected + np.array([0, 0, 4.0]), atol=1e-12)
    assert detector.modules[1].raw_image_offset == (110, 0)
    np.testing.assert_array_equal(d[1, :, :2].T, [[0, 1, 0], [-1, 0, 0]])


def test_beam_axis_scan_and_cell() -> None:
    e = experiment_from_xparm(parse_xparm(TEXT))
    np.testing.assert_allclose(e.beam.s0, [0.0, 0.0, 1 / 0.75], atol=1e-12)
    assert e.scan.image_range == (5, 5)
    assert e.scan.oscillation_deg == (12.0, 0.5)
    np.testing.assert_allclose(e.crystal.cell, [10, 20, 30, 90, 90, 90])
    assert abs(np.linalg.norm(e.goniometer.rotation_axis) - 1.0) < 1e-15


@pytest.mark.parametrize("text", [TEXT, TWO])
def test_written_and_read_nothing_moves(text) -> None:
    e = experiment_from_xparm(parse_xparm(text))
    again = experiment_from_xparm(parse_xparm(format_xparm(xparm_from_experiment(e))))
    np.testing.assert_allclose(again.detector.d, e.detector.d, atol=1e-12)
    np.testing.assert_allclose(again.crystal.A, e.crystal.A, atol=1e-15)
    assert again.crystal.hall == e.crystal.hall


def test_fixed_and_setting_rotations_go_into_axis_and_cell() -> None:
    e = experiment_from_xparm(parse_xparm(TEXT))
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    object.__setattr__(e, "goniometer", Goniometer([1.0, 0.0, 0.0], fixed=turn, setting=turn))
    x = xparm_from_experiment(e)
    assert x.axis == (0.0, 1.0, 0.0)
    np.testing.assert_allclose(x.vectors[0], [-10.0, 0.0, 0.0], atol=1e-15)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (" XPARM.XDS    VERSION", " IDXREF VERSION", "not an XPARM.XDS of version 2012 or later"),
        ("       0.750000  ", "       wave  ", "line:3|expected 4 numbers"),
        (ONE_SEGMENT, ONE_SEGMENT.replace("200", "201"), "in an image of"),
        ("         1       200       100", "         0       200       100", "no segments"),
        ("         1       200       100", "         3       200       100", "expected 5 numbers"),
    ],
)  # fmt: skip
def test_broken_files(old, new, message) -> None:
    with pytest.raises(FormatError, match=message):
        parse_xparm(TEXT.replace(old, new, 1), "x")


def test_impossible_ones(tmp_path) -> None:
    zero = TEXT.replace("       1.000000       0.000000       0.000000\n", "  0 0 0\n", 1)
    with pytest.raises(GeometryError, match="has no direction"):
        experiment_from_xparm(parse_xparm(zero))
    group = TEXT.replace("     1     10.0000", "   231     10.0000")
    with pytest.raises(GeometryError, match="space group 231"):
        experiment_from_xparm(parse_xparm(group))
    with pytest.raises(FormatError, match="cannot be read as text"):
        read_xparm(tmp_path / "none")
    (tmp_path / "x").write_text("")
    with pytest.raises(FormatError, match="the first line is ''"):
        read_xparm(tmp_path / "x")
