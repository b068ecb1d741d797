"""The text of CrystFEL geometry files, in CrystFEL's own terms.

What the numbers mean is in :mod:`refimpl.interop.crystfel`. A key without a panel's name holds for
every panel that is first named after it, as in CrystFEL. Masks, bad regions and the like are
skipped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Final

from refimpl.errors import FormatError
from refimpl.reading import read_text
from refimpl.units import HC_KEV_ANGSTROM

__all__ = ["CrystfelGeometry", "CrystfelPanel", "crystfel_text", "parse_geom", "read_geom"]

Triple = tuple[float, float, float]

_NEEDED: Final = ("min_fs", "max_fs", "min_ss", "max_ss", "corner_x", "corner_y", "fs", "ss", "res",
                  "clen")  # fmt: skip
_TERM: Final = re.compile(r"([-+]?\s*(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)?)\s*([xyz])")
_MOST: Final = 200  # characters of a sum or number: the time to look at one grows with their cube
_QUANTITY: Final = re.compile(r"([-+]?\d*\.?\d+(?:[eE][-+]?\d+)?|\d+\.)\s*([A-Za-z]*)$")
_UNITS: Final[Mapping[str, Mapping[str, float]]] = {
    "length": {"": 1.0, "m": 1.0, "mm": 1e-3},
    "energy": {"": 1.0, "eV": 1.0, "keV": 1e3, "MeV": 1e6},
    "wavelength": {"": 1e10, "m": 1e10, "A": 1.0},
    "number": {"": 1.0},
}


@dataclass(frozen=True)
class CrystfelPanel:
    """One panel.

    Attributes
    ----------
    name
        Before the slash of its keys.
    first, size
        First pixel (fs, ss) in the image, and number of pixels.
    res
        Pixels per metre.
    corner, coffset
        Across the beam [px], along it beyond the camera length [m].
    fs, ss
        Vectors of one pixel [px].
    plane
        In a stack of images, or None.
    """

    name: str
    first: tuple[int, int]
    size: tuple[int, int]
    res: float
    corner: tuple[float, float]
    coffset: float
    fs: Triple
    ss: Triple
    plane: int | None = None


@dataclass(frozen=True)
class CrystfelGeometry:
    """Panels, camera length [m], photon energy [eV], rigid groups by name."""

    panels: tuple[CrystfelPanel, ...]
    clen: float
    photon_energy_ev: float
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def crystfel_text(geometry: CrystfelGeometry) -> str:
    """File of a geometry; positions to 1e-10 of a pixel."""
    lines = [
        "; CrystFEL geometry written by refimpl",
        f"photon_energy = {geometry.photon_energy_ev:.9f}",
        f"clen = {geometry.clen:.12f}",
        "",
    ]
    for p in geometry.panels:
        (fs0, ss0), (nf, ns) = p.first, p.size
        if p.plane is not None:
            lines += [f"{p.name}/dim0 = {p.plane}", f"{p.name}/dim1 = ss", f"{p.name}/dim2 = fs"]
        values = {
            "min_fs": fs0, "max_fs": fs0 + nf - 1, "min_ss": ss0, "max_ss": ss0 + ns - 1,
            "res": f"{p.res:.12g}", "fs": _vector(p.fs), "ss": _vector(p.ss),
            "corner_x": f"{p.corner[0]:.10f}", "corner_y": f"{p.corner[1]:.10f}",
            "coffset": f"{p.coffset:.15f}",
        }  # fmt: skip
        lines += [f"{p.name}/{key} = {value}" for key, value in values.items()] + [""]
    for name, members in geometry.groups.items():
        lines.append(f"rigid_group_{name} = {','.join(members)}")
    if geometry.groups:
        lines.append(f"rigid_group_collection_all = {','.join(geometry.groups)}")
    return "\n".join(lines) + "\n"


def _vector(v: Triple) -> str:
    return " ".join(f"{value:+.15f}{axis}" for value, axis in zip(v, "xyz", strict=True))


def read_geom(path: str | Path) -> CrystfelGeometry:
    """Geometry of a ``.geom`` file.

    Raises
    ------
    FormatError
        Not readable, a panel lacks a key, a value is no number (a camera length that refers to the
        image file is one such), no photon energy.
    """
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"not a readable text file: {error}", path=path) from error
    return parse_geom(text, path)


def parse_geom(text: str, path: str | Path = "") -> CrystfelGeometry:
    """Geometry of a file's text; see :func:`read_geom`."""
    common: dict[str, tuple[str, int]] = {}
    panels: dict[str, dict[str, tuple[str, int]]] = {}
    groups: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        body = line.split(";", 1)[0].strip()
        if not body:
            continue
        key, equals, value = (part.strip() for part in body.partition("="))
        if not equals:
            raise FormatError(f"expected key = value, got {body!r}", path=path, line=number)
        head, slash, name = key.partition("/")
        if slash and not head.startswith("bad"):
            panels.setdefault(head, dict(common))[name] = (value, number)
        elif key.startswith("rigid_group_") and "collection" not in key:
            groups[key.removeprefix("rigid_group_")] = tuple(v.strip() for v in value.split(","))
        elif not slash and not key.startswith(("bad", "rigid_group", "group")):
            common[key] = (value, number)
    if not panels:
        raise FormatError("no panels: expected lines such as p0/min_fs = 0", path=path)
    energy = _energy(common, path)
    built, clens = [], []
    for name, keys in panels.items():
        keys = {"clen": common["clen"], **keys} if "clen" in common else keys
        panel, clen = _panel(name, keys, path)
        built.append(panel)
        clens.append(clen)
    first = clens[0]
    moved = [
        p if c == first else replace(p, coffset=p.coffset + c - first)
        for p, c in zip(built, clens, strict=True)
    ]
    return CrystfelGeometry(tuple(moved), first, energy, groups)


