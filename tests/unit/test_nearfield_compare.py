"""Two near-field maps side by side: angles in degrees once, twins, distances from boundaries."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import Voxels
from refimpl.nearfield.compare import boundary_distance, compare_maps, neighbours, pitch_mm
from refimpl.nearfield.maps import NearfieldMap
from refimpl.nearfield.outputs import read_map
from refimpl.rotations import euler_of_quaternion, multiply_quaternions, quaternion_of_euler
from refimpl.units import DEG


def squares(nx: int, ny: int, pitch_um: float = 2.0) -> Voxels:
    """Square voxels side by side."""
    y, x = np.divmod(np.arange(nx * ny), nx)
    xy = 1e-3 * pitch_um * np.stack([x, y], axis=1)
    return Voxels(xy, np.full(nx * ny, 1e-3 * pitch_um), np.ones(nx * ny, dtype=bool), "square")


def two_grains(nx: int = 8, ny: int = 3, space_group: int = 225) -> NearfieldMap:
    """Left and right half 20 degrees apart."""
    euler = np.tile([0.3, 0.5, 0.1], (nx * ny, 1))
    euler[np.arange(nx * ny) % nx >= nx // 2, 2] += 20.0 * DEG
    return NearfieldMap.of(squares(nx, ny), euler, np.full(nx * ny, 0.9), space_group)


def test_fault_12_radians_are_converted_once() -> None:
    m = two_grains()
    euler = m.euler_rad + np.array([10.0 * DEG, 0.0, 0.0])  # published: 98 % "below 0.25 deg"
    c = compare_maps(NearfieldMap.of(m.voxels, euler, m.confidence, 225), m)
    np.testing.assert_allclose(c.misorientation_rad, 10.0 * DEG, rtol=1e-12)
    np.testing.assert_allclose(c.misorientation_deg, 10.0, rtol=1e-12)
    s = c.summary()
    assert s["median_deg"] == pytest.approx(10.0)
    assert s["below_deg"] == {"0.05": 0.0, "0.25": 0.0, "1": 0.0, "5": 0.0}
    assert c.share_below(10.1) == 1.0


def test_the_published_reconstruction_has_the_published_errors(real_data) -> None:
    folder = real_data("nearfield-golden")
    truth = read_map(folder / "Au_txt.mic", space_group=225)
    found = read_map(folder / "au_c_reconstructed.mic", space_group=225)
    c = compare_maps(found, truth, reference_min_confidence=0.7)
    s = c.summary()
    # section 5.2 of the specification, measured by another program on the same files
    assert (s["pairs"], s["missing"], s["matched_by"]) == (1514, 0, "position")
    assert s["median_deg"] == pytest.approx(0.0233, abs=5e-5)
    assert s["p90_deg"] == pytest.approx(0.089, abs=5e-4)
    assert 100.0 * s["below_deg"]["0.05"] == pytest.approx(77.1, abs=0.05)
    assert 100.0 * s["below_deg"]["0.25"] == pytest.approx(99.21, abs=0.005)
    assert 100.0 * s["twin_share"] == pytest.approx(0.46, abs=0.005)
    assert s["mean_confidence"][0] == pytest.approx(0.9618, abs=5e-5)
    assert "7 wrong twins (0.46 %)" in c.sentences()


def test_twins_of_every_kind_are_seen() -> None:
    m = two_grains()
    q = m.quaternions
    for axis in ([1, 1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1]):
        turn = np.array([np.sqrt(0.75), *(0.5 * np.array(axis) / np.sqrt(3.0))])
        turned = euler_of_quaternion(multiply_quaternions(q, np.broadcast_to(turn, q.shape)))
        off = turned + np.array([0.01, 0.0, 0.0])
        c = compare_maps(NearfieldMap.of(m.voxels, off, m.confidence, 225), m)
        assert c.twin.all()
        np.testing.assert_allclose(c.misorientation_deg, 60.0, atol=1.0)
        hexagonal = NearfieldMap.of(m.voxels, off, m.confidence, 194)
        assert not compare_maps(hexagonal, two_grains(space_group=194)).twin.any()
    assert not compare_maps(m, m).twin.any()


def test_one_grid_goes_by_index_and_another_by_position() -> None:
    m = two_grains()
    assert compare_maps(m, m).matched_by == "index"
    order = np.random.default_rng(0).permutation(len(m))
    mixed = NearfieldMap.of(m.voxels[order], m.euler_rad[order], m.confidence, 225)
    c = compare_maps(mixed, m)
    assert c.matched_by == "position"
    np.testing.assert_allclose(c.misorientation_rad, 0.0, atol=1e-7)
    np.testing.assert_array_equal(order[c.rows], c.reference_rows)
    finer = compare_maps(two_grains(16, 6), m)  # same pitch, larger: what lies on m counts
    assert len(finer) == len(m)
    part = NearfieldMap.of(m.voxels[:5], m.euler_rad[:5], m.confidence[:5], 225)
    assert (len(compare_maps(part, m)), compare_maps(part, m).missing) == (5, len(m) - 5)
    lone = NearfieldMap.of(squares(1, 1), m.euler_rad[:1], m.confidence[:1], 225)
    few = compare_maps(m, lone)
    assert (len(few), few.missing) == (1, 0)
    assert compare_maps(_none(), m).missing == len(m)


def _none() -> NearfieldMap:
    return NearfieldMap.of(squares(0, 0), np.zeros((0, 3)), np.zeros(0), 225)


def test_voxels_without_a_solution_are_missing() -> None:
    m = two_grains()
    euler, confidence = m.euler_rad.copy(), m.confidence.copy()
    euler[3], confidence[5] = np.nan, 0.2
    other = NearfieldMap.of(m.voxels, euler, confidence, 225)
    c = compare_maps(other, m, min_confidence=0.5)
    assert (len(c), c.missing) == (22, 2)
    assert 3 not in c.rows
    assert 5 not in c.rows
    back = compare_maps(m, other, reference_min_confidence=0.5)
    assert (len(back), back.missing) == (22, 0)
    empty = compare_maps(_none(), m)
    assert empty.sentences() == ["0 voxels compared by position, 24 missing"]
    assert empty.summary()["median_deg"] is None


def test_boundaries_are_measured_from_the_other_grain() -> None:
    m = two_grains(60, 3)
    distance = boundary_distance(m, 5.0 * DEG).reshape(3, 60)
    wanted = 2e-3 * np.concatenate([np.arange(30, 0, -1), np.arange(1, 31)])
    np.testing.assert_allclose(distance, np.tile(wanted, (3, 1)), rtol=1e-9)
    assert np.isinf(boundary_distance(m, 25.0 * DEG)).all()
    c = compare_maps(m, m)
    assert c.share_below(0.25, away_mm=2e-3) == 1.0
    assert (c.boundary_mm > 2e-3).sum() == 3 * 58
    wrong = m.euler_rad.copy()
    wrong[29] += 0.1  # beside the boundary
    c = compare_maps(NearfieldMap.of(m.voxels, wrong, m.confidence, 225), m)
    assert c.share_below(0.25) < 1.0
    assert c.share_below(0.25, away_mm=2e-3) == 1.0
    assert c.sentences()[-1] == (
        "1 are off by more than 1 deg, their median distance from another grain 2.00 um"
    )


def test_neighbours_share_an_edge() -> None:
    pairs = neighbours(squares(3, 2))
    assert pairs.tolist() == [[0, 1], [0, 3], [1, 2], [1, 4], [2, 5], [3, 4], [4, 5]]
    assert pitch_mm(squares(3, 2)) == pytest.approx(2e-3)
    assert neighbours(squares(1, 1)).shape == (0, 2)
    assert np.isinf(pitch_mm(squares(1, 1)))


def test_maps_of_two_symmetries_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"space groups 194 \(6/mmm\) and 225 \(m-3m\): expected"):
        compare_maps(two_grains(space_group=194), two_grains())


def test_equivalent_angles_are_no_difference() -> None:
    m = two_grains()
    other = m.euler_rad + np.array([0.0, 0.0, 0.5 * np.pi])
    c = compare_maps(NearfieldMap.of(m.voxels, other, m.confidence, 225), m)
    assert c.misorientation_rad.max() < 1e-7
    assert np.abs(quaternion_of_euler(other) - m.quaternions).max() > 0.1
