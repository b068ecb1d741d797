"""The panel part of the powder report: what its figures and texts contain, for few and many."""

from __future__ import annotations

import dataclasses
import re
import time

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver
from matplotlib.text import Text

from refimpl.detector.model import TiltedFlat
from refimpl.detector.panel_layout import grid_positions
from refimpl.detector.tilted_flat import PANEL_FIELDS
from refimpl.errors import ConfigError
from refimpl.forward.scenes import panel_grid, pilatus2m
from refimpl.powder.panel_result import PanelTable
from refimpl.powder.panel_text import panel_lines
from refimpl.report import figures as draw
from refimpl.report import panel_sections, style, verdict
from refimpl.report.numbers import parameter, with_uncertainty
from refimpl.report.panel_correlations import strongest
from refimpl.report.panel_view import FIELDS, PanelView
from refimpl.report.powder import figure_names, write_report
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


@pytest.fixture(scope="module")
def views() -> dict[str, PowderView]:
    return {kind: make(kind) for kind in KINDS}


def arrows(figure: Figure) -> list[Quiver]:
    """Arrows of the map, without the one of the scale."""
    return [c for c in figure.axes[0].collections if isinstance(c, Quiver)]


def scale_axes(figure: Figure) -> Axes:
    return next(ax for ax in figure.axes if ax.get_gid() == "scale_arrow")


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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FIGURES)
def test_no_text_runs_into_another_or_off_the_sheet(views, kind, name):
    with style.styled():
        figure = FIGURES[name](views[kind])
        texts = written(figure)
    boxes = np.array([box for _, box in texts])
    size = figure.get_size_inches() * figure.dpi
    off = (boxes[:, :2] < 0.0).any(axis=1) | (boxes[:, 2:] > size).any(axis=1)
    assert not [texts[i][0] for i in np.flatnonzero(off)]
    # 1 dot: boxes hold the whole line height, of which digits leave some free.
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    both = np.triu(((high - low) > 1.0).all(axis=2), 1)
    turned = [text for text, _ in texts]
    pairs = [(turned[i], turned[j]) for i, j in np.argwhere(both)]
    rotated = {t.get_text() for t in figure.findobj(Text) if t.get_rotation() % 90.0}
    # The boxes of slanted labels overlap where the labels do not.
    assert not [pair for pair in pairs if not rotated & set(pair)]


@pytest.mark.parametrize("kind", KINDS)
def test_arrows_point_where_the_panels_went(views, kind):
    panels = views[kind].panels
    with style.styled():
        figure = draw.panel_shifts(views[kind])
    found = arrows(figure)
    assert sum(q.N for q in found) == len(panels) - int(panels.shift_held.sum())
    words = [ax.get_title(loc="left") for ax in figure.axes if ax.get_gid() == "scale_arrow"]
    factor = float(words[0].split("drawn ")[1].split()[0].replace(",", ""))
    for quiver, mine in zip(
        [q for q in found if q.N],
        [m for m in (~panels.shift_sure & ~panels.shift_held, panels.shift_sure) if m.any()],
        strict=True,
    ):
        moves = np.stack([quiver.U, quiver.V], axis=1)
        np.testing.assert_allclose(moves, factor * panels.corrections[mine, :2], rtol=1e-12)
        np.testing.assert_allclose(quiver.XY, panels.centres[mine])
        assert quiver.pivot == "middle"
    rings = [c for c in figure.axes[0].collections if len(c.get_facecolor()) == 0]
    tips = panels.centres + 0.5 * factor * panels.corrections[:, :2]
    middles = [
        0.5 * (p.vertices[:-1].min(0) + p.vertices[:-1].max(0)) for p in rings[1].get_paths()
    ]
    np.testing.assert_allclose(middles, tips[~panels.shift_held], atol=1e-6)  # px


@pytest.mark.parametrize("kind", KINDS)
def test_the_scale_arrow_is_as_long_as_it_says(views, kind):
    with style.styled():
        figure = draw.panel_shifts(views[kind])
        FigureCanvasAgg(figure).draw()
    ax, key = figure.axes[0], scale_axes(figure)
    value, _, rest = key.get_title(loc="left").partition(" px, drawn ")
    length = float(key.collections[0].U[0])
    assert length == pytest.approx(float(value) * float(rest.split()[0].replace(",", "")))

    def dots(axes):
        return axes.transData.transform((length, 0.0))[0] - axes.transData.transform((0.0, 0.0))[0]

    assert dots(key) == pytest.approx(dots(ax), rel=1e-6)  # float rounding of inches
    assert 0.1 < dots(key) / figure.dpi <= 2.1  # in; readable, and within its place


