"""The figures of panels in the powder report: what they contain, for few and many."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
from matplotlib.text import Text
from report_panel_views import FIGURES, KINDS, make, written

from refimpl.errors import ConfigError
from refimpl.report import figures as draw
from refimpl.report import style
from refimpl.report.panel_correlations import strongest
from refimpl.report.panel_view import FIELDS
from refimpl.report.powder import figure_names
from refimpl.report.view import PowderView


@pytest.fixture(scope="module")
def views() -> dict[str, PowderView]:
    return {kind: make(kind) for kind in KINDS}


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
