"""A near-field map as one HDF5 file that orix and ParaView read, too.

Three groups that share their arrays (hard links, nothing is stored twice):

- ``refimpl``: everything of :class:`~refimpl.nearfield.maps.NearfieldMap`, in mm and rad and in the
  MIDAS near-field frame; setup and provenance as JSON in attributes.
- ``crystal_map``: the layout of orix's own files (``orix.io.load``). Points are in um. A textbook
  Bunge triple turns the sample into the crystal and ours the crystal into the sample by the
  transposed matrix, so the three angles are the same; but orix has the crystal's x along a and z
  along c*, and here x runs along a* and z along c, so angles of crystals whose axes are not all
  perpendicular are those of orix's frame there. Points without a solution are ``not_indexed``.
- ``mesh``: corners and cells for the ``.xdmf`` file beside it, which ParaView and meshio open.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from refimpl.crystal.cell import b_matrix
from refimpl.errors import FormatError, RefimplError
from refimpl.forward.nearfield_setup import Voxels
from refimpl.frames import F64
from refimpl.hdf5 import read_hdf5
from refimpl.hdf5.writing import new_hdf5
from refimpl.io.atomic import atomic_path, json_text, write_text
from refimpl.io.frame_source import BROKEN
from refimpl.nearfield.maps import NearfieldMap
from refimpl.reading import parse_json
from refimpl.rotations import euler_of_matrix, matrix_of_euler
from refimpl.units import UM

if TYPE_CHECKING:
    import h5py

__all__ = ["SCHEMA", "orix_turn", "read_map_hdf5", "write_map_hdf5", "write_xdmf"]

SCHEMA: Final = 1
"""Version of the layout, in the attribute ``schema`` of the group ``refimpl``."""

_UNITS = {
    "euler_rad": "rad", "solutions_euler_rad": "rad", "seconds": "s", "xy_mm": "mm",
    "edge_mm": "mm",
}  # fmt: skip
_OF_VOXELS = ("xy_mm", "edge_mm", "up")
_ARRAYS = (
    "euler_rad", "confidence", "by_distance", "seed", "n_kept", "evaluations", "seconds",
    "solutions_euler_rad", "solutions_confidence", "disputed",
)  # fmt: skip
_PROPERTIES = ("confidence", "seed", "n_kept", "evaluations", "disputed", "edge_mm", "up")
_SHOWN = ("confidence", "seed", "n_kept", "evaluations", "euler_rad", "solved")
_ASSUMED = {  # of maps whose cell is not known: only the angles matter here
    "-3": (1.0, 1.0, 1.0, 90.0, 90.0, 120.0),
    "6/": (1.0, 1.0, 1.0, 90.0, 90.0, 120.0),
}


def orix_turn(cell: tuple[float, ...]) -> F64:
    """(3, 3) from our crystal frame (x along a*, z along c) to orix's (x along a, z along c*)."""
    a, b, c = cell[:3]
    ca, cb, cg = np.cos(np.radians(cell[3:]))
    sg = float(np.sqrt(1.0 - cg * cg))
    rise = float(np.sqrt(1.0 - ca * ca - cb * cb - cg * cg + 2.0 * ca * cb * cg)) / sg
    theirs = np.array(
        [[a, b * cg, c * cb], [0.0, b * sg, c * (ca - cb * cg) / sg], [0.0, 0.0, c * rise]]
    )
    turn = theirs @ b_matrix(cell).T  # B^T is the inverse of the direct axes
    return np.eye(3) if np.abs(turn - np.eye(3)).max() < 1e-12 else turn


def _cell(result: NearfieldMap) -> tuple[float, ...]:
    from refimpl.crystal.symmetry_operators import laue_class

    if result.cell is not None:
        return result.cell
    return _ASSUMED.get(laue_class(result.space_group)[:2], (1.0, 1.0, 1.0, 90.0, 90.0, 90.0))


