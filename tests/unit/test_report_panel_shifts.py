"""The figure of panel shifts: arrows, their scale, what is sure and what was held."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from report_panel_views import KINDS, arrows, make

from refimpl.report import figures as draw
from refimpl.report import style
from refimpl.report.view import PowderView


@pytest.fixture(scope="module")
def views() -> dict[str, PowderView]:
    return {kind: make(kind) for kind in KINDS}


def scale_axes(figure: Figure) -> Axes:
    return next(ax for ax in figure.axes if ax.get_gid() == "scale_arrow")


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
