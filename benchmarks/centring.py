"""Crystal centring: a short training, heat maps both ways, nets, data, and what needs no net.

    python benchmarks/centring.py [--only WHAT ...] [--crystals 60] [--net best.ckpt]
                                  [--update docs/benchmarks.md]

One thread. Pictures are simulated. Goals: the short training in 60 s; all points of a picture at
once at least 30 times faster than crop by crop, its best point on the crystal as often within 0.05;
waiting for pictures no more than a tenth of a training. Exit 1: one of them is missed on a quiet
machine (a hit rate on any). With a GPU the nets are timed there, and its use is reported.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from centring_nets import GOAL_LOADING, data_loading, net_speeds
from harness import Timing, measure
from page import Table, add_options, finish, seconds

from refimpl.centring.simulate_view import crop_rule

GOAL_TRAINING_S, GOAL_RATIO, GOAL_HIT = 60.0, 30.0, 0.05
SIZE = 64
DATA = (200, 2, 5)
"""Crystals, pictures of each and crops of each picture of the short training."""

WHAT = ("heat", "nets", "loading", "rest")


def trained() -> tuple[Any, Timing, float]:
    """Net of the short training: net, time of data and training, and error over the baseline."""
    from refimpl.centring.datasets import simulated
    from refimpl.centring.splits import split_crystals
    from refimpl.centring.training import train
    from refimpl.centring.training_settings import TrainingSettings

    kept: list[Any] = [None]
    settings = TrainingSettings("a_fcn", "tanh", epochs=8, lr=4e-3, schedule="one-cycle")

    def whole() -> None:
        rows = simulated(*DATA, SIZE, 0)
        split = split_crystals(rows.crystal.tolist(), rows.count, shares=(0.8, 0.1, 0.1))
        kept[0] = train(rows, split, settings, crop=crop_rule().as_dict())

    timing = measure(whole, 1, attempts=1)
    best = kept[0].history[kept[0].best_epoch]
    return kept[0].net, timing, best["val_mse"] / best["val_baseline_mse"]


def heat(crystals: int, checkpoint: Path | None) -> tuple[list[Table], list[str]]:
    """Short training, then its net, or another, on unseen crystals: crop by crop, and at once."""
    from refimpl.centring.judge import views
    from refimpl.centring.modules import load_regressor

    net, timing, part = trained()
    missed = []
    first = Table(
        "Short training, one thread: simulator and training of a_fcn", "crops", "size", "wall",
        "CPU", "validation MSE / mean",
    )  # fmt: skip
    first.add(
        f"{math.prod(DATA):,}", f"{SIZE} px", seconds(timing.median_s), seconds(timing.cpu_s),
        f"{part:.2f}", quiet=timing.quotable,
    )  # fmt: skip
    if timing.cpu_s > GOAL_TRAINING_S:
        missed.append(f"training: {timing.cpu_s:.0f} s of CPU")
    if checkpoint is not None:
        net = load_regressor(checkpoint)
    what = "the short training" if checkpoint is None else checkpoint.name
    table = Table(
        f"Heat maps of unseen crystals, 480 x 600 px, net of {what}, {net.hparams['size']} px, one "
        "thread", "grid", "crystals", "points", "crop by crop", "all at once", "ratio",
        "correlation", "on the crystal, crop by crop", "on it, at once",
        "reflections, crop by crop", "reflections, at once",
    )  # fmt: skip
    seen = list(views(crystals, 100))
    for step_um, some in ((16.0, seen), (8.0, seen[:5])):
        missed += _both_ways(net, some, step_um, table)
    table.note(
        "Times are CPU time of a picture, mean; both maps are smoothed by 12 um. Reflections at "
        "the best point, as part of the most. 8 um: for the times alone."
    )
    return [first, table], missed


def _both_ways(net: Any, seen: list[Any], step_um: float, table: Table) -> list[str]:
    from refimpl.centring.aim import aim_of, aim_scores
    from refimpl.centring.heatmap import heat_map

    aims: dict[str, list[Any]] = {"exact": [], "dense": []}
    values: dict[str, list[Any]] = {"exact": [], "dense": []}
    spent = {"exact": 0.0, "dense": 0.0}
    for one in seen:
        for mode, found in aims.items():
            start = time.process_time()
            made = heat_map(
                net, one.picture, net.crop or crop_rule(), one.zoom, net.target, mode=mode,
                step_px=step_um / one.um_per_px, smooth_px=12.0 / one.um_per_px,
                size=int(net.hparams["size"]),
            )  # fmt: skip
            spent[mode] += time.process_time() - start
            top = made.best(1, least=0.0)
            point = (top[0].x_px, top[0].y_px) if top else None
            found.append(aim_of(point, one.count_map, one.on_crystal, one.um_per_px))
            values[mode].append(made.value.ravel())
    both = {mode: aim_scores(v) for mode, v in aims.items()}
    related = [np.corrcoef(a, b)[0, 1] for a, b in zip(*values.values(), strict=True)]
    points, ratio = np.mean([len(v) for v in values["exact"]]), spent["exact"] / spent["dense"]
    table.add(
        f"{step_um:g} um", len(seen), f"{points:,.0f}", seconds(spent["exact"] / len(seen)),
        seconds(spent["dense"] / len(seen)), f"{ratio:.0f}", f"{np.mean(related):.2f}",
        f"{both['exact'].hit:.2f}", f"{both['dense'].hit:.2f}", f"{both['exact'].relative:.2f}",
        f"{both['dense'].relative:.2f}",
    )  # fmt: skip
    missed = [f"heat maps at {step_um:g} um: {ratio:.0f} times"] if ratio < GOAL_RATIO else []
    if len(seen) >= 20 and both["exact"].hit - both["dense"].hit > GOAL_HIT:
        missed.append(f"hits, all at once: {both['dense'].hit:.2f}")
    return missed


def rest() -> Table:
    """Everything that needs no torch."""
    from refimpl.centring.clock import fit_clock
    from refimpl.centring.crops import crop
    from refimpl.centring.loop import locate_loop
    from refimpl.centring.matching import match
    from refimpl.centring.simulate_samples import samples
    from refimpl.centring.simulate_scene import scene

    table = Table("Without a net, one thread", "what", "time", "of one", "each")

    def add(what: str, call: Callable[[], object], n: int, of: str, repeats: int = 5) -> None:
        t = measure(call, repeats, attempts=2)
        table.add(what, seconds(t.median_s), of, seconds(t.median_s / n), quiet=t.quotable)

    made = scene(3)
    picture = made.picture(2.0, 0.3).astype(np.float64)
    add("simulator: a picture of 480 x 600 px", lambda: made.picture(2.0, 0.3), 1, "picture")
    add("simulator: its map of true counts", lambda: made.rc_map(2.0, 0.3), 1, "picture")
    add("simulator: 10 crystals, 2 pictures, 10 crops of 64 px each",
        lambda: samples(10, 2, 10, 64), 200, "crop", 3)  # fmt: skip
    add("crop and resize to 128 px", lambda: crop(picture, (300.0, 240.0), 180.0, 128), 1, "crop")
    colour = np.repeat(picture.astype(np.uint8)[..., None], 3, axis=-1)
    for mode in ("lucid3", "corrected", "lucid2"):
        add(
            f"loop, {mode}, 480 x 600 px, simulated",
            lambda mode=mode: locate_loop(colour, mode=mode),
            1,
            "picture",
        )  # type: ignore[misc]
    real = Path(os.environ.get("REFIMPL_DATA", "")) / "lucid3-snapshots" / "snapshot_1.jpeg"
    if "REFIMPL_DATA" in os.environ and real.is_file():
        add("loop, lucid3, 1024 x 1280 px, real",
            lambda: locate_loop(real, mode="lucid3"), 1, "picture")  # fmt: skip
    pictures, frames = logs()
    clock = fit_clock(pictures, frames)
    n = len(pictures)
    add(f"offset of two clocks, {n:,} pictures, {len(frames):,} frames",
        lambda: fit_clock(pictures, frames), n, "picture", 3)  # fmt: skip
    add("pictures to frames, the same", lambda: match(pictures, frames, clock), n, "picture")
    table.note(f"The offset was 0.35 s, found {clock.offset_s:.3f} s.")
    return table


def logs(scans: int = 200, seed: int = 0) -> tuple[Any, Any]:
    """Times of pictures (8 Hz, 5 % lost, jitter 10 ms) and frames (20 Hz) of many scans [s]."""
    rng = np.random.default_rng(seed)
    pictures, frames, begin = [], [], 1.6e9
    for _ in range(scans):
        begin += rng.uniform(20.0, 60.0)
        length = rng.uniform(5.0, 10.0)
        frames.append(begin + 0.35 + np.arange(rng.uniform(0.0, 0.05), length, 0.05))
        own = begin + np.arange(rng.uniform(0.0, 0.125), length, 0.125)
        pictures.append(own[rng.random(len(own)) > 0.05])
        begin += length
    taken = np.concatenate(pictures)
    return np.sort(taken + rng.normal(0.0, 0.01, len(taken))), np.concatenate(frames)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", choices=WHAT, nargs="+", default=list(WHAT), metavar="WHAT",
                        help=", ".join(WHAT))  # fmt: skip
    parser.add_argument("--crystals", type=int, default=60, metavar="N")
    parser.add_argument("--net", type=Path, metavar="FILE", help="checkpoint of a_fcn")
    parser.add_argument("--archs", nargs="+", default=["a1", "a4", "a8", "a_fcn"], metavar="NET")
    parser.add_argument("--size", type=int, default=128, metavar="PX", help="of the nets")
    add_options(parser)
    options = parser.parse_args()
    tables: list[Table] = []
    missed: list[str] = []
    if "heat" in options.only:
        made, missed = heat(options.crystals, options.net)
        tables += made
    if "nets" in options.only:
        tables.append(net_speeds(options.archs, options.size))
    if "loading" in options.only:
        table, worst = data_loading(options.size)
        tables.append(table)
        if worst > GOAL_LOADING:
            missed.append(f"waiting for pictures: {100 * worst:.0f} %")
    if "rest" in options.only:
        tables.append(rest())
    code = finish("centring", tables, options)
    for text in missed:
        print(f"benchmarks/centring.py: missed: {text}", file=sys.stderr)
    return 1 if missed else code


if __name__ == "__main__":
    sys.exit(main())
