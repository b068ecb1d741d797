"""Simulated near-field stacks: pixels, images, and the files that they are written to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refimpl.crystal.cell import b_matrix
from refimpl.detector.lit_pixels import LitPixels
from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import (
    NearfieldDetector,
    OmegaScan,
    Reflections,
    Setup,
    Voxels,
)
from refimpl.forward.nearfield_stack import (
    ImageModel,
    SimulatedPixels,
    model_image,
    simulate_stack,
    stack_images,
)
from refimpl.frames import F64
from refimpl.io import images
from refimpl.io.nearfield_stack import published_number, write_published_tiffs, write_stack
from refimpl.objective.overlap import confidence
from refimpl.rotations import expmap
from refimpl.units import DEG

CELL = (4.08, 4.08, 4.08, 90.0, 90.0, 90.0)


def small_setup() -> Setup:
    """300 x 200 px, 90 frames of 2 degrees, two distances."""
    hkl = np.array([h for h in np.ndindex(5, 5, 5) if h != (2, 2, 2)], dtype=np.int32) - 2
    g = hkl @ b_matrix(CELL).T
    theta = np.arcsin(0.5 * 0.18 * np.sqrt((g * g).sum(axis=1)))
    detector = NearfieldDetector(
        [6.0, 8.0], [[150.2, 12.4], [149.1, 14.9]], [0.005, 0.01, -0.004], 0.01, (300, 200)
    )
    box = np.array([[-1.4, 1.4, 0.05, 1.8]])
    scan = OmegaScan(np.pi / 2, -2.0 * DEG, 90, [[-np.pi / 2, np.pi / 2]], box, 6.0 * DEG)
    reflections = Reflections(hkl, g, theta, np.ones(len(g), dtype=np.int32))
    return Setup(detector, scan, reflections, 0.18, 225, CELL)


def small_map(n: int = 40) -> tuple[Voxels, F64]:
    rng = np.random.default_rng(11)
    xy, up = rng.uniform(-0.2, 0.2, (n, 2)), rng.random(n) < 0.5
    u = np.array([expmap(rng.normal(size=3)) for _ in range(n)])
    return Voxels(xy, np.full(n, 0.03), up), u


@pytest.fixture(scope="module")
def stack() -> SimulatedPixels:
    return simulate_stack(small_setup(), *small_map())


def test_blocks_threads_and_backends_do_not_matter(stack: SimulatedPixels) -> None:
    setup, (voxels, u) = small_setup(), small_map()
    assert len(stack) > 5000
    seen: list[tuple[int, int]] = []
    for options in ({"block": 7, "threads": 2}, {"block": 1, "threads": 5}, {"block": 40}):
        other = simulate_stack(
            setup, voxels, u, progress=lambda i, n: seen.append((i, n)), **options
        )
        assert other.key.tobytes() == stack.key.tobytes()
        assert other.touches.tobytes() == stack.touches.tobytes()
    assert seen[:6] == [(7, 40), (14, 40), (21, 40), (28, 40), (35, 40), (40, 40)]
    few = Voxels(voxels.xy_mm[:3], voxels.edge_mm[:3], voxels.up[:3])
    slow, fast = (simulate_stack(setup, few, u[:3], backend=b) for b in ("python", "cython"))
    np.testing.assert_array_equal(slow.key, fast.key)


def test_memory_is_bounded_by_what_is_lit(
    stack: SimulatedPixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hits are merged whenever enough are waiting; the answer is the same."""
    monkeypatch.setattr("refimpl.forward.nearfield_stack._PENDING", 500)
    again = simulate_stack(small_setup(), *small_map(), block=3)
    np.testing.assert_array_equal(again.key, stack.key)
    np.testing.assert_array_equal(again.touches, stack.touches)


def test_large_voxels_come_a_few_at_a_time(stack: SimulatedPixels) -> None:
    """124 reflections, 2 distances: 0.4 mm edges are 42 px a side, at most 9 of them at once."""
    setup, (voxels, u) = small_setup(), small_map()
    large = Voxels(voxels.xy_mm, np.full(40, 0.4), voxels.up, "square")
    done: list[int] = []
    simulate_stack(setup, large, u, progress=lambda i, n: done.append(i))
    assert done[0] == 2_000_000 // (62 * 2 * 42**2) == 9


