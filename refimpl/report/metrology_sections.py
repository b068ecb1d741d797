"""Tables and texts of the report of a refinement; the figures are elsewhere."""

from __future__ import annotations

import numpy as np

from refimpl.frames import F64
from refimpl.report import page
from refimpl.report.metrology_view import SHOWN, DetectorView, MetrologyView
from refimpl.report.numbers import NOTHING, count, with_uncertainty

__all__ = ["checks", "detector_table", "gauge", "listing", "of_detector", "panel_table"]
__all__ += ["parameter_table", "tiles", "top", "weak_modes"]

_WORDS = {"good": "good", "look": "look here", "bad": "bad"}
_MOVE_HEADS = (
    "fast (µm)", "slow (µm)", "away (µm)", "tilt fast (mrad)", "tilt slow (mrad)", "turn (mrad)",
)  # fmt: skip
_MANY_OUTLIERS = 0.1
_NAMED, _SENTENCES = 12, 24
"""Panels that a finding names, sentences and moves of a gauge that are said."""
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
             f"{len(reduced)} of the models: {'; '.join(reduced[:3])}"
             f"{' and others' if len(reduced) > 3 else ''}")
        )  # fmt: skip
    if loose := list(get("undetermined", ())):
        out.append(("bad", "Not determined", f"the data say nothing of {', '.join(loose[:6])}"))
    out += _held(view)
    out.append(_systematic(view))
    return out


def _held(view: MetrologyView) -> list[tuple[str, str, str]]:
    """Panels that nothing moved, by name and with what they saw."""
    names = [
        f"{_numbered(view, d)}{k} ({d.names[k]}, {count(int(d.counts[k]))} reflections)"
        for d in view.detectors if not d.held.all() for k in map(int, np.flatnonzero(d.held))
    ]  # fmt: skip
    if not names:
        return []
    more = f" and {len(names) - _NAMED} others, see the tables" if len(names) > _NAMED else ""
    return [("look", "Held panels", f"{len(names)}: {', '.join(names[:_NAMED])}{more}")]


def _numbered(view: MetrologyView, detector: DetectorView) -> str:
    """What stands before a panel's number where there are several detectors."""
    return "" if len(view.detectors) == 1 else f"{detector.prefix} panel "


