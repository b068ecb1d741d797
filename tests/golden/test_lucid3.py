"""lucid3 on its own four snapshots: the published points exactly, and what the corrected mode adds.

The golden values were made with the published program (OpenCV 5.0.0).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refimpl import data

cv2 = pytest.importorskip("cv2")

from refimpl.centring.loop import find_loop, locate_loop  # noqa: E402

NAMES = tuple(f"snapshot_{k}.jpeg" for k in (1, 2, 3, 4))
HERE = data.is_here("lucid3-snapshots/golden.json")
pytestmark = pytest.mark.skipif(not HERE, reason="lucid3-snapshots are not in REFIMPL_DATA")


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return json.loads(data.path("lucid3-snapshots/golden.json").read_text())


def snapshot(name: str) -> Path:
    return data.path(f"lucid3-snapshots/{name}")


def rgb(name: str) -> np.ndarray:
    return cv2.imread(str(snapshot(name)))[:, :, ::-1]


@pytest.mark.parametrize("name", NAMES)
def test_path(name: str, golden) -> None:
    assert list(find_loop(snapshot(name))) == golden[name]["got"]
    assert golden[name]["got"][1:] == golden[name]["ref"]


@pytest.mark.parametrize("name", NAMES)
def test_array(name: str, golden) -> None:
    assert list(find_loop(rgb(name))) == golden[name]["ndarray_rgb"]


@pytest.mark.parametrize("name", NAMES)
def test_half_size(name: str, golden) -> None:
    half = cv2.resize(rgb(name), None, fx=0.5, fy=0.5)
    assert list(find_loop(half)) == golden[name]["half"]


@pytest.mark.parametrize("name", NAMES)
def test_mirrored_is_wrong_as_published(name: str, golden) -> None:
    """The pin at the right is taken for the tip."""
    assert list(find_loop(rgb(name)[:, ::-1])) == golden[name]["hflip"]


@pytest.mark.parametrize("name", NAMES)
def test_corrected_adds_ten_rows(name: str) -> None:
    published, corrected = locate_loop(rgb(name), mode="lucid3"), locate_loop(rgb(name))
    assert corrected.x_px == published.x_px
    assert corrected.y_px == published.y_px + 10
    # half a pixel: lucid counts from the centre of the first pixel
    assert published.x_px == published.coord[1] + 0.5


@pytest.mark.parametrize("name", NAMES)
def test_pin_side(name: str) -> None:
    """The same point from every side, but for the filters, which are not symmetric by a pixel."""
    picture = rgb(name)
    left = locate_loop(picture)
    turned = {
        "right": (picture[:, ::-1], lambda x, y: (1280 - x, y)),
        "top": (picture.transpose(1, 0, 2), lambda x, y: (y, x)),
        "bottom": (np.rot90(picture), lambda x, y: (y, 1280 - x)),
    }
    for side, (other, move) in turned.items():
        found = locate_loop(other, pin_side=side)
        assert (found.x_px, found.y_px) == pytest.approx(move(left.x_px, left.y_px))


@pytest.mark.parametrize("name", NAMES)
def test_scale(name: str) -> None:
    """A picture of half the size with its um/px gives the same place; published it does not."""
    half = cv2.resize(rgb(name), None, fx=0.5, fy=0.5)
    whole, scaled = locate_loop(rgb(name)), locate_loop(half, um_per_px=4.0)
    assert (2 * scaled.x_px, 2 * scaled.y_px) == pytest.approx((whole.x_px, whole.y_px), abs=6)
    assert abs(2 * find_loop(half)[1] - whole.x_px) > 30
