"""MIDAS parameter files of powder calibration, read strictly and written as published.

The reader and the writer are those of :mod:`refimpl.io.key_files`; here is what these files mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refimpl.errors import ConfigError
from refimpl.io.atomic import write_text
from refimpl.io.key_files import KeyValues, key_lines, read_key_values, write_key_values
from refimpl.io.midas_keys import KEYS, find_key

__all__ = ["REFINED_ORDER", "MidasParams", "read_params", "write_params", "write_refined"]

REFINED_ORDER = (
    "Lsd", "BC", "tx", "ty", "tz", "p0", "p1", "p2", "p3", "RhoD", "Wavelength", "px", "RMin",
    "RMax", "RBinSize", "EtaMin", "EtaMax", "NrPixelsY", "NrPixelsZ", "EtaBinSize", "DoSmoothing",
    "DoPeakFit", "SkipFrame", "MultiplePeaks", "DataType", "NPanelsY", "NPanelsZ", "PanelSizeY",
    "PanelSizeZ", "PanelGapsY", "PanelGapsZ", "PanelShiftsFile", "tolShifts", "ImTransOpt",
    "BadPxIntensity", "GapIntensity",
)  # fmt: skip
"""Keys of ``refined_MIDAS_params.txt`` in the order of the published writer."""
_REFINED_ALWAYS = REFINED_ORDER[: REFINED_ORDER.index("NPanelsY")]
_REFINED_SPELLING = {"SkipFrame": "skipFrame"}


@dataclass(frozen=True)
class MidasParams(KeyValues):
    """Parameters of a powder calibration by canonical key, in the units of the file."""

    table = KEYS

    @property
    def shape(self) -> tuple[int, int] | None:
        """(n_slow, n_fast) of the raw frames [px], or None where the file does not say."""
        rows, columns = self["NrPixelsZ"] or self["NrPixels"], self["NrPixelsY"] or self["NrPixels"]
        if isinstance(rows, int) and isinstance(columns, int):
            return rows, columns
        return None

    def data_files(self) -> list[Path]:
        """``Folder/FileStem_%0{Padding}d{Ext}`` for StartNr to EndNr.

        Raises
        ------
        ConfigError
            A file key is missing, or EndNr is before StartNr.
        """
        self.require("FileStem", "Ext", "StartNr")
        first, digits = int(self.number("StartNr")), int(self.number("Padding"))
        last = int(self.number("EndNr")) if "EndNr" in self else first
        if last < first:
            raise ConfigError(
                f"EndNr {last} is before StartNr {first}", path=self.path, key="EndNr"
            )
        folder = Path(str(self["Folder"] or "."))
        stem, suffix = self["FileStem"], self["Ext"]
        return [folder / f"{stem}_{n:0{digits}d}{suffix}" for n in range(first, last + 1)]

    def image_options(self) -> dict[str, Any]:
        """Keyword arguments for :func:`refimpl.io.images.read` that the file states."""
        options: dict[str, Any] = {"transforms": self["ImTransOpt"]}
        if self["SkipFrame"]:
            options["skip_frames"] = self["SkipFrame"]
        if "DataType" in self:
            options["data_type"] = self["DataType"]
        if "HeadSize" in self:
            options["head_size"] = self["HeadSize"]
        if self.shape is not None:
            options["shape"] = self.shape
        if "BadPxIntensity" in self:
            options["bad_values"] = self["BadPxIntensity"]
        if "GapIntensity" in self:
            options["gap_values"] = self["GapIntensity"]
        if "MaskFile" in self:
            options["mask"] = self["MaskFile"]
        return options


def read_params(path: str | Path) -> MidasParams:
    """Read a parameter file.

    Its form is that of :func:`refimpl.io.key_files.read_key_values`.

    Raises
    ------
    FormatError
        No such file, or not text.
    ConfigError
        With file and line: unknown key (the nearest known one is named), duplicate of a key that
        may stand once, wrong number or type of values, value out of range; panel gaps that do not
        fit the number of panels.
    """
    file = Path(path)
    values, lines = read_key_values(file, KEYS)
    params = MidasParams(values, file, lines)
    _check_gaps(params)
    return params


def _check_gaps(params: MidasParams) -> None:
    for axis in "YZ":
        gaps, n_panels = params[f"PanelGaps{axis}"], params[f"NPanels{axis}"]
        n_gaps = len(gaps) if isinstance(gaps, tuple) else 0
        if isinstance(n_panels, int) and n_panels > 1 and n_gaps != n_panels - 1:
            raise ConfigError(
                f"PanelGaps{axis} has {n_gaps} gaps, {n_panels} panels need {n_panels - 1}",
                path=params.path,
                line=params.lines.get(f"PanelGaps{axis}", params.lines[f"NPanels{axis}"]),
                key=f"PanelGaps{axis}",
            )


def write_params(path: str | Path, params: Mapping[str, Any]) -> Path:
    """Write a parameter file, one ``Key value`` line a key, in the given order; atomic.

    Floats have the shortest digits that restore them. Keys without a value are left out.

    Raises
    ------
    ConfigError
        An unknown key, or the file cannot be written.
    """
    return write_key_values(path, params, KEYS)


def write_refined(path: str | Path, params: Mapping[str, Any]) -> Path:
    """Write ``refined_MIDAS_params.txt``: the published keys in the published order; atomic.

    Keys of the published file that ``params`` lacks get the published constants. The published
    file has no place for p4 and later terms, the crystal and the tolerances: what ``params``
    holds beyond the published keys is appended after them, so that nothing of the geometry is
    lost.

    Raises
    ------
    ConfigError
        An unknown key, a needed one is missing, or the file cannot be written.
    """
    given = {find_key(name).name: params[name] for name in params if params[name] is not None}
    lines: list[str] = []
    for name in REFINED_ORDER:
        value = given.get(name)
        if value is None and (name in _REFINED_ALWAYS or name == "ImTransOpt"):
            value = KEYS[name].default
            value = int(value) if isinstance(value, float) and value.is_integer() else value
            if value is None:
                raise ConfigError(f"the refined parameters lack {name!r}", path=path, key=name)
        if value is not None and value != ():
            lines.extend(key_lines(KEYS[name], value, _REFINED_SPELLING.get(name)))
    for name, value in given.items():
        if name not in REFINED_ORDER and value != ():
            lines.extend(key_lines(KEYS[name], value))
    return write_text(path, "\n".join(lines) + "\n")