def test_what_is_below_two_sigma_looks_like_it(views):
    view = views["pilatus"]
    panels = view.panels
    with style.styled():
        figure = draw.panel_fields(view)
    assert [ax.get_title(loc="left") for ax in figure.axes[::2]] == [
        "Outwards", "Around", "dTheta", "dLsd",
    ]  # fmt: skip
    ax = figure.axes[4]
    coloured = next(c for c in ax.collections if c.get_array() is not None)
    area = np.array([np.prod(np.ptp(path.vertices, axis=0)) for path in coloured.get_paths()])
    free = ~panels.held_in("d_theta_rad")
    boxes = panels.boxes[free]
    share = area / np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    sure = panels.sure("d_theta_rad")[free]
    value, sigma = panels.values("d_theta_rad")
    np.testing.assert_array_equal(sure, np.abs(value / np.where(free, sigma, 1.0))[free] >= 2.0)
    assert 0 < sure.sum() < free.sum()
    np.testing.assert_allclose(share[sure], 1.0)
    assert (share[~sure] < 0.3).all()
    np.testing.assert_allclose(coloured.get_array(), value[free])
    grey, dark = arrows(_shifts(view))
    assert grey.N == int((~panels.shift_sure & ~panels.shift_held).sum()) > 0
    assert grey.get_facecolor()[0, 0] > dark.get_facecolor()[0, 0]
    assert grey.width < dark.width


def _shifts(view: PowderView) -> Figure:
    with style.styled():
        return draw.panel_shifts(view)


def test_held_panels_are_hatched_and_named(views):
    figure = _shifts(views["pilatus"])
    ax = figure.axes[0]
    hatched = [c for c in ax.collections if c.get_hatch()]
    assert [len(c.get_paths()) for c in hatched] == [2]
    assert [t.get_text() for t in ax.texts if "held" in t.get_text()] == ["0\nheld", "7\nheld"]
    legend = [t.get_text() for t in figure.legends[0].get_texts()]
    assert "held: 2 of 48" in legend
    free = _shifts(views["irregular"])
    assert not [c for c in free.axes[0].collections if c.get_hatch()]
    assert not [t for t in free.legends[0].get_texts() if "held" in t.get_text()]


def test_residuals_before_and_after_share_their_colours(views):
    view = views["pilatus"]
    with style.styled():
        figure = draw.panel_residuals(view)
    left, right = (
        next(c for c in ax.collections if c.get_array() is not None) for ax in figure.axes[:2]
    )
    assert left.norm.vmin == right.norm.vmin == -left.norm.vmax == -right.norm.vmax
    np.testing.assert_allclose(left.get_array(), view.used["strain_before"] / 1e-6)
    np.testing.assert_allclose(right.get_array(), view.used["strain"] / 1e-6)
    np.testing.assert_array_equal(left.get_offsets(), right.get_offsets())


def test_coverage_counts_the_points(views):
    view = views["pilatus"]
    with style.styled():
        figure = draw.panel_coverage(view)
    table = next(ax for ax in figure.axes if ax.images).images[0].get_array()
    assert table.shape == (48, 36)
    np.testing.assert_array_equal(table.filled(0.0).sum(axis=1), view.panels.points)
    words = [t.get_text() for t in figure.axes[0].texts]
    assert f"{view.panels.points[10]}" in words
    assert f"{view.panels.points[7]}\nheld" in words


def test_strain_is_dots_for_some_and_maps_for_many(views):
    with style.styled():
        few, many = draw.panel_strain(views["pilatus"]), draw.panel_strain(views["many"])
    lines = {line.get_label(): line for line in few.axes[0].lines}
    np.testing.assert_allclose(
        lines["with panels"].get_ydata(), views["pilatus"].panels.strain / 1e-6
    )
    assert lines["held"].get_xdata().tolist() == [7]
    assert 0 in lines["no points"].get_xdata()
    assert len(many.axes) == 3


def test_correlations_come_in_blocks_global_first(views):
    panels = views["four"].panels
    blocks = dict(panels.blocks())
    assert list(blocks) == ["global", *(f.name for f in FIELDS.values())]
    assert [panels.correlation_names[i] for i in blocks["dZ"]] == [
        f"{i}.d_slow_px" for i in range(3)
    ]
    with style.styled():
        figure = draw.panel_correlations(views["pilatus"])
    ax = figure.axes[0]
    assert not len(ax.get_xticks())
    words = [t.get_text() for t in ax.texts]
    assert words == [w for w in ("global", "dY", "dZ", "dTheta", "dLsd") for _ in range(2)]


