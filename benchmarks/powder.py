"""Powder calibration: CPU seconds, memory and scaling, ours and the peers'.

    python benchmarks/powder.py [--peer-python /path/to/python] [--update docs/benchmarks.md]

Every case runs in a process of its own (powder_worker.py): the first call after the imports, the
median of repeats, and the peak memory after the first call. The real frames come from
``refimpl.data``; where the Pilatus 2M frame is absent a simulated one takes its place. A peer runs
if it can be imported by this interpreter, or by the one that ``--peer-python`` names.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from page import Table, add_options, exponent, finish, seconds
from powder_worker import BEAM_2M, CASES, PILATUS2M

from refimpl import data
from refimpl.crystal.calibrants import calibrant
from refimpl.crystal.rings import rings

HERE = Path(__file__).parent

NAMES = {
    "pilatus2m": "Pilatus 2M, distance, centre, tilts (default)",
    "pilatus2m-distortion": "Pilatus 2M, also p0 to p5",
    "pilatus2m-start": "Pilatus 2M, automatic start alone",
    "ge-distortion": "GE 4.2 Mpx, also p0 to p5",
    "ge-start": "GE 4.2 Mpx, automatic start alone",
    "pilatus1m": "Pilatus 1M, default",
    "pilatus1m-start": "Pilatus 1M, automatic start alone",
}

NEAR_START = {
    "dist": 0.741975, "poni1": 809.6 * 172e-6, "poni2": 773.3 * 172e-6,
    "rot1": 0.0, "rot2": 0.0, "rot3": 0.0,
}  # fmt: skip
"""2.2 mm and 2 px off, no tilt."""


def worker(case: str, *arguments: str) -> Any:
    """Run one case in a fresh process and return what it prints."""
    command = [sys.executable, str(HERE / "powder_worker.py"), case, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise SystemExit(f"benchmarks/powder.py: case {case}: {last[0]}")
    return json.loads(done.stdout)


def cost(runs: list[dict[str, Any]], key: str) -> tuple[str, bool, float]:
    """Median CPU of the quiet runs, or a dash; whether there were any; most other cores."""
    quiet = [r[key]["cpu"] for r in runs if r[key]["quiet"]]
    other = max((r[key]["other_cores"] for r in runs if r[key]["quiet"] or not quiet), default=0.0)
    return (seconds(statistics.median(quiet)) if quiet else "–"), bool(quiet), other


def imports(runs: list[dict[str, Any]]) -> str:
    """Median CPU of the imports, those within the first call included."""
    quiet = [r["imports_cpu"] for r in runs if r["first"]["quiet"]]
    return seconds(statistics.median(quiet)) if quiet else "–"


def calibrations(options: argparse.Namespace, image: str | None) -> list[Table]:
    """Every case of ours, and the stages of the default one."""
    table = Table(
        "From file to result", "case", "threads", "CPU, imports", "CPU, first call",
        "CPU, repeats", "wall, repeats", "peak memory", "passes", "points", "Lsd [mm]",
        "patch2deg [µε]", "other cores",
    )  # fmt: skip
    tables = [table]
    for name in CASES:
        given = ["--image", image] if image is not None and name.startswith("pilatus2m") else []
        if not given and not data.is_here(CASES[name][0]):
            table.note(f"{NAMES[name]}: the frame is not at hand (REFIMPL_DATA)")
            continue
        for threads in (1, 2) if name == "pilatus2m" else (1,):
            runs = fresh_runs(name, threads, options, given)
            add_case(table, NAMES[name], threads, runs)
            if name == "pilatus2m" and threads == 1:
                tables.append(stages(runs[0]))
    if image is not None:
        table.note("Pilatus 2M: a simulated frame; the real one is not at hand.")
    return tables


def fresh_runs(
    name: str, threads: int, options: argparse.Namespace, given: list[str]
) -> list[dict[str, Any]]:
    """One case in several processes; only the first one also repeats it."""
    return [
        worker(name, *given, "--threads", str(threads), "--repeats", str(repeats))
        for repeats in (options.repeats, *[0] * (options.processes - 1))
    ]


def add_case(table: Table, name: str, threads: int, runs: list[dict[str, Any]]) -> None:
    first, first_quiet, other = cost(runs, "first")
    repeated, quiet, other_2 = cost(runs[:1], "repeats")
    wall = seconds(runs[0]["repeats"]["wall"]) if quiet else "–"
    patches = runs[0].get("patches")
    table.add(
        name, threads, imports(runs), first, repeated, wall,
        f"{max(r['memory_mb'] for r in runs):.0f} MB", runs[0].get("passes", "–"),
        runs[0]["n_points"], f"{runs[0]['model']['lsd_mm']:.3f}",
        f"{1e6 * patches['mean_abs']:.1f}" if patches else "–",
        f"{max(other, other_2):.2f}", quiet=first_quiet or quiet,
    )  # fmt: skip


def stages(runs: dict[str, Any]) -> Table:
    """Where the time of the default calibration goes."""
    table = Table("Where the CPU time goes, Pilatus 2M, default, 1 thread", "stage",
                  "first call, with late imports", "repeats")  # fmt: skip
    quiet = runs["first"]["quiet"], runs["repeats"]["quiet"]
    for stage, first in runs["first_stages"].items():
        again = runs["stages"][stage]
        table.add(
            stage, seconds(first) if quiet[0] else "–", seconds(again) if quiet[1] else "–",
            quiet=any(quiet),
        )  # fmt: skip
    return table


def pyfai(options: argparse.Namespace, image: str | None) -> Table:
    """PyFAI from a near start on the same file, scored by the same patches."""
    table = Table(
        "pyFAI on the same file, from a start 2.2 mm and 2 px off", "case", "threads",
        "CPU, imports", "CPU, first call", "CPU, repeats", "wall, repeats", "peak memory",
        "Lsd [mm]", "patch2deg [µε]", "other cores",
    )  # fmt: skip
    python = options.peer_python or sys.executable
    probe = [python, "-c", "import pyFAI.goniometer"]
    if subprocess.run(probe, check=False, capture_output=True).returncode:
        table.note("pyFAI: not importable here; name an interpreter that has it (--peer-python)")
        return table
    found = rings(calibrant("CeO2", 5.41153), float(BEAM_2M["wavelength_angstrom"]), 0.3)
    for count in (5, 17):
        task = {
            "image": image or str(data.path(PILATUS2M)), "d_angstrom": found.d_angstrom.tolist(),
            "wavelength_angstrom": BEAM_2M["wavelength_angstrom"], "pixel_m": 172e-6,
            "rings": count, "repeats": options.repeats, "start": NEAR_START,
        }  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
        script = str(HERE / "peers" / "pyfai_calibration.py")
        done = subprocess.run(
            [python, script, json.dumps(task)],
            check=False, capture_output=True, text=True, env=environment,
        )  # fmt: skip
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["no message"]
            table.note(f"pyFAI with {count} rings: failed: {last[0]}")
            continue
        out = json.loads(done.stdout.strip().splitlines()[-1])
        given = ["--image", image] if image is not None else []
        score = worker("score-poni", "--poni", json.dumps(out["poni"]), *given)
        first, first_quiet, other = cost([out], "first")
        repeated, quiet, other_2 = cost([out], "repeats")
        table.add(
            f"pyFAI {out['version']}, {count} rings", 1, imports([out]), first, repeated,
            seconds(out["repeats"]["wall"]) if quiet else "–", f"{out['memory_mb']:.0f} MB",
            f"{score['model']['lsd_mm']:.3f}", f"{1e6 * score['patches']['mean_abs']:.1f}",
            f"{max(other, other_2):.2f}", quiet=first_quiet or quiet,
        )  # fmt: skip
    return table


def scaling(title: str, column: str, key: str, rows: list[dict[str, Any]], sizes: str) -> Table:
    """CPU against a size: of the whole, and of one pass of peak extraction."""
    table = Table(
        title, column, "points", "passes", "CPU, whole", "CPU, automatic start",
        "CPU, peaks of one pass", "other cores",
    )  # fmt: skip
    for row in rows:
        quiet = row["repeats"]["quiet"]
        table.add(
            f"{row[key]:g}", row["n_points"], row["passes"],
            seconds(row["repeats"]["cpu"]) if quiet else "–",
            seconds(row["start_cpu"]) if quiet else "–",
            seconds(row["peaks_per_pass"]) if quiet else "–",
            f"{row['repeats']['other_cores']:.2f}", quiet=quiet,
        )  # fmt: skip
    clean = [row for row in rows if row["repeats"]["quiet"]]
    size = (lambda r: r["n_points"]) if sizes == "points" else (lambda r: r[key])
    table.note(exponent("CPU of the whole", sizes, [(size(r), r["repeats"]["cpu"]) for r in clean]))
    table.note(exponent("CPU of one pass", sizes, [(size(r), r["peaks_per_pass"]) for r in clean]))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=3, help="after the first call")
    parser.add_argument("--processes", type=int, default=3, help="fresh ones for the first call")
    parser.add_argument("--peer-python", help="interpreter that can import pyFAI")
    parser.add_argument("--no-scaling", action="store_true")
    add_options(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        here = data.is_here(PILATUS2M)
        image = None if here else worker("simulate", "--image", folder)["image"]
        given = ["--image", image] if image is not None else []
        tables = [*calibrations(options, image), pyfai(options, image)]
        if not options.no_scaling:
            repeats = str(min(options.repeats, 3))
            rows = worker("scale-pixels", "--repeats", repeats)
            tables.append(
                scaling("Cost against pixels, simulated frames of the same rings, 1 thread",
                        "Mpx", "megapixels", rows, "pixels [Mpx]")
            )  # fmt: skip
            rows = worker("scale-bins", "--repeats", repeats, *given)
            tables.append(
                scaling("Cost against azimuthal bins, Pilatus 2M, 1 thread",
                        "eta bin [deg]", "eta_bin_deg", rows, "points")
            )  # fmt: skip
    return finish("powder", tables, options)


if __name__ == "__main__":
    sys.exit(main())
