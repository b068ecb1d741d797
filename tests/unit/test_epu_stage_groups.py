"""Places of the stage, and visits to them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.epu.stage_groups import stage_groups, stage_visits
from refimpl.errors import ConfigError
from refimpl.frames import F64


def brute(stage: F64, tolerance: float) -> list[int]:
    """Components of the graph of steps, one by one."""
    label = [-1] * len(stage)
    for start in range(len(stage)):
        if label[start] >= 0:
            continue
        number, waiting = max(label) + 1, [start]
        while waiting:
            here = waiting.pop()
            if label[here] < 0:
                label[here] = number
                near = np.hypot(*(stage - stage[here]).T) <= tolerance
                waiting += np.flatnonzero(near).tolist()
    return label


def test_jitter_is_one_place_and_a_step_another() -> None:
    stage = np.array([[0.0, 0.0], [0.002, -0.003], [2.5, 0.0], [0.001, 0.001], [2.502, 0.001]])
    assert stage_groups(stage).tolist() == [0, 0, 1, 0, 1]


def test_a_step_of_the_tolerance_is_one_place() -> None:
    assert stage_groups(np.array([[0.0, 0.0], [0.1, 0.0], [0.2, 0.0], [0.31, 0.0]])).tolist() == [
        0, 0, 0, 1,
    ]  # fmt: skip


def test_none_one_and_thousands_at_one_place() -> None:
    assert stage_groups(np.zeros((0, 2))).tolist() == []
    assert stage_groups(np.array([[3.0, 4.0]])).tolist() == [0]
    # 30,000 read-backs of one place would be 4.5e8 pairs
    stage = np.random.default_rng(0).normal(0.0, 0.002, (30_000, 2))
    assert not stage_groups(stage).any()


@given(seed=st.integers(0, 1000), shift=st.floats(-1e4, 1e4))
def test_against_one_by_one_wherever_the_origin_is(seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    places = rng.uniform(-3.0, 3.0, (6, 2))
    stage = places[rng.integers(0, 6, 40)] + rng.normal(0.0, 0.01, (40, 2))
    expected = brute(stage, 0.1)
    assert stage_groups(stage).tolist() == expected
    assert stage_groups(stage + shift).tolist() == expected


def test_bad_input() -> None:
    with pytest.raises(ConfigError, match="stage tolerance 0 um: expected > 0"):
        stage_groups(np.zeros((2, 2)), 0.0)
    with pytest.raises(ConfigError, match="stage positions: expected finite numbers"):
        stage_groups(np.array([[0.0, np.nan]]))


def test_visits_count_the_moves() -> None:
    assert stage_visits(np.array([0, 0, 1, 1, 0, 2])).tolist() == [0, 0, 1, 1, 2, 3]
    assert stage_visits(np.zeros(0, dtype=np.int64)).tolist() == []
