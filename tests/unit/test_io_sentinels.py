"""Marks told from counts, and masks that can be understood."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from refimpl.errors import FormatError
from refimpl.io.images import from_array
from refimpl.io.sentinels import check_mask, detect_sentinels


def _counts(dtype: str = "i4") -> NDArray:
    return np.random.default_rng(3).poisson(30.0, (30, 40)).astype(dtype)


def test_unsigned_reading_of_negative_marks() -> None:
    counts = _counts("u4")
    counts[0, :3], counts[1, :2] = 2**32 - 1, 2**32 - 2
    image = from_array(counts)
    assert image.masked == {"value 4294967294": 2, "value 4294967295": 3}
    assert image.data.max() < 100
    wide = counts.astype("i8")
    assert from_array(wide).n_masked == 5
    assert from_array(counts.astype("f8")).n_masked == 5


def test_uint16_maximum_is_a_gap_only_as_a_line() -> None:
    hot = _counts("u2")
    hot[5:9, 5:9] = 65535
    image = from_array(hot)
    assert (image.n_masked, image.n_saturated) == (0, 16)
    hot[:, 20] = 65535
    image = from_array(hot)
    assert image.masked == {"value 65535": 46}
    assert image.saturation == 65534
    assert image.n_saturated == 0


def test_eight_bits_follow_the_same_rule() -> None:
    counts = _counts("u1")
    counts[7] = 255
    assert from_array(counts).masked == {"value 255": 40}


def test_dark_subtracted_integers_are_counts() -> None:
    noise = np.round(np.random.default_rng(4).normal(0, 20, (30, 40))).astype("i2")
    assert detect_sentinels(noise).negative is False
    assert from_array(noise).n_masked == 0
    np.testing.assert_array_equal(from_array(noise).data, noise)


def test_float_marks() -> None:
    counts = _counts("f4")
    counts[0, :5], counts[1, 1], counts[2, 2] = -1, np.nan, np.inf
    image = from_array(counts)
    assert image.masked == {"value -1": 5, "not finite": 2}
    assert np.isfinite(image.data).all()
    counts[9, 9] = -0.25
    assert from_array(counts).masked == {"not finite": 2}


def test_stated_values() -> None:
    counts = _counts("u2")
    counts[0], counts[1, 1:4] = 0, 9999
    image = from_array(counts, gap_values=0, bad_values=[9999])
    assert image.masked == {"gap value 0": 40, "bad value 9999": 3}
    unsigned = _counts("u4")
    unsigned[3, 3] = 2**32 - 1
    assert from_array(unsigned, gap_values=-1).masked == {"gap value -1": 1}
    # a value that the type cannot hold marks nothing
    assert from_array(_counts("u2"), bad_values=[70000]).n_masked == 0


def test_a_pixel_marked_once_is_masked() -> None:
    stack = np.stack([_counts(), _counts()])
    stack[0, 1, 1], stack[:, 2, 2] = -1, -2
    image = from_array(stack)
    assert np.argwhere(image.mask).tolist() == [[1, 1], [2, 2]]
    assert image.masked == {"value -2": 1, "value -1": 1}


def test_marks_that_only_later_frames_have() -> None:
    stack = np.stack([_counts("f8"), _counts("f8")])
    stack[1, 4, 4] = np.nan
    image = from_array(stack)
    assert image.masked == {"not finite": 1}
    assert image.data[4, 4] == 0


@pytest.mark.parametrize(
    ("mask", "text"),
    [
        (np.zeros((30, 39), bool), r"the mask has \(30, 39\) pixels, the image \(30, 40\)"),
        (np.full((30, 40), "x"), "a mask of type <U1 is no mask"),
        (np.arange(1200).reshape(30, 40), r"ambiguous mask: it holds 0, 1, 2, 3, 4, \.\.\.; 0"),
        (np.tile([0, 1, 1, 255], (30, 10)), "ambiguous mask: it holds 0, 1, 255; 0"),
        (np.ones((30, 40), np.uint8), r"the mask hides every pixel \(1 = masked, 0 = good\)"),
    ],
)
def test_masks_refused(mask: NDArray, text: str) -> None:
    with pytest.raises(FormatError, match=text):
        from_array(_counts(), mask=mask)


@pytest.mark.parametrize("dtype", ["?", "u1", "i4", "f4"])
def test_masks_taken(dtype: str) -> None:
    mask = np.zeros((30, 40), dtype)
    mask[2, 3] = True
    assert np.argwhere(check_mask(mask, (30, 40))).tolist() == [[2, 3]]


def test_mask_of_255() -> None:
    mask = np.zeros((30, 40), np.uint8)
    mask[0] = 255
    assert from_array(_counts(), mask=mask).masked == {"mask": 40}


def test_inverted_mask_is_found() -> None:
    counts = _counts()
    counts[:, 10] = -1
    with pytest.raises(FormatError, match="looks inverted: it covers 0% of the 30 gap pixels and"):
        from_array(counts, mask=(counts >= 0).astype(np.uint8))
    assert from_array(counts, mask=(counts < 0)).n_masked == 30


def test_mask_and_marks_together_may_leave_nothing() -> None:
    counts = _counts()
    counts[:, :20] = -1
    mask = np.zeros((30, 40), bool)
    mask[:, 10:] = True
    with pytest.raises(FormatError, match=r"every pixel is masked \(600 value -1, 600 mask\)"):
        from_array(counts, mask=mask)
