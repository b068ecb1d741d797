"""Finding spots: labels against scipy, what is measured, filters, panels, streams."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from refimpl.dispatch import available_backends, use_backend
from refimpl.imaging.spot_labels import measure_spots
from refimpl.imaging.spots import (
    COLUMN_TYPES,
    SpotFinder,
    SpotSettings,
    SpotTable,
    find_spots,
)

TRUSTED = (0, 10000)
ALL = SpotSettings("dispersion", min_spot_size=1, max_separation=None, max_strong_pixel_fraction=1)


def background(shape: tuple[int, ...], seed: int = 0, level: float = 2.0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).poisson(level, shape).astype(np.int32)


def with_spot(image: np.ndarray[Any, Any], slow: int, fast: int, height: int = 400) -> None:
    image[slow - 1 : slow + 2, fast - 1 : fast + 2] += height // 4
    image[slow, fast] += height


volumes = st.integers(0, 10_000).map(
    lambda seed: np.random.default_rng(seed).random((5, 7, 9)) < 0.35
)


def spots_of(volume: np.ndarray[Any, Any], monkeypatch: Any, **options: Any) -> SpotTable:
    """Spots of a volume of strong pixels, each of 7 counts: the threshold is replaced."""
    monkeypatch.setattr(
        "refimpl.imaging.spots.strong_pixels", lambda image, *_: (image > 0).astype(np.uint8)
    )
    images = (7 * volume).astype(np.int32)
    return find_spots(images, trusted_range=TRUSTED, settings=ALL, **options)


@pytest.mark.parametrize("backend", available_backends())
@given(volume=volumes)
def test_spots_are_the_six_connected_regions(backend: str, volume: np.ndarray[Any, Any]) -> None:
    labels, count = ndimage.label(volume)
    with pytest.MonkeyPatch.context() as patch, use_backend(backend):
        table = spots_of(volume, patch)
    assert len(table) == table.extracted == count
    boxes = [
        [part.start if end == 0 else part.stop for part in reversed(box) for end in (0, 1)]
        for box in ndimage.find_objects(labels)
    ]
    # scipy labels in the order of the first pixel, as we do
    assert table.box.tolist() == boxes
    assert table.n_pixels.tolist() == np.bincount(labels.ravel())[1:].tolist()
    centre = np.array(ndimage.center_of_mass(volume, labels, range(1, count + 1)))[:, ::-1] + 0.5
    np.testing.assert_allclose(table.position, centre, rtol=0, atol=1e-12)  # px, sums of few terms


@given(volume=volumes)
def test_spots_of_stills_are_those_of_each_image(volume: np.ndarray[Any, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        table = spots_of(volume, patch, is_still=True)
        alone = [spots_of(volume[i : i + 1], patch) for i in range(len(volume))]
    assert table.image.tolist() == [i for i, one in enumerate(alone) for _ in range(len(one))]
    assert table.per_image().tolist() == [len(one) for one in alone]
    assert np.array_equal(table.box[:, :4], np.concatenate([one.box[:, :4] for one in alone]))
    assert np.array_equal(table.box[:, 4], table.image)


@given(volume=volumes)
def test_reversing_the_images_reverses_the_spots(volume: np.ndarray[Any, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        forward, backward = spots_of(volume, patch), spots_of(volume[::-1], patch)
    turned = backward.box.copy()
    turned[:, 4:] = len(volume) - backward.box[:, :3:-1]
    columns = ("n_pixels", "intensity")
    one = np.column_stack([forward.box, *(getattr(forward, c) for c in columns)])
    two = np.column_stack([turned, *(getattr(backward, c) for c in columns)])
    assert sorted(one.tolist()) == sorted(two.tolist())


def test_a_spot_that_forks_and_joins_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = np.zeros((4, 3, 9), dtype=bool)
    volume[0, 1, [2, 6]] = True  # two spots begin ...
    volume[1, 1, [2, 6]] = True
    volume[2, 1, 2:7] = True  # ... and meet
    volume[3, 1, 4] = True
    volume[3, 0, 0] = True
    table = spots_of(volume, monkeypatch, first_frame=10)
    assert table.box.tolist() == [[2, 7, 1, 2, 10, 14], [0, 1, 0, 1, 13, 14]]
    assert table.n_pixels.tolist() == [10, 1]
    assert table.first_frame == 10


def test_pixels_at_the_ends_of_rows_do_not_touch(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = np.zeros((1, 2, 5), dtype=bool)
    volume[0, 0, 4] = volume[0, 1, 0] = True
    assert len(spots_of(volume, monkeypatch)) == 2


@pytest.mark.parametrize("backend", available_backends())
def test_centroid_and_variance_by_hand(backend: str) -> None:
    position = np.array([[4, 7, 2], [5, 7, 2], [8, 1, 0]], dtype=np.int32)
    counts = np.array([1, 3, 5], dtype=np.int32)
    box, total, centroid, variance, peak = measure_spots(
        position, counts, np.array([0, 2, 3]), backend=backend
    )
    assert box.tolist() == [[4, 6, 7, 8, 2, 3], [8, 9, 1, 2, 0, 1]]
    assert total.tolist() == [4.0, 5.0]
    assert centroid.tolist() == [[5.25, 7.5, 2.5], [8.5, 1.5, 0.5]]
    # sum p (r - mean)^2 = 1 * 0.5625 + 3 * 0.0625 = 0.75; S^2 - sum p^2 = 16 - 10 = 6
    np.testing.assert_allclose(variance[0], [0.75 * 4 / 6 / 4 + 1 / 12, 1 / 12, 1 / 12], rtol=1e-15)
    np.testing.assert_allclose(variance[1], 1 / 12, rtol=1e-15)
    assert peak.tolist() == [[5, 7, 2], [8, 1, 0]]


def test_the_first_of_equal_pixels_is_the_peak() -> None:
    position = np.array([[1, 1, 0], [2, 1, 0], [1, 1, 1]], dtype=np.int32)
    peak = measure_spots(position, np.array([4, 4, 4], dtype=np.int32), np.array([0, 3]))[4]
    assert peak.tolist() == [[1, 1, 0]]


def test_a_moving_spot_is_found_where_it_was_put() -> None:
    images = background((7, 90, 90), level=1.0)
    for k, height in enumerate((40, 300, 500, 300, 40)):
        with_spot(images[1 + k], 40, 50, height)
    table = find_spots(images, trusted_range=TRUSTED, settings=SpotSettings("dispersion"))
    assert len(table) == 1
    np.testing.assert_allclose(table.position[0], [50.5, 40.5, 3.5], atol=0.05)  # px, images
    assert table.columns.keys() == COLUMN_TYPES.keys()
    assert table.columns["flags"].tolist() == [32]
    assert table.columns["intensity.sum.variance"].tolist() == table.intensity.tolist()
    assert table.per_image().tolist() == [0, 0, 0, 1, 0, 0, 0]


def three_spots() -> np.ndarray[Any, Any]:
    """One pixel; nine pixels; thirty in a row with the highest at one end."""
    image = np.zeros((1, 40, 60), dtype=np.int32)
    image[0, 5, 5] = 90
    image[0, 14:17, 14:17] = 90
    image[0, 30, 20:50] = 90
    image[0, 30, 20] = 95
    return image


@pytest.mark.parametrize(
    ("changes", "sizes", "counts"),
    [
        ({}, [1, 9, 30], (0, 0, 0)),
        ({"min_spot_size": 2}, [9, 30], (1, 0, 0)),
        ({"max_spot_size": 20}, [1, 9], (0, 1, 0)),
        ({"max_separation": 2.0}, [1, 9], (0, 0, 1)),
        ({"min_spot_size": 9, "max_spot_size": 9}, [9], (1, 1, 0)),
    ],
)
def test_filters(
    changes: dict[str, Any],
    sizes: list[int],
    counts: tuple[int, int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "refimpl.imaging.spots.strong_pixels", lambda image, *_: (image > 0).astype(np.uint8)
    )
    options = {"min_spot_size": 1, "max_separation": None, "threshold": "dispersion"} | changes
    table = find_spots(three_spots(), trusted_range=TRUSTED, settings=SpotSettings(**options))
    assert table.n_pixels.tolist() == sizes
    assert (table.too_small, table.too_large, table.too_far) == counts
    assert table.extracted == 3
    assert table.strong_per_image.tolist() == [40]


def test_panels_give_the_spots_of_the_whole_in_their_own_pixels() -> None:
    image = background((60, 95), seed=3)
    image[:, 45:52] = -1
    image[:, 0:2] = -1
    for s, f in ((10, 10), (30, 41), (22, 60), (50, 90)):
        with_spot(image, s, f)
    boxes = [(2, 0, 43, 60), (52, 0, 43, 60)]
    for name in ("dispersion", "dispersion_extended"):
        settings = SpotSettings(name)  # type: ignore[arg-type]
        whole = find_spots([image], trusted_range=TRUSTED, settings=settings)
        parts = find_spots([image], trusted_range=TRUSTED, settings=settings, panels=boxes)
        assert len(whole) == len(parts) == 4
        corner = np.array([[boxes[p][0], boxes[p][1], 0] for p in parts.panel])
        moved = parts.position + corner
        order = np.lexsort((moved[:, 0], moved[:, 1]))
        np.testing.assert_allclose(moved[order], whole.position, atol=1e-12)  # px


def test_memory_does_not_grow_with_the_number_of_images() -> None:
    base = background((200, 200))
    with_spot(base, 100, 100)

    def images(n: int) -> Any:
        return (np.roll(base, 7 * i % 150, axis=0) for i in range(n))

    peaks = []
    for n in (5, 60):
        tracemalloc.start()
        find_spots(images(n), trusted_range=TRUSTED, is_still=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # each image of 160 kB has a few spots of about 200 bytes
    assert peaks[1] < peaks[0] + 100_000


def test_a_region_that_never_ends_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hot block is one spot that is too large; another joins it late, a third stands apart."""
    volume = np.zeros((60, 30, 30), dtype=np.int32)
    volume[:, 5:11, 5:11] = 9
    volume[40:42, 5:8, 14:17] = 9
    volume[41, 6, 11:14] = 9
    volume[20:22, 20:22, 20:22] = 9
    monkeypatch.setattr(
        "refimpl.imaging.spots.strong_pixels", lambda image, *_: (image > 0).astype(np.uint8)
    )
    settings = SpotSettings("dispersion", max_spot_size=100, max_strong_pixel_fraction=1)
    finder = SpotFinder(trusted_range=TRUSTED, settings=settings)
    held = []
    for image in volume:
        finder.add(image)
        held.append(sum(s.held.shape[1] for s in finder._streams))
    assert max(held[5:]) <= 18
    table = finder.table()
    assert (len(table), table.extracted, table.too_large, table.too_small) == (1, 2, 1, 0)
    assert table.box.tolist() == [[20, 22, 20, 22, 20, 22]]


