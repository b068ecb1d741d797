"""Published near-field parameter files: read strictly, contradictions named with their line.

Values stay in the units of the file (um, degrees, px); :mod:`refimpl.nearfield.config` turns them
into refimpl's, once. Unlike the published programs this reader takes a TAB after a key, has a
stated default for every key that those leave uninitialised (tx, ty, tz, ExcludePoleAngle,
NumPhases, PhaseNr) and refuses what contradicts itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refimpl.io.key_files import KeyValues, read_key_values, write_key_values
from refimpl.io.nearfield_keys import NEARFIELD_KEYS

__all__ = ["NearfieldParams", "check_nearfield_params", "read_nearfield_params"]
__all__ += ["write_nearfield_params"]

_COARSE_TO_FINE = ("SeedOrientationsAll", "MaxAngle")
_ONE = "it is for coarse-to-fine runs (GridRefactor); this one has a single resolution"


@dataclass(frozen=True)
class NearfieldParams(KeyValues):
    """Parameters of a near-field run by canonical key, in the units of the file."""

    table = NEARFIELD_KEYS

    @property
    def n_distances(self) -> int:
        """Number of distances: nDistances, or the number of Lsd lines."""
        n = self["nDistances"]
        return n if isinstance(n, int) else len(self.rows("Lsd"))

    @property
    def n_frames(self) -> int:
        """EndNr - StartNr + 1.

        Raises
        ------
        ConfigError
            Either is missing.
        """
        self.require("StartNr", "EndNr")
        return int(self.number("EndNr")) - int(self.number("StartNr")) + 1

    @property
    def folder(self) -> Path:
        """OutputDirectory, DataDirectory or the folder of the parameter file."""
        named = self["OutputDirectory"]
        base = Path(".") if self.path is None else self.path.parent
        return base / str(named) if named else base

    def rows(self, name: str) -> tuple[Any, ...]:
        """Values of a repeatable key, one for each line; empty where it is not given."""
        value = self[name]
        return value if isinstance(value, tuple) else ()

    def file(self, name: str) -> Path | None:
        """Path that a key names, from the run's folder unless it is absolute; None: not given."""
        value = self[name]
        return None if value is None else self.folder / str(value)

    def unused(self) -> dict[str, str]:
        """Keys given that nothing acts on, and why."""
        idle = {name: why for name in self if (why := self.table[name].unused)}
        refactor = self.rows("GridRefactor")
        if not refactor:
            return idle | {name: _ONE for name in self if name in _COARSE_TO_FINE}
        if "GridSize" in self and self["GridSize"] != refactor[0]:
            idle["GridSize"] = f"GridRefactor states the sizes, from {refactor[0]:g} um"
        return idle


def read_nearfield_params(path: str | Path) -> NearfieldParams:
    """Read a near-field parameter file.

    Its form is that of :func:`refimpl.io.key_files.read_key_values`; of a key that is not
    repeatable the last line wins.

    Raises
    ------
    FormatError
        No such file, or not text.
    ConfigError
        With file, line and key: what that function refuses; numbers of Lsd or BC lines that are
        not nDistances; OmegaRange and BoxSize that do not pair; limits in the wrong order; a
        tomography image without its pixel size, and the like.
    """
    file = Path(path)
    values, lines = read_key_values(file, NEARFIELD_KEYS)
    params = NearfieldParams(values, file, lines)
    check_nearfield_params(params)
    return params


def write_nearfield_params(path: str | Path, params: Mapping[str, Any]) -> Path:
    """Write a parameter file, a line a value, in the given order; atomic.

    Raises
    ------
    ConfigError
        An unknown key, or the file cannot be written.
    """
    return write_key_values(path, params, NEARFIELD_KEYS)


def check_nearfield_params(params: NearfieldParams) -> None:
    """Refuse contradictions; see :func:`read_nearfield_params`."""
    _check_distances(params)
    _check_scan(params)
    _check_grid(params)
    _check_search(params)


