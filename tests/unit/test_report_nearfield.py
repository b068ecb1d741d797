"""The report of a near-field map: grains, neighbours, figures, and a page that needs nothing."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from refimpl.forward.nearfield_setup import Voxels
from refimpl.nearfield.compare import compare_maps
from refimpl.nearfield.maps import NearfieldMap
from refimpl.nearfield.outputs import read_map
from refimpl.report import nearfield_maps
from refimpl.report.nearfield import MapView, figure_names, figures, write_report
from refimpl.report.nearfield_key import draw_key
from refimpl.units import DEG

NX, NY = 12, 6


def squares(shape: str = "square") -> Voxels:
    y, x = np.divmod(np.arange(NX * NY), NX)
    xy = 2e-3 * np.stack([x, y], axis=1)
    return Voxels(xy, np.full(len(x), 2e-3), np.ones(len(x), dtype=bool), shape)  # type: ignore[arg-type]


def a_map(**more: object) -> NearfieldMap:
    """Three grains: columns 0 to 5, 6 to 11, and one voxel in the first; one voxel is unsolved."""
    rng = np.random.default_rng(1)
    x = np.arange(NX * NY) % NX
    euler = np.tile([0.3, 0.5, 0.1], (NX * NY, 1)) + 0.1 * DEG * rng.normal(size=(NX * NY, 3))
    euler[x >= 6, 1] += 20.0 * DEG
    euler[14, 1] += 0.7
    euler[40] = np.nan
    return NearfieldMap.of(
        squares(), euler, rng.uniform(0.6, 1.0, NX * NY), 225,
        by_distance=rng.uniform(0.6, 1.0, (NX * NY, 2)), evaluations=np.full(NX * NY, 50),
        disputed=np.arange(NX * NY) == 3, provenance={"inputs": {"parameters": "<ps>.txt"}},
        **more,
    )  # fmt: skip


def test_grains_are_joined_through_neighbours() -> None:
    v = MapView(a_map())
    assert v.n_grains == 3
    assert v.grain[[0, 14, 40, 71]].tolist() == [2, 3, 0, 1]
    sizes = [g.voxels for g in v.grains()]
    assert sizes == [36, 34, 1]
    first = v.grains()[0]
    assert first.area_um2 == pytest.approx(4.0 * first.voxels)
    assert first.diameter_um == pytest.approx(np.sqrt(4.0 * first.area_um2 / np.pi))
    assert [g.number for g in v.grains(2)] == [1, 2]
    assert v.boundaries().shape[1:] == (2, 2)
    # 6 sides between the two, 4 about the lone voxel
    assert len(v.boundaries()) == int(v.across.sum()) == 10
    assert 0.02 < np.nanmedian(v.kam_deg) < 0.5
    assert np.isnan(v.kam_deg[[14, 40]]).all()


def test_voxels_below_the_confidence_are_not_shown() -> None:
    m = a_map()
    v = MapView(m, min_confidence=0.8)
    assert (v.shown == (m.solved & (m.confidence >= 0.8))).all()
    assert (v.grain[~v.shown] == 0).all()
    assert len(v.pairs) < len(MapView(m).pairs)


def test_triangles_are_drawn_as_the_grid_is_tiled(real_data) -> None:
    m = read_map(real_data("nearfield-golden") / "Au_txt.mic", space_group=225)
    v = MapView(m)
    assert v.side_um == pytest.approx(2.5, abs=1e-5)  # 6 decimals in the file
    y = v.xy_um[:, 1]
    inside = np.hypot(*v.xy_um.T) < 25.0
    assert (v.points_up == m.voxels.up)[inside & (y < 0)].all()
    assert (v.points_up != m.voxels.up)[inside & (y > 0)].all()  # published flags, the other way
    rows = np.flatnonzero(inside)
    corners = v.outlines(rows)
    np.testing.assert_allclose(corners.mean(axis=1), v.xy_um[rows], atol=1e-9)
    # each corner within the map belongs to six triangles: they tile
    points = np.round(corners[np.hypot(*v.xy_um[rows].T) < 20.0].reshape(-1, 2), 2)
    deep = np.hypot(*points.T) < 15.0
    _, count = np.unique(points[deep], axis=0, return_counts=True)
    assert set(count) == {6}


def test_the_page_has_every_figure_and_loads_nothing(tmp_path: Path) -> None:
    m = a_map()
    v = MapView(m, "Gold <1>", compare_maps(m, a_map()), "truth.mic")
    names = figure_names(v)
    assert len(names) == 11
    page = write_report(v, tmp_path / "r")
    text = page.read_text()
    assert {p.stem for p in (tmp_path / "r" / "figures").iterdir()} == set(names)
    assert re.findall(r'figure id="([^"]+)"', text) != []
    assert set(re.findall(r'figure id="([^"]+)"', text)) == set(names)
    assert "Gold &lt;1&gt;" in text
    assert "&lt;ps&gt;.txt" in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    for words in ("71 of 72 voxels have an orientation", "disagreed with all their neighbours",
                  "100.00 % of 71 voxels within 0.25°", "Evaluations"):  # fmt: skip
        assert words in text, words


def test_a_map_reports_itself(tmp_path: Path) -> None:
    nothing = NearfieldMap.of(squares(), np.full((NX * NY, 3), np.nan), np.zeros(NX * NY), 225)
    page = nothing.report(tmp_path, title="Empty")
    text = page.read_text()
    assert "0 of 72 voxels have an orientation" in text
    assert "Not to be trusted yet" in text
    assert "<img" not in text


@pytest.mark.parametrize("space_group", [1, 14, 62, 85, 139, 147, 162, 166, 175, 194, 200, 225])
def test_every_laue_class_has_a_key(space_group: int) -> None:
    from refimpl.report import style

    figure = style.new_figure(2.0, 2.0)
    ax = figure.add_axes((0.2, 0.2, 0.6, 0.6))
    draw_key(ax, space_group)
    assert len(ax.texts) >= 1
    (picture,) = ax.images
    array = np.asarray(picture.get_array())
    assert 0.3 < array[..., 3].mean() < 1.0  # the sector, and not all of the square


def test_many_voxels_become_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    v = MapView(a_map())
    cells = figures(v, ["ipf_z"])["ipf_z"].axes[0]
    monkeypatch.setattr(nearfield_maps, "_MOST_CELLS", 10)
    picture = figures(v, ["ipf_z"])["ipf_z"].axes[0]
    assert len(cells.images) == 0
    (image,) = picture.images
    array = np.asarray(image.get_array())
    x0, _, y0, _ = image.get_extent()
    step = (image.get_extent()[1] - x0) / array.shape[1]
    for row in (0, 14, 71):
        x, y = v.xy_um[row]
        colour = cells.collections[0].get_facecolor()[int(v.shown[:row].sum())][:3]
        np.testing.assert_allclose(
            array[int((y - y0) / step), int((x - x0) / step)], colour, atol=1e-6
        )


@pytest.mark.parametrize("shape", ["triangle", "point"])
def test_a_single_voxel_is_drawn(shape: str) -> None:
    voxels = Voxels(np.zeros((1, 2)), np.array([0.002]), np.array([True]), shape)  # type: ignore[arg-type]
    m = NearfieldMap.of(voxels, np.array([[0.1, 0.2, 0.3]]), np.array([0.9]), 194)
    v = MapView(m, comparison=compare_maps(m, m))
    assert "kam" not in figure_names(v)
    (ax, _) = figures(v, ["ipf_z"])["ipf_z"].axes
    assert ax.get_xlim()[0] < 0.0 < ax.get_xlim()[1]
