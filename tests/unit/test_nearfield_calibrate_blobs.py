"""Blobs of lit pixels, and which of them belongs to which predicted spot."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.errors import ConfigError
from refimpl.nearfield.calibrate_blobs import Blobs, find_blobs
from refimpl.nearfield.calibrate_match import match_blobs
from refimpl.nearfield.calibrate_model import Crystal, spots_of
from refimpl.testing.nearfield_gold import U


def test_blobs_are_connected_components() -> None:
    pixels = [
        [0, 4, 10, 10], [0, 4, 10, 11], [0, 4, 11, 12], [0, 5, 11, 12],  # diagonal, next frame
        [0, 4, 10, 10],  # again
        [0, 4, 10, 14],  # two away in Z
        [1, 4, 10, 11],  # the other distance
        [0, 6, 19, 3], [0, 6, 20, 0],  # would touch if Z wrapped
    ]  # fmt: skip
    found = find_blobs(pixels, (2, 9, 30, 20), least_pixels=1)
    assert sorted(found.n_pixels.tolist()) == [1, 1, 1, 1, 4]
    big = int(np.argmax(found.n_pixels))
    assert found.yz_px[big] == pytest.approx([11.0, 11.75])
    assert found.frame[big] == pytest.approx(4.75)
    assert found.n_frames[big] == 2
    assert found.whole[big]
    assert not found.whole[(found.yz_px == [20.5, 0.5]).all(axis=1)].any()
    assert len(found.of_distance(1)) == 1


def test_blobs_weigh_pixels_and_leave_out_noise() -> None:
    pixels = [[0, 1, 5, 5], [0, 1, 5, 6], [0, 1, 15, 15]]
    found = find_blobs(pixels, (1, 3, 20, 20), weight=[3.0, 1.0, 9.0], least_pixels=2)
    assert len(found) == 1
    assert found.yz_px[0] == pytest.approx([5.5, 5.75])
    assert len(find_blobs(np.zeros((0, 4)), (1, 3, 20, 20))) == 0


@pytest.mark.parametrize(
    ("pixels", "weight", "said"),
    [
        ([[0, 1, 2]], None, r"pixels of shape \(1, 3\): expected \(n, 4\)"),
        ([[0, 3, 2, 2]], None, r"pixel \(0, 3, 2, 2\) is outside the stack \(1, 3, 9, 9\)"),
        ([[0, 1, 2, 2]], [0.0], r"weight of shape \(1,\): expected 1 positive numbers"),
    ],
)
def test_blobs_refuse(pixels, weight, said) -> None:
    with pytest.raises(ConfigError, match=said):
        find_blobs(pixels, (1, 3, 9, 9), weight=weight)


def test_a_blob_goes_to_the_nearest_spot(gold_setup, gold_start) -> None:
    spots = spots_of(gold_start, gold_setup, [Crystal(U, np.zeros(2))])[:12]
    n = len(spots)
    yz = np.concatenate([spots.yz_px[:, 0], spots.yz_px[:, 1]])
    size = np.full(2 * n, 100)
    size[3] = 1000  # several spots in one
    whole = np.ones(2 * n, dtype=bool)
    whole[n + 5] = False
    blobs = Blobs(np.repeat([0, 1], n), yz, np.tile(spots.frame, 2), size, size, whole)
    rows = np.r_[:n, 0]  # the first spot twice
    again = spots[rows]
    again.yz_px[n] += 2.0
    found = match_blobs(again, blobs, 2, 30.0, 2.0)
    assert len(found) == n - 2
    assert found.n_predicted == n + 1
    assert 3 not in found.blob[:, 0]
    assert 5 not in found.blob[:, 0]
    np.testing.assert_allclose(found.spots.yz_px, found.yz_px)
