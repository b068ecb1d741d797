"""What the page, its checks and the summary in the terminal say of panels."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from report_panel_views import FIGURES, KINDS, make

from refimpl.powder.panel_result import PanelTable
from refimpl.powder.panel_text import panel_lines
from refimpl.report import panel_sections, verdict
from refimpl.report.numbers import with_uncertainty
from refimpl.report.panel_view import PanelView
from refimpl.report.powder import write_report
from refimpl.report.view import PowderView


@pytest.fixture(scope="module")
def views() -> dict[str, PowderView]:
    return {kind: make(kind) for kind in KINDS}


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
