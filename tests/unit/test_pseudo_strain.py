import re

import numpy as np
import pytest

from refimpl.errors import ConfigError
from refimpl.objective.pseudo_strain import (
    pseudo_strain,
    published_l1,
    published_mean_strain,
    published_strain,
    published_weights,
    strain_summary,
    truncated_rho_d_mm,
)

SIZES = np.array([1.0, 2.0, 3.0, 2.0, 40.0, 8.0]) * 1e-6


def test_pseudo_strain_is_positive_where_the_ring_is_too_small():
    np.testing.assert_allclose(
        pseudo_strain(np.array([99.0, 100.0, 102.0]), np.full(3, 100.0)), [0.01, 0.0, -0.02]
    )


def test_summary_by_hand():
    # means: 9.33 of all, keep <= 23.3: 16/5 = 3.2; keep <= 8.0: the same five; rule stops there
    found = strain_summary(SIZES * [1, -1, 1, -1, 1, 1])
    assert (found.n, found.clip_n) == (6, 5)
    assert found.mean_all == pytest.approx(56e-6 / 6, rel=1e-14)
    assert found.median == pytest.approx(2.5e-6, rel=1e-14)
    assert found.clip_mean == pytest.approx(3.2e-6, rel=1e-14)
    assert found.rule == "3 passes at 2.5 x mean"
    assert str(found) == (
        "n 6, mean 9.3 µε, median 2.5 µε, clipped mean 3.2 µε over 5 (3 passes at 2.5 x mean)"
    )


def test_more_passes_clip_more():
    sizes = np.array([1.0] * 20 + [6.0] * 3 + [100.0])
    assert [strain_summary(sizes, passes=p).clip_n for p in (0, 1, 2, 3)] == [24, 23, 20, 20]


def test_points_without_strain_are_left_out():
    found = strain_summary(np.array([np.nan, 1e-6, np.inf, 3e-6]))
    assert (found.n, found.mean_all) == (2, pytest.approx(2e-6))


def test_a_tiny_multiplier_keeps_something():
    assert strain_summary(np.array([1.0, 1.0]), multiplier=0.1).clip_n == 2


@pytest.mark.parametrize(
    ("strain", "multiplier", "message"),
    [
        (np.array([]), 2.5, "none of 0 points has a finite pseudo-strain"),
        (np.array([np.nan, np.inf]), 2.5, "none of 2 points has a finite pseudo-strain"),
        (np.array([1.0]), 0.0, "multiplier = 0.0: expected more than 0"),
    ],
)
def test_summary_refuses(strain, multiplier, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        strain_summary(strain, multiplier)


def test_published_mean_and_std_come_from_different_points():
    # one pass keeps five (mean 3.2), two passes at 1.5: <= 14 then <= 4.8 keeps four (mean 2)
    found = published_strain(-SIZES, mult_factor=1.5, outlier_iterations=2)
    assert found.mean_strain == pytest.approx(3.2e-6, rel=1e-14)
    assert found.std_strain == pytest.approx(np.sqrt(0.5) * 1e-6, rel=1e-14)
    assert found.outlier.tolist() == [False, False, False, False, True, True]


def test_published_without_mult_factor_takes_every_point():
    found = published_strain(SIZES)
    assert found.mean_strain == pytest.approx(SIZES.mean(), rel=1e-14)
    assert found.std_strain == pytest.approx(SIZES.std(), rel=1e-14)
    assert not found.outlier.any()
    assert published_mean_strain(SIZES, 0.0) == pytest.approx(SIZES.mean(), rel=1e-14)


def test_published_weights():
    ring, rho = np.array([4, 4, 9, 4]), np.array([0.5, 0.25, 1.0, 0.5])
    assert published_weights(ring, rho).tolist() == [1.0, 1.0, 1.0, 1.0]
    np.testing.assert_allclose(
        published_weights(ring, rho, normalize_ring_weights=True), [1 / 3, 1 / 3, 1.0, 1 / 3]
    )
    np.testing.assert_allclose(
        published_weights(ring, rho, normalize_ring_weights=True, weight_by_radius=True),
        [1 / 6, 1 / 12, 1.0, 1 / 6],
    )
    assert published_l1(np.array([-1.0, 2.0]), np.array([3.0, 0.5])) == 4.0


@pytest.mark.parametrize(
    ("rho_d_mm", "cut_mm"), [(216.97340901934996, 216.973), (200.5, 200.5), (0.0009, 0.0)]
)
def test_rho_d_is_cut_to_whole_micrometres(rho_d_mm, cut_mm):
    assert truncated_rho_d_mm(rho_d_mm) == pytest.approx(cut_mm, abs=1e-12)  # mm, rounding


def test_figures_of_the_published_run(real_data):
    path = real_data("powder-golden/single-eta1/CeO2_740mm_000005.raw.corr.csv")
    strain = np.loadtxt(path, skiprows=1)[:, 1]
    found = strain_summary(strain)
    assert (found.n, found.clip_n) == (2618, 2324)
    assert found.clip_mean == pytest.approx(125.8e-6, abs=0.05e-6)  # printed with one digit
    printed = published_strain(strain)
    assert printed.mean_strain == pytest.approx(0.000228069933, abs=5e-9)  # %10.8f in the file
    assert printed.std_strain == pytest.approx(0.000791037441, abs=5e-9)


def test_outliers_of_the_published_run(real_data):
    path = real_data("powder-golden/autocal/CeO2_000005.ge5.corr.csv")
    table = np.loadtxt(path, skiprows=1)
    found = published_strain(table[:, 1], mult_factor=2.5)
    assert found.outlier.sum() == 15
    np.testing.assert_array_equal(found.outlier, table[:, 7] == 1)
    assert found.mean_strain == pytest.approx(0.000126144531, abs=5e-9)
    assert found.std_strain == pytest.approx(0.000094364102, abs=5e-9)