def test_progress_is_told_after_each_image() -> None:
    told: list[tuple[int, int]] = []
    image = np.zeros((20, 20), dtype=np.uint16)
    image[10, 10] = 500
    find_spots([image] * 3, trusted_range=TRUSTED, progress=lambda *args: told.append(args),
               settings=SpotSettings("dispersion"))  # fmt: skip
    assert told == [(1, 1), (2, 1), (3, 1)]


def test_no_images_and_no_spots_give_empty_tables() -> None:
    none = find_spots([], trusted_range=TRUSTED)
    assert len(none) == 0
    assert none.per_image().shape == (0,)
    dark = find_spots([np.zeros((9, 9), dtype=np.int16)] * 2, trusted_range=TRUSTED)
    assert len(dark) == dark.extracted == 0
    assert dark.columns["xyzobs.px.value"].shape == (0, 3)
    assert dark.per_image().tolist() == [0, 0]


def test_marks_beyond_int32_are_untrusted() -> None:
    image = np.zeros((30, 30), dtype=np.uint32)
    image[10, 10], image[20:24, 20:24] = 500, 2**32 - 1
    table = find_spots([image], trusted_range=(0, math.inf),
                       settings=SpotSettings("dispersion", min_spot_size=1))  # fmt: skip
    assert table.position.tolist() == [[10.5, 10.5, 0.5]]
