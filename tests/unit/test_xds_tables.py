"""Tables of pixel corrections: files of both layouts, and what two detectors make of them."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.detector.hierarchy import Hierarchy, Module
from refimpl.detector.offset_tables import offsets_of_corrections
from refimpl.errors import ConfigError, FormatError, GeometryError
from refimpl.io.cbf import read_cbf, write_cbf
from refimpl.io.xds_tables import read_corrections, write_corrections
from refimpl.metrology.correction_tables import correction_tables, without_parallax
from refimpl.rotations import expmap

SHAPE = (42, 53)  # no multiple of 4
ROW, COLUMN = np.meshgrid(np.arange(SHAPE[0]), np.arange(SHAPE[1]), indexing="ij")
DX, DY = 0.02 * COLUMN - 0.5, 0.3 - 0.01 * ROW


@pytest.mark.parametrize("names", [None, ("a.cbf.gz", "b.cbf.bz2"), ("a.npy", "b.npy")])
def test_geometry_tables_survive_to_their_unit(tmp_path, names):
    paths = write_corrections(tmp_path, DX, DY, names=names)
    if names is None:
        assert [p.name for p in paths] == ["x_geo_corr.cbf", "y_geo_corr.cbf"]
        assert read_cbf(paths[0])[0][3, 7] == round(100 * DX[3, 7])
    got = read_corrections(*paths, SHAPE)
    # rounded to 1/100 pixel
    assert np.allclose(got, (DX, DY), atol=0.005 + 1e-12, rtol=0)
    again = write_corrections(tmp_path, *got, names=("x.npy", "y.npy"))
    assert np.array_equal(read_corrections(*again, SHAPE), got)


def test_xds_tables_are_means_of_blocks(tmp_path):
    paths = write_corrections(tmp_path, DX, DY, "xds")
    assert [p.name for p in paths] == ["X-CORRECTIONS.cbf", "Y-CORRECTIONS.cbf"]
    stored = read_cbf(paths[0])[0]
    assert stored.shape == (11, 14)
    assert stored[2, 3] == round(10 * DX[8:12, 12:16].mean())
    assert stored[10, 13] == round(10 * DX[40:, 52:].mean())  # the far edges are cut
    x, _ = read_corrections(*paths, SHAPE)
    assert x.shape == SHAPE
    assert np.all(x[8:12, 12:16] == stored[2, 3] / 10.0)
    half = COLUMN < 14  # a panel that ends within a block
    paths = write_corrections(tmp_path, DX * half, DY, "xds", valid=half)
    edge = read_cbf(paths[0])[0]
    assert edge[2, 3] == round(10 * DX[8:12, 12:14].mean())
    assert not edge[:, 4:].any()
    # 1/20 of rounding, and 1.5 pixels of slope
    assert np.abs(x - DX).max() < 0.05 + 1.5 * 0.02 + 1e-12


def test_refused_tables(tmp_path):
    mixed = (write_corrections(tmp_path, DX, DY)[0], write_corrections(tmp_path, DX, DY, "xds")[1])
    with pytest.raises(FormatError, match="a table of layout xds beside one of geometry"):
        read_corrections(*mixed, SHAPE)
    path = write_cbf(tmp_path / "x.cbf", np.zeros((40, 50), np.int32))
    with pytest.raises(
        FormatError,
        match=r"x\.cbf: a table of shape \(40, 50\) for an image of \(42, 53\): expected",
    ):
        read_corrections(path, path, SHAPE)
    (tmp_path / "x.npy").write_bytes(b"no")
    with pytest.raises(FormatError, match=r"x\.npy: not a readable \.npy array: "):
        read_corrections(tmp_path / "x.npy", path, SHAPE)
    with pytest.raises(ConfigError, match="layout 'odd': expected one of geometry, xds"):
        write_corrections(tmp_path, DX, DY, "odd")  # type: ignore[arg-type]
    for bad in (DX[:5], np.where(DX > 0, np.nan, DX)):
        with pytest.raises(ConfigError, match="expected two tables of finite numbers and equal"):
            write_corrections(tmp_path, DX, bad)
    with pytest.raises(ConfigError, match="does not exist"):
        write_corrections(tmp_path / "no", DX, DY)


# --- detectors ------------------------------------------------------------------------------------

X, MINUS_Y = (1.0, 0.0, 0.0), (0.0, -1.0, 0.0)


def panel(column: int, width: int, **more) -> Module:
    origin = (-5.0 + 0.2 * column, 4.0, -100.0)
    sensor = {"thickness_mm": 0.4, "mu_per_mm": 4.0, "parallax": True}
    return Module(
        "p", X, MINUS_Y, origin, (width, 42), (0.2, 0.2), (column, 0), **{**sensor, **more}
    )


IDEAL = Hierarchy((panel(0, 53),))
PARTS = Hierarchy((panel(0, 20), panel(23, 30)))


@pytest.mark.parametrize("parallax", [True, False])
def test_tables_stand_for_a_turned_panel(parallax):
    """The ideal panel with the tables sends every pixel where the turned panels do.

    Tables with the parallax are for a panel without; others for one that has its own.
    """
    d = PARTS.d
    d[1] = expmap(np.array([0.004, -0.003, 0.01])) @ d[1]
    d[1, :, 2] += [0.02, 0.05, -0.3]
    turned = PARTS.with_d(d)
    ideal = without_parallax(IDEAL) if parallax else IDEAL
    tables = correction_tables(ideal, turned)
    offsets = offsets_of_corrections(ideal, *tables)
    x, y = np.array([3.5, 12.5, 7.5]), np.array([4.5, 30.5, 41.5])
    one = np.ones(3, dtype=np.int64)
    lab = turned.d[1] @ np.stack([*turned.pixel_to_mm(one, x, y), np.ones(3)])
    on_ideal = ideal.d[0] @ np.stack([*ideal.pixel_to_mm(0 * one, x + 23, y, offsets), np.ones(3)])
    directions = [v / np.sqrt((v * v).sum(axis=0)) for v in (lab, on_ideal)]
    assert np.abs(directions[0] - directions[1]).max() * 100.0 < 2e-4  # mm; parallax of 2nd order


def test_offsets_are_the_part_of_each_panel_with_the_other_sign():
    first, second = offsets_of_corrections(PARTS, DX, DY)
    assert np.array_equal(first[0], -DX[:, :20])
    assert np.array_equal(second[1], -DY[:, 23:])


def test_refused_detectors():
    with pytest.raises(
        GeometryError, match=r"panel 1 needs rows 0 to 42 and columns 23 to 53: the"
    ):
        offsets_of_corrections(PARTS, DX[:, :50], DY[:, :50])
    with pytest.raises(GeometryError, match=r"corrections of shapes \(42, 53\) and \(41, 53\)"):
        offsets_of_corrections(PARTS, DX, DY[1:])
