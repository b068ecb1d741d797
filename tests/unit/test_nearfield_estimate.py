"""The estimate of what a reconstruction would cost, against what it does cost."""

from __future__ import annotations

import builtins
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nearfield_case import GROUP, Case

from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import Voxels
from refimpl.nearfield import estimate_sample
from refimpl.nearfield.estimate import Estimate, estimate
from refimpl.nearfield.estimate_places import places_of
from refimpl.nearfield.fit_settings import FitSettings, SearchSettings
from refimpl.nearfield.grid import hex_grid
from refimpl.nearfield.loops import MultiresSettings
from refimpl.nearfield.multires import multires
from refimpl.nearfield.reconstruct import reconstruct
from refimpl.nearfield.seeds import random_seeds

LOOPS = MultiresSettings(10e-3, 2.0, 2)
QUICK = SearchSettings(least=0.1, fit=FitSettings.quick())
FACTOR, FACTOR_CPU = 1.5, 2.5


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


def grid(size: float) -> Voxels:
    return hex_grid(size, 0.030)


def wide(size: float) -> Voxels:
    """A fifth of it is outside of the sample."""
    return hex_grid(size, 0.040)


def some(case: Case) -> Any:
    return np.concatenate([case.seeds, random_seeds(40, GROUP, 5)])


def of(case: Case, settings: MultiresSettings | None = LOOPS, **more: Any) -> Estimate:
    given: dict[str, Any] = {"search": QUICK, "threads": 1, "sample": 12} | more
    points = given.pop("grid", grid)
    return estimate(case.setup, case.lit, points, some(case), settings, **given)


@pytest.mark.parametrize("points", [grid, pytest.param(wide, marks=pytest.mark.slow)])
def test_a_run_costs_what_was_said(case: Case, points: Any) -> None:
    search = SearchSettings(least=0.1)
    said = of(case, grid=points, search=search, sample=48)
    began = time.process_time()
    run = multires(
        case.setup, case.lit, points, some(case), LOOPS, search, engine="serial", threads=1
    )
    spent = time.process_time() - began
    assert 1.0 / FACTOR < said.evaluations / run.evaluations < FACTOR
    assert 1.0 / FACTOR_CPU < said.cpu_s / spent < FACTOR_CPU
    low, high = said.evaluations_interval
    assert low < said.evaluations < high
    assert low < run.evaluations < high
    good = float((run.final.confidence >= LOOPS.bad_below).mean())
    assert said.shares[-1][0] == pytest.approx(good, abs=0.2)
    assert said.sample_evaluations < run.evaluations


@pytest.mark.parametrize("other", [False, True])
def test_all_points_as_places_are_the_run_itself(case: Case, other: bool) -> None:
    two = replace(LOOPS, loops=1)
    # what one of four seeds leaves empty is searched again only with seeds that it did not have
    seeds, every = case.seeds[:1], some(case) if other else None
    said = estimate(
        case.setup, case.lit, wide, seeds, two, QUICK, every, threads=1, sample=10**6
    )  # fmt: skip
    run = multires(
        case.setup, case.lit, wide, seeds, two, QUICK, every_seed=every, engine="serial",
        threads=1,
    )  # fmt: skip
    by_name = {s.name: s for s in run.loops[-1].stages if not s.name.endswith("grains")}
    last = {s.name: s for s in said.stages if s.name.startswith("loop 1")}
    assert set(last) == set(by_name) >= {"loop 1, seeded", "loop 1, unseeded"}
    for name, stage in by_name.items():
        assert last[name].evaluations == pytest.approx(stage.evaluations)
        assert last[name].points == pytest.approx(stage.voxels)
    # coarse points count by how many fine ones are nearest
    assert said.evaluations == pytest.approx(run.evaluations, rel=0.03)
    empty = float((run.final.evaluations == 0).mean())
    assert said.shares[-1][2] == pytest.approx(empty)
    assert (empty == 0.0) == other


def test_one_grid_without_loops(case: Case) -> None:
    voxels = wide(10e-3)
    own = {"grid": None, "voxels": voxels}
    whole = of(case, None, sample=10**6, **own)
    run = reconstruct(case.setup, case.lit, voxels, some(case), QUICK, engine="serial", threads=1)
    assert whole.evaluations == pytest.approx(int(run.evaluations.sum()))
    assert [s.name for s in whole.stages] == ["loop 0"]
    part = of(case, None, sample=24, **own)
    assert 1.0 / FACTOR < part.evaluations / whole.evaluations < FACTOR
    blind = estimate(
        case.setup, case.lit, None, None, None, QUICK, sample=2, voxels=voxels, threads=1
    )
    assert blind.evaluations > whole.evaluations
    assert blind.memory_mb["seeds"] > 0.0


