"""Tables and texts of the report of a refinement; the figures are elsewhere."""

from __future__ import annotations

import numpy as np

from refimpl.frames import F64
from refimpl.report import page
from refimpl.report.metrology_view import MetrologyView
from refimpl.report.numbers import NOTHING, count, with_uncertainty

__all__ = ["checks", "listing", "panel_table", "parameter_table", "tiles", "top"]

_WORDS = {"good": "good", "look": "look here", "bad": "bad"}
_MOVE_HEADS = (
    "fast (µm)", "slow (µm)", "away (µm)", "tilt fast (mrad)", "tilt slow (mrad)", "turn (mrad)",
)  # fmt: skip
_MANY_OUTLIERS = 0.1
_LEFT_PX, _SURE = 0.05, 5.0
"""Mean residual of a panel [px], and its size over its standard error, that is worth a look."""


def _rms(residuals: F64) -> F64:
    return np.asarray(np.sqrt(np.mean(residuals**2, axis=0)))


def findings(view: MetrologyView) -> list[tuple[str, str, str]]:
    """Level, title and text of each check."""
    get, out = view.numbers.get, []
    before, after = _rms(view.before), _rms(view.after)
    if "converged" in view.numbers:
        level = "good" if get("converged") else "bad"
        out.append((level, "Convergence", f"{get('reason')} after {get('steps')} steps"))
    drop = 100.0 * (1.0 - np.hypot(*after[:2]) / max(np.hypot(*before[:2]), 1e-300))
    out.append(
        (
            "good" if drop >= 0.0 else "look", "Residuals",
            f"positions from {np.hypot(*before[:2]):.4f} px to {np.hypot(*after[:2]):.4f} px "
            f"({drop:.1f} % lower), angle from {before[2]:.5f}° to {after[2]:.5f}°",
        )
    )  # fmt: skip
    if get("n_outliers") is not None:
        share = get("n_outliers", 0) / max(get("n_accepted", 0), 1)
        level = "good" if share < _MANY_OUTLIERS else "look"
        out.append(
            (level, "Outliers", f"{count(get('n_outliers', 0))} rejected, {100.0 * share:.1f} %")
        )
    reduced = list(get("reduced", ()))
    if reduced:
        out.append(
            ("look", "Too few reflections",
             f"{len(reduced)} models are held: {'; '.join(reduced[:3])}"
             f"{' and others' if len(reduced) > 3 else ''}")
        )  # fmt: skip
    if loose := list(get("undetermined", ())):
        out.append(("bad", "Not determined", f"the data say nothing of {', '.join(loose[:6])}"))
    out.append(_systematic(view))
    return out


def _systematic(view: MetrologyView) -> tuple[str, str, str]:
    """Panels whose mean residual is left over after the fit."""
    mean, rms = view.by_panel(view.after)
    n = np.maximum(view.counts, 1)
    spread = np.sqrt(np.maximum(rms[:, :2] ** 2 - mean[:, :2] ** 2, 1e-30) / n[:, None])
    left = np.any((np.abs(mean[:, :2]) > _LEFT_PX) & (np.abs(mean[:, :2]) > _SURE * spread), axis=1)
    if not left.any():
        return ("good", "What is left", f"no panel is off by more than {_LEFT_PX:g} px on average")
    names = ", ".join(str(k) for k in np.flatnonzero(left)[:8])
    return (
        "look", "What is left",
        f"{int(left.sum())} panels are still off by more than {_LEFT_PX:g} px on average ({names})"
        ": refine a deeper level of the hierarchy, or look for bad pixels",
    )  # fmt: skip


def top(view: MetrologyView) -> str:
    """Title, and the verdict in words."""
    levels = [level for level, _, _ in findings(view)]
    level = "bad" if "bad" in levels else "look" if "look" in levels else "good"
    words = {"good": "Good", "look": "Done, with remarks", "bad": "Not to be trusted yet"}[level]
    before, after = _rms(view.before), _rms(view.after)
    text = (
        f"RMSD x {before[0]:.4f} → {after[0]:.4f} px, y {before[1]:.4f} → {after[1]:.4f} px, "
        f"angle {before[2]:.5f}° → {after[2]:.5f}°, on {count(len(view))} reflections."
    )
    return (
        '<header class="top"><p class="kind">Refinement of crystal, beam and detector</p>\n'
        f'<h1>{page.text(view.title)}</h1>\n<p class="verdict {level}">'
        f"<strong>{page.text(words)}</strong>{page.text(text)}</p></header>\n"
    )


