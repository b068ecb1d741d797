"""Truth: sixty simulated panels refined as the tutorial does, and the twin of the tutorial's data.

The gauge is as published: Mu1 and the wavelength are held, panels are free. Single panels have soft
modes (distance against radial shift against tilt), so parameters are judged together, in the metric
of their covariance, and positions by what is predicted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from refimpl.metrology.parameters import FixSettings, model_set
from refimpl.metrology.problem import RefinementProblem, observations_of
from refimpl.metrology.refine import RefineSettings, refine
from refimpl.metrology.selection import preset
from refimpl.metrology.simulate import SimulatedMetrology, sixty_panels
from refimpl.metrology.stated_values import values_of
from refimpl.metrology.tutorial_tables import OVERALL, published_panels
from refimpl.metrology.tutorial_twin import tutorial_twin

BY_PANEL = FixSettings(hierarchy_level=1)
SETS = range(20)


@dataclass(frozen=True)
class Outcome:
    """Errors after refinement over what the true noise allows."""

    normalised: float
    by_own_covariance: float
    n_parameters: int
    positions: np.ndarray
    """(3,) mean square of predicted minus true X, Y, phi over the bound's."""
    weak: np.ndarray
    """(8,) errors along the softest eigenvectors of the scaled normal matrix, in their sigmas."""