def _check_distances(params: NearfieldParams) -> None:
    n, lsd, bc = params.n_distances, params.rows("Lsd"), params.rows("BC")
    for name, values in (("Lsd", lsd), ("BC", bc)):
        if values and len(values) != n:
            said = f"nDistances is {n}" if "nDistances" in params else f"there are {n} of Lsd"
            raise params.refuse(name, f"{len(values)} lines of {name}, but {said}")


def _check_scan(params: NearfieldParams) -> None:
    ranges, boxes = params.rows("OmegaRange"), params.rows("BoxSize")
    if len(ranges) != len(boxes):
        name = "OmegaRange" if len(ranges) > len(boxes) else "BoxSize"
        raise params.refuse(
            name, f"{len(ranges)} OmegaRange and {len(boxes)} BoxSize lines: they go in pairs"
        )
    for low, high in ranges:
        if not low < high:
            raise params.refuse("OmegaRange", f"OmegaRange {low} {high}: expected low, then high")
    for ylo, yhi, zlo, zhi in boxes:
        if not (ylo < yhi and zlo < zhi):
            got = f"{ylo} {yhi} {zlo} {zhi}"
            raise params.refuse("BoxSize", f"BoxSize {got}: expected ylo < yhi and zlo < zhi")
    if params["OmegaStep"] == 0.0:
        raise params.refuse("OmegaStep", "OmegaStep is 0: expected the width of a frame")
    if "StartNr" in params and "EndNr" in params and params.n_frames < 1:
        first, last = params["StartNr"], params["EndNr"]
        raise params.refuse("EndNr", f"EndNr {last} is before StartNr {first}")
    if not params.number("ExcludePoleAngle") < 90.0:
        got = str(params["ExcludePoleAngle"])
        raise params.refuse("ExcludePoleAngle", f"ExcludePoleAngle {got}: expected below 90 deg")
    if not abs(params.number("Wedge")) < 90.0:
        raise params.refuse("Wedge", f"Wedge {params['Wedge']}: expected less than 90 deg")


def _check_grid(params: NearfieldParams) -> None:
    if "TomoImage" in params and "TomoPixelSize" not in params:
        raise params.refuse("TomoImage", "TomoImage needs TomoPixelSize")
    mask = params.rows("GridMask")
    if mask and not (mask[0] <= mask[1] and mask[2] <= mask[3]):
        raise params.refuse("GridMask", f"GridMask {mask}: expected xmin <= xmax, ymin <= ymax")
    refactor = params.rows("GridRefactor")
    if refactor:
        size, factor, loops = refactor
        if not (size > 0.0 and factor > 1.0 and loops == int(loops)):
            raise params.refuse(
                "GridRefactor",
                f"GridRefactor {refactor}: expected a size, a factor above 1 and a whole number",
            )


def _check_search(params: NearfieldParams) -> None:
    for name in ("MinFracAccept", "MinConfidence"):
        value = params[name]
        if isinstance(value, float) and not value <= 1.0:
            raise params.refuse(name, f"{name} {value}: a confidence is 0 to 1")
    seeds, every = params["SeedOrientations"], params["SeedOrientationsAll"]
    if seeds is not None and seeds == every:
        raise params.refuse(
            "SeedOrientationsAll",
            f"SeedOrientationsAll and SeedOrientations are both {seeds!r}: they must differ",
        )
    some, all_ = params.file("SeedOrientations"), params.file("SeedOrientationsAll")
    if some is not None and all_ is not None and _are_one(some, all_):
        raise params.refuse(
            "SeedOrientationsAll",
            f"SeedOrientationsAll {every!r} and SeedOrientations {seeds!r} are one file: they must "
            "differ",
        )
    if not params.number("PhaseNr") <= params.number("NumPhases"):
        raise params.refuse(
            "PhaseNr", f"PhaseNr {params['PhaseNr']} of NumPhases {params['NumPhases']}"
        )


def _are_one(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, by a link or another spelling."""
    if one.resolve() == other.resolve():
        return True
    try:
        return one.exists() and other.exists() and one.samefile(other)
    except OSError:  # a name that no file can have, 5000 characters long
        return False
