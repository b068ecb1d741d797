"""Made-up views of panels for the tests of the report: few, many, in a grid and out of one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver
from matplotlib.text import Text

from refimpl.detector.model import TiltedFlat
from refimpl.forward.scenes import panel_grid, pilatus2m
from refimpl.powder.panel_result import PanelTable
from refimpl.report import figures as draw
from refimpl.report.panel_view import FIELDS, PanelView
from refimpl.report.view import PowderView
from refimpl.units import DEG

SHIFTS = ("d_fast_px", "d_slow_px")
GLOBAL = ("lsd_mm", "beam_fast_px", "beam_slow_px", "ty_rad", "tz_rad")
TWO_THETA = np.arcsin(np.linspace(0.065, 0.24, 14))


def table_of(boxes, shape, *, refined=SHIFTS, shift_px=0.3, held=(), seed=1, moves=None):
    """Made-up table: errors of each kind, sigmas that grow to the corners, some panels held."""
    rng = np.random.default_rng(seed)
    p = len(boxes)
    spread = np.array([shift_px, shift_px, 0.03 * DEG, 0.12, 2e-4, 0.05 * DEG, 0.05 * DEG])
    mine = np.array([name in refined for name in FIELDS])
    values = rng.normal(0.0, 1.0, (p, 7)) * spread * mine
    if moves is not None:
        values[:, :2] = moves[:, :2]
    centre = 0.5 * (boxes[:, :2] + boxes[:, 2:])
    away = np.linalg.norm(centre - np.array(shape[::-1]) / 2, axis=1) / np.hypot(*shape)
    share = 0.05 + 0.9 * away[:, None] ** 2 * rng.uniform(0.5, 1.5, (p, 7))
    stuck = np.zeros((p, 7), dtype=bool)
    stuck[list(held)] = mine
    sigma = spread * share * mine * ~stuck
    values[stuck] = 0.0
    names = [*GLOBAL, *(f"{i}.{f}" for i in range(p) for f in refined if i not in held)]
    mixing = np.eye(len(names)) + 0.35 / np.sqrt(len(names)) * rng.normal(size=(len(names),) * 2)
    mixing[2, 5:9] += 0.4
    covariance = mixing @ mixing.T
    scale = np.sqrt(np.diag(covariance))
    return PanelTable(
        boxes=boxes,
        corrections=values,
        sigma=sigma,
        refined=tuple(refined),
        held=stuck,
        reasons=tuple(f"panel {i}: 3 points on one ring, 20 are needed" for i in held),
        points=np.zeros(p, dtype=np.int64),
        strain=np.full(p, np.nan),
        strain_before=np.full(p, np.nan),
        gauge=("the mean dY of all panels is 0", "the panels do not turn together"),
        priors={f: s for f, s in zip(FIELDS, 3 * spread, strict=True) if f in refined},
        global_names=GLOBAL,
        correlation_names=tuple(names),
        correlation=covariance / np.outer(scale, scale),
    )


def view_of(model: TiltedFlat, table: PanelTable, n=3000, seed=2, **changes) -> PowderView:
    """View of a frame with rings, gaps, and points whose strain the panels took away."""
    rng = np.random.default_rng(seed)
    ring = rng.integers(0, len(TWO_THETA), 3 * n)
    eta = rng.uniform(-np.pi, np.pi, 3 * n)
    fast, slow = model.pixel_position(model.lsd_mm * np.tan(TWO_THETA[ring]), eta)
    panel = model.panel_index(fast, slow)
    keep = np.flatnonzero((panel >= 0) & ~np.isin(panel, np.flatnonzero(table.held[:, 0])[:1]))[:n]
    ring, eta, fast, slow, panel = (a[keep] for a in (ring, eta, fast, slow, panel))
    strain = rng.normal(0.0, 65e-6, len(keep))
    radius = np.tan(TWO_THETA[ring]) * model.lsd_mm / model.pixel_size_mm[0]
    radial = table.corrections[panel, 0] * np.sin(eta) + table.corrections[panel, 1] * np.cos(eta)
    before = strain + radial / radius
    used = rng.random(len(keep)) > 0.03
    slope = np.sin(TWO_THETA[ring]) * np.cos(TWO_THETA[ring])
    columns = {
        "ring": ring + 1, "panel": panel, "fast_px": fast, "slow_px": slow, "eta_rad": eta,
        "two_theta_rad": TWO_THETA[ring] - strain * slope,
        "sigma_two_theta_rad": np.full(len(keep), 50e-6) * slope, "strain": strain, "used": used,
        "fwhm_rad": 1e-3, "mixing": 0.4, "amplitude": 900.0, "background": 12.0,
        "strain_before": before,
    }  # fmt: skip
    points = pd.DataFrame(columns)
    good = points[points["used"]].groupby("panel")
    index = np.arange(len(table))

    def mean(column):
        return good[column].apply(lambda s: s.abs().mean()).reindex(index).to_numpy()

    table = dataclasses.replace(
        table,
        points=good.size().reindex(index, fill_value=0).to_numpy(),
        strain=mean("strain"),
        strain_before=mean("strain_before"),
    )
    image = np.full(model.shape, np.nan)
    for f0, s0, f1, s1 in table.boxes:
        image[s0:s1, f0:f1] = 10.0 + np.arange(f0, f1) % 50
    rows = [("lsd_mm", 739.78, 0.0023, "mm", "refined"), ("p0", 0.0, 0.0, "", "fixed")]
    fields = {
        "title": "simulated",
        "image": image,
        "model": model,
        "ring_number": np.arange(1, len(TWO_THETA) + 1),
        "ring_two_theta": TWO_THETA,
        "ring_hkl": np.tile([1, 1, 1], (len(TWO_THETA), 1)),
        "points": points,
        "parameters": pd.DataFrame(rows, columns=["name", "value", "sigma", "unit", "status"]),
        "correlations": (table.correlation, list(table.correlation_names)),
        "summary": {
            "clip_mean": 60e-6, "cross_validated": 66e-6, "cross_validated_single": 118e-6,
            "converged": True,
        },
        "panels": PanelView(**vars(table)),
    }  # fmt: skip
    return PowderView(**{**fields, **changes})


ALL = tuple(FIELDS)


def make(kind: str) -> PowderView:
    """Views by name: 48 half-modules, 4 panels, an irregular list, 384 panels."""
    if kind == "pilatus":
        model = pilatus2m(3).model
        boxes = np.asarray(model.panel_boxes)
        table = table_of(
            boxes, model.shape, refined=ALL[:4], held=(0, 7), moves=model.panel_corrections
        )
    elif kind == "shifts":
        model = pilatus2m(3).model
        boxes = np.asarray(model.panel_boxes)
        table = table_of(boxes, model.shape, held=(0,), moves=model.panel_corrections)
    elif kind == "four":
        boxes = panel_grid([500, 500], [20], [400, 400], [30])
        model = TiltedFlat((830, 1020), (0.2, 0.2), 600.0, (512.0, 417.0), panel_boxes=boxes)
        table = table_of(boxes, model.shape, refined=ALL, held=(3,))
    elif kind == "irregular":
        boxes = np.array(
            [[0, 30, 200, 260], [240, 0, 500, 180], [250, 200, 480, 430], [10, 300, 190, 600],
             [210, 470, 470, 640]]
        )  # fmt: skip
        model = TiltedFlat((640, 500), (0.2, 0.2), 400.0, (235.0, 300.0), panel_boxes=boxes)
        table = table_of(boxes, model.shape, refined=ALL[:3])
    elif kind == "wide":
        boxes = panel_grid([487] * 3, [7] * 2, [195], [])
        model = TiltedFlat((195, 1475), (0.172, 0.172), 300.0, (730.0, 20.0), panel_boxes=boxes)
        table = table_of(boxes, model.shape, refined=ALL[:3])
    else:
        boxes = panel_grid([120] * 16, [4] * 15, [80] * 24, [4] * 23)
        model = TiltedFlat((2012, 1980), (0.15, 0.15), 800.0, (990.0, 1006.0), panel_boxes=boxes)
        table = table_of(boxes, model.shape, refined=ALL[:4], held=(0, 23, 200, 383))
    return view_of(model, table, n=6000 if kind == "many" else 3000)


KINDS = ("pilatus", "shifts", "four", "irregular", "wide", "many")
FIGURES = {
    "panel_shifts": draw.panel_shifts,
    "panel_fields": draw.panel_fields,
    "panel_residuals": draw.panel_residuals,
    "panel_strain": draw.panel_strain,
    "panel_coverage": draw.panel_coverage,
    "panel_correlations": draw.panel_correlations,
}


def arrows(figure: Figure) -> list[Quiver]:
    """Arrows of the map, without the one of the scale."""
    return [c for c in figure.axes[0].collections if isinstance(c, Quiver)]


def written(figure: Figure) -> list[tuple[str, np.ndarray]]:
    """Texts that are seen, each with its box (x0, y0, x1, y1) [dots]."""
    FigureCanvasAgg(figure).draw()
    hidden = set()
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                # Matplotlib keeps labels of ticks outside the axes, and does not draw them.
                slack = 1e-9 * (high - low)
                if not (ax.axison and low - slack <= tick.get_loc() <= high + slack):
                    hidden |= {tick.label1, tick.label2}
    found = []
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text() and text not in hidden:
            found.append((text.get_text(), text.get_window_extent().extents))
    return found
