"""The published greedy clustering: twin against all pairs, where orientation space is awkward."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.clustering.greedy_grains import greedy_labels
from refimpl.clustering.neighbours import image_pairs
from refimpl.clustering.published_grains import GreedyGrains, greedy_grains
from refimpl.crystal.fundamental_zone import fundamental_zone, is_in_zone
from refimpl.crystal.misorientation import misorientation
from refimpl.crystal.symmetry_operators import LAUE_CLASSES, laue_operators
from refimpl.dispatch import available_backends, use_backend
from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.rotations import conjugate_quaternion, multiply_quaternions
from refimpl.testing.strategies_crystal import random_quaternions
from refimpl.units import DEG

compiled = pytest.mark.skipif(
    "cython" not in available_backends(), reason="the twins are not compiled here"
)


def on_faces(rng: np.random.Generator, n: int, group: F64) -> F64:
    """Orientations on the faces, edges and corners of the zone, where several images do as well."""
    names = np.concatenate([conjugate_quaternion(group), -conjugate_quaternion(group)])
    others = names[np.abs(names - [1.0, 0.0, 0.0, 0.0]).max(axis=1) > 1e-9]  # -1: half turns
    out = fundamental_zone(random_quaternions(rng, n), group)
    for i, q in enumerate(out):
        nearest = np.argsort(-others @ q)
        for meeting in range(int(rng.integers(1, 4)), 0, -1):  # fewer, where it falls outside
            planes = np.array([1.0, 0.0, 0.0, 0.0]) - others[nearest[:meeting]]
            onto = q - np.linalg.pinv(planes, rcond=1e-9) @ (planes @ q)
            onto /= max(np.linalg.norm(onto), 1e-9)
            if is_in_zone(onto[None], group)[0]:
                out[i] = onto
                break
    return out


def a_map(rng: np.random.Generator, group: F64, limit_rad: float, side: int) -> dict[str, Any]:
    """Grains about random orientations and about the zone's faces, some points of all lost."""
    n, k = side * side, int(rng.integers(1, 25))
    centres = np.concatenate([random_quaternions(rng, k), on_faces(rng, k, group)])
    spread = limit_rad * rng.choice([0.0, 0.1, 0.3, 1.0], size=(n, 1))
    turn = np.column_stack([np.ones(n), 0.5 * spread * rng.normal(size=(n, 3))])
    q = multiply_quaternions(centres[rng.integers(len(centres), size=n)], turn)
    q = multiply_quaternions(q, group[rng.integers(len(group), size=n)])
    q *= rng.choice([-1.0, 1.0, 1e-3], size=(n, 1))
    q[rng.random(n) < 0.05] = np.nan
    q[rng.random(n) < 0.02] = 0.0
    confidence = np.round(rng.random(n), 1)  # many are equal
    confidence[rng.random(n) < 0.05] = np.nan
    return {"quaternion": q, "confidence": confidence, "operators": group}


def same(one: GreedyGrains, other: GreedyGrains) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("label", "centre", "n_points")
    )


@compiled
@settings(max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    name=st.sampled_from(LAUE_CLASSES),
    limit_deg=st.one_of(st.floats(0.1, 30.0), st.sampled_from([0.1, 1.0, 30.0, 62.0, 180.0])),
    least=st.sampled_from([0.0, 0.3]),
    linked=st.booleans(),
)
def test_the_grains_are_those_of_all_pairs(
    seed: int, name: str, limit_deg: float, least: float, linked: bool
) -> None:
    rng, limit = np.random.default_rng(seed), limit_deg * DEG
    side = int(rng.integers(1, 20))
    given_map = a_map(rng, laue_operators(name), limit, side)
    options: dict[str, Any] = {"limit_rad": limit, "least_confidence": least}
    options |= {"pairs": image_pairs((side, side)) if linked else None}
    with use_backend("python"):
        expected = greedy_grains(**given_map, **options)
    for threads in (1, 3):
        with use_backend("cython"):
            assert same(greedy_grains(**given_map, **options, threads=threads), expected)


