"""Groups of beam shifts belong to the plane: no order, turn, mirror or unit changes them."""

from __future__ import annotations

import numpy as np
import pytest
from beam_shift_scene import same_groups, scene
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.clustering.beam_shift import cluster, levels, number_on_grid, spacings
from refimpl.clustering.spanning_tree import spanning_tree
from refimpl.frames import F64

SCENES = st.builds(
    scene,
    st.sampled_from(["3x3", "5x5-corners", "L"]),
    st.integers(1, 4),
    st.integers(1, 8),
    seed=st.integers(0, 50),
    landing_um=st.sampled_from([0.0, 0.1, 0.15]),
)
SEED = st.integers(0, 2**31)


@st.composite
def motions(draw: st.DrawFn) -> tuple[F64, F64]:
    """Turn, mirror and scale of the plane, and a shift."""
    angle = draw(st.floats(0.0, 2.0 * np.pi))
    scale = 10.0 ** draw(st.floats(-3.0, 3.0))
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, s], [-s, c]]) * scale
    if draw(st.booleans()):
        turn[1] *= -1.0
    shift = scale * np.array([draw(st.floats(-2.0, 2.0)) for _ in range(2)])
    return turn, shift


@given(made=SCENES, motion=motions())
@settings(max_examples=30)
def test_levels_belong_to_the_plane(made, motion):
    turn, shift = motion
    scale = np.sqrt(abs(np.linalg.det(turn)))
    before, after = levels(made.points), levels(made.points @ turn + shift)
    assert [level.n for level in before] == [level.n for level in after]
    for one, other in zip(before, after, strict=True):
        assert one.labels.tolist() == other.labels.tolist()
        # the shift takes digits: 2 units of 1e-16 against edges of 1e-4
        assert other.gap == pytest.approx(one.gap, rel=1e-6)
        assert other.height == pytest.approx(scale * one.height, rel=1e-6)


@given(made=SCENES, seed=SEED)
@settings(max_examples=20)
def test_the_order_of_points_changes_no_group(made, seed):
    order = np.random.default_rng(seed).permutation(len(made.points))
    for one, other in zip(levels(made.points), levels(made.points[order]), strict=True):
        # equal but for the centres of copied groups, sums in another order
        assert [other.gap, other.height] == pytest.approx([one.gap, one.height], rel=1e-12)
        assert same_groups(one.labels[order], other.labels)
        first = dict.fromkeys(other.labels.tolist())
        assert list(first) == list(range(other.n))  # the stated order


@given(made=SCENES, seed=SEED)
@settings(max_examples=20)
def test_numbers_do_not_depend_on_the_order_of_points(made, seed):
    order = np.random.default_rng(seed).permutation(len(made.points))
    n = len(set(made.hole.tolist()))
    for method in ("auto", "hac", "dbscan"):
        options = {"n_clusters": n} if method == "hac" else {"eps": 0.02, "min_samples": 1}
        one = cluster(made.points, method, **options)
        other = cluster(made.points[order], method, **options)
        assert one.labels[order].tolist() == other.labels.tolist()
        # a mean of the same members in another order: a few ulp of 0.3
        assert other.centres == pytest.approx(one.centres, abs=1e-15)
        again = cluster(made.points, method, **options)
        assert again.labels.tolist() == one.labels.tolist()
        assert again.centres.tolist() == one.centres.tolist()


@given(made=SCENES, scale=st.floats(1e-3, 1e3))
@settings(max_examples=20)
def test_numbers_do_not_depend_on_the_unit(made, scale):
    one, other = cluster(made.points), cluster(scale * made.points)
    assert one.labels.tolist() == other.labels.tolist()


@given(made=SCENES, quarter=st.integers(0, 3))
@settings(max_examples=20)
def test_rings_turn_with_the_plane(made, quarter):
    centres = cluster(made.points).centres
    c, s = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarter]
    turned = centres @ np.array([[c, s], [-s, c]])
    numbers = number_on_grid(turned)
    assert sorted(numbers.tolist()) == list(range(1, len(centres) + 1))
    assert numbers[0] == 1  # the origin stays
    for ring in ((1, 2, 3, 4, 5, 6, 7, 8),):  # and each ring keeps its members
        if len(centres) >= 9 and made.hole.max() in (8, 20):
            assert sorted(numbers[list(ring)].tolist()) == list(range(2, 10))


@given(made=SCENES, motion=motions())
@settings(max_examples=20)
def test_spacings_belong_to_the_plane(made, motion):
    turn, shift = motion
    scale = np.sqrt(abs(np.linalg.det(turn)))
    centres = cluster(made.points).centres
    before, after = spacings(centres), spacings(centres @ turn + shift)
    for name, value in vars(before).items():
        assert getattr(after, name) == pytest.approx(scale * value, rel=1e-9), name


@given(seed=SEED, n=st.integers(2, 60), motion=motions())
@settings(max_examples=30)
def test_trees_belong_to_the_plane(seed, n, motion):
    turn, shift = motion
    points = np.random.default_rng(seed).integers(0, 8, (n, 2)).astype(float)  # many ties
    scale = np.sqrt(abs(np.linalg.det(turn)))
    one, other = spanning_tree(points), spanning_tree(points @ turn + shift)
    # copies of a point stay copies; others are at least 1 apart
    assert other.length == pytest.approx(scale * one.length, rel=1e-9, abs=1e-9 * scale)
