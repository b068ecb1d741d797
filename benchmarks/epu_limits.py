"""Where the lattice calibration ends: one property of a simulated session at a time made worse.

    python benchmarks/epu_limits.py [--seeds 6]

The session: one square, ten stage positions of 21 holes with 3 shots each, the rest as measured on
the real one. An answer is wrong if it misplaces the end of the longest beam shift by more than
0.1 um. "Said so": the calibration says itself that it is not decided (``is_decided``).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Any

from epu_sessions import error_um
from page import Table, add_options, finish

from refimpl.epu.calibrate import calibrate
from refimpl.epu.calibration import Calibration
from refimpl.epu.simulate import SimulationSettings, simulate
from refimpl.errors import ConvergenceError

BASE = SimulationSettings(
    squares=1, groups=10, overlaps=0, revisits=1, missed=0, singles=3, near_misses=4,
    landing_um=0.093, centring_um=0.047,
)  # fmt: skip

# What is made worse: words, setting, values, other settings.
CASES: tuple[tuple[str, str, tuple[Any, ...], dict[str, Any]], ...] = (
    ("landing error, µm", "landing_um", (0.0, 0.02, 0.04, 0.07, 0.2, 0.4), {}),
    ("stage positions", "groups", (2, 3, 4, 6, 10), {"revisits": 0}),
    ("holes selected", "hole_fraction", (0.1, 0.2, 0.4, 0.7), {"revisits": 0}),
    ("centring error, µm", "centring_um", (0.02, 0.1, 0.15, 0.2), {}),
    ("turn of squares, degrees", "square_turn_deg", (0.0, 0.2, 0.5), {"squares": 4, "groups": 5}),
    ("exposures lost", "lost", (0.1, 0.3, 0.5), {}),
)

WRONG_UM = 0.1


def answer(settings: SimulationSettings, seed: int) -> tuple[str, float]:
    """Verdict on one session, and the margin of the answer (1: none)."""
    made = simulate(settings, seed=seed)
    try:
        found: Calibration = calibrate(made.session, "lattice")
    except ConvergenceError:
        return "refused", 1.0
    margin = found.margin or 1.0
    if error_um(made, found) <= WRONG_UM:
        return "right", margin
    return "wrong" if found.is_decided else "said so", margin


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=6, help="sessions of each case")
    add_options(parser)
    options = parser.parse_args()
    table = Table(
        f"Answers of the lattice, {options.seeds} sessions a case", "what", "value", "layout",
        "right", "wrong, said so", "wrong", "refused", "least margin when right",
    )  # fmt: skip
    silent = 0
    for words, name, values, others in CASES:
        for layout in ("super-lattice", "greedy"):
            for value in values:
                settings = replace(BASE, layout=layout, **{**others, name: value})
                answers = [answer(settings, seed) for seed in range(options.seeds)]
                verdicts = [verdict for verdict, _ in answers]
                right = [margin for verdict, margin in answers if verdict == "right"]
                counts = [verdicts.count(v) for v in ("right", "said so", "wrong", "refused")]
                silent += counts[2]
                least = f"{min(right):.2f}" if right else "none"
                table.add(words, value, layout, *counts, least)
    table.note(f"Wrong without a word: {silent} of {len(table.rows) * options.seeds} sessions.")
    return finish("epu-limits", [table], options)


if __name__ == "__main__":
    sys.exit(main())
