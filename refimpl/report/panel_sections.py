"""Tables and texts of the panel part of the powder report."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from refimpl.report import page, verdict
from refimpl.report.numbers import NOTHING, count, microstrain, parameter, with_uncertainty
from refimpl.report.panel_view import FIELDS, SURE, PanelView
from refimpl.report.view import PowderView
from refimpl.units import MICROSTRAIN

__all__ = ["constraints", "held_table", "pair_table", "panel_table", "tiles"]

_PAIRS = 12  # strongest correlations that are listed


def tiles(view: PowderView) -> str:
    """Tiles of what one asks first about panels, or nothing."""
    panels = view.panels
    if panels is None:
        return ""
    free = np.flatnonzero(~panels.lost)
    size, sigma = panels.shift_px, panels.shift_sigma_px
    shift, largest = NOTHING, ""
    if len(free):
        worst = int(free[np.argmax(size[free])])
        shift = f"{np.median(size[free]):.3f}"
        largest = f"median; largest {with_uncertainty(size[worst], sigma[worst])}, panel {worst}"
    single, held = (view.summary.get(f"cross_validated{end}") for end in ("_single", ""))
    both = f"{microstrain(single).removesuffix(' µε')} → {microstrain(held)}"
    before, after = verdict.panel_gain(view)
    fitted = f"{microstrain(before).removesuffix(' µε')} → {microstrain(after)}"
    return page.tiles(
        [
            ("Panels refined", f"{len(free)} of {len(panels)}", _kinds(panels)),
            ("Shift in the plane (px)", shift, largest),
            ("Held-out |strain|", both, "single surface → panels"),
            ("Mean |strain|, fitted points", fitted, "single surface → panels"),
        ]
    )


def _kinds(panels: PanelView) -> str:
    return ", ".join(FIELDS[name].name for name in FIELDS if name in panels.refined)


def panel_table(view: PowderView) -> str:
    """One row a panel, in the published units."""
    panels = view.panels
    if panels is None:
        return ""
    shown = panels.shown
    place = "iY, iZ" if panels.grid is not None else "centre (px)"
    polar = {"d_fast_px", "d_slow_px"} <= set(shown)
    head = ["panel", place, *(FIELDS[name].label for name in shown)]
    head += ["outwards (px)", "points"] if polar else ["points"]
    head += ["|strain| (µε)", ""]
    text = "In brackets: standard uncertainty in the last digits; grey: below 2σ. "
    text += "Outwards: away from the beam. dLsd above 0: farther from the sample"
    return page.table(
        head,
        list(_panel_rows(view, panels, shown)),
        caption=text,
        numeric="nk" + "n" * (len(head) - 3) + ".",
    )


def _panel_rows(
    view: PowderView, panels: PanelView, shown: tuple[str, ...]
) -> Iterator[tuple[object, ...]]:
    columns = [
        (*panels.values(name), panels.sure(name), panels.held_in(name), name in panels.refined)
        for name in shown
    ]
    shifts = {"d_fast_px", "d_slow_px"}
    if shifts <= set(shown):
        out, error = panels.polar_shift(view.model.beam_centre_px)[:2]
        refined, held = bool(shifts & set(panels.refined)), panels.shift_held
        sure = ~held & (np.abs(out) >= SURE * error)
        columns.append((out, error, sure, held, refined))
    far = set(verdict.stand_out(panels))
    some = np.any(panels.held, axis=1)
    for i in range(len(panels)):
        cells: list[object] = []
        for value, sigma, sure, held, refined in columns:
            words = with_uncertainty(value[i], sigma[i] if refined else None)
            if held[i]:
                words = "held" if value[i] == 0.0 else f"{with_uncertainty(value[i], None)}, held"
            cells.append(words if sure[i] else _muted(words))
        label = page.badge("look", "stands out") if i in far else ""
        if some[i]:
            label = page.badge("look", "held" if panels.lost[i] else "held in part")
        yield (
            *(i, panels.place(i), *cells, count(panels.points[i])),
            *(f"{_micro(panels.strain_before[i])} → {_micro(panels.strain[i])}", label),
        )


def _muted(words: str) -> page.Html:
    """Words that must not look as sure as the others; the grey is dark enough to read."""
    return page.Html(f'<span style="color:var(--muted)">{page.text(words)}</span>')


def _micro(strain: float) -> str:
    return f"{strain / MICROSTRAIN:.1f}" if np.isfinite(strain) else NOTHING


def held_table(view: PowderView) -> str:
    """What was held and why, or nothing."""
    if view.panels is None or not view.panels.reasons:
        return ""
    rows = [(reason,) for reason in view.panels.reasons]
    return page.table(("",), rows, caption="Held, because the data do not determine it")


def constraints(view: PowderView) -> str:
    """Gauge and priors: what keeps the panels apart from the whole detector."""
    panels = view.panels
    if panels is None:
        return ""
    out = ""
    if panels.gauge:
        rows = [(sentence,) for sentence in panels.gauge]
        text = "Gauge: a common motion of all panels is a motion of the detector, so it is none"
        out += page.table(("",), rows, caption=text)
    if panels.priors:
        priors = []
        for name in FIELDS:
            if np.isfinite(panels.priors.get(name, np.inf)):
                field = FIELDS[name]
                width = f"0 ± {panels.priors[name] * field.scale:.3g}"
                priors.append((field.name, width, field.unit, field.words))
        out += page.table(
            ("parameter", "prior", "unit", ""),
            priors,
            caption="Priors about 0: they hold back what the data determine poorly",
            numeric=".n..",
        )
    return out


def pair_table(view: PowderView) -> str:
    """Strongest correlations, at most a dozen; nothing where none is above a half."""
    panels = view.panels
    if panels is None or len(panels.correlation_names) < 2:
        return ""
    matrix = np.abs(np.tril(np.nan_to_num(np.asarray(panels.correlation, dtype=float)), -1))
    order = np.argsort(-matrix, axis=None, kind="stable")[:_PAIRS]
    rows = []
    for i, j in zip(*np.unravel_index(order, matrix.shape), strict=True):
        if matrix[i, j] < 0.5:
            break
        names = (parameter(panels.correlation_names[k])[0] for k in (i, j))
        rows.append((*names, f"{panels.correlation[i, j]:+.3f}".replace("-", "−")))
    if not rows:
        return ""
    return page.table(
        ("parameter", "with", "correlation"), rows, caption="Strongest correlations", numeric="..n"
    )
