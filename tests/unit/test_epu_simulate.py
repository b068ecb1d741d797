"""Simulated EPU sessions: what was asked for is in the arrays, and the truth is true."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial import cKDTree

from refimpl.epu.simulate import Simulated, SimulationSettings, large, simulate, varied
from refimpl.epu.simulate_geometry import shots_of
from refimpl.epu.simulate_truth import truth_of
from refimpl.errors import ConfigError
from refimpl.frames import F64

QUIET = {
    "revisits": 0, "overlaps": 0, "missed": 0, "singles": 0, "near_misses": 0, "lost": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def made() -> Simulated:
    return simulate(seed=3)


def rms(values: F64) -> float:
    return float(np.sqrt((values**2).sum(axis=1).mean()))


def site_errors(made: Simulated) -> F64:
    """(n, 2) distance of the middle of the hole from the nearest site of the square's lattice."""
    assert made.truth.lattice_um is not None
    shot = np.unique(made.session.table["area"], return_inverse=True)[1]
    middle = made.truth.true_um - shots_of(made.settings)[shot]
    centre = np.array([s.centre_um for s in made.squares])[made.square_index]
    n = (middle - centre) @ np.linalg.inv(made.truth.lattice_um)
    return np.asarray((n - np.round(n)) @ made.truth.lattice_um)


def test_the_same_seed_gives_the_same_session_and_another_another() -> None:
    settings = SimulationSettings(squares=1, groups=8, overlaps=1, near_misses=3)
    one, two, other = (simulate(settings, seed=s) for s in (5, 5, 6))
    assert one.session.table.equals(two.session.table)
    assert np.array_equal(one.truth.true_um, two.truth.true_um)
    assert not one.session.table.equals(other.session.table)


def test_stage_and_beam_shift_add_up_to_the_true_place(made: Simulated) -> None:
    place = made.session.stage_um + made.session.beam_shift @ made.truth.matrix_um
    away = place - made.truth.true_um
    settings = made.settings
    noise = np.hypot(settings.readback_um, settings.beam_shift_noise * settings.k_um)
    assert rms(away) / np.sqrt(2.0) == pytest.approx(noise, rel=0.05)
    exact = simulate(replace(settings, readback_um=0.0, beam_shift_noise=0.0), seed=3)
    place = exact.session.stage_um + exact.session.beam_shift @ exact.truth.matrix_um
    np.testing.assert_allclose(place, exact.truth.true_um, atol=1e-11)


def test_holes_lie_beside_the_lattice_as_far_as_the_centring_says() -> None:
    settings = SimulationSettings(squares=8, groups=20, **QUIET)
    made = simulate(settings, seed=1)
    errors = site_errors(made)
    assert rms(errors) == pytest.approx(0.045, rel=0.1)
    table = made.session.table
    first = np.unique(table["hole"], return_index=True)[1]
    visit, errors = made.visit[first], errors[first]
    count = np.bincount(visit)
    mean = np.stack([np.bincount(visit, e) / np.maximum(count, 1) for e in errors.T], axis=1)
    inside = errors - mean[visit]
    # 30 % of the variance is a hole's own; the mean of a group takes one of its holes' freedom
    expected = 0.045 * np.sqrt(0.3 * (1.0 - (count > 0).sum() / count.sum()))
    assert rms(inside) == pytest.approx(expected, rel=0.1)


def test_the_stage_stops_beside_its_target_as_far_as_the_landing_error_says() -> None:
    settings = SimulationSettings(squares=10, groups=20, pattern="3x3", **QUIET)
    made = simulate(settings, seed=2)
    assert made.truth.lattice_um is not None
    first = np.unique(made.visit, return_index=True)[1]
    centre = np.array([s.centre_um for s in made.squares])[made.square_index[first]]
    n = (made.session.stage_um[first] - centre) @ np.linalg.inv(made.truth.lattice_um)
    away = (n - np.round(n)) @ made.truth.lattice_um
    assert rms(away) == pytest.approx(0.15, rel=0.15)


def test_the_read_back_jitters_within_a_stage_position(made: Simulated) -> None:
    stage, visit = made.session.stage_um, made.visit
    mean = np.stack([np.bincount(visit, s) / np.bincount(visit) for s in stage.T], axis=1)
    assert rms(stage - mean[visit]) / np.sqrt(2.0) == pytest.approx(0.0013, rel=0.05)


