"""Figures, tables and console text of the published panel engine."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from published_panel_scene import (
    MOVES,
    PLAIN,
    ceria_rings,
    points_on_panels,
    run,
    simulated_frame,
    three_iterations,
)

from refimpl.detector.corrections import fixed_panel
from refimpl.detector.tilted_flat import PANEL_FIELDS
from refimpl.io.midas_outputs import MeanValues, PanelShifts, read_corr, write_corr
from refimpl.powder.panel_figures import PanelFigures, mean_of
from refimpl.powder.published_panel_text import (
    doublet_lines,
    indices_map,
    outlier_line,
    passes_line,
    ring_lines,
    ring_table,
    shift_statistics,
    strain_map,
)
from refimpl.powder.published_panels import (
    panel_strain_of,
)


@pytest.fixture(scope="module")
def frame():
    return simulated_frame()


@pytest.fixture(scope="module")
def powder_rings():
    return ceria_rings()


@pytest.fixture(scope="module")
def points(frame, powder_rings):
    return points_on_panels(frame, powder_rings)


@pytest.fixture(scope="module")
def three(frame, powder_rings):
    return three_iterations(frame, powder_rings)


def test_figures_give_the_published_table(three, tmp_path):
    found, _, _ = three
    figures = PanelFigures.of_run(found)
    read = read_corr(write_corr(tmp_path / "x.corr.csv", figures.corr_table()))
    np.testing.assert_allclose(read.strain, np.abs(found.strain), atol=1e-8)
    np.testing.assert_array_equal(read.outlier, found.outlier)
    shift = found.detector.panel_corrections[found.panel, :2]
    np.testing.assert_allclose(read.y_px, found.points.fast_px - 0.5 + shift[:, 0], atol=1e-6)
    np.testing.assert_allclose(read.z_px, found.points.slow_px - 0.5 + shift[:, 1], atol=1e-6)
    before = panel_strain_of(found.points, found.panel, PLAIN)
    np.testing.assert_allclose(read.strain_calc, np.abs(before), atol=1e-8)
    assert figures.counts.tolist() == found.counts.tolist()
    values = figures.mean_values()
    assert values.lsd_um == pytest.approx(found.detector.lsd_mm * 1e3)
    assert list(values.p) == ["p0", "p1", "p2", "p3"]
    assert dataclasses.replace(figures, order=6).mean_values().p["p4"] == 0.0


def test_the_radius_is_that_on_the_panels_plane(points):
    raised = MOVES.copy()
    raised[:, 3] = [0.0, 0.5, -0.5, 1.0]
    found, panel = points
    n = len(found)
    figures = PanelFigures(
        PLAIN, PLAIN.replace(panel_corrections=raised), found.fast_px, found.slow_px, panel,
        found.ring, found.two_theta_rad, np.zeros(n), np.zeros(n, bool), np.ones(4, bool), 0.0, 0.0,
        4,
    )  # fmt: skip
    table = figures.corr_table()
    distance = 300.0 + raised[panel, 3]  # published: eps = 1 - RadFit / ((Lsd + dLsd) tan 2theta)
    ideal = distance * np.tan(found.two_theta_rad) * 1e3
    np.testing.assert_allclose(np.abs(1.0 - table.rad_fit_um / ideal), table.strain, atol=1e-12)


def test_figures_told_from_another_panel_have_the_same_strains(three):
    figures = PanelFigures.of_run(three[0])
    other = figures.at(fixed_panel(figures.detector, 3))
    assert not other.moves[3].any()
    np.testing.assert_allclose(other.corr_table().strain, figures.corr_table().strain, atol=1e-13)


def test_a_single_surface_has_no_panels_to_tell_of(frame, powder_rings):
    single = PLAIN.replace(panel_boxes=None, panel_corrections=None)
    figures = PanelFigures.of_run(run(frame, powder_rings, start=single))
    assert figures.moves.shape == (0, len(PANEL_FIELDS))
    np.testing.assert_array_equal(figures.corr_table().y_px, figures.fast_px - 0.5)


def test_means_over_files():
    one = MeanValues(1.0, (2.0, 3.0), 4.0, 5.0, {"p0": 1.0, "p4": 2.0}, 6.0, 7.0)
    two = MeanValues(3.0, (4.0, 5.0), 6.0, 7.0, {"p0": 3.0}, 8.0, 9.0)
    assert mean_of([one, two]) == MeanValues(
        2.0, (3.0, 4.0), 5.0, 6.0, {"p0": 2.0, "p4": 1.0}, 7.0, 8.0
    )


def test_lines_of_outliers():
    strain = np.array([1.0, -1.0, 1.0, 1.0, 20.0]) * 1e-4
    assert outlier_line(strain, 2.0) == (
        "Outlier rejection (Factor 2.00): Excluded 1 / 5 points. "
        "Mean Strain: 0.00048000 -> 0.00010000"
    )
    assert passes_line(strain, 2.0, 1) == (
        "Outlier Rejection (Factor 2.00, iter 1/1): Excluded 1 / 5. "
        "Mean Strain: 0.00048000 -> 0.00010000"
    )
    assert passes_line(strain, 2.0, 3).endswith("iter 3/3): Excluded 1 / 5. Mean Strain: "
                                                "0.00010000 -> 0.00010000")  # fmt: skip
    assert outlier_line(strain, 0.0) == passes_line(strain, 0.0, 1) == ""
    assert "Excluded 0 / 5" in passes_line(strain, 0.1, 1)  # nothing would be left


def test_maps_and_tables_in_words():
    text = indices_map(np.array([1, 20, 3, 4000]), 2, 2, 1)
    assert "Anchored Panel ID: 1" in text
    assert "Z=1  | |   1 (   20) |   3 ( 4000) |" in text
    assert "Z=0  | |   0 (    1) |   2 (    3) |" in text
    text = strain_map(np.array([1e-4, np.nan, 2.5e-4, 1e-5]), 2, 2)
    assert "Z1 |  1: ---  |  3: 0.10 |" in text
    assert "Z0 |  0: 1.00 |  2: 2.50 |" in text
    ring = np.array([1, 1, 2])
    table = ring_table(ring, ring * 0.05, np.array([1e-4, -3e-4, 5e-4]),
                       np.array([False, False, True]), 300.0, 0.2)  # fmt: skip
    rows = [line.split() for line in table.splitlines()]
    assert rows[3] == ["1", "2.864789", "75.063", "2", "0", "-100.0", "200.0", "200.0", "0.008"]
    assert rows[4][:6] == ["2", "5.729578", "150.502", "1", "1", "nan"]
    shifts = PanelShifts(np.arange(2), *np.arange(10.0).reshape(5, 2))
    text = shift_statistics(shifts, np.array([False, True]), 0, all_fields=True)
    assert "(1 optimized panels, excluding fixPanel=0)" in text
    assert re.search(r"dLsd: +7\.0000 +7\.0000 +7\.0000 +7\.0000 +0\.0000", text)
    assert "dLsd" not in shift_statistics(shifts, np.array([False, False]), 0)
    text = ring_lines(np.array([0.1, 0.2]), (3, 4), 0.002, (1, 3))
    assert text.splitlines() == [
        "TransformationOptions: 1 Flip Left Right.",
        "TransformationOptions: 3 Transpose.",
        "Thetas: 2.864789 5.729578 ",
        "Number of planes being considered: 2.",
        "The following rings will be excluded: 3 4",
        "2Theta Tolerance: 0.114592 ",
    ]


def test_doublets_in_words(powder_rings):
    from refimpl.imaging.published_bins import ring_windows

    windows = ring_windows(powder_rings.number, powder_rings.two_theta_rad, 300.0, 60.0, 0.8, 0.2)
    (line,) = doublet_lines(windows, [(0, 1), (2,)], 0.2)
    assert re.fullmatch(
        r"Doublet detected: ring 1 \(R=\d+\.\d\d\) <-> ring 2 \(R=\d+\.\d\d\), separation "
        r"\d+\.\d px", line,
    )  # fmt: skip