def test_one_strong_correlation_among_a_thousand_parameters_is_seen():
    matrix = np.full((1300, 1300), np.nan)
    matrix[900, 37] = -0.9
    matrix[901, 37] = 0.2
    small, factor = strongest(matrix)
    assert factor == 3
    assert np.nanmin(small) == -0.9
    assert small[300, 12] == -0.9


def test_the_same_view_gives_the_same_bytes(views):
    again = make("pilatus")
    for name, function in FIGURES.items():
        first, second = (style.png(function(v)) for v in (views["pilatus"], again))
        assert first == second, name


@pytest.mark.parametrize("name", FIGURES)
def test_hundreds_of_panels_take_seconds(views, name):
    start = time.process_time()
    style.png(FIGURES[name](views["many"]))
    assert time.process_time() - start < 3.0  # s; measured 0.1 to 0.9 s


def test_figures_only_where_the_data_exist(views):
    view = views["four"]
    assert set(FIGURES) < set(figure_names(view))
    assert "correlations" not in figure_names(view)
    without = dataclasses.replace(view, points=view.points.drop(columns="strain_before"))
    assert "panel_residuals" not in figure_names(without)
    plain = figure_names(dataclasses.replace(view, panels=None))
    assert not set(FIGURES) & set(plain)
    assert "correlations" in plain
    turned = dataclasses.replace(view.panels, refined=("d_lsd_mm",), priors={})
    turned = dataclasses.replace(
        turned, corrections=turned.corrections * (np.arange(7) == 3), correlation_names=(),
        correlation=np.zeros((0, 0)),
    )  # fmt: skip
    drawn = figure_names(dataclasses.replace(view, panels=turned))
    assert {"panel_fields", "panel_coverage", "correlations"} < set(drawn)
    assert not {"panel_shifts", "panel_correlations"} & set(drawn)


def test_a_view_without_panels_has_no_panel_figures(views):
    with pytest.raises(ConfigError, match=r"PowderView\.panels is None: a single surface has no"):
        draw.panel_shifts(dataclasses.replace(views["four"], panels=None))


def test_nothing_refined_and_nothing_known_is_survived(views, tmp_path):
    view = views["four"]
    panels = dataclasses.replace(
        view.panels, corrections=np.zeros((4, 7)), sigma=np.full((4, 7), np.nan),
        held=np.zeros((4, 7), dtype=bool), strain=np.full(4, np.nan),
        strain_before=np.full(4, np.nan), points=np.zeros(4, dtype=int), reasons=(), gauge=(),
        priors={}, correlation=np.full_like(view.panels.correlation, np.nan),
    )  # fmt: skip
    text = _page(dataclasses.replace(view, panels=panels), tmp_path)
    assert "nan" not in re.sub(r"<[^>]*>", " ", text).lower()


def _page(view: PowderView, folder) -> str:
    text = write_report(view, folder).read_text(encoding="utf-8")
    return re.sub(r'"data:image/png;base64,[^"]*"', '""', text)


def test_the_page_tells_of_the_panels(views, tmp_path):
    nasty = "panel 7: <script>alert(1)</script>"
    view = views["pilatus"]
    panels = dataclasses.replace(view.panels, reasons=(nasty,), gauge=("no <i>turn</i>",))
    text = _page(dataclasses.replace(view, panels=panels), tmp_path)
    assert "<script" not in text
    assert "<i>turn" not in text
    assert "panel 7: &lt;script&gt;" in text
    assert sorted(p.stem for p in (tmp_path / "figures").glob("panel_*")) == sorted(FIGURES)
    for name in FIGURES:
        assert f'<figure id="{name}">' in text
    assert '<a href="#panels">Panels</a>' in text
    assert "46 of 48 panels were refined with it" in text
    assert "118.0 → 66.0 µε" in text
    value, sigma = (panels.values("d_lsd_mm")[k][10] for k in range(2))
    assert with_uncertainty(value, sigma) in text  # µm
    assert "<td>dLsd</td><td" in text
    assert "0 ± 360" in text  # µm, the prior of the height
    assert ">1, 2</td>" in text  # panel 10 of 8 rows: iY 1, iZ 2


