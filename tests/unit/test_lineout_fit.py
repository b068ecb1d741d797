import numpy as np
import pytest

from refimpl.objective.lineout_fit import fit_doublets, fit_singlets

STEPS, STEP, FIRST = 68, 43.0, 46_000.0
RADII = FIRST + np.arange(STEPS) * STEP


def _peak(centre, gauss, lorentz, height, mu):
    d = RADII - centre
    shape = mu / (1.0 + (d / lorentz) ** 2) + (1.0 - mu) * np.exp(-0.5 * (d / gauss) ** 2)
    return height * shape


def _fit(profile, **changes):
    arguments = {
        "profile": profile[None],
        "steps": np.array([STEPS]),
        "first_um": np.array([FIRST]),
        "step_um": np.array([STEP]),
    } | {k: np.array([v]) for k, v in changes.items()}
    fit = fit_doublets if "middle_um" in changes else fit_singlets
    found, evaluations = fit(**arguments)
    return found[0], int(evaluations[0])


def test_a_singlet_is_found_to_a_hundredth_of_a_step():
    profile = 300.0 + _peak(47_437.7, 160.0, 220.0, 9_000.0, 0.3)
    found, evaluations = _fit(profile)
    assert found[0] == pytest.approx(47_437.7, abs=0.01 * STEP)  # um; it stops at 1e-5 of 60 000
    assert found[5] == pytest.approx(300.0, abs=30.0)  # counts; the tails are in the window's ends
    assert 100 < evaluations < 5000


def test_a_doublet_is_found_and_its_centres_are_in_order_here():
    profile = 300.0 + _peak(46_900.0, 160.0, 200.0, 9_000.0, 0.3)
    profile += _peak(47_800.0, 180.0, 210.0, 4_000.0, 0.3)
    found, evaluations = _fit(profile, middle_um=47_400.0)
    np.testing.assert_allclose(found[:2], [46_900.0, 47_800.0], atol=0.1 * STEP)  # um
    assert 100 < evaluations <= 10_000


def test_no_background_freezes_the_background_at_zero():
    profile = _peak(47_400.0, 160.0, 220.0, 9_000.0, 0.3)
    profile[0] = profile[-1] = 0.0
    found, _ = _fit(profile)
    assert found[5] == 0.0


@pytest.mark.parametrize(
    "profile",
    [np.zeros(STEPS), np.full(STEPS, -1.0), np.where(RADII > 47e3, np.nan, 1.0)],
    ids=["zero", "negative", "nan"],
)
@pytest.mark.parametrize("backend", ["python", "auto"])
def test_a_lineout_without_a_peak_gives_nan(profile, backend):
    rows = np.array([FIRST]), np.array([STEP])
    found, evaluations = fit_singlets(profile[None], np.array([STEPS]), *rows, backend=backend)
    assert np.isnan(found).all()
    assert evaluations.tolist() == [0]


def test_only_the_first_steps_count():
    profile = 300.0 + _peak(46_800.0, 160.0, 220.0, 9_000.0, 0.3)
    spoilt = profile.copy()
    spoilt[40:] = 1e6
    clean, _ = _fit(profile[:40], steps=40)
    found, _ = _fit(spoilt, steps=40)
    np.testing.assert_array_equal(found, clean)


def test_any_positive_lineout_yields_a_point_within_its_window():
    """The published fit rejects nothing: noise gives a point, maybe on a bound."""
    noise = np.random.default_rng(3).uniform(1.0, 2.0, STEPS)
    found, _ = _fit(noise)
    assert RADII[0] <= found[0] <= RADII[-1]
