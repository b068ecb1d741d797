"""Pseudo-Voigt fits: fits a second and distance to the Cramér-Rao bound, ours and the peers'.

    python benchmarks/peaks.py [--peer-python PYTHON] [--update docs/benchmarks.md]

The task is that of a powder ring in one bin: 60 points with Poisson noise, a pseudo-Voigt of six
parameters on a linear background. Every code gets the same counts and, but for refimpl, which
finds its own, the same start from the data (not timed). scipy runs in this interpreter, lmfit in
the one that ``--peer-python`` names, or in this one if it has lmfit.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from harness import Timing, measure, peer
from page import Table, add_options, exponent, finish, seconds
from scipy.optimize import curve_fit

from refimpl.frames import F64
from refimpl.imaging.ring_peaks import fit_ring_peaks

POINTS = 60
SEED = 20260801
LEAST_FITS = 100_000
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


def row(
    table: Table,
    name: str,
    profiles: Profiles,
    fit: Callable[[Profiles], F64],
    repeats: int,
    threads: int = 1,
) -> Timing:
    """Measure one code of this interpreter."""
    kept: list[F64] = [np.empty(0)]
    taken = measure(lambda: kept.__setitem__(0, fit(profiles)), repeats)
    add(table, name, profiles, kept[0], taken, threads)
    return taken


def add(
    table: Table, name: str, profiles: Profiles, centres: F64, taken: Timing, threads: int
) -> None:
    """Judge the centres and add a row; a failure is a centre more than its width away, or none."""
    error = centres - profiles.truth[:, 0]
    failed = ~(np.abs(error) < profiles.truth[:, 2])  # NaN too
    good, n = error[~failed], len(profiles)
    table.add(
        name,
        n,
        threads,
        f"{n / taken.median_s:,.0f}" if taken.quotable else "–",
        f"{n / taken.cpu_s:,.0f}" if taken.quotable else "–",
        f"{np.sqrt(np.mean(good**2)):.4f}",
        f"{np.sqrt(np.mean(profiles.bound**2)):.4f}",
        f"{np.sqrt(np.mean((good / profiles.bound[~failed]) ** 2)):.3f}",
        int(np.count_nonzero(failed)),
        f"{taken.other_cores:.2f}",
        quiet=taken.quotable,
    )


def every_code(small: Profiles, large: Profiles, repeats: int, python: str | None) -> Table:
    """Ours on one and two threads, scipy here, lmfit here or in another interpreter."""
    table = Table(
        "Pseudo-Voigt fits, 60 points, 6 parameters, Poisson noise",
        "code", "profiles", "threads", "fits/s (wall)", "fits/s and core (CPU)",
        "rms centre error [points]", "Cramér-Rao bound [points]", "rms of error / bound",
        "failures", "other cores",
    )  # fmt: skip
    best = 0.0
    for name, tolerance in (("refimpl", 1e-6), ("refimpl, tolerance as in a calibration", 1e-4)):
        for profiles in (small, large):
            for threads in (1, 2):
                fit = partial(ours, threads=threads, tolerance=tolerance)
                taken = row(table, name, profiles, fit, repeats, threads)
                if taken.quotable and tolerance == 1e-6 and profiles is large and threads == 1:
                    best = len(large) / taken.cpu_s
    verdict = "not judged, the machine was busy"
    if best:
        verdict = "met" if best >= LEAST_FITS else "MISSED"
    table.note(f"At least {LEAST_FITS:,} fits a second and core: {verdict}.")
    for word, analytic in (("analytic", True), ("numeric", False)):
        name = f"scipy curve_fit, LM, {word} Jacobian"
        row(table, name, small, partial(scipy_lm, analytic=analytic), repeats)
    request = {"counts": small.counts.tolist(), "start": small.start.tolist()}
    answer = peer(Path(__file__).parent / "peers" / "lmfit_fits.py", request, python=python)
    if "error" in answer:
        table.note(f"lmfit: {answer['error']}")
    else:
        centres, taken = np.array(answer["centres"], dtype=float), answer["timings"]["fits"]
        add(table, f"lmfit {answer['version']}", small, centres, taken, 1)
    return table


def by_number(large: Profiles, repeats: int) -> Table:
    """Cost against the number of profiles."""
    table = Table("Fits against their number, 1 thread", "profiles", "CPU", "µs a fit", "other")
    points: list[tuple[float, float]] = []
    for n in (n for n in (1250, 2500, 5000, 10000, 20000) if n <= len(large)):
        taken = measure(partial(ours, large.head(n), 1, 1e-6), repeats)
        quiet = taken.quotable
        table.add(
            n,
            seconds(taken.cpu_s) if quiet else "–",
            f"{taken.cpu_s / n * 1e6:.2f}" if quiet else "–",
            f"{taken.other_cores:.2f}",
            quiet=quiet,
        )
        if quiet:
            points.append((n, taken.cpu_s))
    table.note(exponent("CPU seconds", "profiles", points))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--profiles", type=int, default=20000, help="in the large set")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peer-python", help="interpreter that can import lmfit")
    add_options(parser)
    options = parser.parse_args()
    large = simulate(options.profiles)
    tables = [
        every_code(large.head(400), large, options.repeats, options.peer_python),
        by_number(large, options.repeats),
    ]
    return finish("peaks", tables, options)


if __name__ == "__main__":
    sys.exit(main())
