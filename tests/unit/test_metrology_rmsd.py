"""RMSDs by group: by hand, and that parts pool to the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.errors import ConfigError
from refimpl.metrology.rmsd import pool, rmsd, rmsd_by_experiment, rmsd_by_panel, summarise
from refimpl.units import DEG


def test_by_hand():
    residuals = np.array([[3.0, 1.0, 0.1], [-4.0, 1.0, -0.1]])
    assert rmsd(residuals) == pytest.approx([np.sqrt(12.5), 1.0, 0.1])
    assert np.isnan(rmsd(np.zeros((0, 3)))).all()
    assert pool(np.array([1, 3]), np.array([[2.0], [4.0]])) == pytest.approx([np.sqrt(13.0)])


def test_units_of_tables_and_panels_without_reflections():
    residuals = np.array([[0.1, -0.2, 0.003], [0.1, 0.2, -0.003], [0.3, 0.3, 0.001]])
    pixels = np.array([[0.1, 0.1], [0.2, 0.4], [0.1, 0.05], [0.1, 0.1]])
    table = rmsd_by_panel(residuals, np.array([1, 1, 2], dtype=np.uint64), pixels, -0.002)
    assert table.labels.tolist() == [1, 2]
    assert table.counts.tolist() == [2, 1]
    assert table.values == pytest.approx(np.array([[0.5, 0.5, 1.5], [3.0, 6.0, 0.5]]))
    experiments = rmsd_by_experiment(
        residuals, np.array([0, 0, 1]), pixels[:2], np.array([0.001, 0.002])
    )
    assert experiments.values == pytest.approx(np.array([[1.0, 2.0, 3.0], [1.5, 0.75, 0.5]]))


@given(st.integers(0, 2**32 - 1))
def test_panels_pool_to_the_experiment(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 200))
    residuals, panels = rng.normal(size=(n, 3)), rng.integers(0, 7, n)
    pixels = np.full((7, 2), 0.172)
    whole = rmsd_by_experiment(residuals, np.zeros(n, dtype=int), pixels[:1], np.array([0.01]))
    pooled = rmsd_by_panel(residuals, panels, pixels, 0.01).pooled()
    assert pooled == pytest.approx(whole.values[0], rel=1e-12)  # order of sums


def test_summary_is_in_the_units_of_listings():
    residuals = np.array([[0.1, 0.2, 1.0 * DEG]] * 3)
    weights = np.array([[4.0, 9.0, 2.0 / DEG**2]] * 3)
    found = summarise(residuals, weights)
    assert found.n == 3
    assert found.residuals == pytest.approx(np.array([[0.1, 0.2, 1.0]] * 5))
    assert found.weights == pytest.approx(np.array([[4.0, 9.0, 2.0]] * 5))


def test_empty_groups_do_not_count():
    values = np.array([[np.nan], [2.0]])
    assert pool(np.array([0, 5]), values) == pytest.approx([2.0])
    assert np.isnan(pool(np.array([0, 0]), values)).all()


def test_refusals():
    with pytest.raises(ConfigError, match=r"pool: 2 counts \(least -1\) for 1 RMSDs: expected as"):
        pool(np.array([-1, 2]), np.ones((1, 3)))
    with pytest.raises(ConfigError, match="RMSD by group: group 4 where there are 2"):
        rmsd_by_panel(np.zeros((2, 3)), np.array([0, 4]), np.ones((2, 2)), 0.1)
    with pytest.raises(ConfigError, match="RMSD by group: group -1 where there are 2"):
        rmsd_by_panel(np.zeros((2, 3)), np.array([0, -1]), np.ones((2, 2)), 0.1)
