"""Where the shipped recipe aims, on simulated crystals that it has not seen, beside lucid.

    python benchmarks/centring_aim.py [--seeds 5] [--crystals 200] [--keep DIR]
                                      [--update docs/benchmarks.md]

Each seed trains a net of its own on crystals of its own (one thread) and is judged on as many
others, one photograph of each at zoom 1 to 4, the stage somewhere about the loop: at any rotation
of the spindle, and within 35 degrees of the loop face on, as a search for the flat loop leaves it
(edge on the loop hides the crystal from anybody). Goals, medians over the seeds, face on: on the
crystal in 0.95, 0.85 of the best reflections there, training in 10 minutes, simulator included.
lucid finds the loop, not the crystal; it sees the same pictures, and once more all at zoom 1, the
scale it is made for.
With --keep the nets stay in a folder with their times; those that are there are not made again.
Exit 1: a goal is missed (that of time on a quiet machine).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from harness import measure
from page import Table, add_options, finish, seconds

from refimpl.centring.aim import AimScores
from refimpl.centring.judge import PointOf, Seen, judge, of_loop
from refimpl.centring.modules import load_regressor
from refimpl.centring.recipe import RECIPE, aim_of_recipe, train_recipe
from refimpl.centring.training import Trained
from refimpl.io.atomic import write_json

GOAL_HIT, GOAL_RELATIVE, GOAL_S = 0.95, 0.85, 600.0


def interval(part: float, n: int) -> str:
    """Part with its 95 % interval (Wilson 1927)."""
    z = 1.959964
    middle = (part + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(part * (1 - part) / n + z * z / (4 * n * n))
    return f"{part:.3f} ({middle - half:.3f} to {middle + half:.3f})"


def cells(s: AimScores) -> tuple[str, ...]:
    return f"{s.found:.3f}", interval(s.hit, s.n), f"{s.relative:.3f}", f"{s.away_um:.1f}"


def middle(seen: Seen) -> tuple[float, float]:
    """Where the stage stands: nobody aims."""
    return seen.picture.shape[1] / 2.0, seen.picture.shape[0] / 2.0


def others(crystals: int) -> Table:
    """Those that are not trained."""
    table = Table(
        f"Who is not trained, {crystals} crystals", "who", "pictures", "point given",
        "on the crystal", "part of the best reflections", "away, µm",
    )  # fmt: skip
    who: dict[str, PointOf] = {"middle of the picture": middle}
    pictures: dict[str, dict[str, Any]] = {
        "face on": {"face_on": True},
        "face on, at zoom 1": {"face_on": True, "zooms": (1.0, 1.0)},
        "any rotation": {},
    }
    who |= {f"lucid, mode {mode}": of_loop(mode) for mode in ("corrected", "lucid3", "lucid2")}
    for name, point_of in who.items():
        for what, how in pictures.items():
            table.add(name, what, *cells(judge(point_of, crystals, 0, **how)))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=5, help="how many trainings")
    parser.add_argument("--crystals", type=int, default=200, help="how many are aimed at by each")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder of the nets")
    add_options(parser)
    options = parser.parse_args()
    r = RECIPE
    table = Table(
        f"{r.settings.arch}, {r.settings.target}, {r.crystals} crystals x {r.views} x {r.crops} "
        f"crops, {r.settings.epochs} epochs, one thread; {options.crystals} unseen "
        "crystals", "seed", "data and training", "CPU", "validation MSE / mean, Pearson",
        "face on: on the crystal", "part of the best reflections", "away, µm",
        "any rotation: on the crystal", "part of the best reflections ", "away, µm ",
        "without smoothing and turns",
    )  # fmt: skip
    rows, slow = [], False
    for seed in range(options.seeds):
        folder = None if options.keep is None else options.keep / f"seed-{seed}"
        done = folder is not None and (folder / "timing.json").exists()
        kept: list[Trained] = []

        def train(seed: int = seed, folder: Path | None = folder, kept: Any = kept) -> None:
            kept.append(train_recipe(seed, folder=folder))

        if folder is not None and done:
            net = load_regressor(folder / "best.ckpt")
            numbers = json.loads((folder / "timing.json").read_text(encoding="utf-8"))
        else:
            timing = measure(train, 1, attempts=1, warm_up=False)
            net, best = kept[0].net, kept[0].history[kept[0].best_epoch]
            numbers = {
                "wall_s": timing.median_s, "cpu_s": timing.cpu_s, "quiet": timing.quotable,
                "part": best["val_mse"] / best["val_baseline_mse"], "pearson": best["val_pearson"],
            }  # fmt: skip
            if folder is not None:
                write_json(folder / "timing.json", numbers)
        slow |= numbers["quiet"] and numbers["wall_s"] > GOAL_S
        flat = judge(aim_of_recipe(net), options.crystals, seed, face_on=True)
        found = judge(aim_of_recipe(net), options.crystals, seed)
        plain = judge(aim_of_recipe(net, smooth_um=0.0, turns=1), options.crystals, seed)
        rows.append((flat.hit, flat.relative, found.hit, found.relative))
        table.add(
            seed, seconds(numbers["wall_s"]), seconds(numbers["cpu_s"]),
            f"{numbers['part']:.2f}, {numbers['pearson']:.3f}", *cells(flat)[1:],
            *cells(found)[1:], f"{plain.hit:.3f}, {plain.relative:.3f}", quiet=numbers["quiet"],
        )  # fmt: skip
    hit, relative, any_hit, any_relative = np.median(rows, axis=0)
    table.note(
        f"Medians, face on: on the crystal in {hit:.3f} (goal {GOAL_HIT}), {relative:.3f} of the "
        f"best reflections (goal {GOAL_RELATIVE}); at any rotation {any_hit:.3f} and "
        f"{any_relative:.3f}."
    )
    code = finish("centring-aim", [table, others(options.crystals)], options)
    return code or int(hit < GOAL_HIT or relative < GOAL_RELATIVE or slow)


if __name__ == "__main__":
    sys.exit(main())
