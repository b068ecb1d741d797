"""Files of a near-field map: the published ones, and our own; and maps from files.

The published text and binary maps have a row for every voxel here; ``published_rows`` leaves the
rows without a solution out of the text, as the published program does. Its header states the edge
of the voxels whatever the first row holds (near-field specification 6.2, fault 5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.errors import FormatError, GeometryError
from refimpl.forward.nearfield_setup import VoxelShape
from refimpl.io.atomic import make_folder, write_json
from refimpl.io.mic import MicTable, header_lines, read_mic, write_mic, write_mic_binary
from refimpl.io.mic_matches import AllMatches, write_all_matches, write_all_matches_text
from refimpl.nearfield.map_hdf5 import read_map_hdf5, write_map_hdf5, write_xdmf
from refimpl.nearfield.map_pixels import write_map_files
from refimpl.nearfield.maps import NearfieldMap
from refimpl.units import DEG

__all__ = ["Written", "all_matches", "mic_table", "read_map", "result_dict", "save"]

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_GRAIN_ANGLE = 5.0 * DEG


@dataclass(frozen=True)
class Written:
    """Paths of what :func:`save` wrote; None where it was not asked for.

    Attributes
    ----------
    text, binary
        The published maps; each with its ``.AllMatches`` beside it.
    pixels
        ``.map``, ``.map.kam``, ``.map.grainId``, ``.map.grod``.
    hdf5, xdmf, numbers, report
        Our map, its description for ParaView, ``result.json`` and ``report.html``.
    """

    text: Path
    binary: Path
    pixels: tuple[Path, ...]
    hdf5: Path
    xdmf: Path
    numbers: Path
    report: Path | None

    def __iter__(self) -> Iterator[Path]:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, tuple):
                yield from value
            elif value is not None:
                yield value


def mic_table(result: NearfieldMap, *, n_phases: int = 1) -> MicTable:
    """Published rows of a map, one a voxel; what is NaN becomes 0."""
    return MicTable.of(
        result.voxels, result.euler_rad, result.confidence,
        seed_row=result.seed, n_kept=result.n_kept, seconds=np.nan_to_num(result.seconds),
        phase=result.phase, n_phases=max(n_phases, result.phase),
        global_position_um=result.position_um,
    )  # fmt: skip


def all_matches(result: NearfieldMap) -> AllMatches:
    """Published ``.AllMatches`` of a map: every voxel with its saved solutions."""
    mic = mic_table(result).columns
    head = mic[:, :7].copy()
    head[:, 0], head[:, 2] = 0.0, 0.0  # the block, and published no time
    solutions = np.concatenate(
        [result.solutions_euler_rad, result.solutions_confidence[:, :, None]], axis=2
    )
    return AllMatches(head, np.nan_to_num(solutions))


def save(
    result: NearfieldMap,
    folder: str | Path,
    *,
    text: str = "map.mic",
    binary: str = "map.mic.bin",
    n_phases: int = 1,
    published_rows: bool = False,
    grain_angle_rad: float = _GRAIN_ANGLE,
    grain_space_group: int | None = None,
    pixel_um: float = 1.0,
    report: bool = False,
) -> Written:
    """Write a map into a folder; every file appears whole or not at all.

    Parameters
    ----------
    result
        The map.
    folder
        Made if it does not exist.
    text, binary
        Names of the published maps (MicFileText, MicFileBinary); ours is ``<text>.h5``.
    n_phases
        NumPhases of the headers.
    published_rows
        Leave rows without a solution out of the text map and its companion, as published.
    grain_angle_rad
        Misorientation of a grain boundary in the ``.map.grainId`` (GBAngle).
    grain_space_group
        Symmetry of the ``.map.grainId``, ``.kam`` and ``.grod`` (SGNr); None: the map's own.
    pixel_um
        Step of the ``.map``; published 1.
    report
        Write figures and the HTML report.

    Raises
    ------
    ConfigError
        The folder cannot be made or written to.
    """
    target = make_folder(folder)
    table, matches = mic_table(result, n_phases=n_phases), all_matches(result)
    mic, mic_binary = target / text, target / binary
    for path in (mic, mic_binary):
        make_folder(path.parent)  # published names may hold one
    write_mic(mic, table, published_rows=published_rows)
    write_mic_binary(mic_binary, table)
    write_all_matches(_beside(mic_binary, "AllMatches"), matches)
    if published_rows:
        keep = result.solved
        matches = AllMatches(matches.head[keep], matches.solutions[keep])
    write_all_matches_text(_beside(mic, "AllMatches"), matches, header_lines(table))
    seen = result if grain_space_group is None else result.changed(space_group=grain_space_group)
    pixels = write_map_files(_beside(mic, "map"), seen, angle_rad=grain_angle_rad, step_um=pixel_um)
    hdf5 = write_map_hdf5(_beside(mic, "h5"), result)
    xdmf = write_xdmf(_beside(mic, "xdmf"), hdf5)
    page = result.report(target) if report else None
    numbers = write_json(target / "result.json", result_dict(result))
    return Written(mic, mic_binary, pixels, hdf5, xdmf, numbers, page)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}.{ending}")


def result_dict(result: NearfieldMap) -> dict[str, Any]:
    """Content of ``result.json``: numbers and where they come from."""
    return result.summary() | {"cell": result.cell, "provenance": dict(result.provenance)}


def read_map(
    path: str | Path,
    *,
    space_group: int | None = None,
    cell: tuple[float, ...] | None = None,
    shape: VoxelShape = "triangle",
) -> NearfieldMap:
    """Map of a file: our HDF5, or a published map, text or binary, ours or not.

    Parameters
    ----------
    path
        The file.
    space_group, cell
        Of published maps, which do not say; our files know theirs. A space group that is given
        counts all the same.
    shape
        Of the voxels of a published map.

    Returns
    -------
    The map, with the rows that the file has. Rows of confidence 0 have no solution; holes of a
    published binary map have no position either and are left out.

    Raises
    ------
    FormatError
        The file cannot be read, holds no row, or a published map comes without a space group.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            start = stream.read(len(_HDF5_MAGIC))
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=path) from error
    if start == _HDF5_MAGIC:
        own = read_map_hdf5(file)
        changes = {"space_group": space_group, "cell": cell}
        return own.changed(**{k: v for k, v in changes.items() if v is not None})
    table = read_mic(file)
    if space_group is None:
        raise FormatError(
            "a published map does not say its space group: give it, or the parameter file",
            path=path, key="SpaceGroup",
        )  # fmt: skip
    table = table.rows(~table.hole)
    if not len(table):
        raise FormatError("a map without a row", path=path)
    found = np.asarray(table.confidence > 0.0)
    try:
        return NearfieldMap.of(
            table.voxels(shape), np.where(found[:, None], table.euler_rad, np.nan),
            table.confidence, space_group, cell=cell, n_kept=table.n_kept,
            seed=np.where(found, table.seed_row, -1), seconds=table.seconds,
            phase=int(table.phase[0]), position_um=table.global_position_um,
            provenance={"inputs": {"map": str(path)}},
        )  # fmt: skip
    except GeometryError as error:
        raise FormatError(f"not a map: {error}", path=path) from error
