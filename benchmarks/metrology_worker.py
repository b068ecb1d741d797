"""One case of benchmarks/metrology.py in a process of its own; prints one line of JSON.

    python benchmarks/metrology_worker.py ENGINE --panels 60 --reflections 186000 [--threads 1]

Data are simulated in the process; what simulation needs of memory is told apart from what the fit
needs by the peak before and after it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from harness import _once
from process import peak_memory_mb

SHAPES = {24: (4, 6), 60: (5, 12), 240: (10, 24), 960: (20, 48)}
GAP_PX = (7, 17)
FEWEST = 100
"""Panels with fewer reflections are held: small ones at the beam have next to none."""


def experiment(panels: int) -> Any:
    """Thaumatin on a detector of the size of a Pilatus 6M, in fewer or more panels, at 400 mm."""
    import numpy as np

    from refimpl.forward.experiment import Beam, Experiment, Goniometer, Scan
    from refimpl.forward.rotation_scene import crystal_of_cell, grid_of_panels
    from refimpl.metrology.simulate import ORIENTATION

    shape = SHAPES[panels]
    size = [int((2463, 2527)[i] + GAP_PX[i]) // shape[i] - GAP_PX[i] for i in (0, 1)]
    detector = grid_of_panels(
        shape,
        size_px=(size[0], size[1]),
        gap_px=GAP_PX,
        distance_mm=400.0,
        beam_px=(1225.0, 1196.0),
    )
    return Experiment(
        "benchmark", Beam(np.array([0.0, 0.0, 1.0]), 0.97625), detector,
        Goniometer(np.array([1.0, 0.0, 0.0])), Scan((1, 1028), (0.0, 0.35)),
        crystal_of_cell((57.834, 57.834, 150.022), ORIENTATION),
    )  # fmt: skip


def data_of(panels: int, reflections: int) -> tuple[Any, Any]:
    """Experiments to start from and a table with the same number of reflections in all."""
    import numpy as np

    from refimpl.metrology.simulate import RecipeNoise, simulate

    s = simulate(experiment(panels), d_min_angstrom=1.65, noise=RecipeNoise(outliers=0.0), seed=1)
    # Equal shares, for every panel to have enough; what panels near the spindle lack others give.
    rng = np.random.default_rng(1)
    panel = s.table["panel"].astype(int)
    rank = np.empty(len(panel))
    for p in range(panels):
        rank[panel == p] = rng.permutation(int((panel == p).sum()))
    return s.start, s.table.select(np.sort(np.argsort(rank, kind="stable")[:reflections]))


def problem_of(panels: int, reflections: int, threads: int) -> Any:
    """All parameters but Mu1 and the wavelength free."""
    import numpy as np

    from refimpl.metrology.parameters import FixSettings, model_set
    from refimpl.metrology.problem import RefinementProblem, observations_of

    start, table = data_of(panels, reflections)
    models = model_set(start, FixSettings(hierarchy_level=1))
    free = models.free.copy()
    for p, n in enumerate(np.bincount(table["panel"].astype(int), minlength=panels)):
        free[6 * p : 6 * p + 6] &= n >= FEWEST
    weight = 1.0 / table["xyzobs.mm.variance"]
    observed = observations_of(table, start, np.arange(len(table)), weight)
    return RefinementProblem(models.with_free(free), observed, threads)


def whole(panels: int, reflections: int, threads: int) -> Any:
    """A call that refines: selection, outliers, fit, covariance, predictions of all."""
    from refimpl.metrology import FixSettings, RefineSettings, refine

    start, table = data_of(panels, reflections)
    settings = RefineSettings(
        fix=FixSettings(hierarchy_level=1), min_reflections_per_parameter=FEWEST
    )
    return lambda: refine(start, table, settings, threads=threads)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("engine", choices=("arrow", "levmar", "refine"))
    parser.add_argument("--panels", type=int, default=60, choices=SHAPES)
    parser.add_argument("--reflections", type=int, default=186_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, help="of levmar, whatever its stopping rule says")
    options = parser.parse_args()
    before = time.process_time()
    import refimpl.metrology.engines as engines

    imports = time.process_time() - before
    size = (options.panels, options.reflections, options.threads)
    if options.engine == "refine":
        call = whole(*size)
    else:
        problem = problem_of(*size)
        limit = {} if options.steps is None else {"max_steps": options.steps}

        def call() -> Any:
            return engines.run_engine(options.engine, problem, **limit)

    simulated_mb = peak_memory_mb()
    if options.steps is not None:
        engines.RMSD_CHANGE = 0.0  # a stated number of steps is wanted
    kept: list[Any] = []
    taken = _once(lambda: kept.append(call()), 1, 0.0)
    found = kept[0] if options.engine != "refine" else kept[0].trajectory
    out = {
        "imports_cpu": imports, "cpu": taken.cpu_s, "wall": taken.median_s,
        "other_cores": taken.other_cores, "quiet": taken.quotable,
        "memory_mb": peak_memory_mb(), "simulated_mb": simulated_mb,
        "n": kept[0].n_used if options.engine == "refine" else len(problem.observed),
        "parameters": len(found.x),
        "steps": len(found.steps) - 1, "solves": found.solves, "reason": found.reason,
        "objective": found.steps[-1].objective,
        "reduced_chi_squared": found.steps[-1].reduced_chi_squared,
    }  # fmt: skip
    print(json.dumps(out, default=float))
    return 0


if __name__ == "__main__":
    sys.exit(main())