def test_numbers_below_two_sigma_are_grey_in_the_table(views):
    view = views["pilatus"]
    table = panel_sections.panel_table(view)
    assert "outwards (px)" in table
    assert (
        f"{view.panels.strain_before[10] * 1e6:.1f} → {view.panels.strain[10] * 1e6:.1f}<" in table
    )
    rows = table.split("<tr>")[2:]
    sure = view.panels.sure("d_fast_px")
    for i in (10, 28):
        cell = re.findall(r"<td[^>]*>(.*?)</td>", rows[i])[2]
        assert ("var(--muted)" in cell) == (not sure[i])
    assert sure[10]
    assert not sure[28]
    assert "held" in rows[7]


def test_checks_of_panels(views):
    view = views["pilatus"]
    found = {c.title: c for c in verdict.checks(view)}
    assert found["Panels, held-out points"].level == "good"
    assert "118.0 µε" in found["Panels, held-out points"].text
    assert found["Panels not determined"].text == "held: 2 of 48 panels (0 and 7)"
    more = view.panels.held.copy()
    more[[3, 5, 9], 3] = True
    part = dataclasses.replace(view, panels=dataclasses.replace(view.panels, held=more))
    text = next(c.text for c in verdict.checks(part) if c.title == "Panels not determined")
    assert text == "held: 2 of 48 panels (0 and 7); dLsd on 3 more"
    assert "Panels that stand out" not in found
    before, after = verdict.panel_gain(view)
    assert f"{before * 1e6:.1f} µε before, {after * 1e6:.1f} µε after" in (
        found["Panels, fitted points"].text
    )
    moved = view.panels.corrections.copy()
    moved[12, :2] = (-2.5, 1.0)
    worse = dataclasses.replace(
        view,
        panels=dataclasses.replace(view.panels, corrections=moved),
        summary={**view.summary, "cross_validated_single": 50e-6},
    )
    found = {c.title: c for c in verdict.checks(worse)}
    assert found["Panels, held-out points"].level == "look"
    assert "they do not earn their place" in found["Panels, held-out points"].text
    assert found["Panels that stand out"].text.startswith("panel 12 by 2.69")
    assert verdict.stand_out(worse.panels) == [12]
    one = dataclasses.replace(view, panels=None)
    assert not [c for c in verdict.checks(one) if c.title.startswith("Panels")]
    assert "panels" not in verdict.sentence(one)


def test_fields_are_those_of_the_detector():
    assert tuple(FIELDS) == PANEL_FIELDS


def test_the_length_of_a_shift_has_the_error_of_its_direction():
    view = make("four").panels
    corrections, sigma = np.zeros((4, 7)), np.zeros((4, 7))
    corrections[0, :2], sigma[0, :2] = (3.0, 4.0), (0.1, 0.2)
    matrix = np.eye(2)
    matrix[0, 1] = matrix[1, 0] = 0.5
    view = dataclasses.replace(
        view, corrections=corrections, sigma=sigma,
        correlation_names=("0.d_fast_px", "0.d_slow_px"), correlation=matrix,
    )  # fmt: skip
    assert view.shift_px[0] == 5.0
    # u = (0.6, 0.8): 0.36 * 0.01 + 0.64 * 0.04 + 2 * 0.48 * 0.5 * 0.02
    assert view.shift_sigma_px[0] ** 2 == pytest.approx(0.0388, rel=1e-12)
    assert view.shift_sure.tolist() == [True, False, False, False]


def test_a_shift_is_sure_where_its_ellipse_leaves_out_zero():
    view = make("four").panels
    corrections, sigma = np.zeros((4, 7)), np.full((4, 7), 0.1)
    # Well known outwards (here fast minus slow), hardly at all around: r = 0.99.
    corrections[:, :2] = [(0.1, -0.1), (0.1, 0.1), (0.3, 0.1), (0.0, 0.0)]
    names = [f"{i}.{f}" for i in range(4) for f in SHIFTS]
    matrix = np.kron(np.eye(4), [[1.0, 0.99], [0.99, 1.0]])
    view = dataclasses.replace(
        view, corrections=corrections, sigma=sigma, held=np.zeros((4, 7), dtype=bool),
        correlation_names=names, correlation=matrix,
    )  # fmt: skip
    # Deviations along (1, -1) / sqrt 2: 0.01, along (1, 1) / sqrt 2: 0.141.
    assert view.shift_sure.tolist() == [True, False, True, False]
    assert not view.sure("d_fast_px")[0]