def test_what_stands_on_the_faces_has_more_than_one_name() -> None:
    """Else the maps above do not test what they are for."""
    rng = np.random.default_rng(2)
    for name in LAUE_CLASSES:
        group = laue_operators(name)
        q = on_faces(rng, 100, group)
        w = multiply_quaternions(q[:, None, :], np.concatenate([group, -group]))[..., 0]
        assert is_in_zone(q, group).all()
        assert ((w > w.max(axis=1, keepdims=True) - 1e-12).sum(axis=1) > 1).mean() > 0.8


@pytest.mark.parametrize("name", LAUE_CLASSES)
def test_centres_are_apart_and_members_near(name: str) -> None:
    """By itself, without the definition: what greedy means."""
    rng, group, limit = np.random.default_rng(3), laue_operators(name), 5.0 * DEG
    q = random_quaternions(rng, 3000)
    found = greedy_grains(q, rng.random(3000), group, limit_rad=limit)
    assert (misorientation(q[found.centre[found.label]], q, group) < limit).all()
    one, two = np.triu_indices(len(found.centre), 1)
    centres = q[found.centre]
    assert (misorientation(centres[one], centres[two], group) >= limit).all()
    assert found.label[found.centre].tolist() == list(range(len(found.centre)))


@compiled
@pytest.mark.parametrize("name", ["m-3m", "6/mmm", "-1"])
def test_many_blocks_and_threads_give_the_definition(name: str) -> None:
    rng, group, n = np.random.default_rng(4), laue_operators(name), 80_000
    turn = np.column_stack([np.ones(n), 0.01 * rng.normal(size=(n, 3))])
    q = multiply_quaternions(random_quaternions(rng, 12)[rng.integers(12, size=n)], turn)
    order = rng.permutation(n)
    arguments: dict[str, Any] = {"quaternion": q, "order": order, "operators": group}
    arguments["limit_rad"] = 3.0 * DEG
    expected = greedy_labels(**arguments | {"backend": "python"})
    assert expected.max() > 12  # grains wider than the limit are split, some of it late
    for threads in (1, 2, 5):
        found = greedy_labels(**arguments | {"backend": "cython", "threads": threads})
        np.testing.assert_array_equal(found, expected)


def test_a_limit_beyond_the_zone_leaves_one_grain() -> None:
    """63 degrees are the most that two cubic orientations can differ by."""
    q = random_quaternions(np.random.default_rng(5), 500)
    for limit in (63.0 * DEG, np.pi, 10.0, np.inf):
        assert greedy_grains(q, np.ones(500), laue_operators("m-3m"), limit_rad=limit).centre == [0]
    half = np.array([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0]])
    for limit, grains in (
        (float(np.pi), 3),
        (3.2, 1),
    ):  # half turns are pi apart, and the limit exclusive
        assert len(greedy_grains(half, np.ones(3), half[:1], limit_rad=limit).centre) == grains


def test_maps_of_nothing() -> None:
    group = laue_operators("m-3m")
    assert greedy_grains(np.zeros((0, 4)), np.zeros(0), group).centre.shape == (0,)
    lost = greedy_grains(np.full((3, 4), np.nan), np.ones(3), group)
    assert (lost.label.tolist(), lost.centre.tolist()) == ([-1] * 3, [])
    alone = greedy_grains(np.zeros((3, 4)), np.ones(3), group)  # no rotation, near to nothing
    assert alone.label.tolist() == [0, 1, 2]
    with pytest.raises(ConfigError, match="pairs name point 3: the map has 3"):
        greedy_grains(np.ones((3, 4)), np.ones(3), group, pairs=np.array([[0, 3]]))


@compiled
def test_time_of_a_million_points_and_of_many_grains() -> None:
    """10 s are asked for; 0.5 s and 0.3 s are measured, all pairs would take minutes."""
    rng, group, n = np.random.default_rng(6), laue_operators("m-3m"), 10**6
    turn = np.column_stack([np.ones(n), 1e-3 * rng.normal(size=(n, 3))])
    q = multiply_quaternions(random_quaternions(rng, 1000)[rng.integers(1000, size=n)], turn)
    maps = [q, random_quaternions(rng, 10**5)]
    for points, least in zip(maps, (900, 50_000), strict=True):
        before = time.process_time()
        with use_backend("cython"):
            found = greedy_grains(points, rng.random(len(points)), group, threads=1)
        assert time.process_time() - before < 10.0
        assert len(found.centre) > least
