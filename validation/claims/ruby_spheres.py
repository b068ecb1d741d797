"""Claims on three ruby spheres of HEXRD's example: our figures."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import ruby as page

from refimpl.metrology.grain_problem import GrainProblem
from refimpl.metrology.grains import fit_grains, hold_out, near, only_grains


@cache
def _published() -> tuple[GrainProblem, Any]:
    whole = page.problem("composite_fit_grains_grains.out")
    return whole, near(only_grains(whole, range(3)).residuals)


def _rms(residuals: Any) -> list[float]:
    """X and y [um], omega [mrad]."""
    return [float(v) * 1e3 for v in np.sqrt(np.mean(np.asarray(residuals) ** 2, axis=0))]


def counts() -> list[int]:
    """Picks and panels."""
    whole, _ = _published()
    return [len(whole.spots), len(whole.panel_names)]


@cache
def _held_out() -> list[float]:
    whole, kept = _published()
    some = replace(whole, spots=whole.spots.select(kept)).with_degree(page.OURS)
    return _rms(np.concatenate([hold_out(some, g)[1].residuals for g in range(3)]))


def held_out() -> list[float]:
    """RMSDs of each grain in panels that were fitted to the other two."""
    return list(_held_out())


@cache
def _fitted() -> Any:
    whole, kept = _published()
    some = replace(whole, spots=whole.spots.select(kept)).with_degree(page.OURS)
    return fit_grains(some, held=[page.GAUGE, *page.SCALE])


def normal_shift() -> float:
    """Mean shift of the two detectors along their normals, against published [um]."""
    fit = _fitted()
    at = [fit.fit.names.index(f"{b.name}.shift_normal_mm") for b in fit.problem.housings]
    return float(1e3 * fit.fit.x[at].mean())


def chi() -> float:
    """The stage's chi, against published [mrad]."""
    fit = _fitted()
    return float(1e3 * fit.fit.x[fit.fit.names.index("chi")])
