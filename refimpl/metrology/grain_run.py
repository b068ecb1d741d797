"""Panels and grains of a HEXRD instrument refined from picked spots, and scored grain by grain.

The published geometry is scored on the picks first: with the grains as published, and with the
twelve numbers of each grain fitted in it. Then chi, housings, panels with their displacement tables
and grains are fitted together; in cross-validation the same is done without each grain in turn,
whose own numbers are then fitted in what the others say of the panels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.detector.hierarchy import Hierarchy, Module
from refimpl.errors import ConfigError, FormatError
from refimpl.forward.experiment import Beam, Experiment, Goniometer
from refimpl.frames import F64
from refimpl.interop.hexrd_file import HexrdInstrument, read_hexrd
from refimpl.io.hexrd_picks import read_grain_table, read_picks
from refimpl.metrology.grain_problem import GrainProblem
from refimpl.metrology.grains import GrainFit, fit_grains, hold_out, near, only_grains
from refimpl.metrology.hexrd_grains import b_of_cell, problem_of_hexrd, read_stage
from refimpl.units import DEG

__all__ = ["GrainRefinement", "grain_names", "read_grain_problem", "refine_grains"]

SPREAD = (0.015, 0.010, 3e-3)
"""Of picked spots in x, y [mm] and omega [rad], to start from."""

GAUGE = "grain1.y_mm"
"""Where along the rotation axis everything is: held."""


@dataclass(frozen=True, eq=False)
class GrainRefinement:
    """Panels and grains, and what they are worth.

    Attributes
    ----------
    published
        (n, 3) residuals [mm, mm, rad] of the spots that count, geometry and grains as published.
    grains_only
        Grains fitted in the published geometry.
    fit
        Panels and grains.
    held_out
        A fit a grain, scored with panels from the others; empty without cross-validation.
    left_out
        Picks that are far off in the published geometry, and count for nobody.
    validated
        Whether every fit of the cross-validation ended by itself; True without one.
    """

    published: F64
    grains_only: GrainFit
    fit: GrainFit
    held_out: tuple[GrainFit, ...]
    left_out: int
    validated: bool = True

    def scores(self) -> dict[str, F64]:
        """(3,) root mean squares of x, y [mm], omega [rad] of each way to look at the spots."""
        out = {
            "published": _rms(self.published),
            "published_grains_fitted": self.grains_only.rmsd,
            "refined": self.fit.rmsd,
        }
        if self.held_out:
            out["held_out"] = _rms(np.concatenate([f.residuals for f in self.held_out]))
        return out

    def summary(self) -> dict[str, Any]:
        """JSON-ready figures."""
        fit, problem = self.fit.fit, self.fit.problem
        return {
            "n_spots": len(self.published),
            "n_left_out": self.left_out,
            "n_grains": len(problem.grains),
            "n_panels": len(problem.d),
            "n_parameters": len(fit.names),
            "converged": _ended(self.fit) and _ended(self.grains_only) and self.validated,
            "reason": fit.reason,
            "rmsd": {
                name: {"rmsd_mm": v[:2].tolist(), "rmsd_deg": float(v[2]) / DEG}
                for name, v in self.scores().items()
            },
            "spread": problem.sigma.tolist(),
            "prior_widths": problem.widths.tolist(),
            "undetermined": list(fit.undetermined),
            "parameters": [
                {"name": name, "value": value, "sigma": sigma}
                for name, value, sigma in zip(
                    fit.names, fit.x.tolist(), fit.sigma.tolist(), strict=True
                )
            ],
        }

    def experiment(self, instrument: HexrdInstrument) -> Experiment:
        """Refined panels with beam and rotation axis, in our frame; displacement tables are not in.

        Panels lie side by side in an image, since pictures of several detectors are several.
        """
        problem, x = self.fit.problem, self.fit.fit.x
        d, left, modules = problem.panels_at(x)[0], 0, []
        for panel in instrument.panels:
            n_slow, n_fast = panel.shape
            slow, fast = panel.pixel_size_mm
            modules.append(
                Module(
                    panel.name, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0),
                    (n_fast, n_slow), (fast, slow), raw_image_offset=(left, 0),
                )
            )  # fmt: skip
            left += n_fast
        return Experiment(
            beam=Beam(-problem.s0 / np.linalg.norm(problem.s0), instrument.wavelength_angstrom),
            detector=Hierarchy(tuple(modules)).with_d(d),
            goniometer=Goniometer(problem.setting(x) @ problem.axis),
        )


def _ended(fit: GrainFit) -> bool:
    """Whether a fit ended by itself, and its spreads and widths settled."""
    return fit.settled and not fit.fit.reason.startswith("stopped")


def _rms(residuals: F64) -> F64:
    return np.asarray(np.sqrt(np.mean(residuals**2, axis=0)))


def grain_names(folder: str | Path) -> tuple[str, ...]:
    """Names of the grains that a folder has picks of.

    Raises
    ------
    FormatError
        None.
    """
    found = sorted(p.name.removesuffix("_picks.npz") for p in Path(folder).glob("*_picks.npz"))
    if not found:
        raise FormatError("no file NAME_picks.npz in this folder", path=folder)
    return tuple(found)


def read_grain_problem(
    instrument: str | Path, picks: str | Path, grains: str | Path, cell: Sequence[float]
) -> tuple[GrainProblem, HexrdInstrument]:
    """Problem of HEXRD's files, and the instrument.

    Parameters
    ----------
    instrument
        YAML or JSON, with its oscillation stage.
    picks
        Folder with ``NAME_picks.npz`` and ``NAME_pick_hkls.npz``; grains in the order of names.
    grains
        Table of as many grains, ``grains.out`` or ``grain_params.npy``.
    cell
        (6,) of the unstrained crystal [angstrom, degrees].

    Raises
    ------
    FormatError
        A file is missing or not such a file.
    ConfigError
        The numbers of grains differ, or the cell is none.
    """
    own, (chi, housings) = read_hexrd(instrument), read_stage(instrument)
    names, rows = grain_names(picks), read_grain_table(grains)
    if len(rows) != len(names):
        raise ConfigError(
            f"{grains}: {len(rows)} grains where {picks} has picks of {len(names)}: "
            f"{', '.join(names)}"
        )
    a, b, c, *angles = (float(v) for v in cell)
    alpha, beta, gamma = (v * DEG for v in angles)
    with np.errstate(invalid="ignore", divide="ignore"):
        try:
            matrix = b_of_cell(a, b, c, alpha, beta, gamma)
        except np.linalg.LinAlgError:
            matrix = np.full((3, 3), np.nan)
    if not np.isfinite(matrix).all():
        raise ConfigError(f"cell {tuple(cell)}: there is no such cell")
    found = read_picks(picks, names, [p.name for p in own.panels])
    return problem_of_hexrd(own, found, rows, matrix, chi, housings, np.array(SPREAD)), own


def refine_grains(
    problem: GrainProblem,
    *,
    degree: int = 3,
    held: Iterable[str] = (),
    cross_validate: bool = False,
    limit: float = 6.0,
    progress: Callable[[str, float], None] | None = None,
) -> GrainRefinement:
    """Refine panels and grains.

    Parameters
    ----------
    problem
        Of :func:`read_grain_problem`, say.
    degree
        Total degree of each panel's displacement table; 0 for rigid panels.
    held
        Parameters that stay, see :func:`refimpl.metrology.grains.fit_grains`; where the first
        grain is along the axis always does.
    cross_validate
        Score each grain with panels from the others.
    limit
        Spots farther off in the published geometry count for nobody, in robust spreads.
    progress
        Called with what is done and the part of the work that is behind it.

    Raises
    ------
    ConfigError
        A degree below 0, a name that is no parameter's, fewer than two grains to cross-validate.
    """
    if degree < 0:
        raise ConfigError(f"degree {degree}: expected 0 or more", key="degree")
    n = len(problem.grains)
    if cross_validate and n < 2:
        raise ConfigError(f"cross-validation with {n} grain(s): expected two or more")
    tell = progress or (lambda _stage, _part: None)
    steps = 2.0 + n * cross_validate
    kept = near(only_grains(problem, range(n)).residuals, limit)
    some = replace(problem, spots=problem.spots.select(kept))
    tell("grains alone", 1.0 / steps)
    free, held = some.with_degree(degree), tuple(held)
    fit = fit_grains(free, held=[GAUGE, *held])
    tell("panels and grains", 2.0 / steps)
    scored: list[GrainFit] = []
    validated = True
    for g in range(n if cross_validate else 0):
        trained, own = hold_out(free, g, held=held)
        validated = validated and _ended(trained) and _ended(own)
        scored.append(own)
        tell(f"without grain {g + 1}", (3.0 + g) / steps)
    return GrainRefinement(
        published=some.residuals(np.zeros(len(some.names))),
        grains_only=only_grains(some, range(n)),
        fit=fit,
        held_out=tuple(scored),
        left_out=int(np.count_nonzero(~kept)),
        validated=validated,
    )
