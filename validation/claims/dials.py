"""Claims of DIALS' tests and of runs of DIALS on public data: our figures."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np

from refimpl import data
from refimpl.detector.attenuation import silicon_mu_per_mm
from refimpl.forward.experiment import Beam
from refimpl.io.dials_files import read_expt, read_refl
from refimpl.io.reflection_table import CENTROID_OUTLIER, ReflectionTable
from refimpl.metrology.engines import run_engine
from refimpl.metrology.indexing import IndexSettings, index
from refimpl.metrology.parameters import FixSettings, model_set
from refimpl.metrology.predictions import predict_all
from refimpl.metrology.problem import Observations, RefinementProblem
from refimpl.metrology.refine import RefinementResult, RefineSettings, refine
from refimpl.metrology.selection import preset, spindle_measure
from refimpl.objective.fast_mcd import fast_mcd, mcd
from refimpl.objective.outliers import sauter_poon, tukey
from refimpl.units import DEG

_RUNS = {
    # start, reflections, level, jobs by panel
    "th82_60panel_lev0_tukey": (
        "index/i04_60_fft3d_known", "data/th82_60panel_indexed", 0, True),
    "th82_60panel_lev1_tukey": (
        "refine/th82_60panel_lev0_tukey_refined", "data/th82_60panel_indexed", 1, True),
    "i23_lev0_tukey": ("data/i23_dials423", "data/i23_dials423", 0, False),
    "i23_lev1_tukey": ("refine/i23_lev0_tukey_refined", "data/i23_dials423", 1, True),
    "i23_lev0_null": ("data/i23_dials423", "data/i23_dials423", 0, False),
    "i23_lev1_null": ("refine/i23_lev0_null_refined", "data/i23_dials423", 1, True),
}  # fmt: skip


def _expt(name: str) -> Any:
    return read_expt(data.path(f"metrology/{name}.expt"))


def _npz(name: str) -> dict[str, Any]:
    with np.load(data.path(f"metrology/{name}.npz")) as file:
        return {key: file[key] for key in file.files}


@cache
def _run(name: str, engine: str = "levmar") -> RefinementResult:
    start, reflections, level, by_panel = _RUNS[name]
    outlier = "null" if name.endswith("null") else "tukey"
    settings = RefineSettings(
        preset("tutorial", separate_panels=by_panel, outlier=outlier),
        FixSettings(hierarchy_level=level), engine=engine,
    )  # fmt: skip
    return refine(_expt(start), ReflectionTable(_npz(reflections)), settings)


def run_counts(name: str) -> list[int]:
    """Accepted, rejected, used reflections; parameters; last step."""
    r = _run(name)
    return [
        r.n_accepted, int(r.outliers.rejected.sum()), r.n_used, int(r.models.free.sum()),
        len(r.trajectory.steps) - 1,
    ]  # fmt: skip


def run_rmsd(name: str, which: str) -> list[float]:
    """RMSDs before the first or after the last step [mm, mm, rad]."""
    steps = _run(name).trajectory.steps
    return list(steps[0 if which == "first" else -1].rmsd)


@cache
def _problem(name: str) -> RefinementProblem:
    """The reference run's own reflections and free parameters."""
    start, reflections, level, _ = _RUNS[name]
    reference = json.loads(data.path(f"metrology/refine/{name}.json").read_text())
    rows = _npz(f"refine/{name}_matches")["iobs"].astype(int)
    t = ReflectionTable(_npz(reflections))
    models = model_set(_expt(start), FixSettings(hierarchy_level=level))
    models = models.with_free(np.isin(models.names, reference["parameter_names"]))
    return RefinementProblem(models, _observed(
        rows, t["panel"], t["miller_index"], t["entering"], t["xyzobs.mm.value"],
        t["xyzobs.mm.variance"],
    ))  # fmt: skip


def _observed(rows: Any, panel: Any, hkl: Any, entering: Any, xyz: Any, var: Any) -> Observations:
    return Observations(
        rows, np.zeros(len(rows), dtype=int), panel[rows].astype(np.int32),
        hkl[rows].astype(float), entering[rows].astype(np.uint8), xyz[rows], 1.0 / var[rows],
    )  # fmt: skip


def objective(name: str, engine: str) -> float:
    """Half the weighted sum of squares where an engine ends."""
    return float(run_engine(engine, _problem(name)).steps[-1].objective)


def jacobian_off(name: str) -> list[float]:
    """Largest difference of residuals [mm or rad], and of a column over its largest element."""
    problem, expected = _problem(name), _npz(f"refine/{name}_jacobian0")
    residuals, jacobian = problem.jacobian(problem.start)
    n = len(problem.observed)
    rows = (np.arange(3)[:, None] * n + problem.order).ravel()
    scale = np.abs(expected["J"]).max(axis=0)
    return [
        float(np.abs(residuals - expected["residuals"][rows]).max()),
        float((np.abs(jacobian - expected["J"][rows]) / scale).max()),
    ]


def trajectory_off(name: str) -> float:
    """Largest difference of an RMSD of any step [mm or rad]."""
    reference = json.loads(data.path(f"metrology/refine/{name}.json").read_text())
    found = run_engine("levmar", _problem(name))
    ours = np.array([s.rmsd for s in found.steps])
    return float(np.abs(ours - np.array(reference["rmsd"])).max())


