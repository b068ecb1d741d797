"""Coarse to fine: rows, merges, grains that the coarse loop does not know, settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nearfield_case import GROUP, Case, small_setup

from refimpl.crystal.misorientation import misorientation
from refimpl.detector.lit_pixels import LitPixels
from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import Voxels
from refimpl.forward.nearfield_stack import simulate_stack
from refimpl.frames import F64
from refimpl.ledger import Ledger
from refimpl.nearfield.fit_settings import FitSettings, SearchSettings
from refimpl.nearfield.grid import hex_grid
from refimpl.nearfield.loops import Multires, MultiresSettings
from refimpl.nearfield.multires import RUN_LEDGER, multires
from refimpl.nearfield.seeds import random_seeds
from refimpl.rotations import matrix_of_quaternion
from refimpl.units import DEG

RADIUS = 0.12
SETTINGS = MultiresSettings(0.08, 2.0, 2, bad_below=0.8)
SEARCH = SearchSettings(least=0.1, fit=FitSettings.quick())


def grid(size_mm: float) -> Voxels:
    return hex_grid(size_mm, RADIUS, published=False)


class Sample:
    """Two halves, and a third grain of 6 voxels of the finest grid within one of them."""

    def __init__(self) -> None:
        # pixels that show a hole along the beam too: it shrinks by tan(2 theta)
        self.setup = small_setup().changed(
            pixel_size_mm=0.0015, shape_px=(2048, 2048),
            beam_centre_px=np.array([[1024.3, 5.2], [1022.1, 7.9]]),
        )  # fmt: skip
        self.voxels = grid(0.02)
        x, y = self.voxels.xy_mm.T
        self.label = (x > 0.0).astype(np.int64)
        self.label[np.argsort(np.hypot(x + 0.06, y - 0.01))[:6]] = 2
        self.grains = random_seeds(3, GROUP, 6)
        u = matrix_of_quaternion(self.grains)[self.label]
        pixels = simulate_stack(self.setup, self.voxels, u).pixels()
        self.lit = LitPixels.from_hits(pixels, (2, 360, 2048, 2048))

    def run(self, settings: MultiresSettings = SETTINGS, **options: Any) -> Multires:
        options = {"engine": "serial", "every_seed": self.grains} | options
        seeds, search = options.pop("seeds", self.grains[:2]), options.pop("search", SEARCH)
        return multires(self.setup, self.lit, grid, seeds, settings, search, **options)

    def wrong(self, quaternion: F64, limit_deg: float = 0.5) -> int:
        truth = self.grains[self.label]
        return int((~(misorientation(quaternion, truth, GROUP) < limit_deg * DEG)).sum())


@pytest.fixture(scope="module")
def sample() -> Sample:
    return Sample()


@pytest.fixture(scope="module")
def done(sample: Sample) -> Multires:
    return sample.run()


def test_every_loop_has_every_row_and_no_merge_lowers_a_confidence(done: Multires) -> None:
    assert [loop.size_mm for loop in done.loops] == [0.08, 0.04, 0.02]
    for loop in done.loops:
        assert len(loop.merged) == len(loop.first) == len(grid(loop.size_mm))
        assert (loop.merged.confidence >= loop.first.confidence).all()
        assert loop.merged.evaluations.sum() >= loop.first.evaluations.sum()


def test_the_second_pass_finds_a_grain_that_the_coarse_loop_misses(
    sample: Sample, done: Multires
) -> None:
    third = sample.grains[2]

    def holds(quaternion: F64) -> bool:
        angle = misorientation(np.broadcast_to(third, quaternion.shape), quaternion, GROUP)
        return bool((angle < 0.5 * DEG).any())

    last = done.loops[-1]
    assert not holds(done.loops[0].merged.quaternions)
    assert not holds(last.first.quaternions)
    assert last.second is not None
    assert holds(last.second.quaternions)
    assert sample.wrong(done.final.quaternions) == 0
    assert len(done.grains.centre) == 3  # clustered from the merged map


def test_only_bad_points_are_searched_with_all_seeds(done: Multires) -> None:
    last = done.loops[-1]
    assert (last.first.confidence[last.bad] < SETTINGS.bad_below).all()
    assert 0 < len(last.bad) < len(last.first) // 4


def test_what_loop_0_left_empty_is_searched_with_all_seeds(sample: Sample) -> None:
    # loop 0 knows one half only: the other is empty, far from all that is good
    found = sample.run(seeds=sample.grains[:1])
    assert sample.wrong(found.loops[0].merged.quaternions[:1].repeat(len(sample.label), 0)) > 0
    assert sample.wrong(found.final.quaternions) == 0


def test_points_that_all_seeds_left_empty_are_not_searched_again(sample: Sample) -> None:
    found = sample.run(seeds=sample.grains[:1], every_seed=None)
    far = sample.voxels.xy_mm[:, 0] > 0.09
    assert (found.final.evaluations[far] == 0).all()
    assert not found.final.solved[far].any()
    assert sample.wrong(found.final.quaternions) == int((sample.label != 0).sum())


def test_everywhere_takes_the_published_passes_and_finds_the_same(
    sample: Sample, done: Multires
) -> None:
    found = sample.run(MultiresSettings(0.08, 2.0, 2, bad_below=0.8, everywhere=True))
    names = [stage.name for loop in found.loops[1:] for stage in loop.stages]
    assert not [n for n in names if "neighbours" in n or "boundaries" in n]
    seeded = [s for s in found.loops[-1].stages if s.name == "loop 2, seeded"]
    assert [s.voxels for s in seeded] == [len(sample.voxels)]
    # of the small grain the published passes keep the points that its surroundings explain to 0.8
    away = (np.abs(sample.voxels.xy_mm[:, 0]) > 0.02) & (sample.label != 2)
    angle = misorientation(found.final.quaternions, done.final.quaternions, GROUP)
    assert (angle[away] < 0.1 * DEG).all()


def test_the_published_fit_takes_the_published_passes(sample: Sample) -> None:
    # the steps from neighbours would fit otherwise
    search = SearchSettings(least=0.1, fit=FitSettings.published())
    found = sample.run(MultiresSettings(0.08, 2.0, 1, bad_below=0.8), search=search)
    assert found.settings.everywhere
    names = [stage.name for stage in found.loops[-1].stages]
    assert names == ["loop 1, grains", "loop 1, seeded", "loop 1, unseeded"]


def test_points_that_all_neighbours_dispute_are_flagged_in_the_merged_map(
    sample: Sample, done: Multires
) -> None:
    search = SearchSettings(least=0.1, fit=FitSettings.quick(), disputed_angle_rad=2.0 * DEG)
    found = sample.run(search=search)
    assert not done.final.disputed.any()
    assert found.final.disputed.any()
    # at boundaries, and nowhere within a grain
    x, label = sample.voxels.xy_mm[:, 0], sample.label
    small = sample.voxels.xy_mm[label == 2]
    away = np.abs(x) > 0.03
    away &= (np.hypot(*(sample.voxels.xy_mm[:, None] - small).T) > 0.04).all(axis=0)
    assert not found.final.disputed[away].any()
    assert (found.final.confidence >= done.final.confidence).all()


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_change_no_bit(sample: Sample, done: Multires, threads: int) -> None:
    found = sample.run(engine="threads", threads=threads, block_voxels=7 * threads)
    assert found.final.euler_rad.tobytes() == done.final.euler_rad.tobytes()
    assert found.final.confidence.tobytes() == done.final.confidence.tobytes()
    assert (found.final.evaluations == done.final.evaluations).all()


def test_a_map_that_no_longer_changes_ends_the_run(sample: Sample) -> None:
    settings = MultiresSettings(0.08, 2.0, 3, bad_below=0.5, settled_share=0.9)
    found = sample.run(settings)
    assert found.settled
    assert len(found.loops) == 2
    assert not sample.run(MultiresSettings(0.08, 2.0, 1, settled_share=0.0)).settled


def test_loops_come_one_by_one_with_their_stages(sample: Sample, tmp_path: Path) -> None:
    seen: list[int] = []
    found = sample.run(folder=tmp_path, on_loop=lambda loop: seen.append(loop.number))
    assert seen == [0, 1, 2]
    names = [stage.name for loop in found.loops for stage in loop.stages]
    assert names[0] == "loop 0"
    assert "loop 2, unseeded" in names
    assert "loop 2, boundaries" in names
    with Ledger(tmp_path / RUN_LEDGER) as book:
        assert set(names) <= set(book.records)
    again = sample.run(folder=tmp_path)
    assert again.final.euler_rad.tobytes() == found.final.euler_rad.tobytes()


def test_a_grid_without_a_point_is_refused(sample: Sample) -> None:
    def none(size_mm: float) -> Voxels:
        return grid(size_mm)[:0]

    with pytest.raises(ConfigError, match="GridRefactor: the grid of loop 0 with an edge of 80 um"):
        multires(sample.setup, sample.lit, none, sample.grains, SETTINGS, engine="serial")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("start_mm", 0.0),
        ("factor", 1.0),
        ("loops", -1),
        ("bad_below", 1.1),
        ("grain_angle_rad", 0.0),
        ("grain_least", -0.1),
        ("settled_share", 1.0),
    ],
)
def test_settings_out_of_range_are_named(name: str, value: float) -> None:
    good: dict[str, Any] = {"start_mm": 0.01, "factor": 2.0, "loops": 1}
    with pytest.raises(ConfigError, match=name):
        MultiresSettings(**(good | {name: value}))


def test_of_equals_the_specific_orientation_counts() -> None:
    """A voxel of a grain in the middle of a larger one, whose spots light those of the voxel."""
    from refimpl.nearfield.neighbourhood import from_starts
    from refimpl.rotations import euler_of_quaternion

    case = Case()
    between = np.flatnonzero(~case.inner)
    starts = euler_of_quaternion(case.grains)[None].repeat(len(between), axis=0)
    found = from_starts(case.vertices[between], starts, case.setup, case.lit, SearchSettings())
    errors = case.errors_deg(found.euler_rad[:, 0], between)
    assert (found.confidence[:, 0] > 0.97).all()
    assert (errors < 1.0).mean() >= 0.9
