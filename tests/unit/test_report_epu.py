"""The report of an EPU session: holes on a lattice, figures, a page that loads nothing."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from refimpl import hooks
from refimpl.clustering.beam_shift import cluster
from refimpl.epu.affine import affine
from refimpl.epu.calibration import Calibration
from refimpl.epu.duplicates import Duplicates, find_duplicates
from refimpl.epu.session import Session, table_of
from refimpl.report.epu import EpuView, figure_names, figures, write_map, write_report
from refimpl.report.epu_holes import hole_map

LATTICE = np.array([[2.4, 0.6], [-0.62, 2.5]])
CALIBRATION = Calibration(
    "lattice", affine(24.0, 0.9, mirror=True).matrix_um, rms_um=0.01, n=27, lattice_um=LATTICE,
    margin=1.5, provenance={"folder": "<here>"},
)  # fmt: skip
SHOTS = 0.3 * np.array([[1.0, 0.2], [-0.6, 0.8], [-0.4, -1.0]])


def a_session(*, again: bool = True, squares: int = 1) -> Session:
    """Three stays of 3 x 3 holes of 3 shots; a fourth one visits a hole of the first again."""
    step = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(-1, 2)
    stay = [(0, 0, 9), (3, 0, 9), (0, 3, 9)] + ([(0, 0, 1)] if again else [])
    inverse = np.linalg.inv(CALIBRATION.matrix_um)
    rows: dict[str, list[float]] = {
        k: [] for k in ("hole", "area", "square", "beam_shift_x", "beam_shift_y", "stage_x_um",
                        "stage_y_um")
    }  # fmt: skip
    hole = 0
    for i, (u, v, n) in enumerate(stay):
        square = i % squares
        stage = np.array([u, v]) @ LATTICE + 0.01 * i + 300.0 * square
        target = (step[:n] + np.array([u, v])) @ LATTICE + [0.4, 0.7] + 300.0 * square
        for centre in target:
            hole += 1
            for area, shot in enumerate(SHOTS, start=7):
                # the last stay lands 30 nm beside the first
                shift = (centre + shot + 0.03 * (i == 3) - stage) @ inverse
                for key, value in zip(rows, (hole, area, square, *shift, *stage), strict=True):
                    rows[key].append(value)
    return Session(
        table_of(**{k: np.array(v) for k, v in rows.items()}, beam_diameter_um=0.95, camera="<K3>")
    )


@pytest.fixture(scope="module")
def found() -> Duplicates:
    return find_duplicates(a_session(), CALIBRATION)


def test_holes_are_on_the_lattice_with_the_right_matrix_alone(found: Duplicates) -> None:
    holes = hole_map(found.session, CALIBRATION)
    assert len(holes.visits) == 28
    np.testing.assert_allclose(holes.off_um[:27], 0.0, atol=4e-3)  # the last stay shifts the mean
    assert holes.rms_um < 0.01
    (pair,) = holes.together
    assert set(holes.visits.hole[pair]) == {1, 28}
    wrong = hole_map(found.session, affine(24.0), LATTICE)
    assert wrong.rms_um > 0.3
    np.testing.assert_allclose(holes.cells().mean(axis=1), holes.centres_um)
    assert hole_map(found.session, affine(24.0)).cells().shape == (0, 4, 2)


def test_each_square_has_an_origin_of_its_own() -> None:
    session = a_session(again=False, squares=3)
    holes = hole_map(session, CALIBRATION)
    assert len(holes.origins_um) == 3
    assert holes.rms_um < 1e-9
    part = holes.within(np.array([280.0, 280.0]), np.array([320.0, 320.0]))
    assert len(part.visits) == 9
    assert len(part.positions_um) == 27
    assert part.rms_um < 1e-9


def test_nearest_exposures(found: Duplicates) -> None:
    same, other = EpuView(found).nearest_um
    apart = np.hypot(*(SHOTS[:, None] - SHOTS[None]).transpose(2, 0, 1))
    nearest = np.where(apart > 0.0, apart, 9.0).min(axis=1)
    np.testing.assert_allclose(same, np.tile(nearest, 28))
    np.testing.assert_allclose(other[found.bad], 0.03 * np.sqrt(2.0))
    assert (other > 0.0).all()


def test_the_page_has_every_figure_and_loads_nothing(found: Duplicates, tmp_path: Path) -> None:
    view = EpuView(found, cluster(found.session.beam_shift), "Grid <1>")
    names = figure_names(view)
    assert names == ["map", "cases", "distances", "folded", "two_maps", "beam_shifts"]
    page = write_report(view, tmp_path / "r")
    text = page.read_text()
    assert {p.stem for p in (tmp_path / "r" / "figures").iterdir()} == set(names)
    assert set(re.findall(r'figure id="([^"]+)"', text)) == set(names)
    assert "Grid &lt;1&gt;" in text
    assert "&lt;here&gt;" in text
    assert "&lt;K3&gt;" in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    for words in ("3 of 84 exposures lie within 0.2 µm", "exposure_000081", "revisit",
                  "without a matrix would flag", "1 grid square", "0.95 µm in every"):  # fmt: skip
        assert words in text, words


def test_nothing_found_is_said(tmp_path: Path) -> None:
    found = find_duplicates(a_session(again=False), affine(24.0, 0.9, mirror=True))
    view = EpuView(found)
    assert figure_names(view) == ["map", "distances"]
    text = hooks.call("epu.report", found, tmp_path, title="Nothing <found>").read_text()
    assert "beam_shifts" in {p.stem for p in (tmp_path / "figures").iterdir()}  # found by itself
    assert "Nothing &lt;found&gt;" in text
    assert "0 of 81 exposures" in text
    assert "not known: nothing to check the calibration with" in text
    assert not re.search(r"\bnan\b|\bNone\b", text)


def test_a_session_of_one_exposure_is_drawn(tmp_path: Path) -> None:
    session = Session(table_of(beam_shift_x=[0.0], beam_shift_y=[0.0], stage_x_um=1.0,
                               stage_y_um=2.0))  # fmt: skip
    found = find_duplicates(session, CALIBRATION)
    assert write_report(found, tmp_path).exists()


def test_errors_of_files_are_listed(tmp_path: Path) -> None:
    from dataclasses import replace

    from refimpl.epu.exposures import errors_of

    session = replace(a_session(), errors=errors_of([("a<b>.xml", "cut off", False)]))
    text = write_report(find_duplicates(session, affine(24.0)), tmp_path).read_text()
    assert "a&lt;b&gt;.xml" in text
    assert "1 could not be used" in text


def test_large_sessions_are_drawn_as_points_with_a_close_up(
    found: Duplicates, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small,) = figures(EpuView(found), ["map"])["map"].axes
    assert len(small.collections) > 3
    monkeypatch.setattr("refimpl.report.epu_view.FEW_VISITS", 10)
    view = EpuView(found)
    assert "two_maps" not in figure_names(view)
    everything, close = figures(view, ["map"])["map"].axes
    points, bad = (len(line.get_xdata()) for line in everything.lines)
    assert (points, bad) == (81, 3)
    middle = [np.mean(close.get_xlim()), np.mean(close.get_ylim())]
    away = np.hypot(*(found.positions_um[found.bad] - middle).T)
    assert away.max() < 1.0


def test_numbers_are_as_asked_and_ungrouped_points_are_crosses(tmp_path: Path) -> None:
    from refimpl.report.epu_plots import scatter_figure

    points = np.array([[0.0, 0.0], [0.0, 1.0], [3.0, 3.0]])
    figure = scatter_figure(points, np.array([1, 2, -1]), points[:2], numbers=[0, 1])
    (ax,) = figure.axes
    assert [t.get_text() for t in ax.texts] == ["0", "1"]
    assert "in no group: 1" in ax.get_legend().get_texts()[0].get_text()
    path = hooks.call("epu.scatter", points, np.array([1, 2, -1]), points[:2], tmp_path / "s.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_pictures_are_the_same_each_time(found: Duplicates, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_map(found.session, found.calibration, found, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    both = hooks.call("epu.maps", found, tmp_path / "c.png")
    assert both.stat().st_size > 10_000


def test_real_session_scrambled_by_one_number(real_data) -> None:
    """The point of the two maps on the how-to's page, in numbers."""
    from refimpl.epu.calibrate import calibrate
    from refimpl.epu.session import read_session
    from refimpl.report.epu import comparison

    session = read_session(real_data("epu-afis"))
    view = EpuView(find_duplicates(session, calibrate(session)), scalar_k_um=24.5)
    assert len(view.holes.together) == 0
    assert view.holes.rms_um < 0.06
    assert len(view.scalar_holes.together) == 6
    assert view.scalar_duplicates.n_duplicates == 3
    assert view.scalar_holes.rms_um > 0.2
    left, right = comparison(view).axes
    assert left.get_xlim() == right.get_xlim()
    assert left.get_ylim() == right.get_ylim()
    assert "6 pairs of holes on one another\n3 of 189" in left.texts[0].get_text()
    assert "no pair of holes on one another\n0 of 189" in right.texts[0].get_text()
