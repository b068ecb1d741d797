"""Levels of beam shifts: shots and holes are found, and nothing that is neither."""

from __future__ import annotations

import numpy as np
import pytest
from beam_shift_scene import PATTERNS, same_groups, scene

from refimpl.clustering.beam_shift import Level, levels
from refimpl.clustering.tree_levels import MOST, RATIO, thinned
from refimpl.epu.simulate import large, simulate
from refimpl.epu.simulate_varied import varied
from refimpl.errors import ConfigError


def counts(found: tuple[Level, ...]) -> list[int]:
    return [level.n for level in found]


# --- what is there is found ---------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 2e-4])
@pytest.mark.parametrize("pattern", list(PATTERNS))
@pytest.mark.parametrize("shots", [1, 2, 3, 4])
def test_shots_and_holes_of_an_exact_stage(pattern: str, shots: int, noise: float):
    made = scene(pattern, shots, 5, landing_um=0.0, centring_um=0.0, noise=noise)
    found = levels(made.points)
    each = [made.hole * shots + made.shot] * (shots > 1) + [made.hole]
    assert counts(found) == [len(set(truth)) for truth in each]
    for level, truth in zip(found, each, strict=True):
        assert same_groups(level.labels, truth)
        assert level.gap > RATIO
        assert level.labels[0] == 0
        assert level.labels.max() == level.n - 1


@pytest.mark.parametrize("visits", [1, 3, 12, 30])
@pytest.mark.parametrize("pattern", list(PATTERNS))
@pytest.mark.parametrize("shots", [1, 2, 4])
def test_holes_in_spite_of_landing_errors(pattern: str, shots: int, visits: int):
    made = scene(pattern, shots, visits, seed=visits)
    found = levels(made.points)
    assert same_groups(found[-1].labels, made.hole)


@pytest.mark.parametrize("pitch", [1.8, 2.0, 4.0])
@pytest.mark.parametrize("pattern", ["3x3", "5x5-corners", "7x7"])
def test_holes_of_other_foils_with_holes_left_out(pattern: str, pitch: float):
    made = scene(pattern, 3, 25, pitch_um=pitch, ring_um=0.3, skipped=0.3)
    assert same_groups(levels(made.points)[-1].labels, made.hole)


def test_shots_whose_clouds_touch():
    # three shots 0.65 um apart, landing on 100 places within 0.15 um
    made = scene("5x5-corners", 3, 100, landing_um=0.13)
    found = levels(made.points)
    assert counts(found) == [63, 21]
    right = [
        np.bincount(made.shot[found[0].labels == k]).max() for k in range(63)
    ]  # a cloud's outermost members are nearer to the next shot
    assert sum(right) > 0.98 * len(made.points)
    assert same_groups(found[1].labels, made.hole)


def test_wide_shots_of_a_dense_foil():
    # the way to the next hole, 1.6 um at its shortest, is 1.6 times that to the next shot
    made = scene("5x5-corners", 4, 60, pitch_um=3.0, ring_um=0.7, landing_um=0.1)
    found = levels(made.points)
    assert counts(found) == [84, 21]
    assert same_groups(found[1].labels, made.hole)
    two = scene("5x5-corners", 2, 4, pitch_um=2.0, landing_um=0.0, centring_um=0.0)
    assert counts(levels(two.points)) == [42, 21]


@pytest.mark.parametrize("seed", range(8))
def test_simulated_sessions_with_near_misses_and_missed_moves(seed: int):
    made = simulate(varied(seed), seed=seed)
    points, truth = made.session.beam_shift, made.truth
    assert truth.lattice_um is not None
    site = np.rint(points @ truth.matrix_um @ np.linalg.inv(truth.lattice_um))
    hole = np.unique(site, axis=0, return_inverse=True)[1].ravel()
    found = levels(points)[-1].labels
    table = np.zeros((found.max() + 1, hole.max() + 1), dtype=np.int64)
    np.add.at(table, (found, hole), 1)
    # strays, which lie between holes, may go either way
    assert table.max(axis=1).sum() > 0.99 * len(points)
    assert table.max(axis=0).sum() > 0.99 * len(points)


