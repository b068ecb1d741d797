"""Groups of beam shifts: methods, numbers on the grid, spacings, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from beam_shift_scene import same_groups, scene
from sklearn.cluster import DBSCAN

from refimpl.clustering import beam_shift
from refimpl.clustering.beam_shift import (
    METHODS,
    cluster,
    grid_indices,
    k_of,
    lattice_edges,
    number_on_grid,
    spacings,
)
from refimpl.errors import ConfigError, ConvergenceError

README = np.array([
    [0.000, 0.219, 0.365, 0.327, 0.163],
    [0.219, 0.000, 0.163, 0.216, 0.145],
    [0.365, 0.163, 0.000, 0.161, 0.231],
    [0.327, 0.216, 0.161, 0.000, 0.163],
    [0.163, 0.145, 0.231, 0.163, 0.000],
])  # fmt: skip


def grid(nx: int, ny: int, turn_deg: float = 0.0, step: float = 0.1) -> np.ndarray:
    """Centred grid, x fastest."""
    x, y = np.meshgrid(np.arange(nx) - (nx - 1) / 2, np.arange(ny) - (ny - 1) / 2)
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    return step * np.column_stack([x.ravel(), y.ravel()]) @ np.array([[c, s], [-s, c]])


# --- methods ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_all_methods_find_the_holes(method: str):
    made = scene("5x5-corners", 3, 12, landing_um=0.1)
    found = cluster(made.points, method, eps=0.03 if method == "dbscan" else None)
    assert len(found) == 21
    assert found.method == method
    assert same_groups(found.labels, made.hole)
    assert set(found.labels.tolist()) == set(range(1, 22))
    for k in range(21):
        mean = made.points[found.labels == k + 1].mean(axis=0)
        assert found.centres[k] == pytest.approx(mean, abs=1e-12)  # rounding of a mean
    assert (found.inertia is None) == (method != "kmeans")
    assert number_on_grid(found.centres).tolist() == list(range(1, 22))
    # the same groups have the same numbers, whatever found them
    assert found.labels.tolist() == cluster(made.points).labels.tolist()


@pytest.mark.parametrize("linkage", ["complete", "single", "average", "ward"])
def test_linkages(linkage: str):
    made = scene("3x3", 2, 6)
    assert same_groups(cluster(made.points, "hac", 9, linkage=linkage).labels, made.hole)


def test_inertia_is_the_sum_of_squares():
    made = scene("3x3", 2, 6)
    found = cluster(made.points, "kmeans", 5)
    away = made.points - found.centres[found.labels - 1]
    assert found.inertia == pytest.approx((away**2).sum(), rel=1e-12)


def test_published_order_is_that_of_scikit_learn():
    from sklearn.cluster import KMeans

    made = scene("3x3", 1, 6)
    theirs = KMeans(9, init="k-means++", max_iter=300, n_init=10, random_state=0)
    labels = theirs.fit_predict(made.points)
    ours = cluster(made.points, "kmeans", 9, order="published")
    assert (ours.labels - 1).tolist() == labels.tolist()
    assert ours.centres.tolist() == theirs.cluster_centers_.tolist()
    assert cluster(made.points, "kmeans", 9).labels.tolist() != ours.labels.tolist()


@pytest.mark.parametrize("seed", range(20))
def test_dbscan_has_the_cores_of_scikit_learn(seed: int):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(int(rng.integers(1, 200)), 2))
    eps, least = rng.uniform(0.01, 0.5), int(rng.integers(1, 8))
    theirs = DBSCAN(eps=eps, min_samples=least).fit(points)
    ours = cluster(points, "dbscan", eps=eps, min_samples=least)
    assert ((theirs.labels_ < 0) == (ours.labels < 0)).all()
    core = theirs.core_sample_indices_
    assert same_groups(ours.labels[core], theirs.labels_[core])


def test_dbscan_without_a_group():
    found = cluster(grid(3, 3), "dbscan", eps=0.01)
    assert len(found) == 0
    assert found.labels.tolist() == [-1] * 9
    assert cluster(np.zeros((2, 2)), "dbscan", eps=0.01).labels.tolist() == [-1, -1]


def test_hac_of_many_points_joins_those_left_out(monkeypatch):
    made = scene("3x3", 3, 40)
    monkeypatch.setattr(beam_shift, "MOST_HAC", 300)
    assert same_groups(cluster(made.points, "hac", 9).labels, made.hole)


def test_one_point_and_one_cluster():
    for method in ("kmeans", "hac"):
        found = cluster(np.array([[0.1, 0.2]]), method, 1)
        assert (found.labels.tolist(), found.centres.tolist()) == ([1], [[0.1, 0.2]])
    assert cluster(np.full((5, 2), 0.1)).labels.tolist() == [1] * 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "ward"}, "method of clustering 'ward': expected one of auto, kmeans, hac, db"),
        ({"order": "old"}, "order of clusters 'old': expected 'grid' or 'published'"),
        ({"method": "kmeans", "n_clusters": 0}, "0 clusters: expected a positive number"),
        ({"method": "kmeans", "n_clusters": 10}, "10 clusters of 9 points: ask for 9 or fewer"),
        ({"method": "hac", "n_clusters": 10}, "10 clusters of 9 points: ask for 9 or fewer"),
        ({"method": "hac", "n_clusters": 3, "linkage": "median"}, "linkage 'median': expected on"),
        ({"method": "kmeans", "n_clusters": 3, "n_init": 0}, "300 iterations, 0 starts: expected"),
        ({"method": "dbscan"}, "dbscan needs a positive reach eps, got None"),
        ({"method": "dbscan", "eps": -1.0}, "dbscan needs a positive reach eps, got -1.0"),
        ({"method": "dbscan", "eps": 1.0, "min_samples": 0}, "min_samples 0: expected a positive"),
    ],
)
def test_refusals(arguments: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        cluster(grid(3, 3), **arguments)


def test_refusals_of_points():
    with pytest.raises(ConfigError, match="no points to group"):
        cluster(np.empty((0, 2)))
    message = "3 clusters of 4 points at 2 different places: ask for 2 or fewer"
    for method in ("kmeans", "hac"):
        with pytest.raises(ConfigError, match=message):
            cluster(np.array([[0.0, 0.0], [0.0, 1.0]] * 2), method, 3)


def test_auto_refuses_what_has_no_level():
    points = np.random.default_rng(0).random((50, 2))
    with pytest.raises(ConvergenceError, match="50 beam shifts show no level of grouping: state"):
        cluster(points)
    with pytest.raises(ConvergenceError, match="no level of grouping"):
        cluster(points, "hac")  # without a number


# --- numbers on the grid ------------------------------------------------------------------------


def test_numbers_go_round_in_rings_from_the_middle():
    assert number_on_grid(grid(3, 3)).reshape(3, 3)[::-1].tolist() == [
        [5, 4, 3],
        [6, 1, 2],
        [7, 8, 9],
    ]
    five = number_on_grid(grid(5, 5)).reshape(5, 5)[::-1]
    assert five.tolist() == [
        [16, 15, 14, 13, 12],
        [17, 5, 4, 3, 11],
        [18, 6, 1, 2, 10],
        [19, 7, 8, 9, 25],
        [20, 21, 22, 23, 24],
    ]


@pytest.mark.parametrize("turn_deg", [-44.0, -20.0, 14.0, 44.0])
def test_the_first_axis_is_the_one_nearest_to_x(turn_deg: float):
    expected = number_on_grid(grid(5, 3))
    assert number_on_grid(grid(5, 3, turn_deg)).tolist() == expected.tolist()
    assert number_on_grid(grid(3, 5, turn_deg + 90.0)).tolist() != expected.tolist()


def test_a_bent_grid_keeps_its_indices():
    # stretched by 10 %, sheared by 5 degrees, each centre off by 3 % of the step
    bent = grid(9, 7) @ np.array([[1.1, 0.0], [0.087, 1.0]])
    bent += 0.003 * np.random.default_rng(1).normal(size=bent.shape)
    index = grid_indices(bent)
    x, y = np.meshgrid(np.arange(-4, 5), np.arange(-3, 4))
    assert index.tolist() == np.column_stack([x.ravel(), y.ravel()]).tolist()


@pytest.mark.parametrize("n", range(6))
def test_numbers_of_few_centres(n: int):
    # EPU_Group_AFIS fails below five
    centres = np.array([[0.1, 0.0], [0.0, 0.001], [0.0, 0.1], [-0.1, 0.0], [0.3, 0.2]])[:n]
    numbers = number_on_grid(centres)
    assert sorted(numbers.tolist()) == list(range(1, n + 1))
    if n > 1:
        assert numbers[1] == 1  # the nearest to no beam shift
        assert numbers[0] == 2


def test_numbers_where_there_is_no_grid():
    centres = np.random.default_rng(7).normal(size=(40, 2))
    assert sorted(number_on_grid(centres).tolist()) == list(range(1, 41))
    line = np.outer(np.arange(-3, 4), [0.01, 0.1])
    assert number_on_grid(line).tolist() == [7, 5, 3, 1, 2, 4, 6]


def test_an_even_grid_has_one_origin():
    # four centres are equally near to no beam shift
    noisy = grid(4, 4) * (1.0 + 1e-12 * np.random.default_rng(0).normal(size=(16, 2)))
    assert number_on_grid(noisy).tolist() == number_on_grid(grid(4, 4)).tolist()
    assert number_on_grid(grid(4, 4)).tolist().index(1) == 5  # least x, then least y


# --- spacings -----------------------------------------------------------------------------------


def test_spacings_of_a_rectangle_of_centres():
    centres = grid(3, 2) * [1.0, 1.1]  # steps of 0.1 along x, 0.11 along y
    found = spacings(centres)
    nearest = [found.min, found.nn_mean, found.nn_median]
    assert nearest == pytest.approx([0.1] * 3, rel=1e-14)
    assert found.edge_mean == pytest.approx((4 * 0.10 + 3 * 0.11) / 7, rel=1e-14)
    assert found.smallest_median == pytest.approx(0.10, rel=1e-14)  # 4 x 0.10, 2 x 0.11
    assert len(lattice_edges(centres)) == 7
    assert (np.diff(lattice_edges(centres)) > 0).all()


def test_the_worked_example_of_the_readme():
    found = spacings(README)
    assert found.smallest_median == 0.163
    assert round(k_of(4.0, found.smallest_median), 1) == 24.5
    assert found.min == 0.145


def test_spacings_of_two():
    found = spacings(np.array([[0.0, 0.0], [0.3, 0.4]]))
    assert set(vars(found).values()) == {0.5}


def test_refusals_of_spacings():
    with pytest.raises(ConfigError, match=r"1 centre\(s\): a spacing needs two"):
        spacings(np.zeros((1, 2)))
    with pytest.raises(ConfigError, match=r"spacing of the holes 0.0 um: expected a positive num"):
        k_of(0.0, 0.1)
    with pytest.raises(ConfigError, match=r"distance of beam shifts nan: expected a positive num"):
        k_of(2.5, np.nan)