def test_pairs_and_bad_ones_are_those_of_plain_loops() -> None:
    made = simulate(SimulationSettings(squares=1, groups=8, overlaps=1, singles=6), seed=4)
    truth = made.truth
    n = len(truth.true_um)
    near = [
        (i, j) for i in range(n) for j in range(i + 1, n)
        if np.hypot(*(truth.true_um[i] - truth.true_um[j])) < 0.2
    ]  # fmt: skip
    assert truth.pairs.tolist() == [list(p) for p in near]
    kept: list[int] = []
    for j in range(n):
        if not any((i, j) in set(near) for i in kept if (i, j) in near):
            kept.append(j)
    assert np.nonzero(~truth.bad)[0].tolist() == kept


def test_what_is_near_a_dropped_exposure_alone_is_kept() -> None:
    row = np.column_stack([[0.0, 0.15, 0.3, 0.45, 5.0], np.zeros(5)])
    truth = truth_of(np.eye(2), None, row, np.array(["normal"] * 5))
    assert truth.pairs.tolist() == [[0, 1], [1, 2], [2, 3]]
    assert truth.bad.tolist() == [False, True, False, True, False]


def test_there_are_duplicates_of_every_kind(made: Simulated) -> None:
    kinds = Counter(made.truth.kind[made.truth.bad].tolist())
    assert set(kinds) == {"revisit", "overlap", "missed", "single"}
    table, kind = made.session.table, made.truth.kind
    first, second = made.truth.pairs.T
    same_hole = table["hole"].to_numpy()[first] == table["hole"].to_numpy()[second]
    same_area = table["area"].to_numpy()[first] == table["area"].to_numpy()[second]
    moved = np.hypot(*(made.session.stage_um[first] - made.session.stage_um[second]).T)
    assert (same_hole & same_area & (moved < 0.01))[kind[second] == "single"].all()
    assert (~same_hole & (moved < 0.01))[kind[second] == "missed"].all()
    assert (~same_hole & (moved > 1.0))[kind[second] == "overlap"].all()
    revisited = kind[second] == "revisit"
    assert (moved < 0.8)[revisited].all()
    assert 0 < same_hole[revisited].sum() < revisited.sum()


def test_a_quiet_session_has_no_duplicates() -> None:
    made = simulate(SimulationSettings(**QUIET), seed=0)
    assert not made.truth.bad.any()
    assert not len(made.truth.pairs)
    assert set(made.truth.kind) == {"normal"}


@pytest.mark.parametrize("shots", [1, 2, 3, 4])
def test_near_misses_are_near_and_miss(shots: int) -> None:
    made = simulate(SimulationSettings(shots=shots, near_misses=12, equal_times=0), seed=shots)
    near = made.truth.kind == "near"
    distance = cKDTree(made.truth.true_um).query(made.truth.true_um, 2)[0][:, 1]
    assert near.sum() in range(10, 13)  # one in a hundred is lost
    assert (distance[near] >= 0.25).all()
    assert np.median(distance[near]) <= 0.6
    assert not made.truth.bad[near].any()


def test_times_cross_midnight_and_the_change_of_the_clock(made: Simulated) -> None:
    table = made.session.table
    moments = [datetime.fromisoformat(text) for text in table["time"]]
    assert len({m.date() for m in moments}) == 2
    assert {m.utcoffset().total_seconds() for m in moments if m.utcoffset()} == {3600.0, 7200.0}
    seconds = np.array([m.timestamp() for m in moments])
    np.testing.assert_allclose(seconds, table["time_s"], atol=2e-6)
    assert (np.diff(table["time_s"]) >= 0.0).all()
    local = [m.replace(tzinfo=None) for m in moments]
    assert sum(a > b for a, b in pairwise(local)) == 1


def test_names_say_the_second_before_and_have_ids_of_seven_and_eight_digits(
    made: Simulated,
) -> None:
    table = made.session.table
    assert all(table[column].is_unique for column in ("name", "uid", "path"))
    assert set(table["hole"].astype(str).str.len()) == {7, 8}
    change = datetime.fromisoformat("2024-10-27T01:00:00+00:00").timestamp()
    for row in table.itertuples():
        found = re.fullmatch(r"FoilHole_(\d+)_Data_(\d+)_(\d+)_(\d{8})_(\d{6})", str(row.name))
        assert found is not None
        assert [int(v) for v in found.groups()[:3]] == [row.hole, row.area, row.area + 2]
        stamp = datetime.strptime(found[4] + found[5], "%Y%m%d%H%M%S")
        time = datetime.fromisoformat(str(row.time)).replace(tzinfo=None)
        if abs(float(str(row.time_s)) - change) > 2.0:
            assert 0.0 <= (time - stamp).total_seconds() < 2.0


def test_some_times_are_equal_and_some_beams_are_others(made: Simulated) -> None:
    table = made.session.table
    assert 1 <= (np.diff(table["time_s"]) == 0.0).sum() <= 2
    assert Counter(table["beam_diameter_um"]).most_common()[1] == (0.855, 4)