def write_map_hdf5(path: str | Path, result: NearfieldMap) -> Path:
    """Write a map; atomic.

    Parameters
    ----------
    path
        Of the ``.h5``; its folder must exist.
    result
        The map.
    """
    with atomic_path(path) as temporary, new_hdf5(temporary) as file:
        _write_own(file.create_group("refimpl"), result)
        _write_orix(file, result)
        _write_mesh(file.create_group("mesh"), result)
    return Path(path)


def _write_own(group: h5py.Group, result: NearfieldMap) -> None:
    for owner, names in ((result.voxels, _OF_VOXELS), (result, _ARRAYS)):
        for name in names:
            made = group.create_dataset(name, data=getattr(owner, name))
            if name in _UNITS:
                made.attrs["unit"] = _UNITS[name]
    group.create_dataset("quaternion", data=result.quaternions)
    group.create_dataset("solved", data=result.solved)
    group.attrs["schema"] = SCHEMA
    group.attrs["shape"] = result.voxels.shape
    group.attrs["space_group"] = result.space_group
    group.attrs["phase"] = result.phase
    group.attrs["position_um"] = result.position_um
    if result.cell is not None:
        group.attrs["cell"] = result.cell
    group.attrs["provenance"] = json_text(result.provenance)
    if result.setup is not None:
        kept = {
            f.name: getattr(result.setup, f.name)
            for f in fields(result.setup) if f.name != "reflections"
        }  # fmt: skip
        group.attrs["setup"] = json_text(kept)


def _write_orix(file: h5py.File, result: NearfieldMap) -> None:
    from refimpl import __version__

    file["manufacturer"], file["version"] = [b"orix"], [__version__.encode()]
    top = file.create_group("crystal_map")
    data, header = top.create_group("data"), top.create_group("header")
    solved, own = result.solved, file["refimpl"]
    euler = np.where(solved[:, None], result.euler_rad, 0.0)
    turn = orix_turn(_cell(result))
    if not np.array_equal(turn, np.eye(3)):
        euler = np.where(solved[:, None], euler_of_matrix(matrix_of_euler(euler) @ turn.T), 0.0)
    columns: dict[str, Any] = dict(zip(("phi1", "Phi", "phi2"), euler.T, strict=True))
    columns |= dict(zip("xy", (result.voxels.xy_mm / UM).T, strict=True))
    columns["phase_id"] = np.where(solved, result.phase, -1)
    columns["id"] = np.arange(len(result))
    columns["is_in_data"] = np.ones(len(result), dtype=bool)
    for name, values in columns.items():
        data.create_dataset(name, data=np.ascontiguousarray(values))
    for name in _PROPERTIES:
        data[name] = own[name]
    said: dict[str, Any] = {
        "grid_type": b"square", "nx": len(result), "ny": len(result), "x_step": 0.0, "y_step": 0.0,
        "rotations_per_point": 1, "scan_unit": b"um",
    }  # fmt: skip
    for name, value in said.items():
        header[name] = [value]
    _write_phase(header.create_group(f"phases/{result.phase}"), result)


def _write_phase(phase: h5py.Group, result: NearfieldMap) -> None:
    phase["name"] = [f"phase {result.phase}".encode()]
    phase["space_group"], phase["point_group"] = [result.space_group], [b"None"]
    phase["color"] = [b"tab:blue"]
    lattice = phase.create_group("structure/lattice")
    lattice["abcABG"], lattice["baserot"] = np.array(_cell(result)), np.eye(3)
    phase.create_group("structure/atoms")


def _write_mesh(group: h5py.Group, result: NearfieldMap) -> None:
    corners = result.voxels.vertices() / UM
    v, k = corners.shape[:2]
    if result.voxels.shape == "triangle":  # counter-clockwise, as meshes have it
        corners = np.where(result.voxels.up[:, None, None], corners, corners[:, ::-1])
    points = np.concatenate([corners.reshape(-1, 2), np.zeros((v * k, 1))], axis=1)
    points[:, 2] = result.position_um
    group.create_dataset("points", data=points).attrs["unit"] = "um"
    group.create_dataset("cells", data=np.arange(v * k, dtype=np.int64).reshape(v, k))


# --- XDMF -----------------------------------------------------------------------------------------

