"""Optics groups in STAR files of RELION 3.1 to 5: new ones, those of others, and one into another.

A new file has the optics table and the names of movies or micrographs. A file that exists keeps
everything: its optics row stands for each group with all its columns (aberrations refined so far
among them), only number and name are new. Groups are numbered from 1 without gaps, as RELION
wants them, and stay in the table when they lose all their micrographs, so that the numbers of a
file and of those made from it agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from refimpl.epu.optics_groups import OpticsGroups
from refimpl.epu.stems import stem_of
from refimpl.errors import ConfigError, FormatError
from refimpl.frames import F64, I64
from refimpl.io.star import StarFile, StarTable

__all__ = ["NAME_COLUMNS", "OpticsSettings", "data_table", "groups_of_star", "name_column"]
__all__ += ["new_star", "used_groups"]

NAME_COLUMNS: Final = ("rlnMicrographName", "rlnMicrographMovieName", "rlnImageName")
"""Columns that name the micrograph of a row, the first that is there counts."""

DATA_TABLES: Final = ("movies", "micrographs", "particles")
"""Tables whose rows belong to optics groups."""

GROUP, GROUP_NAME = "rlnOpticsGroup", "rlnOpticsGroupName"


@dataclass(frozen=True)
class OpticsSettings:
    """What is not in EPU's files, or is to be other than there.

    Attributes
    ----------
    cs_mm
        Spherical aberration.
    amplitude_contrast
        0 to 1.
    pixel_size_angstrom, voltage_kv
        For all groups; None: of the files.
    mtf
        Name of the detector's MTF file, None: no such column.
    """

    cs_mm: float = 2.7
    amplitude_contrast: float = 0.1
    pixel_size_angstrom: float | None = None
    voltage_kv: float | None = None
    mtf: str | None = None

    def __post_init__(self) -> None:
        checks = (
            ("cs_mm", self.cs_mm, 0.0, 20.0),
            ("amplitude_contrast", self.amplitude_contrast, 0.0, 1.0),
            ("pixel_size_angstrom", self.pixel_size_angstrom, 1e-3, 1e3),
            ("voltage_kv", self.voltage_kv, 10.0, 2000.0),
        )
        for name, value, low, high in checks:
            if value is not None and not low <= value <= high:
                raise ConfigError(f"{name} {value:g}: expected {low:g} to {high:g}", key=name)


def new_star(
    groups: OpticsGroups,
    names: Sequence[str | None],
    settings: OpticsSettings | None = None,
    *,
    table: str = "movies",
) -> StarFile:
    """STAR file to import into RELION.

    Parameters
    ----------
    groups
        n exposures in groups.
    names
        (n,) paths as RELION is to see them; None leaves the exposure out.
    settings
        Optics.
    table
        ``movies`` or ``micrographs``.

    Raises
    ------
    ConfigError
        No name at all, another table, or a pixel size or voltage that nothing tells.
    """
    settings = settings or OpticsSettings()
    if table not in DATA_TABLES[:2]:
        raise ConfigError(f"table {table!r}: expected movies or micrographs", key="table")
    if len(names) != len(groups.stems):
        raise ConfigError(f"{len(names)} names for {len(groups.stems)} exposures")
    rows = [i for i, name in enumerate(names) if name is not None]
    if not rows:
        raise ConfigError(f"none of {len(names)} exposures has a file: a STAR file needs one")
    pixel = _stated(settings.pixel_size_angstrom, groups.pixel_size_angstrom, "pixel size")
    optics: dict[str, list[str | int | float]] = {
        GROUP_NAME: list(groups.names),
        GROUP: list(range(1, len(groups) + 1)),
    }
    if settings.mtf is not None:
        optics["rlnMtfFileName"] = [settings.mtf] * len(groups)
    optics["rlnMicrographOriginalPixelSize"] = pixel.tolist()
    optics["rlnVoltage"] = _stated(settings.voltage_kv, groups.voltage_kv, "voltage").tolist()
    optics["rlnSphericalAberration"] = [float(settings.cs_mm)] * len(groups)
    optics["rlnAmplitudeContrast"] = [float(settings.amplitude_contrast)] * len(groups)
    if table == "micrographs":
        optics["rlnMicrographPixelSize"] = pixel.tolist()
    column = "rlnMicrographMovieName" if table == "movies" else "rlnMicrographName"
    # the order of the names, not of time: the published files' and easy to compare
    rows.sort(key=lambda i: str(names[i]))
    data = {
        column: [str(names[i]) for i in rows],
        GROUP: groups.labels[rows].tolist(),
    }
    return StarFile((StarTable.of("optics", optics), StarTable.of(table, data)))


def data_table(star: StarFile) -> StarTable:
    """Table whose rows belong to the optics groups.

    Raises
    ------
    FormatError
        There is no optics table (RELION 3.0 and older), no such table, or several.
    """
    found = [name for name in DATA_TABLES if name in star]
    if "optics" not in star:
        raise FormatError("no data_optics: convert this file of RELION 3.0 or older with "
                          "relion_convert_star", path=star.path)  # fmt: skip
    if len(found) != 1:
        held = ", ".join(f"data_{name}" for name in star.names)
        raise FormatError(f"expected one of data_movies, data_micrographs and data_particles, "
                          f"got {held}", path=star.path)  # fmt: skip
    return star.table(found[0])


def name_column(table: StarTable) -> str | None:
    """Column that names the micrographs; None where there is none."""
    return next((name for name in NAME_COLUMNS if name in table), None)


def used_groups(star: StarFile) -> I64:
    """(n,) optics group of each row, checked against the optics table.

    A file with one group may leave the column out.

    Raises
    ------
    FormatError
        A group is not in the optics table, or is there twice.
    """
    table, optics = data_table(star), star.table("optics")
    if not len(optics):
        raise FormatError("data_optics has no rows", path=star.path)
    if GROUP not in optics and len(optics) == 1:
        return np.ones(len(table), dtype=np.int64)
    known = optics.integers(GROUP)
    if len(set(known.tolist())) < len(known):
        raise FormatError("data_optics has a group twice", path=star.path, key=GROUP)
    if GROUP not in table and len(optics) == 1:
        return np.full(len(table), known[0])
    used = table.integers(GROUP)
    strange = np.setdiff1d(used, known)
    if len(strange):
        raise FormatError(f"data_{table.name} has optics group {strange[0]}, which data_optics "
                          "lacks", path=star.path, key=GROUP)  # fmt: skip
    return used


def groups_of_star(star: StarFile) -> OpticsGroups:
    """Groups of the micrographs of a STAR file, with the file's names, numbered as RELION does.

    Raises
    ------
    FormatError
        Its micrographs are not named, or one is in several groups.
    """
    table, optics = data_table(star), star.table("optics")
    column = name_column(table)
    if column is None:
        wanted = ", ".join(f"_{name}" for name in NAME_COLUMNS)
        raise FormatError(f"data_{table.name} names no micrographs: expected one of {wanted}",
                          path=star.path)  # fmt: skip
    used = used_groups(star)
    ids = optics.integers(GROUP) if GROUP in optics else np.ones(1, dtype=np.int64)
    number = {int(group): i for i, group in enumerate(ids, 1)}
    of_stem: dict[str, int] = {}
    for name, group in zip(table.column(column), used.tolist(), strict=True):
        stem = stem_of(name)
        if of_stem.setdefault(stem, number[group]) != number[group]:
            raise FormatError(f"{stem} is in optics groups {ids[of_stem[stem] - 1]} and {group}",
                              path=star.path)  # fmt: skip
    names = optics.column(GROUP_NAME) if GROUP_NAME in optics else [f"opticsGroup{i}" for i in ids]
    n = len(ids)
    return OpticsGroups(
        stems=tuple(of_stem),
        labels=np.array(list(of_stem.values()), dtype=np.int64),
        names=tuple(names),
        centres=np.full((n, 2), np.nan),
        pixel_size_angstrom=_numbers(optics, "rlnMicrographOriginalPixelSize"),
        voltage_kv=_numbers(optics, "rlnVoltage"),
        method=f"of {star.path or 'a STAR file'}",
    )


def _numbers(table: StarTable, name: str) -> F64:
    """(n,) values of a column, NaN where there is none."""
    if name not in table:
        return np.full(len(table), np.nan)
    try:
        return np.array([float(value) for value in table.column(name)])
    except ValueError as error:
        raise FormatError(f"data_{table.name}, _{name}: {error}", key=name) from error


def _stated(given: float | None, read: F64, what: str) -> F64:
    if given is not None:
        return np.full(len(read), float(given))
    if not np.isfinite(read).all():
        raise ConfigError(f"EPU's files do not tell the {what}: state it", key=what)
    return read