def test_pixels_are_unique_and_what_lit_pixels_take(stack: SimulatedPixels) -> None:
    assert (np.diff(stack.key) > 0).all()
    lit = LitPixels.from_hits(stack.pixels(), stack.shape)
    assert lit.n_lit == len(stack)
    assert stack.touches.max() > 1
    total = sum(int(stack.frame(d, f).sum()) for d in range(2) for f in range(90))
    assert total == stack.touches.sum()


@pytest.mark.parametrize(
    "wedge", [{}, {"wedge_rad": 0.01}, {"wedge_rad": 0.01, "published_wedge": True}]
)
@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize(
    ("shape", "edge"), [("triangle", 0.006), ("triangle", 0.2), ("square", 0.1), ("point", 0.0)]
)
def test_the_truth_has_confidence_one(shape: Any, edge: float, published: bool, wedge: Any) -> None:
    """What is simulated here and what the overlap looks up agree to the pixel (spec 1.13)."""
    setup, (voxels, u) = small_setup().changed(**wedge), small_map(12)
    made = Voxels(voxels.xy_mm, np.full(12, edge), voxels.up, shape)
    stack = simulate_stack(setup, made, u, published_footprint=published)
    lit = LitPixels.from_hits(stack.pixels(), stack.shape)
    found = confidence(made.vertices(), u, setup, lit, published=published)
    assert (found.confidence == 1.0).all()
    assert (found.total > 20).all()


def test_the_exact_geometry_is_not_the_scaled_one() -> None:
    """What a real detector at two distances costs a map that is scaled from the first one."""
    setup, (voxels, u) = small_setup(), small_map(12)
    made = Voxels(voxels.xy_mm, np.full(12, 0.06), voxels.up)
    stack = simulate_stack(setup, made, u, exact=True)
    lit = LitPixels.from_hits(stack.pixels(), stack.shape)
    found = confidence(made.vertices(), u, setup, lit).confidence
    assert 0.3 < found.mean() < 1.0


def test_an_empty_map() -> None:
    nothing = simulate_stack(
        small_setup(), Voxels(np.zeros((0, 2)), np.zeros(0), np.zeros(0, bool)), np.zeros((0, 3, 3))
    )
    assert len(nothing) == 0
    assert nothing.pixels().shape == (0, 4)
    assert not nothing.frame(1, 3).any()


def test_refusals_of_a_map() -> None:
    setup, (voxels, u) = small_setup(), small_map()
    with pytest.raises(
        ConfigError, match=r"orientations of shape \(39, 3, 3\): expected \(40, 3, 3\)"
    ):
        simulate_stack(setup, voxels, u[:-1])
    with pytest.raises(ConfigError, match="block = 0: expected one voxel or more"):
        simulate_stack(setup, voxels, u, block=0)


def test_images_without_noise_or_blur_are_the_pixels(stack: SimulatedPixels) -> None:
    model = ImageModel(counts=100.0, background=7.0, blur_px=0.0, noise=False)
    for f, raw in enumerate(stack_images(stack, model, distance=1)):
        assert raw.shape == (200, 300)
        assert raw.dtype == np.uint16
        np.testing.assert_array_equal(model_image(raw), 100 * stack.frame(1, f) + 7)


def test_a_blur_keeps_the_counts(stack: SimulatedPixels) -> None:
    model = ImageModel(counts=1000.0, background=0.0, blur_px=1.0, noise=False)
    f = int(np.argmax([stack.frame(0, f).sum() for f in range(90)]))
    raw = list(stack_images(stack, model, distance=0))[f]
    want = 1000.0 * stack.frame(0, f).sum()
    # rounding loses up to half a count a pixel in the tails, edges a little more
    assert abs(raw.sum() - want) < 0.01 * want
    assert (raw > 0).sum() > 2 * (stack.frame(0, f) > 0).sum()


def test_noise_has_the_statistics_asked_for_and_its_own_stream(stack: SimulatedPixels) -> None:
    model = ImageModel(counts=0.0, background=50.0, read_noise=3.0, seed=5)
    images_ = list(stack_images(stack, model, distance=0))[:20]
    values = np.array(images_, dtype=np.float64)
    # 1.2 million draws: mean to 0.007, variance 50 + 9 + 1/12 (rounding) to 0.08
    assert abs(values.mean() - 50.0) < 0.04
    assert abs(values.var() - 59.08) < 0.4
    again = list(stack_images(stack, model, distance=0))[7]
    np.testing.assert_array_equal(again, images_[7])
    assert (images_[0] != images_[1]).any()


