"""Correction tables of a metrology, and their comparison with a (simulated) factory's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refimpl.detector.hierarchy import Hierarchy, Module
from refimpl.errors import GeometryError
from refimpl.io.xds_tables import read_corrections
from refimpl.metrology.correction_tables import (
    compare_tables,
    correction_tables,
    flat_detector,
    image_shape,
)
from refimpl.metrology.exports import write_tables
from refimpl.metrology.parameters import FixSettings
from refimpl.metrology.refine import RefineSettings, refine
from refimpl.testing.rotation_case import panel_grid, rotation_case


def shifted(detector, panel, by):
    d = detector.d
    d[panel, :, 2] += by
    return detector.with_d(d)


def test_a_shift_in_the_plane_by_hand() -> None:
    before = panel_grid((1, 2))
    # slow runs along -y: 0.344 mm up is 2 px less
    dx, dy = correction_tables(before, shifted(before, 1, [0.172, 0.344, 0.0]))
    assert dx.shape == image_shape(before) == (240, 490)
    np.testing.assert_allclose(dx[:, 250:], 1.0, rtol=0, atol=1e-9)
    np.testing.assert_allclose(dy[:, 250:], -2.0, rtol=0, atol=1e-9)
    np.testing.assert_allclose(dx[:, :250], 0.0, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(dx[:, 240:250], 0.0)


def test_a_shift_along_the_beam_by_hand() -> None:
    """A panel 1 % farther away: every ray's crossing of the old plane is 1 % nearer to the axis."""
    before = panel_grid((1, 2))
    d = before.d
    after = shifted(before, 0, [0.0, 0.0, 0.01 * d[0, 2, 2]])
    dx, dy = correction_tables(before, after)
    x, y = d[0, 0, 2] + 0.5 * 0.172, d[0, 1, 2] - 0.5 * 0.172
    assert dx[0, 0] == pytest.approx((x / 1.01 - x) / 0.172, rel=1e-9)
    assert dy[0, 0] == pytest.approx(-(y / 1.01 - y) / 0.172, rel=1e-9)


def test_corrected_pixels_are_seen_where_they_are() -> None:
    case = rotation_case(n=10, turn_mrad=10.0, shift_mm=0.5)
    before, after = case.start[0].detector, case.truth[0].detector
    dx, dy = correction_tables(before, after)
    rng = np.random.default_rng(0)
    for panel in range(9):
        fast, slow = before.modules[panel].raw_image_offset
        i, j = rng.integers(0, 240, 2)
        at = slow + i, fast + j
        ray = after.d[panel] @ [(j + 0.5) * 0.172, (i + 0.5) * 0.172, 1.0]
        found = before.d[panel] @ [
            (j + 0.5 + dx[at]) * 0.172, (i + 0.5 + dy[at]) * 0.172, 1.0
        ]  # fmt: skip
        np.testing.assert_allclose(np.cross(ray, found), 0.0, atol=1e-8)


