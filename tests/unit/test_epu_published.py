"""find_dupl's steps by hand: its groups of neighbours, and its distances of all clusters."""

from __future__ import annotations

import time

import numpy as np
import pytest

from refimpl.epu.published import as_duplicates, duplicates, first_run, first_run_text
from refimpl.epu.session import Session, table_of
from refimpl.epu.simulate import large
from refimpl.errors import ConfigError

GRID = np.array([[i, j] for i in range(4) for j in range(3)], dtype=np.float64)


def session_of(stage_um: list[list[float]], shift: list[list[float]] | None = None) -> Session:
    stage = np.array(stage_um, dtype=np.float64).reshape(-1, 2)
    beam = np.zeros_like(stage) if shift is None else np.array(shift, dtype=np.float64)
    n = len(stage)
    return Session(table_of(
        name=[f"FoilHole_{i + 1}_Data_1_3_20200206_1700{i:02d}" for i in range(n)],
        time_s=1000.0 + np.arange(n), hole=np.arange(1, n + 1), square=np.full(n, 7),
        area=np.ones(n, dtype=np.int64), beam_diameter_um=np.full(n, 0.95),
        stage_x_um=stage[:, 0], stage_y_um=stage[:, 1],
        beam_shift_x=beam[:, 0], beam_shift_y=beam[:, 1],
    ))  # fmt: skip


def upper_of(text: str) -> np.ndarray:
    rows = [line.strip("[]").split() for line in text.split("\n") if line.startswith("[")]
    return np.array(rows, dtype=np.float64)


# --- first run ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 4, 9, 12])
def test_fault_02_extremes_are_of_all_clusters(n: int):
    # far ends last, so that the first five centres hold neither the largest nor the smallest
    centres = np.concatenate([GRID[: n - 2], [[9.0, 9.0], [9.0, 9.01]]]) if n > 2 else GRID[:2]
    text = first_run_text(centres)
    matrix = upper_of(text)
    assert matrix.shape == (n, n)
    upper = matrix[np.triu_indices(n, 1)]
    lines = text.split("\n")
    assert lines[2 + n] == f"Maximum distance: {upper.max():.3f} "
    assert lines[3 + n] == f"Minimum distance: {upper.min():.3f}"
    if n > 2:
        assert upper.max() > 12.0
        assert upper.min() == 0.01


def test_one_cluster_has_no_distances():
    with pytest.raises(ConfigError, match="1 cluster: distances need two"):
        first_run_text(np.zeros((1, 2)))


def test_first_run_looks_at_the_exposures_in_the_order_of_their_paths():
    rng = np.random.default_rng(1)
    shift = rng.normal(size=(60, 2))
    runs = []
    for times in (np.arange(60.0), rng.permutation(60).astype(float)):
        table = table_of(
            name=[f"e{i:02d}" for i in range(60)], time_s=times,
            beam_shift_x=shift[:, 0], beam_shift_y=shift[:, 1], stage_x_um=0.0, stage_y_um=0.0,
        )  # fmt: skip
        found = first_run(Session(table), 7)
        runs.append((found.centres.tolist(), dict(zip(table["name"], found.labels, strict=True))))
    assert runs[0] == runs[1]
    with pytest.raises(ConfigError, match="61 clusters of 60 points: ask for 60 or fewer"):
        first_run(Session(table), 61)


# --- groups -------------------------------------------------------------------------------------


def test_positions_take_k_times_the_beam_shift():
    # 2 um apart on the stage, brought together by beam shifts of 0.04 each
    session = session_of([[0, 0], [2, 0], [0, 5]], [[0.04, 0], [-0.04, 0], [0, 0]])
    assert [g.tolist() for g in duplicates(session, 25.0).groups] == [[0, 1]]
    assert duplicates(session, 20.0).groups == ()
    # the radius is inclusive: 0.4 um at k = 20
    assert len(duplicates(session, 20.0, 0.4 * (1 + 1e-12)).groups) == 1


def test_chains_give_overlapping_groups_and_each_file_once():
    # A-B-C: B is bad beside A and first beside C
    session = session_of([[0, 0], [0.15, 0], [0.3, 0], [9, 9]])
    found = duplicates(session, 25.0)
    assert [g.tolist() for g in found.groups] == [[0, 1], [0, 1, 2], [1, 2]]
    assert found.listed.tolist() == [1, 1, 2, 2]  # what find_dupl writes and counts
    assert found.bad.tolist() == [False, True, True, False]
    assert found.pairs.tolist() == [[0, 1], [0, 2], [1, 2]]


def test_a_group_is_in_the_order_of_time():
    # the clock of the names goes back an hour between the two exposures
    table = table_of(
        name=["FoilHole_1_Data_1_3_20241027_025959", "FoilHole_2_Data_1_3_20241027_020010"],
        time_s=[1000.0, 1011.0],
        beam_shift_x=0.0, beam_shift_y=0.0, stage_x_um=0.0, stage_y_um=0.0,
    )  # fmt: skip
    found = as_duplicates(Session(table), 25.0, 0.2)
    assert table["name"][found.bad].tolist() == ["FoilHole_2_Data_1_3_20241027_020010"]


def test_published_duplicates_in_our_form():
    session = session_of([[0, 0], [0.15, 0], [0.3, 0], [9, 9]])
    found = as_duplicates(session, 25.0, 0.2)
    assert found.kept.tolist() == [-1, 0, 0, -1]
    assert found.n_duplicates == 2
    assert found.pairs[["first", "second"]].to_numpy().tolist() == [[0, 1], [1, 2]]
    assert found.calibration.matrix_um.tolist() == [[25.0, 0.0], [0.0, 25.0]]


def test_no_exposures_and_no_duplicates():
    for session in (session_of([]), session_of([[0, 0], [1, 0]])):
        found = duplicates(session, 25.0)
        assert (found.groups, found.listed.tolist(), found.pairs.shape) == ((), [], (0, 2))
        assert not found.bad.any()
        assert not as_duplicates(session, 25.0, 0.2).bad.any()


def test_fault_16_groups_are_found_in_one_pass():
    # find_dupl compares each list with all before it: 2 s at 6,700 groups, 8 s here
    session = large(40_000).session
    began = time.process_time()
    found = duplicates(session, 24.4, 0.8)
    assert len(found.groups) > 13_000
    assert time.process_time() - began < 4.0  # s of CPU: 0.6 s on a quiet machine


def test_refusals():
    session = session_of([[0, 0], [1, 0]])
    with pytest.raises(ConfigError, match=r"k 0\.0: expected a positive number"):
        duplicates(session, 0.0)
    with pytest.raises(ConfigError, match="radius nan: expected a positive number"):
        duplicates(session, 24.0, np.nan)
    many = session_of(np.zeros((5000, 2)).tolist())
    with pytest.raises(ConfigError, match=r"radius 0.2 um: 12497500 pairs of 5000 exposures, more"):
        duplicates(many, 24.0)