def tiles(view: MetrologyView) -> str:
    """Numbers that everybody asks for first."""
    get = view.numbers.get
    before, after = _rms(view.before), _rms(view.after)
    moved = np.flatnonzero(~view.held)
    size = np.linalg.norm(view.moves[moved, :2], axis=1)
    return page.tiles(
        [
            ("RMSD x (px)", f"{after[0]:.4f}", f"was {before[0]:.4f}"),
            ("RMSD y (px)", f"{after[1]:.4f}", f"was {before[1]:.4f}"),
            ("RMSD angle (°)", f"{after[2]:.5f}", f"was {before[2]:.5f}"),
            ("Reflections used", count(get("n_used", len(view))), _of(view)),
            ("Parameters", _or_nothing(get("n_parameters")), str(get("reason", ""))),
            (
                "Panels moved", count(len(moved)) if size.any() else "0",
                f"of {count(view.n_panels)}; {int(np.count_nonzero(view.counts))} have reflections",
            ),
            (
                "Shift in the plane (µm)", f"{np.median(size):.1f}" if size.size else NOTHING,
                f"median; largest {size.max():.1f}" if size.size else "",
            ),
            ("Objective", _objective(view), "half the weighted sum of squares"),
        ]
    )  # fmt: skip


def _of(view: MetrologyView) -> str:
    outliers = view.numbers.get("n_outliers")
    return "" if outliers is None else f"{count(outliers)} rejected as outliers"


def _or_nothing(value: object) -> str:
    return NOTHING if value is None else str(value)


def _objective(view: MetrologyView) -> str:
    return f"{view.objective[-1]:.2f}" if len(view.objective) else NOTHING


def checks(view: MetrologyView) -> str:
    """Checks with their outcome."""
    rows = [(page.badge(level, _WORDS[level]), name, text) for level, name, text in findings(view)]
    return page.table(
        ("", "check", "finding"), rows, caption="What to look at first", numeric="kk."
    )


def panel_table(view: MetrologyView) -> str:
    """Every panel with reflections: residuals before and after, and how it moved."""
    (_, first), (_, last) = (view.by_panel(r) for r in (view.before, view.after))
    residuals, moves = [], []
    for k in map(int, np.flatnonzero(view.counts > 0)):
        both = [f"{first[k, j]:.4f} → {last[k, j]:.4f}" for j in (0, 1)]
        both.append(f"{first[k, 2]:.5f} → {last[k, 2]:.5f}")
        residuals.append((k, view.names[k], count(int(view.counts[k])), *both))
        numbers = zip(view.moves[k].tolist(), view.sigma[k].tolist(), strict=True)
        shown = ["held"] + [""] * 5 if view.held[k] else [with_uncertainty(*n) for n in numbers]
        moves.append((k, *shown))
    head = ("panel", "name", "n", "RMSD x (px)", "RMSD y (px)", "RMSD angle (°)")
    table = page.table(
        head, residuals, numeric="nknnnn", caption="Residuals of the panels, before → after"
    )
    return table + page.table(
        ("panel", *_MOVE_HEADS), moves, numeric="n" * 7,
        caption="Moves of the panels about their own centres, in their own frames before: shifts "
        "along fast, along slow and away from the sample; tilts about fast and about slow; turn "
        "in the plane. In brackets the standard uncertainty in the last digits",
    )  # fmt: skip


def parameter_table(view: MetrologyView) -> str:
    """Parameters of beam and crystals, and cells."""
    out = ""
    if view.parameters:
        rows = [
            (name, f"{start:.6g}", with_uncertainty(value, sigma))
            for name, start, value, sigma in view.parameters[:200]
        ]
        out = page.table(
            ("parameter", "start", "end"), rows, numeric="knn",
            caption="Beam and crystals: angles in mrad, cells as 10⁵ times elements of the "
            "reciprocal metric (Å⁻²)",
        )  # fmt: skip
    if view.cells:
        cells = [
            (k + 1, group, *(f"{v:.4f}" for v in cell))
            for k, (cell, group) in enumerate(view.cells[:100])
        ]
        out += page.table(
            ("", "group", "a (Å)", "b (Å)", "c (Å)", "α (°)", "β (°)", "γ (°)"), cells,
            caption="Cells", numeric="nknnnnnn",
        )  # fmt: skip
    return out


def listing(view: MetrologyView) -> str:
    """Published listing, as it is in the log."""
    if not view.listing:
        return ""
    return f'<div class="scroll"><pre>{page.text(view.listing)}</pre></div>\n'
