"""Pseudo-Voigt fits: fits a second and distance to the Cramér-Rao bound, ours and the peers'.

    python benchmarks/peaks.py [--profiles 20000] [--update docs/benchmarks.md]

The task is that of a powder ring in one bin: 60 points with Poisson noise, a pseudo-Voigt of six
parameters on a linear background. Every code gets the same counts and, but for refimpl, which
finds its own, the same start from the data (not timed). Peers run where they are importable:
scipy always, lmfit if installed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from harness import measure
from page import Table, add_options, exponent, finish, seconds
from scipy.optimize import curve_fit

from refimpl.frames import F64
from refimpl.imaging.ring_peaks import fit_ring_peaks

POINTS = 60
SEED = 20260801
LN2_4 = 4.0 * np.log(2.0)
X = np.arange(POINTS) + 0.5
MIDDLE = 0.5 * POINTS
WINDOW = (0.0, float(POINTS))
ONES = np.ones(POINTS)


@dataclass(frozen=True, eq=False)
class Profiles:
    """Simulated profiles; every array has one row a profile."""

    truth: F64
    counts: F64
    start: F64
    bound: F64

    def head(self, n: int) -> Profiles:
        """Return the first n."""
        return Profiles(self.truth[:n], self.counts[:n], self.start[:n], self.bound[:n])

    def __len__(self) -> int:
        return len(self.counts)


def model(x: F64, centre: F64, height: F64, fwhm: F64, mixing: F64, level: F64, slope: F64) -> F64:
    u2 = ((x - centre) / fwhm) ** 2
    shape = mixing / (1.0 + 4.0 * u2) + (1.0 - mixing) * np.exp(-LN2_4 * u2)
    return level + slope * (x - MIDDLE) + height * shape


def derivatives(
    x: F64, centre: F64, height: F64, fwhm: F64, mixing: F64, level: F64, slope: F64
) -> F64:
    """(n, 6) derivatives of the model, for one profile."""
    u = (x - centre) / fwhm
    lorentz, gauss = 1.0 / (1.0 + 4.0 * u * u), np.exp(-LN2_4 * u * u)
    bend = mixing * 8.0 * lorentz**2 + (1.0 - mixing) * 2.0 * LN2_4 * gauss
    out = np.empty((len(x), 6))
    out[:, 0] = height * bend * u / fwhm
    out[:, 1] = mixing * lorentz + (1.0 - mixing) * gauss
    out[:, 2] = height * bend * u * u / fwhm
    out[:, 3] = height * (lorentz - gauss)
    out[:, 4], out[:, 5] = 1.0, x - MIDDLE
    return out


def simulate(n: int) -> Profiles:
    """Draw n profiles: crests of 300 to 3000 counts on a background of 50 to 200."""
    rng = np.random.Generator(np.random.PCG64(SEED))
    truth = np.column_stack(
        [
            MIDDLE + rng.uniform(-4.0, 4.0, n),
            np.exp(rng.uniform(np.log(300.0), np.log(3000.0), n)),
            rng.uniform(4.0, 8.0, n),
            rng.uniform(0.2, 0.8, n),
            rng.uniform(50.0, 200.0, n),
            rng.uniform(-0.5, 0.5, n),
        ]
    )
    expected = model(X[None, :], *(truth[:, k, None] for k in range(6)))
    counts = rng.poisson(expected).astype(np.float64)
    bound = np.empty(n)
    for i in range(n):  # Poisson: the information is sum (dm/dp)(dm/dp)^T / m
        j = derivatives(X, *truth[i])
        bound[i] = np.sqrt(np.linalg.inv((j / expected[i][:, None]).T @ j)[0, 0])
    edge = 0.5 * (counts[:, :6].mean(axis=1) + counts[:, -6:].mean(axis=1))
    best = np.argmax(counts, axis=1)
    start = np.column_stack(
        [X[best], counts.max(axis=1) - edge, np.full(n, 6.0), np.full(n, 0.5), edge, np.zeros(n)]
    )
    return Profiles(truth, counts, start, bound)


def ours(profiles: Profiles, threads: int, tolerance: float) -> F64:
    """(n,) centres, NaN where the fit says that it failed."""
    n = len(profiles)
    fit = fit_ring_peaks(
        np.tile(X, n),
        profiles.counts.reshape(-1),
        np.ones(n * POINTS),
        np.arange(n + 1) * POINTS,
        np.column_stack([np.full(n, MIDDLE), np.full(n, np.nan)]),
        np.tile(WINDOW, (n, 1)),
        np.full(n, 6.0),
        step_tolerance=tolerance,
        threads=threads,  # type: ignore[call-arg]
    )
    return np.where(fit[4] == 0, fit[0][:, 0], np.nan)


def scipy_lm(profiles: Profiles, analytic: bool) -> F64:
    centres = np.full(len(profiles), np.nan)
    jac = derivatives if analytic else None
    for i, (y, p0) in enumerate(zip(profiles.counts, profiles.start, strict=True)):
        try:
            sigma = np.sqrt(np.maximum(y, 1.0))
            centres[i] = curve_fit(model, X, y, p0=p0, sigma=sigma, jac=jac)[0][0]
        except RuntimeError:  # no convergence: counted as a failure
            continue
    return centres


def lmfit_model(profiles: Profiles) -> F64:
    from lmfit.models import LinearModel, PseudoVoigtModel

    composite = PseudoVoigtModel() + LinearModel()
    centres = np.full(len(profiles), np.nan)
    for i, (y, p0) in enumerate(zip(profiles.counts, profiles.start, strict=True)):
        parameters = composite.make_params(
            center=p0[0],
            amplitude=1.3 * p0[1] * p0[2],  # lmfit's amplitude is the area
            sigma=0.5 * p0[2],
            fraction=p0[3],
            intercept=p0[4],
            slope=0.0,
        )
        fit = composite.fit(y, parameters, x=X, weights=1.0 / np.sqrt(np.maximum(y, 1.0)))
        if fit.success:
            centres[i] = fit.params["center"].value
    return centres


def row(
    table: Table,
    name: str,
    profiles: Profiles,
    fit: Callable[[Profiles], F64],
    repeats: int,
    threads: int = 1,
) -> float | None:
    """Measure one code; CPU seconds, or None if the machine was not quiet."""
    kept: list[F64] = []

    def run() -> None:
        kept[:] = [fit(profiles)]

    taken = measure(run, repeats=repeats)
    error = kept[0] - profiles.truth[:, 0]
    failed = ~(np.abs(error) < profiles.truth[:, 2])  # NaN too
    good = error[~failed]
    n = len(profiles)
    table.add(
        name,
        n,
        threads,
        *(
            (f"{n / taken.median_s:,.0f}", f"{n / taken.cpu_s:,.0f}")
            if taken.quotable
            else ("–", "–")
        ),
        f"{np.sqrt(np.mean(good**2)):.4f}",
        f"{np.sqrt(np.mean(profiles.bound**2)):.4f}",
        f"{np.sqrt(np.mean((good / profiles.bound[~failed]) ** 2)):.3f}",
        int(np.count_nonzero(failed)),
        f"{taken.other_cores:.2f}",
        quiet=taken.quotable,
    )
    return taken.cpu_s if taken.quotable else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--profiles", type=int, default=20000, help="in the large set")
    parser.add_argument("--repeats", type=int, default=5)
    add_options(parser)
    options = parser.parse_args()
    large = simulate(options.profiles)
    small = large.head(400)
    table = Table(
        "Pseudo-Voigt fits, 60 points, 6 parameters, Poisson noise",
        "code", "profiles", "threads", "fits/s (wall)", "fits/s and core (CPU)",
        "rms centre error [points]", "Cramér-Rao bound [points]", "rms of error / bound",
        "failures", "other cores",
    )  # fmt: skip
    repeats = options.repeats
    for name, tolerance in (
        ("refimpl", 1e-6),
        ("refimpl, tolerance of a calibration (1e-4)", 1e-4),
    ):
        for profiles in (small, large):
            for threads in (1, 2):
                row(
                    table, name, profiles,
                    lambda p, t=threads, tol=tolerance: ours(p, t, tol), repeats, threads,
                )  # fmt: skip
    row(table, "scipy curve_fit, LM, analytic Jacobian", small, lambda p: scipy_lm(p, True), 5)
    row(table, "scipy curve_fit, LM, numeric Jacobian", small, lambda p: scipy_lm(p, False), 5)
    try:
        import lmfit
    except ImportError:
        table.note("lmfit: not importable here")
    else:
        row(table, f"lmfit {lmfit.__version__}", small, lmfit_model, 1)

    scaling = Table("Fits against their number", "profiles", "CPU", "µs a fit", "other cores")
    sizes = [n for n in (1250, 2500, 5000, 10000, 20000) if n <= len(large)]
    times: list[tuple[float, float]] = []
    for n in sizes:
        part = large.head(n)
        taken = measure(lambda part=part: ours(part, 1, 1e-6), repeats=repeats)
        scaling.add(
            n, seconds(taken.cpu_s) if taken.quotable else "–",
            f"{taken.cpu_s / n * 1e6:.2f}" if taken.quotable else "–", f"{taken.other_cores:.2f}",
            quiet=taken.quotable,
        )  # fmt: skip
        if taken.quotable:
            times.append((n, taken.cpu_s))
    scaling.note(exponent("CPU seconds", "profiles", times))
    return finish("peaks", [table, scaling], options)


if __name__ == "__main__":
    sys.exit(main())
