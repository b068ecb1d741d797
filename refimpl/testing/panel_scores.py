"""What a run over scenes with panels found: one row a scene, pooled over panels, as a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.forward.information import GEOMETRY
from refimpl.frames import F64
from refimpl.testing.panel_compare import QUANTITIES
from refimpl.testing.recovery import CONFIDENCE, chi_square_interval

__all__ = ["PanelRow", "Recovered", "report_panels", "row_line"]


@dataclass(frozen=True, eq=False)
class PanelRow:
    """Outcome of one scene.

    Attributes
    ----------
    scene
        Its name.
    error, sigma, bound
        (p, 9) of :data:`QUANTITIES`; NaN for hidden panels and where nothing was refined.
    spread
        (p, 9) fields as `error`: what the squared normalised errors of a quantity add up to is
        known to ``sqrt(2 * sum(spread))``, correlations between panels included.
    global_error, global_sigma, global_bound
        (5,) of :data:`~refimpl.forward.information.GEOMETRY`.
    chi_square, rank
        Of all compared panel parameters together: :math:`e^T C^+ e` and the rank of C.
    held
        Names of what was refined on other panels and is held on a panel that is not hidden.
    silent
        Hidden panels about which too much is said: see :func:`judge`.
    converged, seconds, note
        Whether it converged, CPU seconds, and why it failed.
    """

    scene: str
    error: F64
    sigma: F64
    bound: F64
    spread: F64
    global_error: F64
    global_sigma: F64
    global_bound: F64
    chi_square: float
    rank: int
    held: tuple[str, ...]
    silent: tuple[int, ...]
    converged: bool
    seconds: float
    note: str


@dataclass(frozen=True)
class Recovered:
    """Outcome of a run over scenes, one :class:`PanelRow` each."""

    rows: tuple[PanelRow, ...]

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the scenes that did not converge, with the reason."""
        return tuple(
            f"{r.scene}: {r.note or 'not converged'}" for r in self.rows if not r.converged
        )

    @property
    def silent(self) -> tuple[str, ...]:
        """Hidden panels that were invented, by scene."""
        return tuple(f"{r.scene}: panel {i}" for r in self.rows for i in r.silent)

    @property
    def quantities(self) -> tuple[str, ...]:
        """What at least one scene has of its panels."""
        seen = np.any([np.any(np.isfinite(r.error), axis=0) for r in self.rows], axis=0)
        return tuple(n for n, some in zip(QUANTITIES, seen, strict=True) if some)

    def stacked(self, name: str) -> F64:
        """(4, n): error, sigma, bound, spread of a quantity over all panels that have it."""
        k = QUANTITIES.index(name)
        tables = [np.stack([r.error, r.sigma, r.bound, r.spread])[:, :, k] for r in self.rows]
        out = np.concatenate(tables, axis=1)
        return np.asarray(out[:, np.isfinite(out[0])])

    def reduced_chi_square(self, name: str) -> tuple[float, float]:
        """Mean squared normalised error of a quantity over panels, and how well that is known.

        The errors of a scene's panels are correlated, which leaves the expectation at 1 and makes
        the scatter larger than that of so many independent ones.
        """
        error, sigma, _, spread = self.stacked(name)
        n = len(error)
        return float(np.mean((error / sigma) ** 2)), float(np.sqrt(2.0 * np.sum(spread)) / n)

    def pooled(self) -> tuple[float, int]:
        """Chi square of all panel parameters with their correlations, and degrees of freedom."""
        return sum(r.chi_square for r in self.rows), sum(r.rank for r in self.rows)

    def ratios(self, name: str) -> tuple[float, float]:
        """Root mean square of error over bound and of sigma over bound."""
        error, sigma, bound, _ = self.stacked(name)
        return _rms(error / bound), _rms(sigma / bound)

    def of_detector(self) -> dict[str, tuple[float, float, float]]:
        """Reduced chi square, error over bound, sigma over bound of the detector's parameters."""
        out = {}
        for k, name in enumerate(GEOMETRY):
            error, sigma, bound = (
                np.array([getattr(r, f"global_{what}")[k] for r in self.rows])
                for what in ("error", "sigma", "bound")
            )
            out[name] = (_rms(error / sigma) ** 2, _rms(error / bound), _rms(sigma / bound))
        return out


def _rms(values: F64) -> float:
    return float(np.sqrt(np.nanmean(values * values))) if np.any(np.isfinite(values)) else np.nan


def row_line(row: PanelRow) -> str:
    """Return one line of text about a scene."""
    if not np.any(np.isfinite(row.error)):
        return f"{row.scene:>10} FAILED {row.seconds:6.2f} s  {row.note}"
    with np.errstate(invalid="ignore"):
        z2 = np.array([_rms(v) ** 2 for v in (row.error / row.sigma).T])
        ratio = np.array([_rms(v) for v in (row.sigma / row.bound).T])
    some = np.isfinite(z2)
    words = [f"{n} {z2[k]:.2f} {ratio[k]:.2f}" for k, n in enumerate(QUANTITIES) if some[k]]
    verdict = "" if row.converged else "not converged"
    return (
        f"{row.scene:>10} {row.seconds:6.2f} s  chi2/dof {row.chi_square / max(row.rank, 1):5.2f}; "
        f"(error/sigma)^2, sigma/bound: {', '.join(words)}; held {len(row.held)} {verdict}"
    )


def report_panels(recovered: Recovered) -> str:
    """Table of what was found of the panels and of the detector, one quantity a line."""
    rows = [r for r in recovered.rows if r.rank]
    failed = [f"failed: {line}" for line in recovered.failed]
    if not rows:
        return "\n".join(["no scene was recovered", *failed])
    found = Recovered(tuple(rows))
    low, high = chi_square_interval(found.pooled()[1])
    chi2, dof = found.pooled()
    seconds = float(np.median([r.seconds for r in rows]))
    lines = [
        f"{sum(r.converged for r in recovered.rows)} of {len(recovered.rows)} scenes converged; "
        f"{seconds:.2f} CPU-s a scene (median); {sum(len(r.held) for r in rows)} parameters of "
        "seen panels held",
        f"all panel parameters: chi square / dof {chi2 / dof:.3f}, dof {dof}, {CONFIDENCE:.1%} "
        f"interval {low / dof:.3f} to {high / dof:.3f}",
        f"{'quantity':>14} {'panels':>7} {'chi2/dof':>9} {'known to':>9} {'error/bound':>12} "
        f"{'sigma/bound':>12} {'rms error':>10}",
    ]
    for name in found.quantities:
        mean, known = found.reduced_chi_square(name)
        error, sigma = found.ratios(name)
        values = found.stacked(name)[0]
        lines.append(
            f"{name:>14} {len(values):7d} {mean:9.3f} {known:9.3f} {error:12.3f} {sigma:12.3f} "
            f"{_rms(values):10.3g}"
        )
    for name, (mean, error, sigma) in found.of_detector().items():
        lines.append(f"{name:>14} {'':7} {mean:9.3f} {'':9} {error:12.3f} {sigma:12.3f}")
    silent = [f"invented: {line}" for line in recovered.silent]
    return "\n".join([*lines, *silent, *failed])
