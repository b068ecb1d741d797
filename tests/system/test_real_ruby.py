"""Three ruby spheres on two Dexela 2923: the published calibration against ours, grain held out.

734 picked spots on eight sub-panels (HEXRD's example, CHESS ID3A, 41.99 keV). Every figure of ours
is of a grain whose spots took no part in the fit of the panels: with those held, its own twelve
parameters are fitted to its spots. The published panels were fitted to all of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refimpl.interop.hexrd import read_hexrd
from refimpl.io.hexrd_picks import read_grain_table, read_picks
from refimpl.metrology.grains import hold_out, near, only_grains
from refimpl.metrology.hexrd_grains import as_tiled, b_of_cell, problem_of_hexrd, read_stage

SET = "ff-ruby-dexela-hexrd"
UNITS = np.array([1e3, 1e3, 1e3])  # micrometres, mrad


@pytest.fixture(scope="module")
def published(real_data):
    """Problem whose x = 0 is the published geometry with the published grains."""
    folder = real_data(SET)
    file = folder / "picks" / "dual_dexelas_composite.yml"
    instrument, (chi, groups) = read_hexrd(file), read_stage(file)
    names = [p.name for p in instrument.panels]
    picks = read_picks(folder / "picks", ["grain1", "grain2", "grain3"], names)
    table = read_grain_table(folder / "composite_fit_grains_grains.out")
    ruby = b_of_cell(4.7608, 4.7608, 12.99568, np.pi / 2, np.pi / 2, 2 * np.pi / 3)
    start = np.array([0.015, 0.010, 3e-3])
    return problem_of_hexrd(instrument, picks, table, ruby, chi, groups, start)


@pytest.fixture(scope="module")
def kept(published):
    """Spots that the published geometry, with grains fitted to all spots, is not far off from."""
    return near(only_grains(published, range(3)).residuals)


def rms(residuals) -> np.ndarray:
    return np.sqrt(np.mean(residuals**2, axis=0)) * UNITS


def test_the_published_geometry(published, kept) -> None:
    assert len(published.spots) == 734
    assert [len(b.panels) for b in published.housings] == [4, 4]
    assert np.count_nonzero(~kept) == 4
    off = published.residuals(np.zeros(len(published.names)))
    # one pick is 3.7 mm off
    np.testing.assert_allclose(rms(off), [35.27, 136.37, 3.606], rtol=2e-3)
    np.testing.assert_allclose(rms(off[kept]), [16.06, 15.09, 3.569], rtol=2e-3)
    grains = only_grains(published, range(3)).residuals
    some = only_grains(replace(published, spots=published.spots.select(kept)), range(3))
    np.testing.assert_allclose(some.rmsd * UNITS, [15.00, 11.21, 2.288], rtol=2e-3)
    assert np.all(rms(grains)[:2] > some.rmsd[:2] * UNITS[:2])


@pytest.mark.parametrize(
    ("degree", "expected"), [(0, (17.50, 9.30, 2.251)), (3, (6.65, 7.04, 2.250))]
)
def test_held_out_grain_by_grain(published, kept, degree, expected) -> None:
    problem = replace(published, spots=published.spots.select(kept)).with_degree(degree)
    scored = [hold_out(problem, g) for g in range(3)]
    assert all(a.settled and b.fit.reason == "converged" for a, b in scored)
    assert not any(a.fit.undetermined for a, _ in scored)
    ours = rms(np.concatenate([b.residuals for _, b in scored]))
    np.testing.assert_allclose(ours, expected, rtol=5e-3)
    if degree == 0:  # rigid sub-panels do not do it: x is no better than published
        return
    as_published = rms(problem.residuals(np.zeros(len(problem.names))))
    assert np.all(ours < 0.8 * as_published)  # x, y and omega
    # and where the grains have been fitted in the published geometry, too, x and y of each grain
    own = only_grains(problem, range(3))
    assert np.all(ours[:2] < 0.65 * own.rmsd[:2] * UNITS[:2])
    for g, (_, b) in enumerate(scored):
        assert np.all((b.rmsd < 0.8 * rms(own.residuals[problem.spots.grain == g]) / UNITS)[:2])


@pytest.mark.slow
def test_no_calibration_of_sub_panels_is_needed(published, kept, real_data) -> None:
    """The same from the two undivided detectors, sub-panels cut side by side from their planes.

    So nothing of the grain held out comes in through the start or the centres of the priors.
    """
    whole = read_hexrd(real_data(SET) / "dexelas_id3a_20200130.yml")
    some = replace(published, spots=published.spots.select(kept))
    problem = as_tiled(some, whole).with_degree(3)
    np.testing.assert_allclose(
        only_grains(problem, range(3)).rmsd * UNITS, [48.61, 31.63, 2.288], rtol=2e-3
    )
    ours = rms(np.concatenate([hold_out(problem, g)[1].residuals for g in range(3)]))
    np.testing.assert_allclose(ours, (6.63, 7.05, 2.250), rtol=5e-3)


def test_most_picked_omegas_are_predictions(published, real_data) -> None:
    """They are those of ``grain_params.npy`` plus whole frames: omega is known to frames only."""
    table = read_grain_table(real_data(SET) / "picks" / "grain_params.npy")
    folder = real_data(SET) / "picks"
    file = folder / "dual_dexelas_composite.yml"
    instrument = read_hexrd(file)
    picks = read_picks(folder, ["grain1", "grain2", "grain3"], [p.name for p in instrument.panels])
    ruby = published.grains[0].b
    other = problem_of_hexrd(instrument, picks, table, ruby, *read_stage(file), published.sigma)
    frames = other.residuals(np.zeros(len(other.names)))[:, 2] / np.radians(0.25)
    assert np.count_nonzero(np.abs(frames - np.rint(frames)) < 1e-6) == 558
