"""Refinement of panels: recovery of simulated frames, time against panels, the Pilatus 2M frame.

    python benchmarks/panels.py [--recovery] [--scaling] [--frame] [--update docs/benchmarks.md]

Without a choice all three run. ``--recovery`` refines the 50 frames of
:mod:`refimpl.forward.panel_scenes` and compares with truth and Cramér-Rao bound (tested by
tests/system/test_simulated_panels.py); its times are for orientation. The other two time each case
in a process of its own (panels_worker.py). The published Nelder-Mead runs on the same points from
the same start, in the same process, after ours.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from page import Table, add_options, exponent, finish, seconds
from powder_worker import PILATUS2M

from refimpl import data
from refimpl.forward.panel_scenes import BENCHMARK, SCALING, panel_scene

HERE = Path(__file__).parent


def worker(*arguments: str, threads: int) -> dict[str, Any]:
    """Run one case in a fresh process, linear algebra in as many threads; return what it prints."""
    arguments = (*arguments, "--threads", str(threads))
    command = [sys.executable, str(HERE / "panels_worker.py"), *arguments]
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, str(threads))}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise SystemExit(f"benchmarks/panels.py: {' '.join(arguments)}: {last[0]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def cpu(taken: dict[str, Any]) -> str:
    """CPU seconds, or a dash where the machine was busy."""
    return seconds(taken["cpu"]) if taken["quiet"] else "–"


def wall(taken: dict[str, Any]) -> str:
    return seconds(taken["wall"]) if taken["quiet"] else "–"


def frame(options: argparse.Namespace) -> list[Table]:
    """48 half-modules x 2 shifts on the measured frame, and the published method beside ours."""
    table = Table(
        "Pilatus 2M, 48 half-modules x 2, file to result", "threads", "CPU, imports",
        "CPU, first call", "CPU, repeats", "wall, repeats", "peak memory", "passes", "points",
        "parameters", "geometry fit, CPU", "geometry fit, wall", "Lsd [mm]",
        "held out, mean [µε]", "other cores",
    )  # fmt: skip
    beside = Table(
        "The geometry fit alone, on the same points from the same single surface, 1 thread",
        "method", "unknowns", "evaluations", "CPU", "wall", "mean absolute strain [µε]", "Lsd [mm]",
        "other cores",
    )  # fmt: skip
    if not options.image and not data.is_here(PILATUS2M):
        table.note("The frame is not at hand (REFIMPL_DATA).")
        return [table]
    given = ["--image", options.image] if options.image else []
    for threads in (1, 2):
        runs = [
            worker("frame", *given, "--repeats", str(repeats), threads=threads)
            for repeats in (options.repeats, *[0] * (options.processes - 1))
        ]
        add_frame(table, threads, runs)
        if threads == 1:
            add_methods(beside, runs[0])
    return [table, beside]


def add_frame(table: Table, threads: int, runs: list[dict[str, Any]]) -> None:
    quiet = [r["first"]["cpu"] for r in runs if r["first"]["quiet"]]
    one = runs[0]
    other = max(one[k]["other_cores"] for k in ("first", "repeats", "fit"))
    held_out = one["cross_validated"]
    table.add(
        threads, seconds(statistics.median(r["imports_cpu"] for r in runs)),
        seconds(statistics.median(quiet)) if quiet else "–", cpu(one["repeats"]),
        wall(one["repeats"]), f"{max(r['memory_mb'] for r in runs):.0f} MB", one["passes"],
        one["n_points"], one["parameters"], cpu(one["fit"]), wall(one["fit"]),
        f"{one['model']['lsd_mm']:.3f}", f"{1e6 * held_out['mean_all']:.1f}" if held_out else "–",
        f"{other:.2f}", quiet=bool(quiet) or one["repeats"]["quiet"],
    )  # fmt: skip


def add_methods(table: Table, run: dict[str, Any]) -> None:
    found = run["nelder_mead"]
    strain = {name: f"{1e6 * value:.1f}" for name, value in found["mean_strain"].items()}
    table.add(
        "ours: Levenberg-Marquardt, weights and priors settled", run["parameters"], "–",
        cpu(run["fit"]), wall(run["fit"]), strain["ours"], f"{found['lsd_mm']:.3f}",
        f"{run['fit']['other_cores']:.2f}", quiet=run["fit"]["quiet"],
    )  # fmt: skip
    table.add(
        f"published: Nelder-Mead on the L1 sum, stopped by {found['reason']}", found["unknowns"],
        found["evaluations"], cpu(found["published"]), wall(found["published"]),
        strain["published"], f"{found['published_lsd_mm']:.3f}",
        f"{found['published']['other_cores']:.2f}", quiet=found["published"]["quiet"],
    )  # fmt: skip
    table.note(f"Both begin at {strain['start']} µε; {found['points']} points.")
    ratio = found["published"]["cpu"] / run["fit"]["cpu"]
    table.note(f"CPU of the published method over ours: {ratio:.1f}.")


def scaling(options: argparse.Namespace) -> Table:
    """CPU against the number of panels, on one picture of 2.2 megapixels."""
    table = Table(
        "Time against the number of panels (shift, rotation, height), simulated, 1 thread",
        "panels", "points", "parameters", "passes", "CPU, file to result, first call",
        "CPU, geometry fit",
        "peak memory", "other cores",
    )  # fmt: skip
    rows = []
    for panels in options.panels:
        run = worker("scale", "--panels", str(panels), "--repeats", str(options.repeats), threads=1)
        rows.append(run)
        quiet = run["fit"]["quiet"]
        table.add(
            panels, run["n_points"], run["parameters"], run["passes"], cpu(run["first"]),
            cpu(run["fit"]), f"{run['memory_mb']:.0f} MB",
            f"{max(run['fit']['other_cores'], run['first']['other_cores']):.2f}", quiet=quiet,
        )  # fmt: skip
    for what, key in (("CPU of the geometry fit", "fit"), ("CPU of the whole", "first")):
        points = [(r["panels"], r[key]["cpu"]) for r in rows if r[key]["quiet"]]
        table.note(exponent(what, "panels", points))
    return table


def recovery(options: argparse.Namespace) -> tuple[Table, int]:
    """Table of the recovery, and how many scenes failed."""
    from refimpl.testing.panel_recovery import recover_panels
    from refimpl.testing.panel_scores import Recovered, report_panels

    table = Table(
        "Recovery of simulated frames with panels out of place", "quantity", "panels",
        "chi2/dof", "known to", "error/bound", "sigma/bound",
    )  # fmt: skip
    numbers = range(options.first, options.first + options.scenes)
    found = recover_panels(
        (panel_scene(i) for i in numbers),
        progress=lambda line: print(line, file=sys.stderr, flush=True),
    )
    failures = [*found.failed, *(f"invented: {line}" for line in found.silent)]
    rows = Recovered(tuple(r for r in found.rows if r.rank))
    if rows.rows:
        chi2, dof = rows.pooled()
        table.add("all panel parameters", "", f"{chi2 / dof:.3f} of {dof}", "", "", "")
        for name in rows.quantities:
            mean, known = rows.reduced_chi_square(name)
            error, sigma = rows.ratios(name)
            n = rows.stacked(name).shape[1]
            table.add(name, n, f"{mean:.3f}", f"{known:.3f}", f"{error:.3f}", f"{sigma:.3f}")
        for name, (mean, error, sigma) in rows.of_detector().items():
            table.add(name, "", f"{mean:.3f}", "", f"{error:.3f}", f"{sigma:.3f}")
    table.note(report_panels(found).splitlines()[0] + ".")
    for line in failures:
        table.note(line)
    return table, len(failures)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--recovery", action="store_true", help="the simulated frames")
    parser.add_argument("--scaling", action="store_true", help="time against number of panels")
    parser.add_argument("--frame", action="store_true", help="the Pilatus 2M frame")
    parser.add_argument("--scenes", type=int, default=BENCHMARK, help="how many scenes")
    parser.add_argument("--first", type=int, default=0, help="number of the first scene")
    parser.add_argument("--panels", type=int, nargs="+", default=list(SCALING), choices=SCALING)
    parser.add_argument("--image", help="instead of the real frame")
    parser.add_argument("--repeats", type=int, default=3, help="after the first call")
    parser.add_argument("--processes", type=int, default=3, help="fresh ones for the first call")
    add_options(parser)
    options = parser.parse_args()
    everything = not (options.recovery or options.scaling or options.frame)
    tables: list[Table] = []
    if options.frame or everything:
        tables += frame(options)
    if options.scaling or everything:
        tables.append(scaling(options))
    failures = 0
    if options.recovery or everything:
        table, failures = recovery(options)
        tables.append(table)
    finish("panels", tables, options)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