def test_shifts_are_seen_from_the_beam():
    view = make("four").panels
    corrections, sigma = np.zeros((4, 7)), np.zeros((4, 7))
    corrections[:, :2], sigma[:, :2] = (0.3, 0.4), (0.01, 0.02)
    view = dataclasses.replace(view, corrections=corrections, sigma=sigma, correlation_names=(),
                               correlation=np.zeros((0, 0)))  # fmt: skip
    fast, slow = view.centres[2]
    out, out_sigma, around, around_sigma = view.polar_shift((fast - 30.0, slow))
    # Panel 2 lies at eta = 90 deg from there: outwards is fast, growing eta is slow downwards.
    found = [x[2] for x in (out, out_sigma, around, around_sigma)]
    np.testing.assert_allclose(found, [0.3, 0.01, -0.4, 0.02], rtol=1e-12)
    # The middle of a panel is the beam: any direction will do, none is NaN.
    assert np.isfinite(view.polar_shift((fast, slow))).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"held": np.zeros((4, 5), dtype=bool)}, r"PanelView\.held has shape \(4, 5\): .*\(4, 7\)"),
        ({"points": np.zeros(3, dtype=int)}, r"PanelView\.points has shape \(3,\): expected \(4,"),
        ({"refined": ("d_roll",)}, r"PanelView: unknown field 'd_roll': expected one of d_fast_px"),
        ({"priors": {"dY": 1.0}}, r"PanelView: unknown field 'dY'"),
    ],
)
def test_a_view_of_panels_refuses_what_does_not_fit(views, changes, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(views["four"].panels, **changes)


def test_names_of_panel_parameters_are_the_published():
    assert parameter("12.d_slow_px") == ("panel 12 dZ", "12.d_slow_px")
    assert parameter("lsd_mm") == ("distance Lsd", "lsd")
    assert parameter("3.other")[0] == "3.other"


def test_places_in_a_grid_and_out_of_one():
    boxes = panel_grid([10, 12], [3], [5, 6, 7], [1, 2])
    assert grid_positions(boxes).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    order = np.array([4, 0, 5, 2, 1, 3])
    np.testing.assert_array_equal(grid_positions(boxes[order]), grid_positions(boxes)[order])
    assert grid_positions(boxes[:5]).tolist()[-1] == [1, 1]  # one panel missing
    assert grid_positions(make("irregular").panels.boxes) is None
    assert grid_positions(np.array([[0, 0, 5, 5], [0, 0, 5, 5]])) is None
    assert grid_positions(np.zeros((0, 4), dtype=int)) is None


def test_a_result_with_panels_reaches_the_report(small_result, tmp_path):
    n_slow, n_fast = small_result.model.shape
    half = n_fast // 2
    boxes = np.array([[0, 0, half, n_slow], [half, 0, n_fast, n_slow]])
    table = table_of(boxes, (n_slow, n_fast), held=(1,))
    points = small_result.points
    result = dataclasses.replace(
        small_result,
        panels=table,
        strain_before=small_result.strain + 1e-4,
        cross_validated_single=small_result.cross_validated,
    )
    view = result.view()
    assert view.panels.boxes is table.boxes
    assert view.panels.reasons == table.reasons
    np.testing.assert_array_equal(view.points["strain_before"], result.strain_before)
    assert view.summary["cross_validated_single"] == small_result.cross_validated.clip_mean
    assert len(view.points) == len(points.fast_px)
    assert "panel_residuals" in figure_names(view)
    assert "strain_before" not in small_result.view().points
    assert small_result.view().panels is None
    assert any(
        line.startswith("panels: 1 of 2 refined (dY, dZ)") for line in result.summary_lines()
    )
    assert not any(line.startswith("panels") for line in small_result.summary_lines())


def own(panels: PanelView) -> dict[str, object]:
    """Fields of a view without what it has worked out."""
    return {f.name: getattr(panels, f.name) for f in dataclasses.fields(PanelTable)}


@pytest.mark.parametrize("kind", KINDS)
def test_the_summary_is_narrow_and_says_how_many(views, kind):
    panels = views[kind].panels
    lines = panel_lines(PanelTable(**own(panels)))
    assert max(map(len, lines)) < 100
    assert all(line == line.rstrip() for line in lines)
    free = len(panels) - int(panels.lost.sum())
    assert lines[0].startswith(f"panels: {free} of {len(panels)} refined (dY, dZ")


def test_the_map_of_the_summary_lies_as_the_detector(views):
    panels = views["pilatus"].panels
    lines = panel_lines(PanelTable(**own(panels)))
    rows = lines[2:18]
    words = [" ".join(row.split()) for row in rows]
    # The last row of panels on top: 7, 15, ..., 47; panel 0 at the lower left.
    assert words[1].split(": ")[0] == "7"
    assert [w.rsplit(" ", 1)[0] for w in re.findall(r"\d+: \d+", words[15])] == [
        f"{i}:" for i in (0, 8, 16, 24, 32, 40)
    ]
    dy, dz = panels.corrections[47, :2]
    assert words[0].endswith(f"{dy:+.2f} {dz:+.2f}")
    assert words[0].startswith("held ")
    assert words[1].endswith(f"47: {panels.points[47]}")
    assert rows[0].index("held") < rows[0].index("+")
    assert "  panel 7: 3 points on one ring, 20 are needed" in lines


def test_many_panels_show_the_length_of_their_shift(views):
    panels = views["many"].panels
    lines = panel_lines(PanelTable(**own(panels)))
    assert len(lines) < 24 + 20
    top, low = lines[2].split(), lines[25].split()
    assert [top[0], top[-1], low[0]] == ["held"] * 3
    assert top[1] == f"{panels.shift_px[47]:.2f}"  # iY 1, iZ 23
    assert low[-1] == f"{panels.shift_px[360]:.2f}"  # iY 15, iZ 0
    assert lines[26].startswith("  points per panel: median ")


def test_panels_off_a_grid_are_listed(views):
    panels = views["irregular"].panels
    lines = panel_lines(PanelTable(**own(panels)))
    assert lines[1].split() == ["panel", "dY", "px", "dZ", "px", "points"]
    dy, dz = panels.corrections[3, :2]
    assert lines[5].split() == ["3", f"{dy:+.2f}", f"{dz:+.2f}", str(panels.points[3])]
    half = panels.held.copy()
    half[3, 2] = True
    marked = panel_lines(PanelTable(**{**own(panels), "held": half}))
    assert marked[5].split()[0] == "3*"
    assert "  * held in part" in marked


def test_the_summary_gives_rms_largest_and_prior(views):
    panels = views["pilatus"].panels
    line = next(x for x in panel_lines(PanelTable(**own(panels))) if x.startswith("  dLsd:"))
    value, sigma = panels.values("d_lsd_mm")
    free = ~panels.held_in("d_lsd_mm")
    worst = int(np.argmax(np.abs(value)))
    assert f"rms {np.sqrt(np.mean(value[free] ** 2)):.3g} um" in line
    assert f"largest {value[worst]:.0f} +- {sigma[worst]:.0f} (panel {worst})" in line
    assert line.endswith("prior 360")


def test_long_sentences_are_cut_and_many_are_counted(views):
    panels = views["four"].panels
    reasons = tuple(f"panel {i}: " + "few points, " * 10 for i in range(12))
    lines = panel_lines(PanelTable(**{**own(panels), "reasons": reasons}))
    assert max(map(len, lines)) < 100
    assert lines[-1] == "  4 more are held"
    assert lines[-2].endswith("...")


def test_a_table_that_refined_nothing_is_written(views):
    panels = views["four"].panels
    lines = panel_lines(
        PanelTable(
            **{
                **own(panels), "refined": (), "held": np.zeros((4, 7), dtype=bool), "reasons": (),
                "strain": np.full(4, np.nan), "gauge": (), "priors": {},
            }
        )
    )  # fmt: skip
    assert lines[0] == "panels: 4 of 4 refined (nothing)"
    assert len(lines) == 6


def test_the_pattern_of_the_report_takes_each_pixel_on_its_panel(small_result):
    boxes = np.asarray(small_result.prepared.frame.boxes)
    moves = np.zeros((len(boxes), 7))
    moved = dataclasses.replace(
        small_result,
        model=small_result.model.replace(panel_boxes=boxes, panel_corrections=moves),
        panels=table_of(boxes, small_result.model.shape),
    )
    plain, same = small_result.view(), moved.view()
    np.testing.assert_array_equal(same.radial[1], plain.radial[1])
    moves = moves.copy()
    moves[:, :2] = 3.0  # px, more than a bin of the profile
    away = dataclasses.replace(moved, model=moved.model.replace(panel_corrections=moves)).view()
    assert np.nanmax(np.abs(away.radial[1] - plain.radial[1])) > 1.0  # counts
