"""Near-field maps as HDF5: all of the map comes back, and other programs find what they know."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import h5py
import numpy as np
import pytest

from refimpl.crystal.cell import b_matrix
from refimpl.errors import FormatError
from refimpl.forward.nearfield_setup import Voxels
from refimpl.nearfield.map_hdf5 import orix_turn, read_map_hdf5, write_map_hdf5, write_xdmf
from refimpl.nearfield.maps import NearfieldMap
from refimpl.rotations import matrix_of_euler

HEXAGONAL = (2.95, 2.95, 4.68, 90.0, 90.0, 120.0)


def a_map(space_group: int = 225, cell: tuple[float, ...] | None = None) -> NearfieldMap:
    """Five triangles, one of them without a solution."""
    rng = np.random.default_rng(2)
    voxels = Voxels(rng.uniform(-0.1, 0.1, (5, 2)), np.full(5, 0.002), np.arange(5) % 2 == 0)
    euler = rng.uniform(0.1, 3.0, (5, 3))
    euler[3] = np.nan
    return NearfieldMap.of(
        voxels, euler, rng.uniform(0.1, 1.0, 5), space_group, cell=cell,
        by_distance=rng.uniform(0.1, 1.0, (5, 2)), seed=np.arange(5), n_kept=np.arange(5) + 7,
        position_um=12.5, provenance={"inputs": {"parameters": "ps.txt"}, "threads": 2},
    )  # fmt: skip


def test_a_map_comes_back(tmp_path: Path) -> None:
    m = a_map()
    got = read_map_hdf5(write_map_hdf5(tmp_path / "m.h5", m))
    for name in ("euler_rad", "confidence", "by_distance", "seed", "n_kept", "seconds",
                 "solutions_euler_rad", "solutions_confidence", "disputed"):  # fmt: skip
        np.testing.assert_array_equal(getattr(got, name), getattr(m, name))
    np.testing.assert_array_equal(got.voxels.xy_mm, m.voxels.xy_mm)
    np.testing.assert_array_equal(got.voxels.up, m.voxels.up)
    assert (got.space_group, got.position_um, got.cell) == (225, 12.5, None)
    assert dict(got.provenance) == dict(m.provenance)
    assert read_map_hdf5(write_map_hdf5(tmp_path / "h.h5", a_map(194, HEXAGONAL))).cell == HEXAGONAL


def test_equal_maps_are_equal_files(tmp_path: Path) -> None:
    first = write_map_hdf5(tmp_path / "a.h5", a_map()).read_bytes()
    assert write_map_hdf5(tmp_path / "b.h5", a_map()).read_bytes() == first


def test_orix_finds_its_layout(tmp_path: Path) -> None:
    # what orix 0.15 reads; tried with it: 5 points, of them 4 indexed, angles as below
    m = a_map()
    with h5py.File(write_map_hdf5(tmp_path / "m.h5", m)) as f:
        assert f["manufacturer"][()].tolist() == [b"orix"]
        data, header = f["crystal_map/data"], f["crystal_map/header"]
        assert {"phi1", "Phi", "phi2", "x", "y", "phase_id", "id", "is_in_data"} <= set(data)
        assert all(len(data[name]) == 5 for name in data)
        assert data["phase_id"][()].tolist() == [1, 1, 1, -1, 1]
        found = m.solved
        np.testing.assert_array_equal(data["phi1"][()][found], m.euler_rad[found, 0])
        np.testing.assert_allclose(data["x"][()], 1e3 * m.voxels.xy_mm[:, 0])
        assert header["phases/1/space_group"][()].tolist() == [225]
        assert header["scan_unit"][()].tolist() == [b"um"]
        assert f["crystal_map/data/confidence"] == f["refimpl/confidence"]  # not stored twice


def test_orix_gets_its_own_crystal_frame(tmp_path: Path) -> None:
    turn = orix_turn(HEXAGONAL)
    a, b, c = np.linalg.inv(b_matrix(HEXAGONAL))  # rows: direct axes in our frame
    np.testing.assert_allclose(turn @ a, [2.95, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(turn @ c, [0.0, 0.0, 4.68], atol=1e-12)
    assert (turn @ b)[1] > 0.0
    cell = (5.1, 6.2, 7.3, 80.0, 95.0, 104.0)
    turn = orix_turn(cell)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose((turn @ b_matrix(cell)[:, 2])[:2], 0.0, atol=1e-12)  # c* along z
    np.testing.assert_array_equal(orix_turn((3.0, 4.0, 5.0, 90.0, 90.0, 90.0)), np.eye(3))
    m = a_map(194, HEXAGONAL)
    with h5py.File(write_map_hdf5(tmp_path / "m.h5", m)) as f:
        data = f["crystal_map/data"]
        theirs = matrix_of_euler(np.stack([data[k][()] for k in ("phi1", "Phi", "phi2")], axis=1))
    found = m.solved
    np.testing.assert_allclose(theirs[found] @ orix_turn(HEXAGONAL), m.matrices[found], atol=1e-12)
    with h5py.File(write_map_hdf5(tmp_path / "n.h5", a_map(194))) as f:  # the cell is not known
        again = np.stack([f[f"crystal_map/data/{k}"][()] for k in ("phi1", "Phi", "phi2")], axis=1)
    np.testing.assert_allclose(matrix_of_euler(again), theirs, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "kind"), [("triangle", "Triangle"), ("square", "Quadrilateral"), ("point", "Polyv")]
)
def test_paraview_finds_cells(tmp_path: Path, shape: str, kind: str) -> None:
    m = a_map()
    voxels = Voxels(m.voxels.xy_mm, m.voxels.edge_mm, m.voxels.up, shape)  # type: ignore[arg-type]
    path = write_map_hdf5(tmp_path / "m.h5", m.changed(voxels=voxels))
    tree = ElementTree.parse(write_xdmf(tmp_path / "m.xdmf", path))
    topology = next(tree.iter("Topology"))
    assert topology.attrib["TopologyType"].startswith(kind)
    assert topology.attrib["NumberOfElements"] == "5"
    with h5py.File(path) as f:
        for item in tree.iter("DataItem"):
            name, inside = (item.text or "").split(":")
            assert name == "m.h5"
            assert item.attrib["Dimensions"] == " ".join(str(n) for n in f[inside].shape)
        points, cells = f["mesh/points"][()], f["mesh/cells"][()]
        assert (points[:, 2] == 12.5).all()
        corners = points[cells][:, :, :2]
        if shape == "triangle":
            (ax, ay), (bx, by) = (
                (corners[:, 1] - corners[:, 0]).T,
                (corners[:, 2] - corners[:, 0]).T,
            )
            area = ax * by - ay * bx
            np.testing.assert_allclose(area, 0.5 * np.sqrt(3.0) * 2.0**2)  # all one way round
        np.testing.assert_allclose(corners.mean(axis=1), 1e3 * m.voxels.xy_mm, atol=1e-9)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"nothing\.h5: no such file"):
        read_map_hdf5(tmp_path / "nothing.h5")
    (tmp_path / "t.h5").write_text("text")
    with pytest.raises(FormatError, match="not an HDF5 file"):
        read_map_hdf5(tmp_path / "t.h5")
    with h5py.File(tmp_path / "e.h5", "w") as f:
        f["x"] = 1
    with pytest.raises(FormatError, match="no group 'refimpl': not a near-field map of ours"):
        read_map_hdf5(tmp_path / "e.h5")
    path = write_map_hdf5(tmp_path / "m.h5", a_map())
    with h5py.File(path, "a") as f:
        f["refimpl"].attrs["schema"] = 9
    with pytest.raises(FormatError, match=r"schema 9 is newer than this refimpl \(1\); upgrade"):
        read_map_hdf5(path)
    path = write_map_hdf5(tmp_path / "m.h5", a_map())
    with h5py.File(path, "a") as f:
        del f["refimpl/n_kept"]
    with pytest.raises(FormatError, match="the group 'refimpl' lacks 'n_kept'"):
        read_map_hdf5(path)
    for name, message in (
        ("provenance", "the group 'refimpl' is not whole: .*provenance"),
        ("space_group", "the group 'refimpl' is not whole: .*space_group"),
    ):
        path = write_map_hdf5(tmp_path / "m.h5", a_map())
        with h5py.File(path, "a") as f:
            del f["refimpl"].attrs[name]
        with pytest.raises(FormatError, match=message):
            read_map_hdf5(path)
    with h5py.File(path, "a") as f:
        f["refimpl"].attrs["space_group"], f["refimpl"].attrs["provenance"] = 225, "{"
    with pytest.raises(FormatError, match="the group 'refimpl' is not whole: Expecting"):
        read_map_hdf5(path)
