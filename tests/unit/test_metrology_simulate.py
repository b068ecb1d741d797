"""Simulated rotation data: complete, reproducible, with a truth that is one."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.errors import ConfigError
from refimpl.forward.experiment import Beam, Experiment, Goniometer, Scan
from refimpl.forward.rotation_scene import (
    all_reflections,
    crystal_of_cell,
    grid_of_panels,
    lattice_points,
)
from refimpl.metrology.parameters import FixSettings, model_set
from refimpl.metrology.problem import RefinementProblem, observations_of
from refimpl.metrology.simulate import Offsets, RecipeNoise, simulate
from refimpl.metrology.stated_values import panel_values, values_of
from refimpl.metrology.tutorial_tables import OVERALL, published_panels

NINETY = Scan((1, 90), (5.0, 1.0))


def scene(scan: Scan | None = NINETY) -> Experiment:
    return Experiment(
        "small", Beam(np.array([0.0, 0.0, 1.0]), 1.0),
        grid_of_panels((2, 3), distance_mm=150.0, beam_px=(480.0, 200.0)),
        Goniometer(np.array([1.0, 0.0, 0.0])), scan,
        crystal_of_cell((40.0, 40.0, 60.0), np.eye(3)),
    )  # fmt: skip


SMALL = {"d_min_angstrom": 2.5, "seed": 3}


def test_lattice_points_by_counting() -> None:
    """Cube of 10 A to 5 A: |h|^2 <= 4 has 32 points besides the origin."""
    hkl = lattice_points(crystal_of_cell((10.0, 10.0, 10.0), np.eye(3), " P 4"), 4.999999)
    assert len(hkl) == 32
    assert {int((h * h).sum()) for h in hkl} == {1, 2, 3, 4}


def test_every_reflection_is_on_the_sphere_and_on_its_panel() -> None:
    e = scene()
    found = all_reflections(e, 2.5)
    assert len(found) > 1000
    assert set(found.entering) == {0, 1}
    np.testing.assert_allclose((found.s1**2).sum(axis=1), 1.0, rtol=1e-12)
    at = np.einsum("nij,nj->ni", e.detector.d[found.panel], np.column_stack(
        [found.xyz[:, :2], np.ones(len(found))]))  # fmt: skip
    np.testing.assert_allclose(np.cross(at, found.s1), 0.0, atol=1e-10)
    assert np.all((found.xyz[:, :2] >= 0.0) & (found.xyz[:, :2] <= np.array([487, 195]) * 0.172))
    assert np.all(np.diff(found.panel) >= 0)
    # half the turn sees half the crossings, within counting noise
    whole = all_reflections(scene(Scan((1, 720), (0.0, 1.0))), 2.5)
    once = all_reflections(scene(Scan((1, 360), (0.0, 1.0))), 2.5)
    assert len(whole) == 2 * len(once)


def test_truth_is_the_truth() -> None:
    """Without noise the true values have no residual, and both ways to say them agree."""
    s = simulate(scene(), noise=RecipeNoise((0.0, 0.0), (0.0, 0.0), 0.0), **SMALL)
    models = model_set(s.start, FixSettings(hierarchy_level=1))
    rows = np.arange(len(s.table))
    problem = RefinementProblem(
        models, observations_of(s.table, s.start, rows, np.ones((len(rows), 3)))
    )
    np.testing.assert_allclose(problem.residuals(s.values[models.free]), 0.0, atol=1e-10)
    assert np.abs(problem.residuals(models.initial[models.free])).max() > 0.02
    np.testing.assert_allclose(values_of(models, s.truth[0]), s.values, rtol=1e-11, atol=1e-9)
    np.testing.assert_array_equal(s.table["xyzobs.mm.value"], s.xyz)


def test_panels_turn_about_their_centres() -> None:
    detector = model_set((scene(),), FixSettings(hierarchy_level=1)).detectors[0]
    offsets = np.zeros((6, 6))
    offsets[:, 3:] = [5.0, -7.0, 9.0]
    half = np.array([487, 195, 0]) * 0.086
    d, before = detector.d(panel_values(detector, offsets)), detector.d(detector.initial)
    centre = [m[:, :, 2] + m[:, :, 0] * half[0] + m[:, :, 1] * half[1] for m in (d, before)]
    np.testing.assert_allclose(centre[0], centre[1], rtol=0, atol=1e-12)
    assert np.abs(d[:, :, 0] - before[:, :, 0]).max() > 5e-3


def test_noise_is_as_stated() -> None:
    s = simulate(scene(), noise=RecipeNoise(outliers=0.1), **SMALL)
    z = (s.table["xyzobs.mm.value"] - s.xyz) / np.sqrt(s.table["xyzobs.mm.variance"])
    n = int((~s.outlier).sum())
    assert s.outlier.sum() == round(0.1 * len(s.table))
    assert np.mean(z[~s.outlier] ** 2, axis=0) == pytest.approx(
        np.ones(3), abs=4.0 * (2 / n) ** 0.5
    )
    assert np.mean(z[s.outlier] ** 2) > 30.0
    phi = s.table["xyzobs.mm.value"][:, 2]
    assert np.all((phi >= np.deg2rad(5.0)) & (phi <= np.deg2rad(95.0)))


def test_equal_seeds_make_equal_data() -> None:
    one, two = (simulate(scene(), counts=[100] * 6, **SMALL) for _ in range(2))
    np.testing.assert_array_equal(one.table["xyzobs.mm.value"], two.table["xyzobs.mm.value"])
    assert np.all(np.bincount(one.table["panel"].astype(int)) == 100)
    other = simulate(scene(), counts=[100] * 6, d_min_angstrom=2.5, seed=4)
    assert not np.array_equal(one.table["miller_index"], other.table["miller_index"])


def test_published_tables_pool() -> None:
    for level in (0, 1):
        counts, rmsds = published_panels(level)
        assert counts.sum() == OVERALL[level][0]
        assert counts[55] == 0
        total = np.sqrt(np.nansum(counts[:, None] * rmsds**2, axis=0) / counts.sum())
        np.testing.assert_allclose(total, OVERALL[level][1:], atol=1.01e-5)


def test_errors() -> None:
    with pytest.raises(ConfigError, match=r"panel 0: 1000000 reflections are wanted, \d+ hit it"):
        simulate(scene(), counts=[10**6] * 6, **SMALL)
    with pytest.raises(ConfigError, match="counts of 5 panels: the detector has 6"):
        simulate(scene(), counts=[1] * 5, **SMALL)
    with pytest.raises(ConfigError, match=r"panel offsets of shape \(6, 5\): expected finite"):
        simulate(scene(), offsets=Offsets(panels=np.zeros((6, 5))), **SMALL)
    with pytest.raises(ConfigError, match=r"outliers = 1.0: expected a fraction"):
        RecipeNoise(outliers=1.0)
    with pytest.raises(ConfigError, match=r"d_min = 0.0 Å: expected a positive resolution"):
        lattice_points(scene().crystal, 0.0)
    with pytest.raises(ConfigError, match=r"Miller indices for a cell of 40.0, 40.0, 60.0 Å"):
        lattice_points(scene().crystal, 0.05)
    with pytest.raises(ConfigError, match="the experiment is a still"):
        all_reflections(scene(None), 2.5)
    with pytest.raises(ConfigError, match="needs a beam, a detector and a crystal"):
        all_reflections(Experiment("none"), 2.5)