def test_one_plane_for_all() -> None:
    """A program that knows one panel: gaps of panels that stand on its grid need no correction."""
    pitch = 250 * 0.172
    modules = tuple(
        Module(f"p{k}", (1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (k * pitch - 40.0, 20.0, -150.0),
               (240, 240), (0.172, 0.172), raw_image_offset=(250 * k, 0))
        for k in range(2)
    )  # fmt: skip
    plane = Hierarchy(
        (replace(modules[0], size_px=(490, 240)),)
    )  # fmt: skip
    after = Hierarchy(modules)
    dx, dy = correction_tables(plane, after)
    np.testing.assert_allclose([dx, dy], 0.0, atol=1e-9)
    dx, dy = correction_tables(plane, shifted(after, 1, [0.172, 0.0, 0.0]))
    np.testing.assert_allclose(dx[:, 250:], 1.0, rtol=0, atol=1e-9)
    np.testing.assert_allclose(dy, 0.0, rtol=0, atol=1e-9)


def test_refined_tables_agree_with_a_factory(tmp_path) -> None:
    """A simulated factory measures the true panels to 0.01 px; refinement finds what it says."""
    case = rotation_case(seed=31, n=6000, turn_mrad=1.0, shift_mm=0.15)
    nominal, true = case.start[0].detector, case.truth[0].detector
    factory = correction_tables(nominal, true)
    write_tables(tmp_path, nominal, true, "geometry")  # in units of 1/100 px, as makers do
    reference = read_corrections(
        tmp_path / "x_geo_corr.cbf", tmp_path / "y_geo_corr.cbf", image_shape(nominal)
    )  # fmt: skip
    found = refine(case.start, case.table, RefineSettings(fix=FixSettings(hierarchy_level=1)))
    own = correction_tables(nominal, found.experiments[0].detector)
    np.testing.assert_allclose(reference, factory, rtol=0, atol=0.00501)
    write_tables(tmp_path, nominal, true)
    coarse = read_corrections(
        tmp_path / "X-CORRECTIONS.cbf", tmp_path / "Y-CORRECTIONS.cbf", image_shape(nominal)
    )  # fmt: skip
    assert compare_tables(coarse, reference, nominal).overall < 0.2  # units of 1/10, 4 x 4 pixels
    compared = compare_tables(own, reference, nominal)
    assert compared.overall_reference > 0.8
    assert compared.overall < 0.05 * compared.overall_reference
    assert np.all(compared.rms < 0.15 * compared.reference.max())
    assert compared.sentence().startswith("the tables differ by 0.0")
    # against no correction at all the difference is the whole of it, less what is common
    nothing = compare_tables((0.0 * own[0], 0.0 * own[1]), reference, nominal)
    assert nothing.overall > 10.0 * compared.overall


def test_what_is_common_is_taken_out() -> None:
    detector = panel_grid((2, 2))
    ns, nf = image_shape(detector)
    y, x = np.mgrid[:ns, :nf] + 0.5
    x, y = x - nf / 2, y - ns / 2
    zero = np.zeros((ns, nf))
    tables = 0.3 - 1e-3 * y + 2e-3 * x, -0.2 + 1e-3 * x + 2e-3 * y
    compared = compare_tables(tables, (zero, zero), detector)
    np.testing.assert_allclose(compared.common, [0.3, -0.2, 1e-3, 2e-3], rtol=1e-9)
    assert compared.overall == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(compared.mean, 0.0, atol=1e-9)
    odd = tables[0].copy()
    odd[:240, :240] += 5.0  # the first panel, which does not count
    compared = compare_tables(
        (odd, tables[1]), (zero, zero), detector, weight=np.array([0, 1, 1, 1])
    )
    np.testing.assert_allclose(compared.common, [0.3, -0.2, 1e-3, 2e-3], rtol=1e-9)
    np.testing.assert_allclose(compared.mean[0], [5.0, 0.0], atol=1e-9)


def test_refused() -> None:
    detector = panel_grid((2, 2))
    with pytest.raises(GeometryError, match="tables: 6 panels before, 4 after: expected the same"):
        correction_tables(panel_grid((2, 3)), detector)
    small = Hierarchy((replace(detector.modules[0], origin_mm=(0.0, 0.0, -100.0)),))
    with pytest.raises(GeometryError, match=r"an image of \(240, 240\) pixels does not hold"):
        correction_tables(small, detector)
    stack = replace(
        detector, modules=tuple(replace(m, raw_image_offset=(0, 0)) for m in detector.modules)
    )
    with pytest.raises(GeometryError, match="tables: panel 1 overlaps another in the image"):
        correction_tables(stack, stack)
    d = detector.d
    d[:, :, 2] *= [1.0, 1.0, -1.0]
    with pytest.raises(GeometryError, match="tables: rays to panel 0 do not cross the plane"):
        correction_tables(detector, detector.with_d(d))
    zero = np.zeros((3, 3))
    with pytest.raises(GeometryError, match=r"tables: shape \(3, 3\): the panels' image is"):
        compare_tables((zero, zero), (zero, zero), detector)
    zero = np.zeros(image_shape(detector))
    with pytest.raises(GeometryError, match=r"tables: weights of shape \(1,\): expected 4"):
        compare_tables((zero, zero), (zero, zero), detector, weight=np.ones(1))


def test_a_flat_detector_for_panels() -> None:
    """Panels of an undistorted image lie on their flat detector; moved ones round it."""
    detector = panel_grid((2, 3))
    plane = detector.d[0]
    d = np.tile(plane, (6, 1, 1))
    for k, module in enumerate(detector.modules):
        d[k, :, 2] += plane[:, :2] @ (0.172 * np.array(module.raw_image_offset))
    detector = detector.with_d(d)
    flat = flat_detector(detector)
    np.testing.assert_allclose(flat.d[0], plane, rtol=0, atol=1e-9)
    tables = correction_tables(flat, detector)
    np.testing.assert_allclose(tables, 0.0, rtol=0, atol=1e-9)
    flat = flat_detector(detector, np.array([1, 1, 1, 1, 0, 1]))
    dx, _ = correction_tables(flat, shifted(detector, 4, [0.172, 0.0, 0.0]))
    fast, slow = detector.modules[4].raw_image_offset
    assert dx[slow + 5, fast + 5] == pytest.approx(1.0)
    weight = np.array([1, 1, 1, 1, 0, 1])
    same = flat_detector(shifted(detector, 4, [9.0, 1.0, 3.0]), weight)
    np.testing.assert_allclose(same.d, flat.d, rtol=0, atol=1e-9)
    with pytest.raises(GeometryError, match="panels of different pixel sizes"):
        flat_detector(replace(detector, modules=(
            replace(detector.modules[0], pixel_size_mm=(0.1, 0.1)), *detector.modules[1:]
        )))  # fmt: skip
    with pytest.raises(GeometryError, match=r"flat detector: weights of shape \(6,\): expected 6"):
        flat_detector(detector, np.zeros(6))
