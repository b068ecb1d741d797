"""Panel grids: sizes, gaps, numbering, what does not fit, and detectors by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.detector.panel_boxes import published_order
from refimpl.detector.panel_grid import (
    NAMED_GRIDS,
    PanelGrid,
    named_grid,
    named_grids,
)
from refimpl.errors import ConfigError, GeometryError

HALVES = PanelGrid(6, 8, 243, 195, (1, 7, 1, 7, 1), (17,) * 7)


def test_boxes_are_numbered_as_published() -> None:
    grid = PanelGrid(2, 3, 10, 20, (5,), (1, 4))  # unequal gaps
    assert grid.boxes().tolist() == [
        [0, 0, 10, 20], [0, 21, 10, 41], [0, 45, 10, 65],
        [15, 0, 25, 20], [15, 21, 25, 41], [15, 45, 25, 65],
    ]  # fmt: skip
    assert grid.boxes().dtype == np.int64
    assert (len(grid), grid.shape) == (6, (65, 25))


def test_one_panel() -> None:
    grid = PanelGrid(1, 1, 30, 40)
    assert grid.boxes().tolist() == [[0, 0, 30, 40]]
    grid.check((40, 30))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 5, 5), "panel grid: n_fast = 0: expected 1 or more"),
        ((1, 1, 5, -2), "panel grid: size_slow_px = -2: expected 1 or more"),
        (
            (3, 1, 5, 5, (1,)),
            r"3 panels along fast have 2 gaps between them \(gaps_fast_px, PanelGapsY\), got 1",
        ),
        ((1, 1, 5, 5, (), (1,)), "1 panels along slow have 0 gaps"),
        ((1, 2, 5, 5, (), (-1,)), r"gaps_slow_px \(PanelGapsZ\) has -1: expected 0 or more"),
    ],
)
def test_impossible_grids(arguments: tuple[int, ...], message: str) -> None:
    with pytest.raises(GeometryError, match=message):
        PanelGrid(*arguments)  # type: ignore[arg-type]


def test_the_manuals_example_contradicts_the_image() -> None:
    # AutoCalibrate manual, section 7: PanelSizeY 195, PanelSizeZ 487 with 6 x 8 panels
    printed = PanelGrid(6, 8, 195, 487, (1, 7, 1, 7, 1), (17,) * 7)
    message = (
        r"^the grid of 6 x 8 panels of 195 x 487 px \(Y x Z, fast x slow\) spans 1187 x 4015 px, "
        r"the image has 1475 x 1679: PanelSizeY 243 and PanelSizeZ 195 would fit these gaps "
        r"\(487 px is a whole module, two halves of 243 and a gap of 1\)$"
    )
    with pytest.raises(GeometryError, match=message):
        printed.check((1679, 1475))


@pytest.mark.parametrize(
    ("grid", "hint"),
    [
        (
            PanelGrid(6, 8, 195, 243, (1, 7, 1, 7, 1), (17,) * 7),
            ": exchanging PanelSizeY and PanelSizeZ would fit$",
        ),
        (
            PanelGrid(6, 8, 487, 195, (1, 7, 1, 7, 1), (17,) * 7),
            r"PanelSizeY 243 and PanelSizeZ 195 would fit these gaps \(487 px is a whole module",
        ),
        (HALVES.transposed(), r"exchanging Y and Z in every panel key \(or ImTransOpt 3\)"),
        (PanelGrid(6, 8, 243, 195, (2, 7, 1, 7, 1), (17,) * 7), "has 1475 x 1679$"),
    ],
)
def test_a_grid_that_does_not_fit_says_what_would(grid: PanelGrid, hint: str) -> None:
    with pytest.raises(GeometryError, match=hint):
        grid.check((1679, 1475))
    HALVES.check((1679, 1475))


def test_modules_cut_in_two() -> None:
    modules = PanelGrid(3, 8, 487, 195, (7, 7), (17,) * 7)
    assert modules.halved(1) == HALVES
    assert modules.transposed().halved(1, "slow") == HALVES.transposed()
    with pytest.raises(GeometryError, match="487 px are not two equal halves and a gap of 2"):
        modules.halved(2)


@pytest.mark.parametrize(
    "boxes",
    [
        np.zeros((0, 4)),
        [[1, 0, 5, 5]],  # does not begin at the first pixel
        [[0, 0, 5, 5], [6, 0, 11, 6]],  # unequal
        [[6, 0, 11, 5], [0, 0, 5, 5]],  # another order
        [[0, 0, 5, 5], [6, 6, 11, 11]],  # holes
        [[0, 0, 5, 5], [3, 0, 8, 5]],  # overlap
    ],
)
def test_boxes_that_are_no_grid(boxes: list[list[int]]) -> None:
    with pytest.raises(GeometryError, match="not a grid of equal ones in the published order"):
        PanelGrid.from_boxes(np.array(boxes))


grids = st.builds(
    lambda nf, ns, f, s, gf, gs: PanelGrid(nf, ns, f, s, tuple(gf[: nf - 1]), tuple(gs[: ns - 1])),
    *(st.integers(1, 5), st.integers(1, 5), st.integers(1, 40), st.integers(1, 40)),
    *(st.lists(st.integers(0, 9), min_size=4, max_size=4) for _ in range(2)),
)


@given(grids)
def test_there_and_back(grid: PanelGrid) -> None:
    assert PanelGrid.from_boxes(grid.boxes()) == grid
    assert grid.transposed().transposed() == grid
    assert grid.transposed().shape == grid.shape[::-1]
    boxes = grid.boxes()
    assert boxes[:, 2].max() == grid.shape[1]
    assert boxes[:, 3].max() == grid.shape[0]


@given(grids, st.randoms(use_true_random=False))
def test_any_order_is_put_into_the_published_one(grid: PanelGrid, random: object) -> None:
    boxes = grid.boxes()
    mixed = boxes[np.random.default_rng(random.getrandbits(32)).permutation(len(boxes))]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(mixed[published_order(mixed)], boxes)


@given(grids, st.integers(0, 3))
def test_halves_cover_what_the_whole_covered(grid: PanelGrid, gap: int) -> None:
    if (grid.size_fast_px - gap) % 2 or grid.size_fast_px <= gap:
        return
    half = grid.halved(gap)
    assert half.shape == grid.shape
    assert len(half) == 2 * len(grid)


# Shapes (n_slow, n_fast) of the stored images as pyFAI 2025.11 gives them (MAX_SHAPE), and the
# numbers of modules that the names stand for.
PUBLISHED = {
    "pilatus100k": (195, 487, 1), "pilatus200k": (407, 487, 2), "pilatus300k": (619, 487, 3),
    "pilatus300kw": (195, 1475, 3), "pilatus900k": (619, 1475, 9), "pilatus900kw": (195, 4439, 9),
    "pilatus1m": (1043, 981, 10), "pilatus2m": (1679, 1475, 24), "pilatus6m": (2527, 2463, 60),
    "pilatus4-260k": (530, 513, 2), "pilatus4-260kw": (255, 1033, 2),
    "pilatus4-1m": (1080, 1033, 8), "pilatus4-2m": (1630, 1553, 18),
    "pilatus4-4m": (2180, 2073, 32),
    "eiger500k": (514, 1030, 1), "eiger1m": (1065, 1030, 2), "eiger4m": (2167, 2070, 8),
    "eiger9m": (3269, 3110, 18), "eiger16m": (4371, 4150, 32),
    "eiger2-500k": (512, 1028, 1), "eiger2-1m": (1062, 1028, 2), "eiger2-1mw": (512, 2068, 2),
    "eiger2-2mw": (512, 4148, 4), "eiger2-4m": (2162, 2068, 8), "eiger2-9m": (3262, 3108, 18),
    "eiger2-16m": (4362, 4148, 32),
    "dexela2923": (3888, 3072, 4),
}  # fmt: skip


@pytest.mark.parametrize("name", named_grids())
def test_named_grids_span_the_published_images(name: str) -> None:
    whole = name.removesuffix("-half")
    n_slow, n_fast, modules = PUBLISHED[whole]
    grid = NAMED_GRIDS[name]
    assert grid.shape == (n_slow, n_fast)
    assert len(grid) == modules * (2 if name.endswith("-half") else 1)
    # the same in every orientation: no flip moves a gap
    assert grid.gaps_fast_px == grid.gaps_fast_px[::-1]
    assert grid.gaps_slow_px == grid.gaps_slow_px[::-1]


def test_every_published_detector_is_named() -> None:
    assert {name.removesuffix("-half") for name in named_grids()} == set(PUBLISHED)
    assert NAMED_GRIDS["pilatus2m-half"] == HALVES


def test_names_are_found_whatever_their_spelling() -> None:
    assert named_grid("Pilatus 2M_Half") is named_grid("pilatus2m-half")
    with pytest.raises(ConfigError, match=r"unknown panel grid 'pilatos2m': did you mean pilatus"):
        named_grid("pilatos2m")
    with pytest.raises(ConfigError, match=r"unknown panel grid 'xyz': known are pilatus100k, .*"):
        named_grid("xyz")
