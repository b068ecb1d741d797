"""Local fits of near-field orientations, and the settings of fits and searches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nearfield_case import Case

from refimpl.crystal.symmetry_operators import operators
from refimpl.errors import ConfigError
from refimpl.nearfield.fit_settings import FitSettings, SearchSettings, settings_of
from refimpl.nearfield.refine import (
    centred,
    climbed,
    points_in_ball,
    published_fit,
    scattered,
    turned,
)
from refimpl.nearfield.seeds import random_seeds
from refimpl.nearfield.settings import SearchTable
from refimpl.objective.overlap import confidence
from refimpl.rotations import matrix_of_quaternion
from refimpl.units import DEG


def test_points_fill_the_ball_evenly() -> None:
    p = points_in_ball(256)
    r = np.sqrt((p * p).sum(axis=1))
    assert p.shape == (256, 3)
    assert r.max() <= 1.0
    assert abs((r < 0.5).sum() - 32) <= 4  # an eighth of the volume
    assert (np.abs(p.mean(axis=0)) < 0.03).all()
    assert points_in_ball(5).tolist() == p[:5].tolist()


def test_turned_turns_in_the_sample_by_the_angle() -> None:
    u = matrix_of_quaternion(random_seeds(3, operators(1), 0))
    x = np.array([0.0, 0.0, 2.0 * np.tan(0.05)])  # 0.1 rad about the rotation axis
    got = turned(u, x)
    c, s = np.cos(0.1), np.sin(0.1)
    want = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ u
    np.testing.assert_allclose(got, want, atol=1e-15)


def test_a_climb_does_not_stop_on_a_plateau(case: Case) -> None:
    """The published rule stops when values agree; this one goes on and ends higher."""
    rows = np.flatnonzero(case.inner)[:12]
    v, s = case.vertices[rows], case.seed_matrices[case.grain[rows]]
    fit, old = FitSettings(), FitSettings.published()
    ours = climbed(v, s, case.setup, case.lit, fit, (0.4 * DEG, 0.1 * DEG), fit.size_rad)
    theirs = np.array(
        [
            published_fit(v[i], s[i], case.setup, case.lit, old).confidence[0]
            for i in range(len(rows))
        ]
    )
    assert ours.confidence.mean() > theirs.mean() + 0.02
    start = confidence(v, s, case.setup, case.lit).confidence
    assert (theirs >= start).all()
    assert (ours.confidence >= start).all()


def test_scatter_finds_what_a_climb_misses_and_the_middle_is_no_worse(case: Case) -> None:
    rows = np.flatnonzero(case.inner)[:6]
    v, s = case.vertices[rows], case.seed_matrices[case.grain[rows]]
    for fit in (FitSettings(scatter_points=64), FitSettings.quick()):
        got = scattered(v, s, case.setup, case.lit, fit)
        assert (got.confidence > 0.9).all()
        assert (got.evaluations > fit.scatter_points).all()
    mid = centred(v, got.orientations, got.confidence, case.setup, case.lit, FitSettings())
    assert (mid.confidence >= got.confidence).all()
    again = confidence(v, mid.orientations, case.setup, case.lit).confidence
    np.testing.assert_array_equal(again, mid.confidence)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"method": "newton"}, "FitSettings: method 'newton': expected restarted or published"),
        ({"size_rad": 0.0}, "FitSettings: size_rad 0.0: expected > 0"),
        ({"edges_rad": ()}, r"FitSettings: edges_rad \(\): expected one or more lengths > 0"),
    ],
)
def test_bad_fit_settings_are_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        FitSettings(**values)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"least": 1.1}, "MinFracAccept 1.1: expected 0 to 1"),
        ({"n_saved": 0}, "SaveNSolutions 0: expected 1 or more"),
        ({"saved_angle_rad": 4.0}, "MinMisoNSaves 4.0 rad: expected 0 to pi"),
        ({"disputed_angle_rad": -1.0}, "NearestMisorientation -1.0 rad: expected 0 to pi"),
    ],
)
def test_bad_search_settings_are_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        SearchSettings(**values)


def test_settings_come_from_the_keys_of_a_parameter_file() -> None:
    table = SearchTable(
        min_confidence=0.1, orient_tol_deg=3.0, n_solutions=2, min_solution_deg=0.5,
        nearest_misorientation_deg=4.0,
    )  # fmt: skip
    got = settings_of(table, FitSettings.quick())
    assert (got.least, got.n_saved) == (0.1, 2)
    angles = (got.saved_angle_rad, got.disputed_angle_rad, got.fit.tolerance_rad)
    np.testing.assert_allclose(angles, np.array([0.5, 4.0, 3.0]) * DEG)
    assert got.fit.behind == FitSettings.quick().behind
    assert settings_of(SearchTable()).disputed_angle_rad is None
