"""Duplicates: pairs, which exposures go, causes, overlap, dose, words."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from refimpl.epu.bad_lists import write_outputs
from refimpl.epu.calibration import Calibration
from refimpl.epu.duplicates import Duplicates, find_duplicates
from refimpl.epu.pairs import close_pairs, components, disc_overlap, kept_partners
from refimpl.epu.session import Session, table_of
from refimpl.errors import ConfigError
from refimpl.io.atomic import json_text

STILL = Calibration("affine", np.eye(2))


def at(x_um: list[float], **columns: object) -> Session:
    """Exposures on a line, in this order; the stage does it all."""
    given = {"stage_x_um": np.array(x_um), "stage_y_um": 0.0, "beam_shift_x": 0.0,
             "beam_shift_y": 0.0} | columns  # fmt: skip
    return Session(table=table_of(**given))


def pairs(found: Duplicates) -> list[tuple[int, int]]:
    return list(zip(found.pairs["first"].tolist(), found.pairs["second"].tolist(), strict=True))


# ---------------------------------------------------------------------------- pairs and policy


def test_pairs_within_the_radius_earlier_first() -> None:
    found = find_duplicates(at([0.0, 5.0, 0.125, 5.25, 9.0]), STILL, "0.125")
    assert pairs(found) == [(0, 2)]  # inclusive; 0.25 is not
    assert found.pairs["distance_um"].tolist() == [0.125]
    assert found.bad.tolist() == [False, False, True, False, False]
    assert found.kept.tolist() == [-1, -1, 0, -1, -1]
    assert found.component.tolist() == [0, -1, 0, -1, -1]
    assert found.n_duplicates == 1


def test_positions_are_stage_plus_beam_shift_times_matrix() -> None:
    matrix = np.array([[21.0, 11.0], [12.0, -22.0]])
    session = at([1.0, -9.5], stage_y_um=np.array([2.0, 7.5]),
                 beam_shift_x=np.array([0.0, 0.5]), beam_shift_y=0.0)  # fmt: skip
    found = find_duplicates(session, Calibration("affine", matrix))
    assert found.positions_um.tolist() == [[1.0, 2.0], [1.0, 13.0]]
    assert not found.bad.any()


def test_the_order_is_time_not_the_rows_given() -> None:
    session = at([0.0, 0.1], name=np.array(["late", "early"], dtype=object),
                 time_s=np.array([50.0, 10.0]))  # fmt: skip
    found = find_duplicates(session, STILL)
    assert found.session.table["name"][found.bad].tolist() == ["late"]


def test_fault_10_a_chain_is_one_group_and_counts_each_exposure_once() -> None:
    """Raw lists of neighbours give overlapping groups: files listed twice, totals too high."""
    found = find_duplicates(at([0.0, 0.15, 0.3, 0.45, 0.6]), STILL)
    assert found.component.tolist() == [0, 0, 0, 0, 0]
    assert found.n_duplicates == 2
    assert len(found.as_dict()["badfiles_jpg"]) == len(set(found.as_dict()["badfiles_jpg"])) == 2
    assert found.percent == 40.0
    assert "2 of 5 exposures (40.00 %) are duplicates: 4 pairs in 1 group" in found.sentences()[3]


def test_fault_11_the_middle_of_a_chain_has_one_verdict() -> None:
    """In one neighbour list it is the later one, in another the earlier: bad, and kept."""
    first_end = find_duplicates(at([0.0, 0.15, 0.3]), STILL)
    assert first_end.kept.tolist() == [-1, 0, -1]  # A and C do not overlap: only B goes
    middle = find_duplicates(at([0.15, 0.0, 0.3]), STILL)
    assert middle.kept.tolist() == [-1, 0, 0]
    later_end = find_duplicates(at([0.0, 0.3, 0.15]), STILL)
    assert later_end.kept.tolist() == [-1, -1, 0]  # the earliest of those it repeats


def test_many_at_one_place_keep_the_first() -> None:
    found = find_duplicates(at([0.0] * 5), STILL)
    assert found.kept.tolist() == [-1, 0, 0, 0, 0]
    assert len(found.pairs) == 10


@pytest.mark.parametrize("seed", range(5))
def test_policy_against_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(0.0, 3.0, (200, 2))
    rows = close_pairs(points, 0.2)
    distance = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    expected = np.full(200, -1)
    for i in range(200):
        before = [j for j in range(i) if distance[i, j] <= 0.2 and expected[j] < 0]
        expected[i] = min(before, default=-1)
    assert kept_partners(200, rows).tolist() == expected.tolist()
    near = np.argwhere(np.triu(distance <= 0.2, 1))
    assert rows.tolist() == near.tolist()
    label = components(200, rows)
    assert (label[rows[:, 0]] == label[rows[:, 1]]).all()
    assert ((label < 0) == (np.bincount(rows.ravel(), minlength=200) == 0)).all()


def test_none_and_one_exposure() -> None:
    for x in ([], [1.0]):
        found = find_duplicates(at(x), STILL)
        assert (len(found.pairs), found.n_duplicates, found.percent) == (0, 0, 0.0)
        assert found.sentences()[-1] == "No duplicates: no two exposures are that close."
        assert found.as_dict()["n_groups"] == 0


def test_a_radius_that_holds_everything_is_refused_before_it_fills_the_memory() -> None:
    session = at(np.linspace(0.0, 100.0, 5000).tolist())
    with pytest.raises(ConfigError, match=r"radius 200 um: 1.2e\+07 pairs of the 5000 exposures"):
        find_duplicates(session, STILL, "200")


def test_positions_must_be_finite() -> None:
    with pytest.raises(ConfigError, match="positions of exposures: expected finite numbers"):
        close_pairs(np.array([[0.0, np.inf]]), 0.2)


# -------------------------------------------------------------------------------------- causes


def test_causes() -> None:
    """One pair of each kind: shot again, other shot, no move, came back, another place."""
    session = at(
        [0.0, 0.0, 0.0, 50.0, 50.0, 80.0, 50.3, 30.0],
        beam_shift_x=np.array([0.0, 0.05, 0.1, 0.0, 0.12, 0.0, -0.2, 20.1]),
        hole=[1, 1, 1, 2, 3, 9, 4, 5], area=[7, 8, 7, 7, 7, 7, 7, 7], square=6,
    )  # fmt: skip
    found = find_duplicates(session, STILL)
    cause = dict(zip(pairs(found), found.pairs["cause"].tolist(), strict=True))
    assert cause == {
        (0, 1): "same hole", (0, 2): "repeat", (1, 2): "same hole",
        (3, 4): "same position", (3, 6): "revisit", (4, 6): "revisit",
        (3, 7): "neighbour", (4, 7): "neighbour", (6, 7): "neighbour",
    }  # fmt: skip


def test_fault_17_a_missed_move_is_told_by_the_stage_not_by_pictures() -> None:
    """Both pairs have no picture of any hole; only in the first did the stage stand still."""
    session = at([0.0, 0.001, 40.0, 60.0, 40.05], hole=[1, 2, 3, 4, 5], beam_shift_x=0.0)
    found = find_duplicates(session, STILL)
    assert found.as_dict()["causes"] == {
        "repeat": 0, "same hole": 0, "same position": 1, "revisit": 1, "neighbour": 0,
    }  # fmt: skip
    assert len(session.foil_images) == 0


def test_shots_of_one_hole_can_be_left_out_but_not_a_shot_taken_again() -> None:
    session = at([0.0, 0.1, 0.2, 0.1], hole=1, square=2, area=[5, 6, 7, 6])
    assert find_duplicates(session, STILL).kept.tolist() == [-1, 0, 0, 0]
    found = find_duplicates(session, STILL, ignore_same_hole=True)
    assert pairs(found) == [(1, 3)]
    assert found.kept.tolist() == [-1, -1, -1, 1]
    assert "Different shots of one hole are not compared." in found.sentences()


def test_unknown_shots_of_a_hole_and_equal_holes_of_two_squares() -> None:
    unknown = at([0.0, 0.1], hole=1)
    assert find_duplicates(unknown, STILL, ignore_same_hole=True).n_duplicates == 1
    assert find_duplicates(unknown, STILL).pairs["cause"].tolist() == ["repeat"]
    no_ids = at([0.0, 0.1])
    assert find_duplicates(no_ids, STILL).pairs["cause"].tolist() == ["same position"]
    two = at([0.0, 0.1], hole=1, square=[1, 2], area=4)
    assert find_duplicates(two, STILL).pairs["cause"].tolist() == ["same position"]


# ------------------------------------------------------------------------- overlap, dose, squares


def test_overlap_of_discs() -> None:
    """Equal discs a radius apart share 2/3 - sqrt(3) / (2 pi) of one."""
    lens = 2.0 / 3.0 - np.sqrt(3.0) / (2.0 * np.pi)
    d = np.array([0.0, 0.5, 1.0, 2.0, 0.1, 0.1, 0.0, 0.5])
    first = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 0.5, np.nan])
    second = np.array([1.0, 1.0, 1.0, 1.0, 2.0, 1.0, 1.0, 1.0])
    expected = [1.0, lens, 0.0, 0.0, 0.25, 1.0, 0.25, np.nan]
    assert disc_overlap(d, first, second) == pytest.approx(expected, abs=1e-15, nan_ok=True)


def test_overlap_against_points_in_the_discs() -> None:
    rng = np.random.default_rng(4)
    points = rng.uniform(-1.0, 1.0, (400_000, 2))
    second = np.hypot(*points.T) <= 0.5
    inside = np.hypot(points[:, 0] - 0.4, points[:, 1]) <= 0.35
    # 80,000 points in the disc: sigma 0.0018
    assert disc_overlap(np.array([0.4]), np.array([0.7]), np.array([1.0]))[0] == pytest.approx(
        (second & inside).sum() / second.sum(), abs=0.007
    )


def test_the_dose_of_earlier_exposures_counts_by_its_overlap() -> None:
    lens = 2.0 / 3.0 - np.sqrt(3.0) / (2.0 * np.pi)
    session = at([0.0, 0.5, 0.0], beam_diameter_um=1.0,
                 dose_per_angstrom2=np.array([40.0, 30.0, 20.0]))  # fmt: skip
    rows = find_duplicates(session, STILL, "0.5").exposures
    assert rows["group"].tolist() == [1, 1, 1]
    assert rows["status"].tolist() == ["kept", "bad", "bad"]
    assert rows["kept"].tolist() == ["", "exposure_000000", "exposure_000000"]
    assert rows["dose_before_per_angstrom2"].tolist() == pytest.approx(
        [0.0, 40.0 * lens, 40.0 + 30.0 * lens]
    )


def test_a_missing_diameter_is_the_usual_one() -> None:
    session = at([0.0, 0.5], beam_diameter_um=np.array([1.0, np.nan]))
    overlap = find_duplicates(session, STILL, "0.5").pairs["overlap"]
    assert overlap[0] == pytest.approx(2.0 / 3.0 - np.sqrt(3.0) / (2.0 * np.pi))


def test_squares() -> None:
    session = at([0.0, 0.1, 5.0, 50.0, 50.1, 90.0], square=[7, 7, 7, 3, 3, -1], hole=range(6))
    found = find_duplicates(session, STILL)
    table = found.squares
    assert table["square"].tolist() == [-1, 3, 7]
    assert table["exposures"].tolist() == [1, 2, 3]
    assert table["duplicates"].tolist() == [0, 1, 1]
    assert table["percent"].tolist() == pytest.approx([0.0, 50.0, 100.0 / 3.0])
    assert table["neighbour"].tolist() == [0, 0, 0]
    assert table["same position"].tolist() == [0, 1, 1]
    assert "By grid square: 3 1 of 2 (50.00 %), 7 1 of 3 (33.33 %)." in found.sentences()


# --------------------------------------------------------------------------------------- words


def test_the_summary_is_json_with_the_promised_keys() -> None:
    found = find_duplicates(at([0.0, 0.1, 3.0]), Calibration("affine", 2.0 * np.eye(2)))
    content = json.loads(json_text(found.as_dict()))
    assert content["k"] == pytest.approx(2.0)
    assert content["matrix"] == [[2.0, 0.0], [0.0, 2.0]]
    assert content["rms_um"] is None
    assert (content["n_exposures"], content["n_duplicates"]) == (3, 1)
    assert content["bad"] == ["exposure_000001"]
    assert content["kept"] == ["exposure_000000"]
    assert content["badfiles_tiff"] == ["exposure_000001_fractions.tiff"]
    assert content["badfiles_jpg"][0].endswith("/exposure_000001.jpg")
    assert content["radius"] == "fixed:0.2"


def test_a_healthy_session_is_not_warned_of() -> None:
    x = (10.0 * np.arange(2000)).tolist()
    few = find_duplicates(at([*x, 0.1]), STILL)
    assert "(0.05 %)" in " ".join(few.sentences())
    assert not few.sentences()[-1].startswith("A healthy session")
    many = find_duplicates(at([*x, 0.1, 10.1, 20.1]), STILL)
    assert many.sentences()[-1].startswith("A healthy session has less than 0.1 %")


# ----------------------------------------------------------------------------------- many of them


def many(n: int) -> Session:
    """Holes 2.5 um apart, 25 a stage position, one in a thousand exposed again."""
    rng = np.random.default_rng(1)
    side = int(np.sqrt(n)) + 1
    row, column = np.divmod(np.arange(n), side)
    again = rng.permutation(n)[: n // 1000]
    row[again], column[again] = row[again - 1], column[again - 1]
    stage = np.stack([row // 5, column // 5], axis=1) * 12.5
    shift = np.stack([row % 5, column % 5], axis=1) * 2.5
    stage = stage + rng.normal(0.0, 0.0013, (n, 2))
    table = table_of(
        stage_x_um=stage[:, 0], stage_y_um=stage[:, 1], beam_shift_x=shift[:, 0],
        beam_shift_y=shift[:, 1], hole=np.arange(n), square=np.arange(n) // 2500,
        beam_diameter_um=0.95, time_s=np.arange(n, dtype=np.float64),
    )  # fmt: skip
    return Session(table)


def test_200_000_exposures(tmp_path) -> None:
    session = many(200_000)
    start = time.process_time()
    found = find_duplicates(session, STILL)
    found.sentences()
    write_outputs(found, tmp_path / "d")
    # 0.4 s measured; the published look-ups take minutes
    assert time.process_time() - start < 2.5
    assert 150 < found.n_duplicates <= 200


def test_a_chain_of_60_000() -> None:
    """A long chain: rounds over all pairs would make it quadratic."""
    session = at((0.15 * np.arange(60_000)).tolist(), time_s=np.arange(60_000, dtype=np.float64))
    start = time.process_time()
    found = find_duplicates(session, STILL)
    assert time.process_time() - start < 2.0
    assert found.n_duplicates == 30_000
    assert found.component.max() == 0
