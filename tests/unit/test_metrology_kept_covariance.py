"""Covariance after the rejection of outliers, against sums over the whole Jacobian by plain loops.

Every way in which rows or parameters can be left out is tried: a wrong index would give a number.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from refimpl.crystal.crystal_model import Crystal
from refimpl.errors import ConfigError
from refimpl.forward.experiment import Experiment
from refimpl.forward.stills import predict_still
from refimpl.io.reflection_table import ReflectionTable
from refimpl.metrology.constraints import tie_matrix
from refimpl.metrology.crystal_parameters import cell_and_gradient
from refimpl.metrology.kept_covariance import kept_covariance
from refimpl.metrology.parameters import FixSettings, model_set
from refimpl.metrology.problem import RefinementProblem, observations_of
from refimpl.metrology.refine import RefinementResult, RefineSettings, refine
from refimpl.metrology.restraints import CellTarget
from refimpl.metrology.selection import preset
from refimpl.objective.outliers import tukey_fences
from refimpl.objective.truncation import kept_in_ball, kept_inside
from refimpl.rotations import expmap
from refimpl.testing.rotation_case import rotation_case

LEVEL1 = FixSettings(hierarchy_level=1)
TARGET = CellTarget((57.9, 57.9, 150.1, 90.0, 90.0, 90.0), (2e-3, 0.0, 5e-3, 0.0, 0.0, 0.0))


def problem_of(found: RefinementResult, rows: np.ndarray, free: bool = True) -> RefinementProblem:
    still = found.experiments[0].is_still
    weight = 1.0 / found.table["xyzobs.mm.variance"][rows]
    if still:
        weight[:, 2] = found.settings.delpsi_constant
    models = found.models if free else found.models.with_free(np.ones(len(found.models), bool))
    return RefinementProblem(models, observations_of(found.table, models.experiments, rows, weight))


def judged_of(found: RefinementResult) -> tuple[np.ndarray, np.ndarray]:
    """Rows that were judged, in the order of the report, and their residuals at the start."""
    ids = np.asarray(found.table["id"])
    rows = (
        np.lexsort((found.table["panel"], ids)) if np.any(np.diff(ids) < 0) else np.arange(len(ids))
    )
    assert len(rows) == len(found.outliers.rejected)
    start = problem_of(found, rows, free=False)
    by_row = dict(zip(start.observed.row.tolist(), start.residuals(start.start), strict=True))
    return rows, np.array([by_row[row] for row in rows.tolist()])


def shares(found: RefinementResult, row: list[int], after: np.ndarray, sigma: np.ndarray) -> Any:
    """(m, 3) by a loop over the fitted rows; each looks up its job by itself."""
    rows, judged = judged_of(found)
    report, columns = found.outliers, 2 if found.experiments[0].is_still else 3
    places = {row: place for place, row in enumerate(rows.tolist())}
    jobs = {place: job for job in report.jobs for place in job.rows.tolist()}
    share = np.ones_like(after)
    for i, mine in enumerate(row):
        place = places[mine]
        job = jobs[place]
        assert not report.rejected[place]
        if report.method == "mcd":
            share[i, :columns] = kept_in_ball(
                9.348403604496148 if columns == 3 else 7.377758908, columns
            )
        if report.method == "tukey":
            least, most = tukey_fences(judged[job.rows][:, :columns], iqr_multiplier=1.5)
            moved = judged[place, :columns] - after[i, :columns]
            share[i, :columns] = kept_inside(
                (least - moved) / sigma[i, :columns], (most - moved) / sigma[i, :columns]
            )
        if report.method == "sauter_poon" and report.rejected[job.rows].any():
            kept = job.rows[~report.rejected[job.rows]]
            radius = np.hypot(*judged[kept, :2].T).max()
            share[i, :2] = kept_in_ball((radius / sigma[i, :2]) ** 2, 2)
    return share


def expected(found: RefinementResult) -> np.ndarray:
    """(f, f) from the whole Jacobian."""
    problem, x = problem_of(found, found.used), found.trajectory.x
    r, jacobian = problem.jacobian(x)
    m = len(problem.observed)
    after, weight = r.reshape(3, m).T, problem.observed.weight
    ties = tie_matrix(problem.names, found.settings.constraints)[0]
    scale, row = 1.0, problem.observed.row.tolist()
    for _ in range(12):
        share = shares(found, row, after, np.sqrt(scale / weight))
        scale = float(np.sum(weight * after**2)) / (share.sum() - ties.shape[1])
    flat = (weight * share).T.ravel()
    normal = np.einsum("nf,n,ng->fg", jacobian, flat, jacobian, optimize=True)
    for target in found.settings.cell_targets:
        models, place = found.models, np.cumsum(found.models.free) - 1
        at, full = models.cell_at(0), problem.full(x)
        by = cell_and_gradient(models.cells[0], full[at])[1]
        for k, sigma in enumerate(target.sigmas):
            if sigma > 0.0:
                own = np.zeros(len(x))
                own[place[at]] = by[k] / sigma
                normal += np.outer(own, own)
    size = np.sqrt(np.diag(ties.T @ normal @ ties))
    inverse = np.linalg.inv(ties.T @ normal @ ties / np.outer(size, size)) / np.outer(size, size)
    return np.asarray(scale * ties @ inverse @ ties.T)


def agree(found: RefinementResult) -> None:
    assert found.trajectory.undetermined == ()
    want = expected(found)
    sigma = np.sqrt(np.diag(want))
    # relative to both standard uncertainties; the scale is settled to 1e-5
    np.testing.assert_allclose(
        found.trajectory.covariance / np.outer(sigma, sigma), want / np.outer(sigma, sigma),
        rtol=0, atol=5e-5,
    )  # fmt: skip


@pytest.fixture(scope="module")
def case():
    """One panel of nine sees nothing, one too little; the rows are of two interleaved crystals."""
    made = rotation_case(seed=31, n=1200, empty=(4,))
    few = np.flatnonzero(np.asarray(made.table["panel"]) == 6)[3:]
    return replace(made, table=made.table.select(np.setdiff1d(np.arange(1200), few)))


@pytest.mark.parametrize("rule", ["tukey", "mcd", "null"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"auto_reduction": "remove"},
        {"fix": FixSettings(hierarchy_level=1, fix_list=("Group2Dist", "Group5Tau1", "Mu2"))},
        {"fix": FixSettings()},  # few parameters: not an arrow
        {"cell_targets": (TARGET,)},
        {"constraints": ("Dist", "Tau1")},
        {"engine": "levmar"},
        {"fix": LEVEL1, "cell_targets": (TARGET,), "auto_reduction": "remove", "engine": "levmar"},
    ],
    ids=["plain", "remove", "fixed", "level0", "restraint", "constraints", "levmar", "several"],
)
def test_the_covariance_is_that_of_the_whole_jacobian(case, changes, rule) -> None:
    # small jobs are rejected whole: three reflections on a panel must be judged with others
    selection = preset("tutorial", outlier=rule, separate_panels=False, separate_blocks=True)
    settings = RefineSettings(**{"selection": selection, "fix": LEVEL1, **changes})
    found = refine(case.start, case.table, settings)
    assert any("Group7: " in text for text in found.reduced) == (settings.fix.hierarchy_level == 1)
    agree(found)


def test_of_unsorted_rows_and_a_random_subset(case) -> None:
    n = len(case.table)
    two = (
        case.start[0],
        replace(case.start[0], identifier="b", crystal=replace(case.start[0].crystal)),
    )
    table = case.table.with_columns(id=np.arange(n)[::-1] % 2)
    selection = preset(
        "tutorial", separate_panels=False, reflections_per_degree=1.2, minimum_sample_size=100
    )
    found = refine(two, table, RefineSettings(selection, LEVEL1, auto_reduction="remove"))
    assert 800 < found.n_used < n - int(found.outliers.rejected.sum())
    agree(found)


def stills(n: int = 8, seed: int = 3) -> tuple[tuple[Experiment, ...], ReflectionTable]:
    """Stills of one cell in several orientations, with some gross errors in place."""
    (one,) = rotation_case(seed=seed, n=50).truth
    rng = np.random.default_rng(seed)
    cell = np.diag([57.8, 57.8, 150.0])
    experiments, columns = [], {k: [] for k in ("id", "panel", "miller_index", "xyz")}
    detector = one.detector
    edge = np.array(detector.modules[0].size_px) * detector.modules[0].pixel_size_mm
    for number in range(n):
        crystal = Crystal(cell @ expmap(rng.normal(0.0, 1.0, 3)).T, "P 4")
        e = replace(one, identifier=str(number), goniometer=None, scan=None, crystal=crystal)
        experiments.append(e)
        hkl = rng.integers(-20, 21, (60000, 3)) * [1, 1, 2]
        hkl = np.unique(hkl[np.any(hkl != 0, axis=1)], axis=0)
        q = np.ascontiguousarray(hkl @ crystal.A.T)
        for panel in range(len(detector)):
            here = np.full(len(hkl), panel, dtype=np.int32)
            xyz, _, status = predict_still(q, here, e.beam.s0, detector.inverse_d)
            on = (status == 0) & (np.abs(xyz[:, 2]) < 1e-3)
            on &= np.all((xyz[:, :2] > 0.0) & (xyz[:, :2] < edge), axis=1)
            m = int(on.sum())
            place = xyz[on] + rng.normal(0.0, 1.0, (m, 3)) * [0.02, 0.02, 0.0]
            for key, own in zip(
                columns, (np.full(m, number), here[on], hkl[on], place), strict=True
            ):
                columns[key].append(own)
    joined = {k: np.concatenate(v) for k, v in columns.items()}
    xyz = joined.pop("xyz")
    far = rng.choice(len(xyz), 12, replace=False)
    xyz[far, :2] += rng.normal(0.0, 0.4, (12, 2))
    xyz[:, 2] = 0.0
    joined |= {
        "flags": np.full(len(xyz), 4), "entering": np.zeros(len(xyz), bool),
        "xyzobs.mm.value": xyz, "xyzobs.mm.variance": np.tile([4e-4, 4e-4, 1.0], (len(xyz), 1)),
    }  # fmt: skip
    return tuple(experiments), ReflectionTable(columns=joined)


@pytest.mark.parametrize("rule", ["sauter_poon", "tukey", "mcd"])
@pytest.mark.parametrize("action", ["fix", "remove"])
def test_of_stills(rule, action) -> None:
    start, table = stills()
    # one still sees too little for its crystal
    few = np.flatnonzero(np.asarray(table["id"]) == 2)[4:]
    table = table.select(np.setdiff1d(np.arange(len(table)), few))
    selection = preset("tutorial", outlier=rule, separate_panels=False, separate_experiments=False)
    held = FixSettings(hierarchy_level=1, beam=("all",), detector=("orientation",))
    found = refine(start, table, RefineSettings(selection, held, auto_reduction=action))
    assert any(text.startswith("Crystal3 cell: 4 reflections") for text in found.reduced)
    assert 6 <= found.outliers.rejected.sum() < len(table) // 5
    agree(found)


# --- what the data leave open ---------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("engine", ["arrow", "levmar"])
def test_what_is_open_is_named_by_every_engine(case, engine, level) -> None:
    """With Mu1 and the wavelength free, a turn about the spindle and a scale are open."""
    fix = FixSettings(hierarchy_level=level, beam=())
    found = refine(case.start, case.table, RefineSettings(fix=fix, engine=engine))
    variance = np.diag(found.trajectory.covariance)
    names = [n for n, free in zip(found.models.names, found.models.free, strict=True) if free]
    assert len(found.trajectory.undetermined) == 2
    assert {n for n, v in zip(names, variance, strict=True) if v == 0.0} == set(
        found.trajectory.undetermined
    )
    assert np.all(variance >= 0.0)


def test_what_is_open_under_constraints(case) -> None:
    fix = FixSettings(hierarchy_level=0, beam=())
    tied = ("g_param",)  # cells that keep their shape
    settings = RefineSettings(fix=fix, constraints=tied, engine="levmar")
    found = refine(case.start, case.table, settings)
    variance = np.diag(found.trajectory.covariance)
    assert found.trajectory.undetermined
    assert np.all(variance >= 0.0)
    assert (
        variance.max() < 1.0
    )  # mm^2, mrad^2, 1e-10/angstrom^4: nothing is as wide as what is open


def test_a_row_that_was_never_judged(case) -> None:
    found = refine(case.start, case.table, RefineSettings(fix=FixSettings()))
    rows, judged = judged_of(found)
    problem = RefinementProblem(
        model_set(case.start), observations_of(
            case.table, case.start, found.used, np.ones((len(found.used), 3))
        )
    )  # fmt: skip
    gone = int(found.used.max())
    with pytest.raises(ConfigError, match=f"row {gone} was fitted, but it is none of the"):
        kept_covariance(
            problem, found.trajectory, found.outliers, judged[rows != gone], rows[rows != gone],
            iqr_multiplier=1.5,
        )  # fmt: skip
