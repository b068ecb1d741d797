"""Spanning trees: against single linkage, at one place, on a line, and of few points."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from refimpl.clustering.spanning_tree import groups_below, spanning_tree
from refimpl.errors import ConfigError

KINDS = ("scattered", "whole numbers", "a line", "nearly a line", "one place", "almost the same")


def points(kind: str, n: int) -> np.ndarray:
    rng = np.random.default_rng(n)
    line = np.outer(rng.permutation(n), [0.1, 0.3])
    return {
        "scattered": rng.normal(size=(n, 2)),
        "whole numbers": rng.integers(0, 6, (n, 2)).astype(float),
        "a line": line,
        "nearly a line": line + 1e-13 * rng.normal(size=(n, 2)),
        "one place": np.ones((n, 2)),
        "almost the same": rng.integers(0, 3, (n, 2)) + 1e-13 * rng.normal(size=(n, 2)),
    }[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [2, 3, 4, 5, 40, 300])
def test_edges_are_the_heights_of_single_linkage(kind: str, n: int):
    places = points(kind, n)
    tree = spanning_tree(places)
    heights = linkage(places, "single")
    assert tree.length == pytest.approx(heights[:, 2], abs=1e-12)  # points of size 1 to 100
    assert (np.diff(tree.length) >= 0.0).all()
    ends = places[tree.pairs]
    assert np.hypot(*(ends[:, 0] - ends[:, 1]).T) == pytest.approx(tree.length, abs=0.0)
    assert groups_below(tree, np.inf).max() == 0  # it joins all


def test_groups_are_those_of_single_linkage():
    places = points("scattered", 200)
    for height in (0.05, 0.1, 0.2):
        ours = groups_below(spanning_tree(places), height)
        theirs = fcluster(linkage(places, "single"), height, "distance")
        assert len(set(zip(ours, theirs, strict=True))) == len(set(theirs)) == ours.max() + 1
        assert [int(k) for k in dict.fromkeys(ours.tolist())] == list(range(ours.max() + 1))


def test_the_height_itself_still_joins():
    tree = spanning_tree(np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 3.0]]))
    assert groups_below(tree, 1.0).tolist() == [0, 0, 1]
    assert groups_below(tree, np.nextafter(1.0, 0.0)).tolist() == [0, 1, 2]


def test_copies_are_joined_by_edges_of_no_length():
    tree = spanning_tree(np.array([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0], [1.0, 2.0]]))
    assert tree.length[:2].tolist() == [0.0, 0.0]
    assert groups_below(tree, 0.0).tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize("n", [0, 1])
def test_no_edges_of_less_than_two(n: int):
    tree = spanning_tree(np.ones((n, 2)))
    assert (tree.n, tree.pairs.shape, tree.length.shape) == (n, (0, 2), (0,))
    assert groups_below(tree, 1.0).tolist() == [0] * n


def test_refusals():
    with pytest.raises(ConfigError, match=r"points of shape \(3, 3\): expected \(n, 2\)"):
        spanning_tree(np.ones((3, 3)))
    with pytest.raises(ConfigError, match=r"point 1 is not finite: \[0.0, nan\]"):
        spanning_tree(np.array([[0.0, 0.0], [0.0, np.nan]]))
