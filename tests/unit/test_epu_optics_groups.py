"""Optics groups of a session: which exposures belong together, and how the groups are numbered."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import default_rng

from refimpl.epu.optics_groups import OpticsGroups, group_by_area, group_by_beam_shift
from refimpl.epu.session import Session, table_of
from refimpl.epu.simulate import simulate, varied
from refimpl.errors import ConfigError, ConvergenceError
from refimpl.frames import F64

HOLES = np.array([(x, y) for x in (-1.0, 0.0, 1.0) for y in (-1.0, 0.0, 1.0)])
SHOTS = np.array([(0.1, 0.03), (-0.07, 0.09), (-0.03, -0.12)])


def session_of(shift: F64, **columns: object) -> Session:
    """Session of beam shifts; names count up."""
    n = len(shift)
    given = {"pixel_size_angstrom": 0.87, "voltage_kv": 300.0, "uid": [f"u{i}" for i in range(n)],
             "name": [f"e{i:04d}" for i in range(n)], "time_s": np.arange(float(n))}  # fmt: skip
    return Session(table_of(beam_shift_x=shift[:, 0], beam_shift_y=shift[:, 1],
                            stage_x_um=np.zeros(n), stage_y_um=np.zeros(n),
                            **(given | columns)))  # fmt: skip


def nine_holes(repeats: int = 6, seed: int = 0) -> Session:
    """Nine holes of three shots; the middle one is hole 4 of `HOLES`."""
    points = np.tile((HOLES[:, None] + SHOTS).reshape(-1, 2) * 0.1, (repeats, 1))
    return session_of(points + default_rng(seed).normal(0.0, 1e-5, points.shape))


def test_auto_finds_holes_and_numbers_them_on_the_grid() -> None:
    session = nine_holes()
    groups = group_by_beam_shift(session)
    hole = np.tile(np.repeat(np.arange(9), 3), 6)
    assert len(groups) == 9
    assert groups.sizes.tolist() == [18] * 9
    assert groups.names == tuple(f"opticsGroup{i}" for i in range(1, 10))
    assert groups.labels[hole == 4].tolist() == [1] * 18  # the ring 0
    assert len(set(zip(hole.tolist(), groups.labels.tolist(), strict=True))) == 9
    assert groups.uids[:2] == ("u0", "u1")
    np.testing.assert_allclose(groups.centres[0], 0.0, atol=1e-4)  # of spacings of 0.1


def test_shots_are_groups_of_their_own_when_asked_for() -> None:
    groups = group_by_beam_shift(nine_holes(), level="shots")
    assert len(groups) == 27
    assert groups.sizes.tolist() == [6] * 27
    assert "27 groups of 6" in groups.sentences()[0]


def test_shots_of_one_shot_a_hole_are_the_holes() -> None:
    points = np.tile(HOLES * 0.1, (5, 1)) + default_rng(0).normal(0.0, 1e-4, (45, 2))
    groups = group_by_beam_shift(session_of(points), level="shots")
    assert len(groups) == 9
    assert "one level" in groups.notes[0]


@pytest.mark.parametrize("method", ["kmeans", "hac"])
def test_other_methods_agree_where_the_number_is_known(method: str) -> None:
    session = nine_holes()
    expected = group_by_beam_shift(session)
    found = group_by_beam_shift(session, method, 9, seed=3)
    assert np.array_equal(found.labels, expected.labels)
    assert found.method == f"beam shift: {method}"


def test_dbscan_leaves_nobody_alone() -> None:
    points = nine_holes().beam_shift
    stray = np.vstack([points, [[0.3, 0.31]]])
    groups = group_by_beam_shift(session_of(stray), "dbscan", eps=0.03, min_samples=3)
    corner = groups.labels[np.argmax(points.sum(axis=1))]
    assert len(groups) == 9
    assert groups.labels[-1] == corner
    assert "exposures of no group that joined the nearest: 1, up to" in groups.notes[0]
    with pytest.raises(ConfigError, match="no group among"):
        group_by_beam_shift(session_of(stray), "dbscan", eps=1e-9)


def test_a_session_without_shifts_is_one_group() -> None:
    groups = group_by_beam_shift(session_of(np.full((7, 2), 0.01)))
    assert (len(groups), groups.sizes.tolist()) == (1, [7])
    assert "same beam shift" in groups.notes[0]
    assert group_by_beam_shift(session_of(np.zeros((1, 2)))).labels.tolist() == [1]


def test_no_level_says_what_to_do() -> None:
    points = default_rng(1).uniform(size=(200, 2))
    with pytest.raises(ConvergenceError, match="state the number of clusters, or use dbscan"):
        group_by_beam_shift(session_of(points))
    assert len(group_by_beam_shift(session_of(points), "kmeans", 4)) == 4


def test_magnifications_and_voltages_are_grouped_apart() -> None:
    main, other = nine_holes(), nine_holes(2, seed=1)
    shift = np.vstack([other.beam_shift, main.beam_shift, main.beam_shift[:2]])
    n, m = len(other), len(main)
    pixel = np.array([1.05] * n + [0.87, 0.870001] * (m // 2) + [0.53, np.nan])
    groups = group_by_beam_shift(session_of(shift, pixel_size_angstrom=pixel))
    assert len(groups) == 19  # the unknown pixel size is the usual one
    assert set(groups.labels[n : n + m].tolist()) == set(range(1, 10))
    assert set(groups.labels[:n].tolist()) == set(range(10, 19))
    assert groups.labels[n + m :].tolist() == [19, groups.labels[n + 1]]
    np.testing.assert_allclose(groups.pixel_size_angstrom, [0.87] * 9 + [1.05] * 9 + [0.53],
                               atol=1e-6)  # fmt: skip
    assert "3 pixel sizes or voltages are grouped apart: 163, 54, 1 exposures" in groups.notes
    volts = np.where(np.arange(m) < 9, 200.0, 300.0)
    assert len(group_by_beam_shift(session_of(main.beam_shift, voltage_kv=volts))) > 9


def test_a_few_strays_do_not_stop_the_rest() -> None:
    main = nine_holes()
    shift = np.vstack([main.beam_shift, [[0.1, 0.0], [0.0, 0.1], [0.3, 0.2]]])
    pixel = np.array([0.87] * len(main) + [4.0] * 3)
    groups = group_by_beam_shift(session_of(shift, pixel_size_angstrom=pixel), "kmeans", 9)
    assert groups.labels[-3:].tolist() == [10, 10, 10]
    assert any("one group of 3 in all apart from the rest" in note for note in groups.notes)
    assert "1 group has fewer than 5 exposures" in groups.sentences()


def test_area_ids_are_another_thing() -> None:
    session = session_of(nine_holes(1).beam_shift, area=[50, 7, 60] * 9)
    groups = group_by_area(session, prefix="shot")
    assert groups.labels.tolist() == [2, 1, 3] * 9
    assert groups.names == ("shot1", "shot2", "shot3")
    assert "shot inside of a hole" in groups.notes[0]
    with pytest.raises(ConfigError, match="27 names have no area id, 'e0000' first"):
        group_by_area(nine_holes(1))


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="level 'squares': expected one of holes, shots"):
        group_by_beam_shift(nine_holes(), level="squares")
    with pytest.raises(ConfigError, match="auto finds the number"):
        group_by_beam_shift(nine_holes(), n_groups=9)
    with pytest.raises(ConfigError, match="without exposures"):
        group_by_beam_shift(session_of(np.empty((0, 2))))
    ok = group_by_beam_shift(nine_holes())
    with pytest.raises(ConfigError, match="numbered from 1 to 9"):
        OpticsGroups(
            ok.stems, ok.labels - 1, ok.names, ok.centres, ok.voltage_kv, ok.voltage_kv, ""
        )
    with pytest.raises(ConfigError, match="3 groups for"):
        OpticsGroups(ok.stems, ok.labels[:3], ok.names, ok.centres, ok.voltage_kv, ok.voltage_kv,
                     "")  # fmt: skip


def test_exposures_are_left_out_and_their_group_stays() -> None:
    groups = group_by_beam_shift(nine_holes(1))
    gone = [stem for stem, label in zip(groups.stems, groups.labels, strict=True) if label == 5]
    kept = groups.without(stem.upper() for stem in gone)
    assert (len(kept), len(kept.stems), kept.sizes[4]) == (9, 24, 0)
    assert len(kept.uids) == 24
    assert kept.as_dict()["groups"][4]["n_exposures"] == 0


@given(st.permutations(range(27)), st.floats(-180.0, 180.0), st.floats(0.01, 100.0))
def test_order_and_turns_and_units_change_no_partition(
    order: list[int], angle_deg: float, scale: float
) -> None:
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    points = nine_holes(1).beam_shift
    expected = group_by_beam_shift(session_of(points)).labels
    turned = points @ np.array([[c, s], [-s, c]]) * scale
    found = group_by_beam_shift(session_of(turned[order])).labels
    pairs = set(zip(expected[order].tolist(), found.tolist(), strict=True))
    assert len(pairs) == 9


@pytest.mark.parametrize("seed", [2, 7, 14, 17])
def test_simulated_sessions_have_a_group_for_every_hole_of_the_template(seed: int) -> None:
    made = simulate(varied(seed), seed=seed)
    rows = made.settings.pattern
    groups = group_by_beam_shift(made.session)
    holes = {2: 13, 7: 25, 14: 13, 17: 12}[seed]
    assert len(groups) == holes, rows
    assert len(set(groups.labels.tolist())) == holes
