"""The picture of the hole that an exposure was taken in."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from refimpl.epu.foil_holes import foil_pictures
from refimpl.epu.session import Session, table_of


def session(
    exposures: list[tuple[int, int, float]], pictures: list[tuple[str, int, int, float]]
) -> Session:
    """Exposures of (square, hole, time) and pictures of (path, square, hole, time)."""
    square, hole, seconds = zip(*exposures, strict=True)
    table = table_of(
        beam_shift_x=np.zeros(len(square)), beam_shift_y=0.0, stage_x_um=0.0, stage_y_um=0.0,
        square=square, hole=hole, time_s=np.array(seconds, dtype=np.float64),
    )  # fmt: skip
    images = pd.DataFrame(pictures, columns=["path", "square", "hole", "time_s"])
    return Session(table=table, foil_images=images)


def test_the_last_picture_of_the_hole_before_the_exposure() -> None:
    """EPU 2.7 pictures a hole twice, 5 s apart; the centred one is meant, a later one is not."""
    made = session(
        [(1, 7, 100.0)],
        [("before", 1, 7, 90.0), ("centred", 1, 7, 95.0), ("same second", 1, 7, 100.0),
         ("after", 1, 7, 105.0)],
    )  # fmt: skip
    assert foil_pictures(made, [0]) == ["centred"]


def test_fault_05_no_picture_is_old_enough() -> None:
    """min([]) -> ValueError."""
    made = session([(1, 7, 100.0)], [("after", 1, 7, 105.0)])
    assert foil_pictures(made, [0]) == [None]
    assert foil_pictures(session([(1, 7, 100.0)], []), [0]) == [None]
    assert foil_pictures(made, []) == []


def test_fault_06_the_hole_comes_first_and_the_time_second() -> None:
    """By time alone an exposure gets the picture of whatever hole was pictured last."""
    made = session(
        [(1, 7, 100.0), (1, 8, 110.0), (2, 9, 120.0)],
        [("hole 7", 1, 7, 50.0), ("hole 8", 1, 8, 99.0), ("hole 9, later", 2, 9, 500.0),
         ("other square", 2, 5, 60.0)],
    )  # fmt: skip
    assert foil_pictures(made, [0, 1, 2]) == ["hole 7", "hole 8", None]


def test_fault_06_look_ups_do_not_go_through_all_pictures() -> None:
    """0.76 s for each at 66,667 pictures; here 400 take less than that together."""
    rng = np.random.default_rng(0)
    n = 66_667
    images = pd.DataFrame(
        {"path": [f"p{k}" for k in range(n)], "square": 1, "hole": rng.permutation(n),
         "time_s": np.arange(n, dtype=np.float64)}
    )  # fmt: skip
    made = session([(1, k, n + 1.0) for k in range(400)], [])
    made = Session(table=made.table, foil_images=images)
    start = time.process_time()
    found = foil_pictures(made, np.arange(400))
    assert time.process_time() - start < 0.7
    assert found == [f"p{np.flatnonzero(images['hole'] == k)[0]}" for k in range(400)]


def test_a_hole_that_was_never_pictured_shows_its_square() -> None:
    """With beam shifts EPU looks at one hole of each group."""
    made = session(
        [(1, 7, 100.0), (3, 7, 100.0), (1, -1, 70.0)],
        [("of hole 6", 1, 6, 90.0), ("early", 1, 5, 60.0), ("elsewhere", 2, 4, 99.0)],
    )
    # rows in the order of time: the unknown hole at 70 s, then the two at 100 s
    assert foil_pictures(made, [0, 1, 2]) == ["early", "of hole 6", None]


@pytest.mark.parametrize("seed", range(3))
def test_against_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def numbers(low: int, high: int, n: int) -> list[int]:
        return rng.integers(low, high, n).tolist()

    made = session(
        list(zip(numbers(1, 4, 200), numbers(-1, 30, 200), numbers(0, 1000, 200), strict=True)),
        [(f"p{k:02d}", *rest) for k, rest in enumerate(zip(
            numbers(1, 4, 60), numbers(0, 20, 60), numbers(0, 1000, 60), strict=True))],
    )  # fmt: skip
    images, expected = made.foil_images, []
    for row in made.table.itertuples():
        own = images[images["hole"] == row.hole]
        if row.hole < 0 or not len(own):
            own = images[images["square"] == row.square]
        own = own[own["time_s"] < row.time_s].sort_values(["time_s", "path"])
        expected.append(own["path"].iloc[-1] if len(own) else None)
    assert foil_pictures(made, np.arange(200)) == expected
    assert None in expected
