"""The image transforms form the dihedral group of the square."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.errors import ConfigError
from refimpl.io.transforms import apply_transforms, transformed_shape, undo_transforms

CODES = st.lists(st.integers(0, 3), max_size=8)
SHAPE = st.tuples(st.integers(1, 5), st.integers(1, 7))


@given(codes=CODES, shape=SHAPE)
def test_undo_is_the_inverse(codes: list[int], shape: tuple[int, int]) -> None:
    image = np.arange(shape[0] * shape[1]).reshape(shape)
    turned = apply_transforms(image, codes)
    assert turned.flags.c_contiguous
    assert turned.shape == transformed_shape(shape, codes)
    np.testing.assert_array_equal(undo_transforms(turned, codes), image)


@given(first=CODES, second=CODES)
def test_sequences_compose(first: list[int], second: list[int]) -> None:
    image = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(
        apply_transforms(apply_transforms(image, first), second),
        apply_transforms(image, [*first, *second]),
    )


@given(codes=CODES)
def test_only_eight_results(codes: list[int]) -> None:
    image = np.arange(9).reshape(3, 3)
    eight = [
        apply_transforms(image, [*flips, *turn])
        for flips in ([], [1], [2], [1, 2])
        for turn in ([], [3])
    ]
    assert len({e.tobytes() for e in eight}) == 8
    assert any(np.array_equal(apply_transforms(image, codes), e) for e in eight)


@given(codes=CODES)
def test_stacks_turn_frame_by_frame(codes: list[int]) -> None:
    stack = np.arange(24).reshape(2, 3, 4)
    turned = apply_transforms(stack, codes)
    for frame, expected in zip(turned, stack, strict=True):
        np.testing.assert_array_equal(frame, apply_transforms(expected, codes))


def test_codes_are_the_published_ones() -> None:
    image = np.arange(6).reshape(2, 3)
    assert apply_transforms(image, (0,)) is image
    np.testing.assert_array_equal(apply_transforms(image, (1,)), np.fliplr(image))
    np.testing.assert_array_equal(apply_transforms(image, (2,)), np.flipud(image))
    np.testing.assert_array_equal(apply_transforms(image, (3,)), image.T)
    np.testing.assert_array_equal(apply_transforms(image, (2, 3)), np.flipud(image).T)


@pytest.mark.parametrize("code", [-1, 4, 1.5, "1"])
def test_unknown_code(code: object) -> None:
    with pytest.raises(ConfigError, match="is unknown; 0 none, 1 flip left-right"):
        apply_transforms(np.zeros((2, 2)), [code])
