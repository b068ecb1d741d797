"""Cross-validation by halves, and the congruence of two detectors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refimpl.errors import ConfigError, GeometryError
from refimpl.io.dials_files import read_expt
from refimpl.io.reflection_table import ReflectionTable
from refimpl.metrology.congruence import congruence
from refimpl.metrology.parameters import FixSettings
from refimpl.metrology.refine import RefineSettings
from refimpl.metrology.selection import preset
from refimpl.metrology.validate import half_of, held_out, split_halves
from refimpl.rotations import expmap
from refimpl.testing.rotation_case import panel_grid, rotation_case

LEVEL1 = RefineSettings(replace(preset("tutorial"), outlier="null"), FixSettings(hierarchy_level=1))


def moved(detector, turn, shift):
    d = detector.d
    out = np.einsum("ij,pjk->pik", turn, d)
    out[:, :, 2] += shift
    return detector.with_d(out)


def test_congruence_of_one_panel_by_hand() -> None:
    first = panel_grid((2, 2))
    d = first.d
    half = 0.5 * 240 * 0.172
    centre = d[1] @ [half, half, 1.0]
    turn = expmap(np.array([0.0, 0.0, 2e-3]))  # about the lab's z; slow is -y: normal is -z
    d[1, :, :2] = turn @ d[1, :, :2]
    d[1, :, 2] = centre + np.array([0.01, 0.02, -0.03]) - d[1, :, :2] @ [half, half]
    found = congruence(first, first.with_d(d))
    np.testing.assert_allclose(found.offset[1], [0.01, -0.02, 0.03], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.turn[1], [0.0, 0.0, -2.0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.offset[[0, 2, 3]], 0.0, atol=1e-12)
    assert found.in_plane == pytest.approx(np.hypot(0.01, 0.02) / 2.0)
    assert found.normal == pytest.approx(0.015)
    assert found.about_normal == pytest.approx(1.0)
    assert found.tilt == pytest.approx(0.0, abs=1e-9)
    assert found.sentence().startswith("4 panels: in the plane 11.18 µm, along the normal 15.00 µm")


def test_a_common_move_is_taken_out() -> None:
    first = panel_grid((3, 3))
    second = moved(first, expmap(np.array([0.02, -0.01, 0.3])), np.array([3.0, 1.0, 20.0]))
    assert congruence(first, second).in_plane > 10.0
    found = congruence(first, second, aligned=True)
    np.testing.assert_allclose(found.offset, 0.0, atol=1e-11)
    np.testing.assert_allclose(found.turn, 0.0, atol=1e-9)
    # half a radian is not small: the rotation vector is exact
    turned = congruence(first, moved(first, expmap(np.array([0.0, 0.0, 0.5])), np.zeros(3)))
    np.testing.assert_allclose(turned.turn[:, 2], -500.0, rtol=1e-12)


def test_weights_count() -> None:
    first = panel_grid((2, 2))
    d = first.d
    d[0, :, 2] += [1.0, 0.0, 0.0]
    second = first.with_d(d)
    assert congruence(first, second, np.array([0, 1, 1, 1])).in_plane == pytest.approx(0.0)
    assert congruence(first, second, np.array([3, 1, 0, 0])).in_plane == pytest.approx(0.75**0.5)
    with pytest.raises(GeometryError, match=r"congruence: weights of shape \(2,\): expected 4"):
        congruence(first, second, np.ones(2))
    with pytest.raises(GeometryError, match="detectors of 4 and 6 panels: expected equal"):
        congruence(first, panel_grid((2, 3)))
    with pytest.raises(GeometryError, match=r"panel 0: \(240, 240\) pixels of"):
        congruence(first, panel_grid((2, 2), size_px=(100, 240)))


def test_halves() -> None:
    case = rotation_case(n=1000)
    odd = half_of(case.table, case.start)
    assert odd.sum() == 500
    phi = half_of(case.table, case.start, "phi")
    assert 400 < phi.sum() < 600
    assert case.table["xyzobs.mm.value"][phi, 2].max() < np.pi
    assert case.table["xyzobs.mm.value"][~phi, 2].min() >= np.pi
    with pytest.raises(ConfigError, match="halves 'random': expected one of odd_even, phi"):
        half_of(case.table, case.start, "random")  # type: ignore[arg-type]
    still = (replace(case.start[0], goniometer=None),)
    with pytest.raises(ConfigError, match="halves phi: stills do not rotate"):
        half_of(case.table, still, "phi")


@pytest.mark.parametrize("kind", ["odd_even", "phi"])
def test_halves_are_those_of_the_reflections_whatever_the_order_of_rows(kind) -> None:
    case = rotation_case(n=1001)
    ids = np.arange(1001) % 3 - 1  # some are not indexed
    two = (case.start[0], replace(case.start[0], identifier="b"))
    table = case.table.with_columns(id=ids)
    order = np.random.default_rng(8).permutation(1001)
    expected = half_of(table, two, kind)
    np.testing.assert_array_equal(half_of(table.select(order), two, kind), expected[order])
    # angles of both experiments are spread over both halves, or parted in the middle
    for k in (0, 1):
        phi = [
            np.asarray(table["xyzobs.mm.value"][(ids == k) & h, 2]) for h in (expected, ~expected)
        ]
        if kind == "odd_even":
            assert abs(len(phi[0]) - len(phi[1])) <= 1
            assert abs(phi[0].mean() - phi[1].mean()) < 0.02  # rad; alternating along 2 pi / 333
        else:
            assert phi[0].max() < np.pi <= phi[1].min()


def test_the_first_half_of_a_scan_that_runs_backwards_has_the_larger_angles() -> None:
    case = rotation_case(n=300)
    (e,) = case.start
    back = replace(e, scan=replace(e.scan, oscillation_deg=(360.0, -0.5)))
    first = half_of(case.table, (back,), "phi")
    np.testing.assert_array_equal(first, ~half_of(case.table, (e,), "phi"))


@pytest.mark.parametrize("kind", ["odd_even", "phi"])
def test_halves_agree_as_the_uncertainties_say(kind) -> None:
    case = rotation_case(seed=21, n=6000)
    found = split_halves(case.start, case.table, LEVEL1, kind)
    # 0.02 mm and 1 mrad of noise; 60 parameters from 9000 numbers
    np.testing.assert_allclose(found.own[:, :2], 0.02, rtol=0.05)
    assert np.all(found.held_out[:, :2] > found.own[:, :2] * 0.97)
    np.testing.assert_allclose(found.held_out[:, :2], 0.02, rtol=0.06)
    assert np.all(found.before[:, :2] > 3.0 * found.held_out[:, :2])
    assert 0.5 < found.chi_squared < 1.7  # 54 numbers that share crystal and beam
    assert found.aligned.in_plane <= found.congruence.in_plane
    assert 1e-4 < found.congruence.in_plane < 0.05
    said = found.sentences()
    assert said[0].startswith("half 1 (3") if kind == "odd_even" else said[0].startswith("half 1 (")
    assert said[2].startswith("congruence of the two detectors: 9 panels: in the plane ")


def test_too_free_a_model_is_found_out() -> None:
    """Few reflections, many parameters: fine on its own half, worse on the other."""
    case = rotation_case(seed=22, n=240, shift_mm=0.0, turn_mrad=0.0)
    loose = replace(LEVEL1, min_reflections_per_parameter=1)
    found = split_halves(case.start, case.table, loose)
    own, other = (np.sqrt((v[:, :2] ** 2).mean()) for v in (found.own, found.held_out))
    assert other > 1.25 * own


def test_held_panels_do_not_count() -> None:
    case = rotation_case(seed=23, empty=(4,))
    found = split_halves(case.start, case.table, LEVEL1)
    assert found.congruence.weight[4] == 0.0
    assert found.congruence.sentence().startswith("8 panels")
    with pytest.raises(ConfigError, match="none of 0 held-out reflections is predicted"):
        held_out(found.results[0], case.table, np.array([], dtype=np.intp))


def test_th82_is_validated(real_data) -> None:
    """Panels of th82 refined on half the spots predict the other half."""
    with np.load(real_data("metrology/data/th82_60panel_indexed.npz")) as columns:
        table = ReflectionTable(columns={k: columns[k] for k in columns.files})
    start = read_expt(real_data("metrology/refine/th82_60panel_lev0_tukey_refined.expt"))
    settings = RefineSettings(fix=FixSettings(hierarchy_level=1))
    found = split_halves(start, table, settings)
    px = found.held_out[:, :2] / 0.172
    assert np.all(px < [0.10, 0.13])
    assert np.all(found.held_out[:, :2] < 0.6 * found.before[::-1, :2])
    assert found.aligned.in_plane < 0.03  # mm