def test_lost_exposures_are_not_there() -> None:
    settings = SimulationSettings(squares=1, **{**QUIET, "lost": 0.0})
    whole = simulate(settings, seed=1)
    some = simulate(replace(settings, lost=0.3), seed=1)
    assert len(some.session) / len(whole.session) == pytest.approx(0.7, abs=0.05)
    rows = {tuple(p) for p in whole.truth.true_um.tolist()}
    assert all(tuple(p) in rows for p in some.truth.true_um.tolist())


def test_a_session_that_lost_all_is_none() -> None:
    settings = SimulationSettings(
        squares=1, groups=1, pattern="1x1", shots=1, **{**QUIET, "lost": 0.5}
    )
    messages = []
    for seed in range(8):
        try:
            assert len(simulate(settings, seed=seed).session) == 1
        except ConfigError as error:
            messages.append(str(error))
    assert 0 < len(messages) < 8
    assert set(messages) == {"no exposure is left: all are lost"}


def test_lacey_targets_have_no_lattice_and_no_pattern() -> None:
    made = simulate(SimulationSettings(lacey=True, squares=2), seed=2)
    assert made.truth.lattice_um is None
    assert made.truth.pitch_um is None
    assert set(made.truth.kind) <= {"normal", "revisit", "single", "near"}
    plain = made.truth.true_um[made.truth.kind == "normal"]
    middle = np.unique(np.round(plain, 9), axis=0)
    assert len(middle) == len(plain)


def test_the_plan_knows_every_hole_but_not_where_a_missed_move_went(made: Simulated) -> None:
    session = made.session_with_dm
    assert session.holes is not None
    table = session.table.merge(session.holes, on=["square", "hole"], how="left")
    assert table["stage_x_um_y"].notna().all()
    shot = np.unique(session.table["area"], return_inverse=True)[1]
    middle = made.truth.true_um - shots_of(made.settings)[shot]
    way = table[["stage_x_um_y", "stage_y_um_y"]].to_numpy() - middle
    missed = made.truth.kind == "missed"
    assert np.hypot(*way[missed].T).min() > 2.0
    # an offset of a square and the error of a hole; a revisit is elsewhere by its own centring
    good = ~np.isin(made.visit, made.visit[missed])
    assert (made.truth.kind[good] == "overlap").any()
    for square in np.unique(made.square_index):
        own = good & (made.square_index == square)
        assert np.hypot(*(way[own] - way[own].mean(axis=0)).T).max() < 0.35
    assert session.hole_spacing_um == pytest.approx(2.5, rel=0.04)
    assert session.hole_size_um == 1.2


def test_discs_have_squares_at_places_of_their_own() -> None:
    made = simulate(SimulationSettings(discs=2, squares=2, groups=5, overlaps=1), seed=1)
    assert [s.disc for s in made.squares] == [1, 1, 2, 2]
    assert {p.split("/")[0] for p in made.session.table["path"]} == {"Images-Disc1", "Images-Disc2"}
    centres = np.array([s.centre_um for s in made.squares])
    assert cKDTree(centres).query(centres, 2)[0][:, 1].min() > 2.0 * 27.0


def test_large_sessions_have_the_size_asked_for_and_some_duplicates() -> None:
    made = large(20_000, seed=1)
    assert len(made.session) == 20_000
    assert 0.0002 < made.truth.bad.mean() < 0.01


def test_the_score_counts_hits() -> None:
    truth = simulate(SimulationSettings(squares=1, overlaps=1), seed=0).truth
    assert truth.score(truth.bad) == (1.0, 1.0)
    assert truth.score(np.zeros_like(truth.bad)) == (1.0, 0.0)
    assert truth.score(np.ones_like(truth.bad)) == (truth.bad.mean(), 1.0)
    half = truth.bad.copy()
    half[np.nonzero(half)[0][::2]] = False
    assert truth.score(half)[1] == pytest.approx(half.sum() / truth.bad.sum())


def test_sessions_of_the_benchmark_differ() -> None:
    all_of_them = [varied(i) for i in range(60)]
    assert varied(7) == all_of_them[7]
    assert len({s.pattern for s in all_of_them}) >= 10
    assert {s.shots for s in all_of_them} == {1, 2, 3, 4}
    assert {s.mirror for s in all_of_them} == {True, False}
    assert {round(2 * s.pitch_um) for s in all_of_them} >= {3, 4, 5, 6, 8}
    assert {s.layout for s in all_of_them} == {"greedy", "super-lattice"}
    assert {s.overlaps == 0 for s in all_of_them} == {True, False}
    turns = np.array([s.rotation_deg for s in all_of_them])
    assert np.histogram(turns, bins=6, range=(-180, 180))[0].min() > 0