def test_one_exposure_of_each_hole():
    made = scene("5x5-corners", 1, 1)
    (level,) = levels(made.points)
    assert (level.n, level.height, level.gap) == (21, 0.0, np.inf)
    made = scene("5x5-corners", 3, 1)
    assert counts(levels(made.points)) == [63, 21]
    again = np.concatenate([scene("5x5-corners", 1, 1).points, [made.points[0], made.points[9]]])
    assert levels(again)[-1].n == 21  # two holes exposed again


# --- what is not there is not found -------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("visits", [6, 8, 12])
def test_landings_make_no_level(seed: int, visits: int):
    # the same few landings in every hole, exactly: gaps among them are repeated everywhere
    made = scene("5x5-corners", 1, visits, seed=seed, centring_um=0.0)
    landing = np.sort(np.hypot(*(made.points[made.hole == 0] - made.points[0]).T))
    assert landing[-1] > 1e-3
    assert counts(levels(made.points)) == [21]


def test_three_short_edges_make_no_level():
    rng = np.random.default_rng(3)
    holes = scene("5x5-corners", 3, 3, seed=2).points
    near = holes[:3] + 1e-6 * rng.normal(size=(3, 2))
    assert counts(levels(np.concatenate([holes, near])))[-1] == 21
    assert max(counts(levels(np.concatenate([holes, near])))) <= 63


@pytest.mark.parametrize("n", [40, 300])
def test_random_targets_have_no_level(n: int):
    # a lacey film: targets anywhere
    wrong = [counts(levels(np.random.default_rng(seed).random((n, 2)))) for seed in range(10)]
    assert sum(map(len, wrong)) <= 1


def test_a_far_exposure_is_no_level():
    holes = scene("5x5-corners", 3, 8)
    far = np.concatenate([holes.points, [[3.0, 3.0]]])
    found = levels(far)
    assert found[-1].n in (21, 22)
    assert same_groups(found[-1].labels[:-1], holes.hole)


def test_patches_of_a_pattern_are_no_holes():
    # pairs of holes that touch at a corner: 1.4 times the step inside of a pair
    made = scene("diagonal", 1, 30, landing_um=0.05)
    assert counts(levels(made.points)) == [6]


def test_strays_are_no_groups():
    rng = np.random.default_rng(0)
    holes = scene("3x3", 1, 60, pitch_um=1.6)
    bridge = holes.points[rng.integers(0, len(holes.points), 12)]
    away = 0.4 / 24.4 * np.exp(2j * np.pi * rng.random(12))
    stray = bridge + np.column_stack([away.real, away.imag])
    found = levels(np.concatenate([holes.points, stray]))
    assert counts(found) == [9]
    assert same_groups(found[0].labels[: len(holes.points)], holes.hole)


# --- few and many points ------------------------------------------------------------------------


def test_nothing_to_group():
    assert levels(np.empty((0, 2))) == ()
    for n in (1, 2, 50):
        (level,) = levels(np.full((n, 2), 0.3))
        assert (level.n, level.height, level.gap) == (1, 0.0, np.inf)
        assert level.labels.tolist() == [0] * n
    assert levels(np.array([[0.0, 0.0], [0.0, 0.1]])) == ()  # two points say nothing


def test_a_cloud_of_one_beam_shift_has_no_level():
    # no beam shift in use: the noise alone
    rng = np.random.default_rng(5)
    assert sum(bool(levels(2e-4 * rng.normal(size=(n, 2)))) for n in range(20, 60)) <= 2


def test_many_points_are_thinned():
    points = large(2 * MOST).session.beam_shift
    assert len(thinned(points, MOST)) == MOST
    assert thinned(points[:MOST], MOST).tolist() == list(range(MOST))
    found = levels(points)
    assert found[-1].n == 21
    assert len(found[-1].labels) == 2 * MOST


def test_refusals():
    with pytest.raises(ConfigError, match=r"points of shape \(4,\): expected \(n, 2\)"):
        levels(np.ones(4))
    with pytest.raises(ConfigError, match=r"point 2 is not finite: \[inf, 1.0\]"):
        levels(np.array([[0.0, 0.0], [1.0, 1.0], [np.inf, 1.0]]))
