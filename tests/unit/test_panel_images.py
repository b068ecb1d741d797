"""Panels of an image, and which of their pixels are valid."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.detector.hierarchy import Hierarchy, Module
from refimpl.detector.panel_images import panel_images, valid_pixels_of_panels
from refimpl.errors import GeometryError


def module(offset, **more) -> Module:
    frame = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 9.0))
    return Module("p", *frame, (3, 2), (1.0, 1.0), offset, **more)


DETECTOR = Hierarchy(
    (
        module((0, 0), trusted_range=(0, 9)),
        module((4, 1), trusted_range=(-1, 5), mask=((1, 0, 3, 1),)),
    )
)
IMAGE = np.array([[-1, 0, 5, 7, 7, 7, 7], [9, 10, 5, 7, -1, -2, 5], [7, 7, 7, 7, 5, 6, -1]])


def test_views_of_the_panels():
    first, second = panel_images(DETECTOR, IMAGE)
    assert first.tolist() == [[-1, 0, 5], [9, 10, 5]]
    assert second.tolist() == [[-1, -2, 5], [5, 6, -1]]
    assert np.shares_memory(first, IMAGE)


def test_valid_pixels():
    assert valid_pixels_of_panels(DETECTOR, IMAGE).astype(int).tolist() == [
        [0, 1, 1, 0, 0, 0, 0],
        [1, 0, 1, 0, 1, 0, 0],
        [0, 0, 0, 0, 1, 0, 1],
    ]


def test_an_image_that_is_too_small():
    with pytest.raises(
        GeometryError,
        match=r"panel 1 needs rows 1 to 3 and columns 4 to 7: the image has shape \(3, 6\)",
    ):
        panel_images(DETECTOR, IMAGE[:, :6])
