"""The formats of ``refimpl convert``: how each is known, read and written, and what it can hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from refimpl.cli import convert_files as files
from refimpl.cli import convert_planes as planes
from refimpl.cli.convert_files import Options
from refimpl.errors import ConfigError
from refimpl.interop.setup import Setup

__all__ = ["FORMATS", "Format", "kind_to_read", "kind_to_write"]

_ALL = ("distortion", "parallax", "panels", "wavelength", "boundaries")
_VECTORS = ("panels", "boundaries", "wavelength", "goniometer", "scan")


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes
    ----------
    name
        Of ``--from`` and ``--to``.
    title
        What it is.
    suffixes
        Names that end so are of this format.
    holds
        Keys of :mod:`refimpl.interop.holdings` that it has a place for.
    precision
        Of positions after writing and reading, where the text has fewer digits than numbers.
    read, write
        Path to :class:`~refimpl.interop.setup.Setup`; and back, with the paths written and what
        there is to say about them; None: it is read only.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    holds: frozenset[str]
    precision: str
    read: Callable[[Path, Options], Setup]
    write: Callable[[Path, Setup], files.Written] | None


def _format(
    name: str, title: str, suffixes: str, holds: tuple[str, ...], precision: str,
    read: Callable[[Path, Options], Setup], write: Callable[[Path, Setup], files.Written] | None,
) -> Format:  # fmt: skip
    return Format(name, title, tuple(suffixes.split()), frozenset(holds), precision, read, write)


_EXACT = "all digits"

FORMATS: Final[Mapping[str, Format]] = {
    f.name: f
    for f in (
        _format("geometry", "geometry.json of refimpl", ".json", (*_ALL, "names"), _EXACT,
                files.read_geometry_json, files.write_geometry_json),
        _format("midas", "MIDAS parameter file, with its PanelShiftsFile",
                ".txt .par.txt .params .param", _ALL,
                "panel shifts to 1e-10 px, degrees and µm", files.read_midas, files.write_midas),
        _format("dials", "DIALS experiments", ".expt",
                (*_VECTORS, "sensor", "tables", "crystal", "experiments", "names", "tree",
                 "trusted", "masks", "material", "images", "length", "frame"),
                _EXACT, files.read_dials, files.write_dials),
        _format("poni", "pyFAI .poni", ".poni", ("wavelength",), _EXACT,
                planes.read_pyfai, planes.write_pyfai),
        _format("pyfai", "pyFAI .poni with a NeXus detector beside it", "",
                (*_ALL, "names"), "all digits; pyFAI itself: 1e-7 rad in 2-theta",
                planes.read_pyfai_nexus, planes.write_pyfai_nexus),
        _format("hexrd", "HEXRD instrument, YAML or HDF5 (read)", ".yml .yaml .hexrd",
                ("panels", "boundaries", "wavelength", "names"), _EXACT,
                planes.read_hexrd_file, planes.write_hexrd_file),
        _format("crystfel", "CrystFEL geometry", ".geom",
                ("panels", "boundaries", "wavelength", "names"),
                "1e-10 px across the beam, 1e-12 mm along it, 1e-15 in directions",
                planes.read_crystfel, planes.write_crystfel),
        _format("imaged11", "ImageD11 parameters", ".par", ("wavelength", "goniometer"), _EXACT,
                planes.read_imaged11, planes.write_imaged11),
        _format("xds", "XPARM.XDS", ".xds", (*_VECTORS, "crystal", "frame"),
                "all digits when written here; XDS itself prints 6 decimals",
                files.read_xds, files.write_xds),
        _format("nxmx", "NeXus NXmx", ".nxs .h5 .hdf5",
                (*_VECTORS, "sensor", "trusted", "length"), _EXACT,
                files.read_nxmx, files.write_nxmx_file),
        _format("gsas", "GSAS-II image controls", ".imctrl", (), "read only",
                planes.read_gsas, None),
    )
}  # fmt: skip
"""By name."""


def kind_to_write(path: Path, kind: str | None = None) -> Format:
    """Return the format of a file to be: the one named, or by its suffix.

    Raises
    ------
    ConfigError
        Unknown name, or a suffix that is of no format.
    """
    if kind is not None:
        if kind not in FORMATS:
            raise ConfigError(f"format {kind!r}: expected one of {', '.join(FORMATS)}", got=kind)
        return FORMATS[kind]
    for format_ in FORMATS.values():
        if path.name.lower().endswith(format_.suffixes):
            return format_
    if (path / "geometry.json").is_file():
        raise ConfigError(f"{path} is a folder; its geometry is {path / 'geometry.json'}")
    known = ", ".join(f"{f.name} ({f.suffixes[0]})" for f in FORMATS.values() if f.suffixes)
    raise ConfigError(
        f"the format of {path} does not follow from its name; name one (--from, --to) of: {known}, "
        "pyfai"
    )


def kind_to_read(path: Path, kind: str | None = None) -> Format:
    """Return the format of a file that is there: the one named, by its suffix, or by its content.

    Raises
    ------
    ConfigError
        Unknown name, or a suffix that is of no format.
    """
    if kind is None and path.suffix.lower() == ".json":
        return FORMATS[files.kind_of_json(path)]
    if kind is None and path.suffix.lower() == ".poni" and planes.is_nexus_poni(path):
        return FORMATS["pyfai"]
    if kind is None and files.is_xparm(path):
        return FORMATS["xds"]
    return kind_to_write(path, kind)