def test_a_background_image_is_in_the_raw_order(stack: SimulatedPixels) -> None:
    background = np.zeros((200, 300))
    background[3, 17] = 40.0
    model = ImageModel(counts=0.0, background=background, noise=False)
    raw = next(iter(stack_images(stack, model, distance=0)))
    assert raw[3, 17] == 40
    assert raw.sum() == 40


def test_too_many_counts_are_cut(stack: SimulatedPixels) -> None:
    model = ImageModel(counts=1e6, background=0.0, blur_px=0.0, noise=False)
    assert max(int(i.max()) for i in stack_images(stack, model, distance=0)) == 65535


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counts": -1.0}, "ImageModel: counts = -1.0: expected 0 or more"),
        ({"blur_px": np.nan}, "ImageModel: blur_px = nan: expected 0 or more"),
        ({"background": -1.0}, "ImageModel: background: expected finite numbers, 0 or more"),
    ],
)
def test_refusals_of_an_image_model(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ImageModel(**changes)


def test_refusals_of_images(stack: SimulatedPixels) -> None:
    with pytest.raises(ConfigError, match="distance 2: the stack has 2, numbered from 0"):
        stack_images(stack, distance=2)
    with pytest.raises(ConfigError, match=r"background of shape \(300, 200\): expected \(200, 300"):
        stack_images(stack, ImageModel(background=np.zeros((300, 200))), distance=0)


# --- files ----------------------------------------------------------------------------------------


def frames(n: int = 4) -> Iterator[Any]:
    rng = np.random.default_rng(2)
    return (rng.integers(0, 60000, (24, 30)).astype(np.uint16) for _ in range(n))


@pytest.mark.parametrize("name", ["s.tif", "s.tiff", "s.h5", "s.hdf5", "s.zarr", "s.zip"])
def test_a_stack_is_read_back(tmp_path: Path, name: str) -> None:
    path = write_stack(tmp_path / name, frames(), 4, (24, 30))
    with images.open_source(path) as source:
        assert source.n_frames == 4
        assert source.dtype == np.uint16
        for i, want in enumerate(frames()):
            np.testing.assert_array_equal(source.frame(i), want)
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["s.tif", "s.h5", "s.zarr", "s.zip"])
@pytest.mark.parametrize(
    ("n", "shape", "message"),
    [
        (5, (24, 30), "4 frames came: expected 5"),
        (3, (24, 30), "more frames came: expected 3"),
        (4, (30, 24), r"frame 0 is uint16 \(24, 30\): expected uint16 \(30, 24\)"),
    ],
)
def test_wrong_frames_leave_nothing(
    tmp_path: Path, name: str, n: int, shape: tuple[int, int], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        write_stack(tmp_path / name, frames(), n, shape)
    assert not list(tmp_path.iterdir())


def test_refusals_of_places(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the format of the stack: expected \.tif"):
        write_stack(tmp_path / "s.png", frames(), 4, (24, 30))
    with pytest.raises(ConfigError, match=r"nowhere.*s.zarr"):
        write_stack(tmp_path / "nowhere" / "s.zarr", frames(), 4, (24, 30))
    write_stack(tmp_path / "s.zarr", frames(), 4, (24, 30))
    with pytest.raises(ConfigError, match=r"s\.zarr: is already there: remove it"):
        write_stack(tmp_path / "s.zarr", frames(), 4, (24, 30))


def test_published_names(tmp_path: Path) -> None:
    """RawStartNr 3, 4 frames and 2 white fields a distance: the second begins at 9."""
    assert published_number(3, 4, 2, 1, 0) == 9
    paths = write_published_tiffs(
        tmp_path, "au", frames(), 1, start=3, files_per_distance=4, wf_images=2
    )
    assert [p.name for p in paths] == [f"au_{n:06d}.tif" for n in (9, 10, 11, 12)]
    with images.open_source(paths[1]) as source:
        np.testing.assert_array_equal(source.frame(0), list(frames())[1])
    with pytest.raises(ConfigError, match="frame 3 of a distance: expected 3 frames"):
        write_published_tiffs(tmp_path, "b", frames(), 0, files_per_distance=3)