def _panel(
    name: str, keys: Mapping[str, tuple[str, int]], path: str | Path
) -> tuple[CrystfelPanel, float]:
    missing = [key for key in _NEEDED if key not in keys]
    if missing:
        raise FormatError(f"panel {name} has no {', '.join(missing)}", path=path)

    def number(key: str, kind: str = "number") -> float:
        return _quantity(key, *keys[key], kind, path)

    fs0, fs1, ss0, ss1 = (
        int(number(key)) for key in ("min_fs", "max_fs", "min_ss", "max_ss")
    )  # fmt: skip
    if fs1 < fs0 or ss1 < ss0:
        raise FormatError(f"panel {name} is empty: fs {fs0} to {fs1}, ss {ss0} to {ss1}", path=path)
    plane = keys.get("dim0", ("", 0))[0]
    panel = CrystfelPanel(
        name, (fs0, ss0), (fs1 - fs0 + 1, ss1 - ss0 + 1), number("res"),
        (number("corner_x"), number("corner_y")),
        number("coffset", "length") if "coffset" in keys else 0.0,
        _direction("fs", *keys["fs"], path), _direction("ss", *keys["ss"], path),
        int(plane) if plane.isdigit() else None,
    )  # fmt: skip
    return panel, number("clen", "length")


def _quantity(key: str, value: str, line: int, kind: str, path: str | Path) -> float:
    found = _QUANTITY.fullmatch(value) if len(value) <= _MOST else None
    units = _UNITS[kind]
    if found is None or found[2] not in units or not isfinite(float(found[1])):
        known = ", ".join(u for u in units if u)
        raise FormatError(
            f"{key} = {value!r:.80}: expected a number{f' and one of {known}' if known else ''}",
            path=path, line=line,
        )  # fmt: skip
    return float(found[1]) * units[found[2]]


def _energy(common: Mapping[str, tuple[str, int]], path: str | Path) -> float:
    """Photon energy [eV]."""
    if "photon_energy" in common:
        return _quantity("photon_energy", *common["photon_energy"], "energy", path)
    if "wavelength" in common:
        wavelength = _quantity("wavelength", *common["wavelength"], "wavelength", path)
        if not wavelength > 0.0:
            text, line = common["wavelength"]
            raise FormatError(f"wavelength = {text!r}: expected above 0", path=path, line=line)
        return 1e3 * HC_KEV_ANGSTROM / wavelength
    raise FormatError("neither photon_energy nor wavelength is given", path=path)


def _direction(key: str, value: str, line: int, path: str | Path) -> Triple:
    """Vector of a sum such as ``+0.99x -0.01y``; a bare axis counts once."""
    if len(value) > _MOST or _TERM.sub("", value).strip() or not _TERM.search(value):
        raise FormatError(
            f"{key} = {value!r:.80}: expected a sum such as +1.0x -0.01y", path=path, line=line
        )
    out = [0.0, 0.0, 0.0]
    for factor, axis in _TERM.findall(value):
        size = factor.replace(" ", "")
        out["xyz".index(axis)] += float(f"{size}1" if size in ("", "+", "-") else size)
    return (out[0], out[1], out[2])
