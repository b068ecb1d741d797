"""Quantities of the kit about fitting: normal equations, LM trajectories, outlier rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from refimpl.frames import F64
from refimpl.objective.fast_mcd import fast_mcd, mcd
from refimpl.objective.least_squares import Normal, accumulate_normal, levenberg_marquardt
from refimpl.objective.outliers import sauter_poon, tukey
from refimpl.testing.conform_records import Array, Inputs, Output, Quantity, quantity, rng_of

__all__: list[str] = []

_SUMS = "sums in another order"


# --- normal equations -----------------------------------------------------------------------------


def _normal(**given: Any) -> Inputs:
    cost, gradient, hessian = accumulate_normal(
        given["residual"], given["jacobian"], given["weight"]
    )
    return {"cost": cost, "gradient": gradient, "hessian": hessian}


def _normal_cases() -> Iterator[tuple[str, Inputs]]:
    def one(rng: np.random.Generator, n: int, k: int) -> Inputs:
        return {
            "residual": rng.normal(size=n), "jacobian": rng.normal(size=(n, k)),
            "weight": rng.uniform(0.1, 3.0, n),
        }  # fmt: skip

    name = "normal_equations"
    yield "ordinary-0", one(rng_of(name, 1000), 40, 3)
    zero = one(rng_of(name, 1001), 20, 2)
    zero["weight"][::3] = 0.0
    yield "edge-no-weight", zero
    yield "edge-one-row", one(rng_of(name, 1002), 1, 3)
    yield "ordinary-several-chunks", one(rng_of(name, 1003), 300, 2)
    for k in range(3):
        yield f"random-{k:03d}", one(rng_of(name, k), 30, 4)


quantity(Quantity(
    "normal_equations", "cost, gradient and normal matrix of a linearised problem",
    "refimpl.objective.least_squares.accumulate_normal",
    (Array("residual", "1", "n", "r"), Array("jacobian", "1", "n,k", "J"),
     Array("weight", "1", "n", "W, diagonal")),
    (Output("cost", "1", "", "r^T W r", atol=1e-11, why=_SUMS),
     Output("gradient", "1", "k", "J^T W r", atol=1e-11, why=_SUMS),
     Output("hessian", "1", "k,k", "J^T W J", atol=1e-11, why=_SUMS)),
    _normal, _normal_cases,
))  # fmt: skip


# --- Levenberg-Marquardt --------------------------------------------------------------------------


def _linearised(given: Inputs, x: F64) -> Normal:
    t, y, weight = given["t"], given["y"], given["weight"]
    decay = np.exp(-x[1] * t)
    residual = x[0] * decay + x[2] - y
    jacobian = np.column_stack([decay, -x[0] * t * decay, np.ones_like(t)])
    cost, gradient, hessian = accumulate_normal(residual, jacobian, weight)
    return Normal(cost, gradient, hessian, len(t))


def _trajectory(**given: Any) -> Inputs:
    tried: list[F64] = []
    costs: list[float] = []

    def problem(x: F64) -> Normal:
        now = _linearised(given, x)
        tried.append(x.copy())
        costs.append(now.cost)
        return now

    bounds = {"lower": given["lower"], "upper": given["upper"]}
    n = int(given["evaluations"])
    names = ("a", "b", "c")
    levenberg_marquardt(problem, given["start"], names, max_evaluations=n, tolerance=0.0, **bounds)
    steps, cost = np.array(tried[:n]), np.array(costs[:n])
    found = levenberg_marquardt(lambda x: _linearised(given, x), given["start"], names, **bounds)
    return {"tried": steps, "cost": cost, "x": found.x, "sigma": found.sigma}


def _decay(rng: np.random.Generator, evaluations: int, start: tuple[float, ...]) -> Inputs:
    t = np.sort(rng.uniform(0.0, 4.0, 30))
    a, b, c = rng.uniform(3.0, 6.0), rng.uniform(0.6, 1.2), rng.uniform(0.5, 1.0)
    spread = rng.uniform(0.05, 0.15, 30)
    return {
        "t": t, "y": a * np.exp(-b * t) + c + rng.normal(0.0, spread), "weight": spread**-2,
        "start": np.array(start), "lower": np.array([-100.0, 0.0, -100.0]),
        "upper": np.array([100.0, 50.0, 100.0]), "evaluations": np.int64(evaluations),
    }  # fmt: skip


def _decay_cases() -> Iterator[tuple[str, Inputs]]:
    name = "lm_trajectory"
    yield "ordinary-near", _decay(rng_of(name, 1000), 5, (4.0, 1.0, 0.5))
    yield "ordinary-far", _decay(rng_of(name, 1001), 7, (1.0, 4.0, 3.0))
    # steps that raise the cost, so that the damping grows
    yield "edge-refused-steps", _decay(rng_of(name, 1002), 9, (0.05, 9.0, 6.0))
    bound = _decay(rng_of(name, 1003), 6, (2.0, 1.5, 2.0))
    bound["upper"] = np.array([100.0, 50.0, 0.4])
    yield "edge-on-bound", bound
    held = _decay(rng_of(name, 1004), 5, (2.0, 1.0, 0.7))
    held["lower"], held["upper"] = np.array([-9.0, 0.0, 0.7]), np.array([9.0, 9.0, 0.7])
    yield "edge-held", held
    for k in range(3):
        rng = rng_of(name, k)
        yield f"random-{k:03d}", _decay(rng, 6, (rng.uniform(1.0, 8.0), rng.uniform(0.3, 3.0), 1.0))


quantity(Quantity(
    "lm_trajectory", "points that Levenberg-Marquardt tries, and where it ends",
    "refimpl.objective.least_squares.levenberg_marquardt",
    (Array("t", "1", "n", "abscissa"), Array("y", "1", "n", "observed"),
     Array("weight", "1", "n", "1 / variance"), Array("start", "1", "3", "a, b, c"),
     Array("lower", "1", "3", "bounds"), Array("upper", "1", "3", "bounds; equal ones hold"),
     Array("evaluations", "1", "", "e, points to return, the start being the first", "i8")),
    (Output("tried", "1", "e,3", "points, in order", atol=1e-7, why="solving the normal equations"),
     Output("cost", "1", "e", "weighted sum of squares there", atol=1e-4, why="as the points"),
     Output("x", "1", "3", "where the fit ends", atol=1e-7, why="it stops at 1e-7 of a sigma"),
     Output("sigma", "1", "3", "square roots of the diagonal of the inverse normal matrix; 0 on a "
            "bound", atol=1e-7, why="as the points")),
    _trajectory, _decay_cases,
    "Model a exp(-b t) + c. The normal matrix is scaled to a unit diagonal, the damping added to "
    "it: 1e-3 at first; after a step that does not raise the cost a tenth (0 from 1e-9 down), "
    "after one that does ten times, at least 1e-3. A step is cut at the bounds; a parameter on a "
    "bound whose gradient pushes outwards is held.",
))  # fmt: skip


# --- outlier rules --------------------------------------------------------------------------------

_RESIDUALS = Array("residual", "1", "n,k", "residuals, a column each in its own unit")
_REJECTED = Output("rejected", "1", "n", "1 where rejected", "i8", compare="exact")


def _cloud(rng: np.random.Generator, n: int, k: int, outliers: int) -> F64:
    spread = rng.uniform(0.3, 2.0, (k, k))
    values = rng.normal(size=(n, k)) @ spread + rng.normal(size=k)
    values[:outliers] += rng.choice([-1.0, 1.0], (outliers, k)) * rng.uniform(
        8.0, 20.0, (outliers, k)
    )
    return values[rng.permutation(n)]


def _tukey(**given: Any) -> Inputs:
    multiplier = float(given["iqr_multiplier"])
    return {"rejected": tukey(given["residual"], iqr_multiplier=multiplier)}


def _tukey_cases() -> Iterator[tuple[str, Inputs]]:
    name = "outliers_tukey"

    def one(rng: np.random.Generator, n: int, multiplier: float, outliers: int = 4) -> Inputs:
        return {
            "residual": _cloud(rng, n, 2, outliers), "iqr_multiplier": np.float64(multiplier)
        }  # fmt: skip

    for j, n in enumerate((40, 41, 42, 43)):  # hinges of every remainder modulo 4
        yield f"ordinary-{n}-rows", one(rng_of(name, 1000 + j), n, 1.5)
    yield "ordinary-multiplier-2", one(rng_of(name, 1010), 60, 2.0)
    # hinges 1.5 and 7.5: the outermost values are on the fences, -7.5 and 16.5, and are kept
    fence = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 14.0, -7.5, 16.5])[:, None]
    yield "edge-on-the-fence", {"residual": fence, "iqr_multiplier": np.float64(1.5)}
    beyond = np.where(fence > 14.0, 16.5 + 1e-6, np.where(fence < 0.0, -7.5 - 1e-6, fence))
    yield "edge-beyond-the-fence", {"residual": beyond, "iqr_multiplier": np.float64(1.5)}
    yield "edge-one-row", one(rng_of(name, 1011), 1, 1.5, 0)
    for k in range(4):
        rng = rng_of(name, k)
        yield f"random-{k:03d}", one(rng, int(rng.integers(20, 60)), float(rng.uniform(0.5, 2.5)))


quantity(Quantity(
    "outliers_tukey", "Tukey's fences", "refimpl.objective.outliers.tukey",
    (_RESIDUALS, Array("iqr_multiplier", "1", "", "m")), (_REJECTED,), _tukey, _tukey_cases,
    "Outside Q1 - m (Q3 - Q1) or Q3 + m (Q3 - Q1) in any column; hinges as R's fivenum: medians "
    "of the halves, the median in both where n is odd. A value on the fence is kept.",
))  # fmt: skip


def _mcd(**given: Any) -> Inputs:
    found = fast_mcd(given["residual"], alpha=float(given["alpha"]))
    rejected = mcd(given["residual"], alpha=float(given["alpha"]))
    return {
        "rejected": rejected, "centre": found.centre, "raw_scatter": found.raw_scatter,
        "scatter": found.scatter,
    }  # fmt: skip


def _mcd_cases() -> Iterator[tuple[str, Inputs]]:
    name = "outliers_mcd"

    def one(rng: np.random.Generator, n: int, k: int, alpha: float, outliers: int) -> Inputs:
        return {"residual": _cloud(rng, n, k, outliers), "alpha": np.float64(alpha)}

    yield "ordinary-2-columns", one(rng_of(name, 1020), 50, 2, 0.5, 6)
    yield "ordinary-3-columns", one(rng_of(name, 1001), 60, 3, 0.5, 8)
    yield "ordinary-alpha", one(rng_of(name, 1002), 60, 2, 0.75, 6)
    yield "edge-no-outliers", one(rng_of(name, 1003), 40, 2, 0.5, 0)
    yield "edge-four-tenths", one(rng_of(name, 1004), 50, 2, 0.5, 20)
    for k in range(2):
        yield f"random-{k:03d}", one(rng_of(name, k), 45, 3, 0.5, 5)


_SUBSET = "the same rows, summed in another order"

quantity(Quantity(
    "outliers_mcd", "minimum covariance determinant", "refimpl.objective.fast_mcd.fast_mcd",
    (_RESIDUALS, Array("alpha", "1", "", "part of the rows that the estimate rests on")),
    (_REJECTED,
     Output("centre", "1", "k", "mean of the best subset", atol=1e-9, why=_SUBSET),
     Output("raw_scatter", "1", "k,k", "its covariance, divisor h - 1", atol=1e-9, why=_SUBSET),
     Output("scatter", "1", "k,k", "times both factors", atol=1e-9, why=_SUBSET)),
    _mcd, _mcd_cases,
    "h = floor(2 m - n + 2 (n - m) alpha), m = (n + k + 1) // 2 rows of smallest determinant; "
    "consistency factor of Croux and Haesbroeck, finite-sample factor of Pison et al.; rejected "
    "beyond the 0.975 quantile of chi-square with k degrees of freedom.",
))  # fmt: skip


def _sauter_poon(**given: Any) -> Inputs:
    return {"rejected": sauter_poon(given["residual_mm"])}


def _sauter_poon_cases() -> Iterator[tuple[str, Inputs]]:
    name = "outliers_sauter_poon"

    def one(rng: np.random.Generator, n: int, outliers: int) -> Inputs:
        r = rng.normal(0.0, 0.03, (n, 2))
        r[:outliers] *= rng.uniform(4.0, 9.0, (outliers, 1))
        return {"residual_mm": r[rng.permutation(n)]}

    yield "ordinary-0", one(rng_of(name, 1000), 120, 10)
    yield "edge-no-outliers", one(rng_of(name, 1001), 80, 0)
    yield "edge-few-points", one(rng_of(name, 1002), 9, 2)
    yield "edge-many-outliers", one(rng_of(name, 1003), 100, 45)
    for k in range(4):
        yield f"random-{k:03d}", one(rng_of(name, k), 100, 12)


quantity(Quantity(
    "outliers_sauter_poon", "the tail that leaves a Rayleigh distribution",
    "refimpl.objective.outliers.sauter_poon",
    (Array("residual_mm", "mm", "n,2", "residuals in x and y"),), (_REJECTED,), _sauter_poon,
    _sauter_poon_cases,
    "Sigma fitted to the cumulative curve of the smallest 0.4 of the radii; the fitted curve is "
    "walked in 500 steps of 0.002 mm, as the published program does.",
))  # fmt: skip
