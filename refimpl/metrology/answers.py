"""What a refinement says beside its values: uncertainties of the panels, and its weak modes."""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.metrology.constraints import TiedProblem
from refimpl.metrology.observations import observations_of
from refimpl.metrology.problem import RefinementProblem
from refimpl.metrology.restraints import RestrainedProblem
from refimpl.metrology.result import RefinementResult
from refimpl.metrology.selection import observation_weights
from refimpl.metrology.weak_modes import (
    PANEL_MOVES,
    PanelUncertainty,
    WeakModes,
    panel_uncertainties,
    weak_modes,
)

__all__ = ["panel_uncertainties_of", "problem_of", "told", "weak_modes_of"]


def problem_of(result: RefinementResult, *, threads: int | None = None) -> RefinementProblem:
    """Problem that a refinement solved, of the reflections that it used, with its restraints.

    Parameters
    ----------
    result
        Refinement.
    threads
        See :func:`refimpl.dispatch.resolve_threads`.
    """
    still = result.experiments[0].is_still
    weight = observation_weights(
        result.table.select(result.used), still=still, angle_weight=result.settings.delpsi_constant
    )
    observed = observations_of(result.table, result.models.experiments, result.used, weight)
    targets = result.settings.cell_targets
    if targets:
        return RestrainedProblem(result.models, observed, threads, targets)
    return RefinementProblem(result.models, observed, threads)


def weak_modes_of(result: RefinementResult, n: int = 5, *, threads: int | None = None) -> WeakModes:
    """Combinations of parameters that a refinement knows worst, at its end.

    Parameters that shift together are one here.

    Parameters
    ----------
    result, threads
        See :func:`problem_of`.
    n
        How many modes, weakest first.

    Raises
    ------
    ConfigError
        No parameter is seen by any reflection.

    Examples
    --------
    >>> from refimpl import metrology
    >>> from refimpl.testing.rotation_case import rotation_case
    >>> case = rotation_case(n=600)
    >>> result = metrology.refine(case.start, case.table)
    >>> print(metrology.weak_modes_of(result, 1).modes[0].sentence)
    mode 1 (eigenvalue ...): ...
    """
    problem, x = problem_of(result, threads=threads), result.trajectory.x
    if not result.settings.constraints:
        return weak_modes(problem, x, n)
    tied = TiedProblem(problem, result.settings.constraints)
    y = np.linalg.lstsq(tied.matrix, x - tied.origin, rcond=None)[0] + tied.start
    return weak_modes(tied, y, n)


def panel_uncertainties_of(result: RefinementResult) -> PanelUncertainty:
    """How well each panel of the first detector stands after a refinement, in its gauge.

    In a gauge other than the published one these are the uncertainties within the detector.
    """
    models = result.models
    full = models.initial.copy()
    full[models.free] = result.trajectory.x
    detector = models.detectors[0]
    mine = models.of_detector[np.asarray(result.table["id"])[result.used]] == 0
    panels = np.asarray(result.table["panel"])[result.used][mine].astype(np.int64)
    counts = np.bincount(panels, minlength=len(detector.group_of))
    covariance = result.trajectory.covariance if result.gauge is None else result.gauge
    return panel_uncertainties(models, full, covariance, counts)


def told(result: RefinementResult, *, modes: int = 0, threads: int | None = None) -> dict[str, Any]:
    """JSON-ready: uncertainties of panels and, where asked for, weak modes.

    Parameters
    ----------
    result, threads
        See :func:`problem_of`.
    modes
        How many weak modes.

    Returns
    -------
    dict
        ``panels`` (uncertainties of centre [mm] and rotation [mrad] along fast, slow and normal, in
        the gauge of the settings; None where held), ``weak_modes`` with ``modes``.
    """
    own = panel_uncertainties_of(result)
    out: dict[str, Any] = {
        "panels": [
            {"panel": k, "n": int(n), "sigma": _finite(dict(zip(PANEL_MOVES, row, strict=True)))}
            for k, (n, row) in enumerate(zip(own.n, own.sigma.tolist(), strict=True))
        ],
    }
    if modes:
        weak = weak_modes_of(result, modes, threads=threads)
        out["weak_modes"] = {
            "condition": weak.condition,
            "unseen": list(weak.unseen),
            "sentences": list(weak.sentences()),
            "modes": [
                {"eigenvalue": m.eigenvalue, "weights": dict(zip(m.names, m.weights, strict=True)),
                 "sentence": m.sentence}
                for m in weak.modes
            ],
        }  # fmt: skip
    return out


def _finite(row: dict[str, float]) -> dict[str, float] | None:
    return row if np.isfinite(list(row.values())).all() else None