def _systematic(view: MetrologyView) -> tuple[str, str, str]:
    """Panels whose mean residual is left over after the fit."""
    names = []
    for detector in view.detectors:
        mean, rms = detector.by_panel(detector.after)
        n = np.maximum(detector.counts, 1)
        spread = np.sqrt(np.maximum(rms[:, :2] ** 2 - mean[:, :2] ** 2, 1e-30) / n[:, None])
        off = (np.abs(mean[:, :2]) > _LEFT_PX) & (np.abs(mean[:, :2]) > _SURE * spread)
        names += [f"{_numbered(view, detector)}{k}" for k in np.flatnonzero(np.any(off, axis=1))]
    if not names:
        return ("good", "What is left", f"no panel is off by more than {_LEFT_PX:g} px on average")
    shown = ", ".join(names[:8])
    return (
        "look", "What is left",
        f"{len(names)} panels are still off by more than {_LEFT_PX:g} px on average ({shown})"
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
    moved = [d.moves[~d.held, :2] for d in view.detectors]
    size = np.linalg.norm(np.concatenate(moved), axis=1)
    panels = sum(d.n_panels for d in view.detectors)
    seen = sum(int(np.count_nonzero(d.counts)) for d in view.detectors)
    return page.tiles(
        [
            ("RMSD x (px)", f"{after[0]:.4f}", f"was {before[0]:.4f}"),
            ("RMSD y (px)", f"{after[1]:.4f}", f"was {before[1]:.4f}"),
            ("RMSD angle (°)", f"{after[2]:.5f}", f"was {before[2]:.5f}"),
            ("Reflections used", count(get("n_used", len(view))), _of(view)),
            ("Parameters", _or_nothing(get("n_parameters")), str(get("reason", ""))),
            (
                "Panels moved", count(len(size)) if size.any() else "0",
                f"of {count(panels)}; {count(seen)} have reflections",
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


def detector_table(view: MetrologyView) -> str:
    """A line for each detector, and how many are not shown one by one."""
    rows = []
    for d in view.detectors:
        both = (_rms(r) if len(d) else np.full(3, np.nan) for r in (d.before, d.after))
        pairs = zip(*(r.tolist() for r in both), (4, 4, 5), strict=True)
        texts = [f"{a:.{k}f} → {b:.{k}f}" if len(d) else NOTHING for a, b, k in pairs]
        numbers = (d.n_panels, int(np.count_nonzero(d.counts)), int(d.held.sum()), len(d))
        rows.append((d.prefix, *(count(n) for n in numbers), *texts))
    out = page.table(
        ("detector", "panels", "with refl.", "held", "n", "RMSD x (px)", "RMSD y (px)",
         "RMSD angle (°)"), rows, numeric="knnnnnnn", caption="Detectors, before → after",
    )  # fmt: skip
    if (left := len(view.detectors) - len(view.shown)) > 0:
        out += f"<p>The first {SHOWN} are shown one by one; {left} more are in this table only.</p>"
    return out


def of_detector(detector: DetectorView, body: str) -> str:
    """Part of a section that is of one detector."""
    return f"<h3>{page.text(detector.prefix)}</h3>\n{body}"


def gauge(view: MetrologyView) -> str:
    """In which terms the panels' moves are told."""
    if "converged" not in view.numbers:  # of files: nobody knows
        return ""
    if view.gauge is None:
        return (
            "<p>Gauge: as published. Each panel's move is told in the lab, and a move that all "
            "panels share is among them; Mu1 and the wavelength are held unless they are among the "
            "parameters.</p>\n"
        )
    own = view.gauge
    rows = [
        (name, with_uncertainty(value, sigma))
        for name, value, sigma in zip(
            own.siblings.names, own.rigid, own.uncertainty[0], strict=True
        )
    ]
    said = "".join(f"<li>{page.text(text)}</li>" for text in own.sentences[:_SENTENCES])
    more = len(own.sentences) - _SENTENCES
    said += f"<li>and {more} more like these</li>" if more > 0 else ""
    return (
        f"<p>Gauge: {page.text(own.gauge.kind.replace('_', ' '))}. The panels' moves and "
        f"uncertainties below are within the detector; it has moved as a whole as in the table."
        f"</p>\n<ul>{said}</ul>\n"
    ) + page.table(
        ("move of the whole", "value"), rows[:_SENTENCES], numeric="kn",
        caption="Moves that panels share, in brackets the standard uncertainty in the last digits",
    )  # fmt: skip


def weak_modes(view: MetrologyView) -> str:
    """Combinations of parameters that the data determine worst."""
    weak = view.weak
    if weak is None:
        return ""
    rows = [
        (f"{mode.eigenvalue:.2g}", "; ".join(str(part) for part in mode.parts),
         ", ".join(f"{n} {w:+.2f}" for n, w in zip(mode.names, mode.weights, strict=True)))
        for mode in weak.modes
    ]  # fmt: skip
    more = f" and {len(weak.unseen) - _NAMED} more" if len(weak.unseen) > _NAMED else ""
    unseen = f"<p>Seen by no reflection: {page.text(', '.join(weak.unseen[:_NAMED]))}{more}.</p>"
    return page.table(
        ("eigenvalue", "what stands against what", "largest parameters"), rows, numeric="n..",
        caption=f"Weak modes of {len(weak.eigenvalues)} parameters; condition number of the scaled "
        f"normal matrix {weak.condition:.3g}. Amounts are how far each part moves before "
        "chi-square has risen by 1, or in proportion where the eigenvalue is rounding's: together "
        "they hardly change the predictions, each alone would",
    ) + (unseen if weak.unseen else "")  # fmt: skip


def panel_table(view: DetectorView) -> str:
    """Every panel with reflections or held: residuals before and after, and how it moved."""
    (_, first), (_, last) = (view.by_panel(r) for r in (view.before, view.after))
    residuals, moves = [], []
    for k in map(int, np.flatnonzero((view.counts > 0) | view.held)):
        both = [f"{first[k, j]:.4f} → {last[k, j]:.4f}" for j in (0, 1)]
        both.append(f"{first[k, 2]:.5f} → {last[k, 2]:.5f}")
        both = both if view.counts[k] else [NOTHING] * 3
        residuals.append((k, view.names[k], count(int(view.counts[k])), *both))
        numbers = zip(view.moves[k].tolist(), view.sigma[k].tolist(), strict=True)
        shown = ["held"] + [""] * 5 if view.held[k] else [with_uncertainty(*n) for n in numbers]
        moves.append((k, view.names[k], *shown))
    head = ("panel", "name", "n", "RMSD x (px)", "RMSD y (px)", "RMSD angle (°)")
    table = page.table(
        head, residuals, numeric="nknnnn", caption="Residuals of the panels, before → after"
    )
    return table + page.table(
        ("panel", "name", *_MOVE_HEADS), moves, numeric="nk" + "n" * 6,
        caption="Moves of the panels about their own centres, in their own frames before: shifts "
        "along fast, along slow and away from the sample; tilts about fast and about slow; turn "
        "in the plane. In brackets the standard uncertainty in the last digits; held panels stay",
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