@cache
def _cspad() -> RefinementResult:
    settings = RefineSettings(
        preset("tutorial", separate_panels=True, separate_experiments=False),
        FixSettings(beam=("all",), hierarchy_level=2), engine="levmar",
        min_reflections_per_parameter=3, delpsi_constant=1e4,
    )  # fmt: skip
    name = "data/cspad_benchmark_level2d"
    return refine(_expt(name), ReflectionTable(_npz(name)), settings)


def cspad_counts() -> list[int]:
    """Reflections used and parameters."""
    return [_cspad().n_used, int(_cspad().models.free.sum())]


def cspad_rmsd() -> list[float]:
    """Last RMSDs [mm, mm, rad]."""
    return list(_cspad().rmsd)


@cache
def _regression() -> tuple[list[int], Any]:
    z = _npz("simple/regression_obs")
    (e,) = _expt("simple/regression_start")
    measure = spindle_measure(z["s1"], e.beam.s0, e.goniometer.setting @ e.goniometer.rotation_axis)
    rows = np.flatnonzero(measure > 0.1)
    observed = _observed(
        rows, z["panel"], z["miller_index"], z["entering"], z["xyzobs_mm_value"],
        z["xyzobs_mm_variance"],
    )  # fmt: skip
    target = np.array([0.172, 0.172, 0.1 * DEG]) / 3.0
    problem = RefinementProblem(model_set((e,)), observed)
    return [len(measure), len(rows)], run_engine("gauss_newton", problem, target=target)


def regression_counts() -> list[int]:
    """Observations, those after the cut-off, steps."""
    counts, found = _regression()
    return [*counts, len(found.steps) - 1]


def regression_rmsd() -> list[float]:
    """Last RMSDs [mm, mm, rad]."""
    return list(_regression()[1].steps[-1].rmsd)


@cache
def _mcd() -> Any:
    return fast_mcd(_npz("data/residuals_with_outliers")["residuals"])


def mcd_figures(name: str) -> Any:
    """Centre, scatters or factors of 12,000 published residuals."""
    found = getattr(_mcd(), name)
    if np.ndim(found) == 2:
        return list(np.asarray(found)[np.triu_indices(3)])
    return found


def stills_outliers(rule: str, keep_flag: bool) -> int:
    """Outliers of 823 synthetic residuals, with the rows that carry the flag or without."""
    z = _npz("data/centroid_outlier_residuals")
    r = np.column_stack([z[f"{axis}_resid"] for axis in ("x", "y", "phi")])
    flagged = (z["flags"] & np.uint64(CENTROID_OUTLIER)) != 0
    found = {
        "tukey": lambda: tukey(r), "mcd": lambda: mcd(r),
        "sauter_poon": lambda: sauter_poon(r * 0.172, grid_step=None),
    }[rule]()  # fmt: skip
    return int((found | flagged if keep_flag else found).sum())


@cache
def _indexed(method: str, case: str) -> Any:
    if case == "th82":
        cell = (58.0, 58.0, 150.0, 90.0, 90.0, 90.0)
        start = _expt("index/i04_60_imported")[0]
        table = read_refl(data.path("metrology/index/i04_60_strong.refl"))
    else:
        from dataclasses import replace

        cell = (42.27, 42.27, 39.67, 90.0, 90.0, 90.0)
        (known,) = _expt("index/centroid_fft3d")
        header = np.array([[[1.0, 0.0, -212.478], [0.0, -1.0, 220.002], [0.0, 0.0, -190.18]]])
        beam = Beam(np.array([0.0, 0.0, 1.0]), known.beam.wavelength_angstrom)
        start = replace(known, crystal=None, beam=beam, detector=known.detector.with_d(header))
        table = ReflectionTable(_npz("data/centroid_strong"))
    if case == "centroid_free":
        return index((start,), table, IndexSettings(method=method))
    settings = IndexSettings(method=method, space_group="P 4", unit_cell=cell)
    return index((start,), table, settings)


def indexed(method: str, case: str) -> int:
    """Spots that got an index."""
    return int(_indexed(method, case).n_indexed)


def index_search(method: str, case: str) -> list[float]:
    """Largest cell and resolution limit of the search [angstrom]."""
    search = _indexed(method, case).searches[0]
    return [search.max_cell_angstrom, search.d_min_angstrom]


def index_cell(method: str, case: str, edges: int) -> list[float]:
    """Cell [angstrom]; of a tetragonal one a and c, else a, b, c."""
    cell = _indexed(method, case).cell
    return [cell[0], cell[2]] if edges == 2 else list(cell[:3])


def predictions() -> list[float]:
    """Stored predictions that ours lack; largest difference in place [mm]."""
    z = _npz("fixtures/prediction_th82_dmin3")
    t = predict_all(_expt("refine/th82_60panel_lev0_tukey_refined"), 2.9)

    def keys(hkl: Any, entering: Any, panel: Any) -> list[tuple[int, ...]]:
        return list(map(tuple, np.column_stack([hkl, entering, panel]).astype(int).tolist()))

    ours = {k: i for i, k in enumerate(keys(t["miller_index"], t["entering"], t["panel"]))}
    theirs = keys(z["miller_index"], z["entering"], z["panel"])
    rows = np.array([ours.get(k, -1) for k in theirs])
    both = rows >= 0
    away = np.abs(t["xyzcal.mm"][rows[both]] - z["xyzcal.mm"][both]).max()
    return [len(theirs), float((~both).sum()), float(away)]


def silicon_mu(wavelength_angstrom: float) -> float:
    """Attenuation of silicon [1/mm]."""
    return silicon_mu_per_mm(wavelength_angstrom)