def bound(problem: RefinementProblem, x: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """(3,) sum over reflections of the diagonal of J C J^T: what X, Y, phi can be known to."""
    position = np.full(len(problem.models), -1)
    position[problem.free] = np.arange(len(problem.free))
    total = np.zeros(3)
    for e, rows, _, jacobian, _ in problem._linear(x):
        common = problem._columns(e)
        for g in np.unique(problem.group[rows]):
            at = position[np.concatenate([common, 6 * g + np.arange(6)])]
            j = jacobian[problem.group[rows] == g][:, :, at >= 0]
            c = covariance[np.ix_(at[at >= 0], at[at >= 0])]
            total += np.einsum("nij,nij->i", j @ c, j)
    return total


def refined(s: SimulatedMetrology, iqr_multiplier: float = 3.0):
    """The whole detector, then by panel, twice: outliers are judged once panels are in place."""
    experiments = s.start
    for level in (0, 1, 1):
        settings = RefineSettings(
            preset("tutorial", iqr_multiplier=iqr_multiplier), FixSettings(hierarchy_level=level)
        )
        found = refine(experiments, s.table, settings)
        experiments = found.experiments
    return found


def outcome(s: SimulatedMetrology, iqr_multiplier: float = 3.0) -> Outcome:
    models = model_set(s.start, BY_PANEL)
    good = np.flatnonzero(~s.outlier)
    weight = 1.0 / s.table["xyzobs.mm.variance"][good]
    problem = RefinementProblem(models, observations_of(s.table, s.start, good, weight))
    free = models.free
    truth = s.values[free]
    normal = problem.normal(truth).hessian
    found = refined(s, iqr_multiplier)
    values = values_of(models, found.experiments[0])
    assert np.all(np.abs(values - s.values)[~free] < 1e-12)  # the gauge holds through three passes
    e = values[free] - truth
    moved = problem.residuals(values[free]) - problem.residuals(truth)
    own = found.trajectory.covariance
    scale = np.sqrt(np.diag(normal))
    size, vectors = np.linalg.eigh(normal / np.outer(scale, scale))
    weak = (vectors[:, :8].T @ (e * scale)) * np.sqrt(size[:8])
    return Outcome(
        float(e @ normal @ e), float(e @ np.linalg.solve(own, e)), len(e),
        (moved**2).sum(axis=0) / bound(problem, truth, np.linalg.inv(normal)), weak,
    )  # fmt: skip


def judged(outcomes: list[Outcome], positions: float, *, at_the_bound: bool = True) -> None:
    """What is asked for; `at_the_bound` also those of errors in the metric of the bound itself."""
    for one in outcomes:
        assert np.all(np.sqrt(one.positions[:2]) < 1.2), one
    # phi hangs on six parameters only, so that one set's ratio strays by 0.3: pooled over sets
    ratio = np.sqrt(np.mean([one.positions for one in outcomes], axis=0))
    assert np.all(ratio[:2] < positions)
    assert ratio[2] < 1.2
    dof = sum(one.n_parameters for one in outcomes)
    assert not at_the_bound or 0.9 < sum(one.normalised for one in outcomes) / dof < 1.1
    assert 0.9 < sum(one.by_own_covariance for one in outcomes) / dof < 1.1


def test_two_sets_reach_the_bound() -> None:
    """X and Y within 1.2 of the Cramer-Rao bound, parameters as their covariance says."""
    judged([outcome(sixty_panels(seed)) for seed in SETS[:2]], 1.2)


@pytest.mark.slow
def test_twenty_sets_reach_the_bound() -> None:
    outcomes = [outcome(sixty_panels(seed)) for seed in SETS]
    # 20 sets of 366: the ratio of pooled positions is 1 within a few per cent
    judged(outcomes, 1.05)
    weak = np.array([one.weak for one in outcomes])
    # 160 unit normals if the soft modes are no worse than they are said to be: 3 sigma is 0.34
    assert abs(np.mean(weak**2) - 1.0) < 0.34
    assert np.abs(weak).max() < 4.0


@pytest.mark.slow
def test_published_fences_cost_a_tenth_and_say_so() -> None:
    """Tukey's 1.5 cuts off tails of good reflections: 12 % in variance, still within 1.2 of the
    bound, and the covariance knows it. By the published one the errors are 1.2 of what is said."""
    outcomes = [outcome(sixty_panels(seed), 1.5) for seed in SETS]
    judged(outcomes, 1.2, at_the_bound=False)
    dof = sum(one.n_parameters for one in outcomes)
    # 20 sets of 366: sd 0.017 of the ratio; 7 % for fences and 4 % to 6 % for outliers within them
    assert 1.05 < sum(one.normalised for one in outcomes) / dof < 1.2


@pytest.mark.slow
def test_before_refinement_the_bound_is_far() -> None:
    """The same figures of the whole detector alone are 25 times the bound: the test can fail."""
    s = sixty_panels(0)
    models = model_set(s.start, BY_PANEL)
    rows = np.arange(len(s.table))
    weight = 1.0 / s.table["xyzobs.mm.variance"]
    problem = RefinementProblem(models, observations_of(s.table, s.start, rows, weight))
    found = refine(s.start, s.table, RefineSettings())
    e = (values_of(models, found.experiments[0]) - s.values)[models.free]
    assert e @ problem.normal(s.values[models.free]).hessian @ e / len(e) > 100.0


@pytest.mark.slow
def test_twin_of_the_tutorial() -> None:
    """Level 0 has the published RMSDs by construction; level 1 comes down to the published ones."""
    s = tutorial_twin()
    rigid = refine(s.start, s.table, RefineSettings())
    counts, rmsds = published_panels(0)
    np.testing.assert_allclose(
        rigid.by_experiment.values[0, :2], OVERALL[0][1:3], rtol=0.005, err_msg="level 0"
    )
    here = rigid.by_panel.labels
    # 10 %: panels whose published RMSD grew from level 0 to 1 leave nothing to choose
    np.testing.assert_allclose(rigid.by_panel.values[:, :2], rmsds[here, :2], rtol=0.1)

    found = refine(rigid.experiments, s.table, RefineSettings(fix=BY_PANEL, engine="levmar"))
    assert len(found.models.names) == 60 * 6 + 3 + 3 + 2
    assert int(found.models.free.sum()) == 366 - 6  # panel 55 has no reflection: held, and said
    assert found.reduced == ("Detector1Group56: 0 reflections, fewer than 5: held",)
    assert found.trajectory.reason == "RMSD no longer decreasing"
    assert found.n_used == pytest.approx(OVERALL[1][0], rel=0.003)
    np.testing.assert_allclose(found.by_experiment.values[0], OVERALL[1][1:], rtol=0.03)
    counts, rmsds = published_panels(1)
    here = found.by_panel.labels
    assert list(here) == [k for k in range(60) if k != 55]
    off = np.abs(found.by_panel.values / rmsds[here] - 1.0)
    assert np.all(off < 3.0 / np.sqrt(2.0 * counts[here])[:, None])
    # and level 0 would not pass
    off = np.abs(rigid.by_panel.values / rmsds[here] - 1.0)
    assert np.mean(off[:, :2] < 3.0 / np.sqrt(2.0 * counts[here])[:, None]) < 0.4
