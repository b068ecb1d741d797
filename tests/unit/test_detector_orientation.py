"""Image transforms as maps of coordinates, against the arrays that they turn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from refimpl.detector.orientation import DIHEDRAL, model_from_file, transformed_shape
from refimpl.errors import ConfigError

TURN = {0: lambda a: a, 1: np.fliplr, 2: np.flipud, 3: np.transpose}


def test_the_eight_ways_are_eight() -> None:
    picture = np.arange(9).reshape(3, 3)
    seen = set()
    for codes in DIHEDRAL:
        turned = picture
        for code in codes:
            turned = TURN[code](turned)
        seen.add(turned.tobytes())
    assert len(seen) == 8


@pytest.mark.parametrize(
    "codes", [c for n in range(4) for c in itertools.product(range(4), repeat=n)]
)
def test_coordinates_follow_the_pixels(codes) -> None:
    """A marked pixel of a 5 x 7 image is where its mapped centre says."""
    image = np.zeros((5, 7))
    image[1, 4] = 1.0
    turned = image
    for code in codes:
        turned = TURN[code](turned)
    matrix, offset = model_from_file(codes, (5, 7))
    fast, slow = matrix @ np.array([4.5, 1.5]) + offset
    assert turned.shape == transformed_shape(codes, (5, 7))
    assert turned[int(slow), int(fast)] == 1.0
    assert (fast % 1.0, slow % 1.0) == (0.5, 0.5)


def test_an_unknown_code_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^image transform 4: expected 0 \(none\), 1 \(flip le"):
        model_from_file((2, 4), (5, 7))