def test_equal_draws_give_equal_numbers(case: Case) -> None:
    one, two, other = of(case), of(case), of(case, seed=1)
    assert [s.evaluations for s in one.stages] == [s.evaluations for s in two.stages]
    assert one.evaluations_interval == two.evaluations_interval
    assert (one.shares, one.memory_mb, one.disk_mb) == (two.shares, two.memory_mb, two.disk_mb)
    assert one.evaluations != other.evaluations


def test_threads_change_the_wall_time_alone(case: Case) -> None:
    one, four = of(case), of(case, threads=4)
    assert four.evaluations == one.evaluations
    assert one.wall_s == pytest.approx(one.cpu_s)
    assert four.wall_s < 0.9 * four.cpu_s
    assert four.wall_s > 0.25 * four.cpu_s  # blocks are few


def test_nothing_is_written(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []

    def note(real: Any, name: str) -> Any:
        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            mode = str(args[0] if args else kwargs.get("mode", "r"))
            if name != "open" or set(mode) & set("wax+"):
                written.append((name, path))
            return real(path, *args, **kwargs)

        return call

    monkeypatch.setattr(builtins, "open", note(builtins.open, "open"))
    monkeypatch.setattr(os, "mkdir", note(os.mkdir, "mkdir"))
    monkeypatch.setattr(os, "open", note(os.open, "os.open"))
    of(case, sample=4)
    assert written == []
    Path(os.devnull).open("w").close()  # so that the check itself is checked
    with open(os.devnull, "w"):
        pass
    assert written


def test_it_can_be_interrupted(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def stop() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(estimate_sample, "checkpoint", stop)
    with pytest.raises(KeyboardInterrupt):
        of(case)
    assert asked == 3


def test_loops_as_published(case: Case) -> None:
    settings = replace(LOOPS, everywhere=True)
    said = of(case, settings, sample=48)
    names = [s.name for s in said.stages]
    assert "loop 2, seeded" in names
    assert "loop 2, neighbours" not in names
    assert said.grains >= 4.0
    run = multires(
        case.setup, case.lit, grid, some(case), settings, QUICK, engine="serial", threads=1
    )
    assert 1.0 / FACTOR < said.evaluations / run.evaluations < FACTOR


def test_what_it_says(case: Case) -> None:
    said = of(case)
    text = "\n".join(said.sentences())
    for words in ("evaluations (90 %", "of CPU", "1 thread", "MB of memory", "SpotsInfo.bin",
                  "loop 2, neighbours", "from 12 places"):  # fmt: skip
        assert words in text
    numbers = json.loads(json.dumps(said.as_dict()))
    assert numbers["evaluations"] == said.evaluations
    assert numbers["disk_mb_total"] == pytest.approx(sum(said.disk_mb.values()))
    assert numbers["stages"][0]["name"] == "loop 0"
    bits = np.prod(case.lit.shape)
    assert said.disk_mb["SpotsInfo.bin"] == pytest.approx(bits / 8e6)
    assert said.memory_mb["lit pixels"] == pytest.approx(case.lit.nbytes / 1e6)


def test_places_are_spread_over_the_grid() -> None:
    fine = hex_grid(1e-3, 0.030)
    places = places_of([hex_grid(4e-3, 0.030), fine], 64, 3)
    xy = places.points[1].xy_mm[places.middle[1]]
    assert len(np.unique(xy, axis=0)) == 64
    quarters = np.unique(np.sign(xy - np.median(fine.xy_mm, axis=0)), axis=0, return_counts=True)[1]
    assert quarters.min() >= 10
    own = places.points[0].xy_mm[places.middle[0]]
    assert np.linalg.norm(own - xy, axis=1).max() < 4e-3
    assert places.totals == (len(hex_grid(4e-3, 0.030)), len(fine))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sample": 1}, "expected 2 or more"),
        ({"grid": lambda size: grid(10e-3)[:0]}, "no points"),
        ({"grid": None}, "expected settings of loops and their grid"),
        ({"every_seed": np.zeros((0, 4))}, "at least one row"),
    ],
)
def test_bad_input(case: Case, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        of(case, **change)
