"""Finding the loop: the threshold, the walk, and what happens without OpenCV."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from refimpl.centring.loop import locate_loop
from refimpl.centring.loop_edges import opencv, threshold_of
from refimpl.centring.loop_walk import target_of
from refimpl.errors import ConfigError, MissingExtra


def relief(*counts: int) -> np.ndarray:
    """Picture of one row with so many pixels of the values 0, 1, 2..."""
    return np.repeat(np.arange(len(counts)), counts).astype(np.uint8)[None]


def test_threshold_stops_at_the_first_rise_beyond_the_bulk() -> None:
    # 80 % of 10000 lie at or below 2; 60 is above 1 % no more, 70 is the first rise
    assert threshold_of(relief(500, 6000, 3000, 700, 60, 55, 70, 65, 50)) == 6
    # a bin twice as high is passed
    assert threshold_of(relief(500, 6000, 3000, 700, 30, 20, 45, 50, 49)) == 7


def test_threshold_falls_back_to_twenty() -> None:
    assert threshold_of(relief(500)) == 20
    assert threshold_of(relief(500, 900, 60, 30, 0, 10)) == 20


def test_walk_over_a_narrow_loop() -> None:
    """A bar 20 px wide whose tip is at x = 400: the last middle less than 40 px from the tip."""
    upper = [(x, 290) for x in range(50, 400, 7)]
    lower = [(x, 310) for x in range(50, 400, 7)]
    points = np.array([*upper, (400, 300), *reversed(lower)])
    found = target_of(points)
    assert (found.kind, found.tip, found.y) == ("narrow", (400, 300), 300)
    assert 360 < found.x <= 367


def test_without_opencv(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtra, match=r"refimpl\[centring\]"):
        opencv()
    with pytest.raises(MissingExtra, match="finding the loop"):
        locate_loop(np.zeros((300, 300)))


def test_pictures_of_another_shape() -> None:
    pytest.importorskip("cv2")
    with pytest.raises(ConfigError, match=r"shape \(300, 300, 4\): expected \(rows, columns"):
        locate_loop(np.zeros((300, 300, 4)))
    with pytest.raises(ConfigError, match="100 x 300 px is too small for lucid"):
        locate_loop(np.zeros((300, 100)))
