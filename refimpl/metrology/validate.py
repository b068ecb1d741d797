"""Cross-validation by halves: refine on each, compare the detectors, score on the other.

The halves are every other reflection (``odd_even``) in order of experiment, rotation angle and
place, or the first and the second part of each scan's rotation (``phi``), which also tells of what
drifts; neither hangs on the order of the table's rows. All of a refinement is done twice, the
rejection of outliers too; a reflection's score is taken with models that never saw it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.forward.experiment import Experiment
from refimpl.frames import F64
from refimpl.io.reflection_table import ReflectionTable
from refimpl.metrology.congruence import Congruence, congruence
from refimpl.metrology.problem import RefinementProblem, observations_of
from refimpl.metrology.refine import RefinementResult, RefineSettings, refine
from refimpl.metrology.weak_modes import panel_uncertainties
from refimpl.units import DEG

__all__ = ["Halves", "SplitHalves", "half_of", "held_out", "split_halves"]

Halves = Literal["odd_even", "phi"]


@dataclass(frozen=True, eq=False)
class SplitHalves:
    """Two refinements of one experiment.

    Attributes
    ----------
    kind
        How the data were split.
    results
        Of the halves.
    own
        (2, 3) root mean square residuals of each on its own reflections [mm, mm, rad].
    held_out
        (2, 3) of each on the other's.
    before
        (2, 3) of the models before, on each half.
    congruence, aligned
        Of the two detectors as they are, and without a common move; weighted by reflections.
        Panels that are held in either do not count.
    chi_squared
        Mean of the squared differences of the panels' six coordinates over their variances,
        from the covariances of the two: 1 where these are right.
    """

    kind: Halves
    results: tuple[RefinementResult, RefinementResult]
    own: F64
    held_out: F64
    before: F64
    congruence: Congruence
    aligned: Congruence
    chi_squared: float

    def sentences(self) -> tuple[str, ...]:
        """Report, line by line."""
        unit = np.array([1e3, 1e3, 1.0 / DEG])
        rows = []
        for k in (0, 1):
            a, b, c = (unit * rmsd[k] for rmsd in (self.own, self.held_out, self.before[::-1]))
            rows.append(
                f"half {k + 1} ({self.results[k].n_used} reflections): RMSD {_three(a)}; on the "
                f"other half, which it did not see, {_three(b)} (before: {_three(c)})"
            )
        return (
            *rows,
            f"congruence of the two detectors: {self.congruence.sentence()}",
            f"without a common move: {self.aligned.sentence()}",
            f"squared differences are {self.chi_squared:.2f} of what the uncertainties say",
        )

    def summary(self) -> dict[str, Any]:
        """JSON-ready figures."""
        halves = []
        for k, result in enumerate(self.results):
            row = {"n_used": result.n_used, "reason": result.trajectory.reason}
            # before, on the reflections that the held-out score is of: those of the other half
            scores = (("own", self.own[k]), ("held_out", self.held_out[k]),
                      ("held_out_before", self.before[1 - k]))  # fmt: skip
            halves.append(row | {name: _mm_and_deg(rmsd) for name, rmsd in scores})
        found = self.congruence
        return {
            "kind": self.kind,
            "halves": halves,
            "congruence": self.congruence.summary(),
            "aligned": self.aligned.summary(),
            "chi_squared": self.chi_squared,
            "panels": [
                {"panel": k, "weight": w, "offset_mm": offset, "turn_mrad": turn}
                for k, (w, offset, turn) in enumerate(
                    zip(found.weight.tolist(), found.offset.tolist(), found.turn.tolist(),
                        strict=True)
                )
            ],
        }  # fmt: skip


def _mm_and_deg(rmsd: F64) -> dict[str, Any]:
    return {"rmsd_mm": rmsd[:2].tolist(), "rmsd_deg": float(rmsd[2]) / DEG}


def _three(v: F64) -> str:
    return f"{v[0]:.2f} µm, {v[1]:.2f} µm, {v[2]:.4f}°"


def half_of(
    table: ReflectionTable, experiments: Sequence[Experiment], kind: Halves = "odd_even"
) -> NDArray[np.bool_]:
    """(n,) True for the reflections of the first half.

    Raises
    ------
    ConfigError
        Unknown kind; halves by phi of stills.
    """
    if kind not in get_args(Halves):
        raise ConfigError(f"halves {kind!r}: expected one of {', '.join(get_args(Halves))}")
    table.require("xyzobs.mm.value", "id", "panel")
    x, y, phi = np.asarray(table["xyzobs.mm.value"]).T
    if kind == "odd_even":
        order = np.lexsort((y, x, table["panel"], phi, table["id"]))  # the last key counts most
        odd = np.empty(len(table), dtype=bool)
        odd[order] = np.arange(len(table)) % 2 == 0
        return odd
    if any(e.is_still for e in experiments):
        raise ConfigError("halves phi: stills do not rotate; odd_even serves them")
    middle, sense = np.array([_middle(e) for e in experiments]).T
    ids = np.clip(np.asarray(table["id"]), 0, len(experiments) - 1)
    return np.asarray((phi - middle[ids]) * sense[ids] < 0.0)


def _middle(experiment: Experiment) -> tuple[float, float]:
    """Angle at the middle of the scan [rad]; 1 or -1: whether angles rise or fall."""
    assert experiment.scan is not None
    first, last = experiment.scan.image_range
    middle = float(experiment.scan.phi_of_frame(0.5 * (first - 1 + last)))
    return middle, float(np.sign(experiment.scan.width_rad))


def held_out(
    result: RefinementResult, table: ReflectionTable, rows: NDArray[np.intp], *, start: bool = False
) -> F64:
    """(3,) root mean square residuals [mm, mm, rad] of rows of a table under refined models.

    Parameters
    ----------
    result
        Refinement.
    table, rows
        Reflections, seen or not; their ``id`` and ``panel`` are those of the result's experiments.
    start
        Score the models as they were before.

    Raises
    ------
    ConfigError
        No reflection, or none that is predicted.
    """
    models = result.models
    observed = observations_of(table, models.experiments, rows, np.ones((len(rows), 3)))
    problem = RefinementProblem(models, observed)
    r = problem.residuals(problem.start if start else result.trajectory.x)
    good = np.isfinite(r).all(axis=1)
    if not good.any():
        raise ConfigError(f"none of {len(rows)} held-out reflections is predicted")
    return np.asarray(np.sqrt(np.mean(r[good] ** 2, axis=0)))


def split_halves(
    experiments: Sequence[Experiment],
    table: ReflectionTable,
    settings: RefineSettings | None = None,
    kind: Halves = "odd_even",
    *,
    progress: Callable[[int, F64], None] | None = None,
    threads: int | None = None,
) -> SplitHalves:
    """Refine two halves apart and compare them.

    Parameters
    ----------
    experiments, table, settings, progress, threads
        See :func:`refimpl.metrology.refine.refine`.
    kind
        How the data are split.

    Raises
    ------
    ConfigError
        Unknown kind, or what :func:`refine` refuses.
    FormatError
        A half has too few reflections.

    Examples
    --------
    >>> from refimpl import metrology
    >>> from refimpl.testing.rotation_case import rotation_case
    >>> case = rotation_case(n=2000)
    >>> settings = metrology.RefineSettings(fix=metrology.FixSettings(hierarchy_level=1))
    >>> found = metrology.split_halves(case.start, case.table, settings)
    >>> bool((found.held_out[:, :2] < 0.5 * found.before[::-1, :2]).all())
    True
    """
    first = half_of(table, experiments, kind)
    rows = [np.flatnonzero(first), np.flatnonzero(~first)]
    halves = [table.select(mine) for mine in rows]
    a, b = (
        refine(experiments, half, settings, progress=progress, threads=threads) for half in halves
    )
    own, other, before = np.empty((3, 2, 3))
    for k, (mine, its) in enumerate(((a, b), (b, a))):
        own[k] = held_out(mine, halves[k], mine.used)
        other[k] = held_out(mine, halves[1 - k], its.used)
        before[k] = held_out(mine, halves[k], mine.used, start=True)
    p = len(a.models.detectors[0].group_of)
    counts = np.array(
        [np.bincount(_panels(r, h), minlength=p) for r, h in zip((a, b), halves, strict=True)]
    )
    weight = counts.min(axis=0) * ~(_held(a) | _held(b))
    detectors = [r.experiments[0].detector for r in (a, b)]
    assert detectors[0] is not None
    assert detectors[1] is not None
    plain = congruence(detectors[0], detectors[1], weight)
    return SplitHalves(
        kind, (a, b), own, other, before, plain,
        congruence(detectors[0], detectors[1], weight, aligned=True),
        _chi_squared(a, b, plain),
    )  # fmt: skip


def _panels(result: RefinementResult, half: ReflectionTable) -> NDArray[np.int64]:
    """Panels of the used reflections on the first detector."""
    mine = np.asarray(result.models.of_detector[np.asarray(half["id"])[result.used]] == 0)
    return np.asarray(half["panel"])[result.used][mine].astype(np.int64)


def _held(result: RefinementResult) -> NDArray[np.bool_]:
    """(p,) panels whose group does not move."""
    detector, at = result.models.detectors[0], result.models.detector_at(0)
    free: NDArray[np.bool_] = np.any(result.models.free[at].reshape(-1, 6), axis=1)
    return ~np.asarray(free[detector.group_of])


def _chi_squared(a: RefinementResult, b: RefinementResult, found: Congruence) -> float:
    """Mean squared difference in units of its uncertainty, over panels that count.

    Crystal and beam of the halves err, too; that is in both covariances.
    """
    told = []
    for result in (a, b):
        full = result.models.initial.copy()
        full[result.models.free] = result.trajectory.x
        told.append(panel_uncertainties(result.models, full, result.trajectory.covariance))
    six = np.hstack([found.offset, found.turn])
    total, n = 0.0, 0
    for k in np.flatnonzero(found.weight > 0.0):
        both = told[0].covariance[k] + told[1].covariance[k]
        scale = np.sqrt(np.diag(both))
        if np.all(scale > 0.0):
            values, vectors = np.linalg.eigh(both / np.outer(scale, scale))
            good = values > 1e-9 * values[-1]  # not what is held or open in part
            along = vectors[:, good].T @ (six[k] / scale)
            total += float(np.sum(along**2 / values[good]))
            n += int(np.count_nonzero(good))
    return total / n if n else float("nan")