_TOPOLOGY = {"triangle": "Triangle", "square": "Quadrilateral", "point": "Polyvertex"}
_TYPES = {"f": ("Float", 8), "i": ("Int", 8), "b": ("Char", 1)}


def write_xdmf(path: str | Path, map_path: str | Path) -> Path:
    """Write the ``.xdmf`` of a map for ParaView: its voxels as cells with their numbers.

    Parameters
    ----------
    path
        Of the ``.xdmf``; it names the map relative to itself, so both move together.
    map_path
        A file of :func:`write_map_hdf5` in the same folder.
    """
    name = Path(map_path).name
    with read_hdf5(map_path) as file:
        kind = _TOPOLOGY[str(file["refimpl"].attrs["shape"])]
        v, k = file["mesh/cells"].shape
        corners = f' NodesPerElement="{k}"' if kind == "Polyvertex" else ""
        lines = [
            '<?xml version="1.0"?>', '<Xdmf Version="3.0"><Domain>',
            '<Grid Name="near-field map" GridType="Uniform">',
            f'<Topology TopologyType="{kind}" NumberOfElements="{v}"{corners}>',
            _item(name, file["mesh/cells"]), "</Topology>", '<Geometry GeometryType="XYZ">',
            _item(name, file["mesh/points"]), "</Geometry>",
        ]  # fmt: skip
        for shown in _SHOWN:
            values = file[f"refimpl/{shown}"]
            form = "Scalar" if values.ndim == 1 else "Vector"
            lines += [
                f'<Attribute Name="{shown}" AttributeType="{form}" Center="Cell">',
                _item(name, values), "</Attribute>",
            ]  # fmt: skip
    return write_text(path, "\n".join([*lines, "</Grid></Domain></Xdmf>"]) + "\n")


def _item(name: str, values: h5py.Dataset) -> str:
    kind, size = _TYPES[values.dtype.kind]
    shape = " ".join(str(n) for n in values.shape)
    return (
        f'<DataItem Dimensions="{shape}" NumberType="{kind}" Precision="{size}" Format="HDF">'
        f"{name}:{values.name}</DataItem>"
    )


# --- reading --------------------------------------------------------------------------------------


def read_map_hdf5(path: str | Path) -> NearfieldMap:
    """Map of a file of ours; its setup stays in the file.

    Raises
    ------
    FormatError
        No such file, no HDF5, no map of ours, or a newer one.
    """
    try:
        with read_hdf5(path) as file:
            if "refimpl" not in file or "schema" not in file["refimpl"].attrs:
                raise FormatError("no group 'refimpl': not a near-field map of ours", path=path)
            group = file["refimpl"]
            schema = int(group.attrs["schema"])
            if schema > SCHEMA:
                raise FormatError(
                    f"schema {schema} is newer than this refimpl ({SCHEMA}); upgrade", path=path
                )
            missing = [n for n in (*_OF_VOXELS, *_ARRAYS) if n not in group]
            if missing:
                raise FormatError(f"the group 'refimpl' lacks {missing[0]!r}", path=path)
            xy, edge, up = (group[n][()] for n in _OF_VOXELS)
            shape: Any = str(group.attrs["shape"])  # Voxels says which there are
            voxels = Voxels(xy, edge, up, shape)
            cell = tuple(float(x) for x in group.attrs["cell"]) if "cell" in group.attrs else None
            return NearfieldMap(
                voxels=voxels, space_group=int(group.attrs["space_group"]),
                phase=int(group.attrs["phase"]), position_um=float(group.attrs["position_um"]),
                cell=cell, provenance=parse_json(group.attrs["provenance"]),
                **{n: group[n][()] for n in _ARRAYS},
            )  # fmt: skip
    except FileNotFoundError as error:
        raise FormatError("no such file", path=path) from error
    except OSError as error:
        raise FormatError("not an HDF5 file", path=path) from error
    except BROKEN as error:
        if isinstance(error, RefimplError):  # says more already
            raise
        raise FormatError(f"the group 'refimpl' is not whole: {error}", path=path) from error
