"""Three ruby spheres on two Dexela 2923: published panels and grains against ours, held out.

    python validation/ruby.py [--update docs/validation/ruby.md]

734 picked spots on eight sub-panels (set ``ff-ruby-dexela-hexrd``). Tables in Markdown.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pages import run, table

from refimpl import data
from refimpl.interop.hexrd import read_hexrd
from refimpl.io.hexrd_picks import read_grain_table, read_picks
from refimpl.metrology.grain_models import MOVE_FIELDS, Body
from refimpl.metrology.grain_problem import GrainProblem
from refimpl.metrology.grains import GrainFit, fit_grains, hold_out, near, only_grains
from refimpl.metrology.hexrd_grains import as_tiled, b_of_cell, problem_of_hexrd, read_stage

SET, PIXEL_MM = "ff-ruby-dexela-hexrd", 0.0748
DEGREES, OURS = (0, 1, 2, 3, 4, 6), 3
GAUGE = "grain1.y_mm"
SCALE = [f"grain1.stretch_{i}{i}" for i in (1, 2, 3)]
Rows = list[list[str]]


def problem(grains: str) -> GrainProblem:
    """Published geometry with the grains of a file."""
    file = data.path(f"{SET}/picks/dual_dexelas_composite.yml")
    instrument, (chi, groups) = read_hexrd(file), read_stage(file)
    names = [p.name for p in instrument.panels]
    picks = read_picks(file.parent, ["grain1", "grain2", "grain3"], names)
    ruby = b_of_cell(4.7608, 4.7608, 12.99568, np.pi / 2, np.pi / 2, 2 * np.pi / 3)
    rows = read_grain_table(data.path(f"{SET}/{grains}"))
    start = np.array([0.015, 0.010, 3e-3])
    return problem_of_hexrd(instrument, picks, rows, ruby, chi, groups, start)


def score(residuals: np.ndarray) -> list[str]:
    """RMSD in x and y [um, px] and omega [mrad, degrees]; median distance in x and y."""
    x, y, omega = np.sqrt(np.mean(residuals**2, axis=0))
    medians = 1e3 * np.median(np.abs(residuals[:, :2]), axis=0)
    return [
        str(len(residuals)), f"{1e3 * x:.2f}", f"{1e3 * y:.2f}", f"{x / PIXEL_MM:.4f}",
        f"{y / PIXEL_MM:.4f}", f"{1e3 * omega:.3f}", f"{np.degrees(omega):.4f}",
        f"{medians[0]:.2f}, {medians[1]:.2f}",
    ]  # fmt: skip


SCORE = (
    "n", "x [µm]", "y [µm]", "x [px]", "y [px]", "ω [mrad]", "ω [°]", "median dist. x, y [µm]"
)  # fmt: skip


def held_out(p: GrainProblem) -> list[GrainFit]:
    """Each grain in the panels of the other two."""
    return [hold_out(p, g)[1] for g in range(len(p.grains))]


def scores(published: GrainProblem, params: GrainProblem, kept: np.ndarray) -> list[str]:
    """The two tables of RMSDs: pooled, and grain by grain."""
    zero = np.zeros(len(published.names))
    all_ = published.residuals(zero)
    some = replace(published, spots=published.spots.select(kept))
    own = only_grains(some, range(3))
    rows = [
        ["published, grains of `composite_fit_grains_grains.out`, all picks", *score(all_)],
        ["published, grains of `grain_params.npy`, all picks", *score(params.residuals(zero))],
        ["published, grains as published", *score(all_[kept])],
        ["published, grains fitted to their spots", *score(own.residuals)],
    ]
    for degree in DEGREES:
        fits = held_out(some.with_degree(degree))
        what = f"tables of degree {degree}" if degree else "rigid sub-panels"
        rows.append(
            [f"**ours, held out**, {what}", *score(np.concatenate([f.residuals for f in fits]))]
        )
        if degree == OURS:
            best = fits
    whole = as_tiled(some, read_hexrd(data.path(f"{SET}/dexelas_id3a_20200130.yml")))
    rows.append(
        ["undivided detectors, grains fitted", *score(only_grains(whole, range(3)).residuals)]
    )
    parts = [f.residuals for f in held_out(whole.with_degree(OURS))]
    what = f"**ours, held out**, degree {OURS}, from the undivided detectors"
    rows.append([what, *score(np.concatenate(parts))])
    inside = fit_grains(some.with_degree(OURS), held=[GAUGE])
    rows.append([f"ours, not held out, degree {OURS}", *score(inside.residuals)])
    by_grain = []
    for g, fit in enumerate(best):
        mine = some.spots.grain == g
        by_grain.append([f"grain {g + 1}", "as published", *score(all_[kept][mine])])
        by_grain.append(["", "published panels, grain fitted", *score(own.residuals[mine])])
        by_grain.append(["", "ours, held out", *score(fit.residuals)])
    return [table(["panels and grains", *SCORE], rows), table(["", "", *SCORE], by_grain)]


def neighbours(p: GrainProblem) -> str:
    """Correlation of residuals of spots of different grains, by their distance on a panel."""
    fit = only_grains(p, range(3))
    r, s = fit.residuals, p.spots
    away = np.linalg.norm(s.xyo[:, None, :2] - s.xyo[None, :, :2], axis=2)
    away[(s.grain[:, None] == s.grain) | (s.panel[:, None] != s.panel)] = np.inf
    rows = []
    for low, high in ((0, 3), (3, 6), (6, 12), (12, 25), (25, 50)):
        i, j = np.nonzero((away >= low) & (away < high))
        c = np.mean(r[i, :2] * r[j, :2], axis=0) / np.mean(r[:, :2] ** 2, axis=0)
        rows.append([f"{low} to {high}", str(len(i) // 2), f"{c[0]:.2f}", f"{c[1]:.2f}"])
    return table(["distance [mm]", "pairs", "x", "y"], rows)


def panels(p: GrainProblem) -> str:
    """Where the eight panels are, against published, with uncertainties."""
    fit = fit_grains(p.with_degree(OURS), held=[GAUGE, *SCALE])
    q, x = fit.problem, fit.fit.x
    rows = []
    for i, name in enumerate(q.panel_names):
        body = Body.of_panels(name, (i,), q.d, q.size_mm)

        def effective(x: np.ndarray, i: int = i, body: Body = body) -> np.ndarray:
            """Six moves that take the published panel to where it is at x; turns to first order."""
            d = q.panels_at(x)[0][i]
            f, s = d[:, 0], d[:, 1]
            turn = body.axes.T @ np.stack([f, s, np.cross(f, s)], axis=1)
            skew = 0.5 * (turn - turn.T)
            centre = d @ np.array([*(0.5 * q.size_mm[i]), 1.0]) - body.pivot_mm
            return np.array([*(body.axes.T @ centre), skew[2, 1], skew[0, 2], skew[1, 0]])

        at = np.concatenate(
            [np.arange(1, q.first_grain), q.border + i * len(q.kinds) + np.arange(6)]
        )
        by = np.zeros((6, len(at)))
        for k, j in enumerate(at):
            step = np.zeros(len(x))
            step[j] = 1e-5
            by[:, k] = (effective(x + step) - effective(x - step)) / 2e-5
        sigma = np.sqrt(np.diag(by @ fit.fit.covariance[np.ix_(at, at)] @ by.T))
        count = np.count_nonzero(q.spots.panel == i)
        values = zip(effective(x), sigma, strict=True)
        rows.append([name, str(count), *(f"{1e3 * v:.1f} ± {1e3 * s:.1f}" for v, s in values)])
    heads = [f.replace("_mm", "").replace("_", " ") for f in MOVE_FIELDS]
    units = ["µm"] * 3 + ["mrad"] * 3
    return table(
        ["panel", "spots", *(f"{h} [{u}]" for h, u in zip(heads, units, strict=True))], rows
    )


def determined(p: GrainProblem) -> str:
    """What the data determine poorly: distance against the grains' cell, and omega against all."""
    shear = [f"grain{g}.stretch_{k}" for g in (1, 2, 3) for k in ("23", "13", "12")]
    every = [f"grain{g}.stretch_{i}{i}" for g in (1, 2, 3) for i in (1, 2, 3)]
    rows = []
    for what, held in (
        ("twelve of each grain", []),
        ("first grain's stretches along x, y, z held at published", SCALE),
        ("all stretches held at published", every + shear),
    ):
        fit = fit_grains(p.with_degree(OURS), held=[GAUGE, *held])
        q, names = fit.problem, fit.fit.names
        at = [names.index(f"{b.name}.shift_normal_mm") for b in q.housings]
        mean = np.sqrt(fit.fit.covariance[np.ix_(at, at)].mean())
        chi = names.index("chi")
        stretch = fit.fit.x[[names.index(n) for n in every]].mean()
        rows.append([
            what, f"{1e3 * fit.fit.x[at].mean():.0f} ± {1e3 * mean:.0f}", f"{1e3 * stretch:.2f}",
            f"{1e3 * fit.fit.x[chi]:.2f} ± {1e3 * fit.fit.sigma[chi]:.2f}",
            f"{fit.fit.condition:.1e}", ", ".join(fit.fit.undetermined) or "none",
            *(f"{1e3 * v:.2f}" for v in fit.rmsd[:2]), f"{1e3 * fit.rmsd[2]:.3f}",
        ])  # fmt: skip
    head = ["grains", "mean normal shift [µm]", "mean stretch [10⁻³]", "chi [mrad]", "condition"]
    return table([*head, "undetermined", "x [µm]", "y [µm]", "ω [mrad]"], rows)


def parts() -> list[str]:
    """Everything on the page."""
    published, params = (
        problem("composite_fit_grains_grains.out"),
        problem("picks/grain_params.npy"),
    )
    kept = near(only_grains(published, range(3)).residuals)
    some = replace(published, spots=published.spots.select(kept))
    frames = params.residuals(np.zeros(len(params.names)))[:, 2] / np.radians(0.25)
    whole = int(np.count_nonzero(np.abs(frames - np.rint(frames)) < 1e-6))
    pooled, by_grain = scores(published, params, kept)
    return [
        "### RMSD, pooled", pooled, "### Grain by grain", by_grain,
        "### Residuals of different grains at neighbouring places, published panels",
        neighbours(some), "### What is determined", determined(some),
        "### Panels against published, from all three grains, scale held", panels(some),
        f"Picked omegas that are those of `grain_params.npy` plus whole frames: {whole} of "
        f"{len(frames)}.",
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(run("ruby", __doc__.splitlines()[0], f"{SET}/picks/grain_params.npy", parts))
