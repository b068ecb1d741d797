"""Every key of the published MIDAS parameter files: type, default, unit and meaning, in one table.

The table is the registry for the reader, the writer, the command line and the docs. Sources: the
two tables of the AutoCalibrate manual version 10 ("Input Parameter File" and "Complete Parameter
Reference"), the keys of the ``refined_MIDAS_params.txt`` that it writes, and the keys that its
programs read without documenting them (marked "undocumented"). Values stay in the units of the
file; entering refimpl's units is the caller's business.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from refimpl.io.key_files import Key, KeyTable

__all__ = ["KEYS", "Key", "find_key"]

_FLAG = (0, 1)
_TILT, _UM, _PX = "deg", "um", "px"
_PHASE = {3: "4", 6: "2", 8: "1", 10: "3", 12: "5", 14: "6"}
_TERM = {
    0: "rho^2 cos(2e + p6)", 1: "rho^4 cos(4e + p3)", 2: "rho^2", 4: "rho^6", 5: "rho^4",
    7: "rho^4 cos(e + p8)", 9: "rho^3 cos(3e + p10)", 11: "rho^5 cos(5e + p12)",
    13: "rho^6 cos(6e + p14)",
}  # fmt: skip


def _distortion_keys() -> list[Key]:
    """p0 to p14 and how far each may be searched; p5 on belongs to later versions."""
    keys = []
    for n in range(15):
        late = "" if n < 4 else "; with DistortionOrder 6" if n == 4 else "; later versions"
        unit, what = ("deg", f"phase of the {_PHASE[n]}-fold term") if n in _PHASE else ("", "")
        what = what or f"coefficient of {_TERM[n]}"
        keys.append(Key(f"p{n}", "float", 0.0, unit, f"Distortion: {what}{late}"))
    for n in range(15):
        unit = "deg" if n in _PHASE else ""
        # The manual says "= tolP" for p3 too; its code has 45 degrees.
        default = 45.0 if n == 3 else 0.0 if n >= 4 else None
        other = "tolP" if n < 3 else None
        keys.append(
            Key(f"tolP{n}", "float", default, unit, f"Search range of p{n}", default_key=other)
        )
    return keys


_FILES = [
    Key("FileStem", "str", None, "", "Base of the file name"),
    Key("Folder", "str", None, "", "Data folder"),
    Key("Ext", "str", None, "", "File extension, with its dot"),
    Key("Dark", "str", None, "", "Dark image"),
    Key("StartNr", "int", None, "", "First file number"),
    Key("EndNr", "int", None, "", "Last file number"),
    Key("Padding", "int", 6, "", "Digits of the file number"),
    Key("HeadSize", "int", 8192, "bytes", "Header of raw files"),
    Key("DataType", "int", 1, "", "1 uint16, 2 double, 3 float, 4 uint32, 5 int32 (raw); 6 TIFF "
        "uint32, 7 TIFF uint8, 8 HDF5, 9 TIFF uint16, 10 CBF", choices=tuple(range(1, 11))),
    Key("SkipFrame", "int", 0, "", "Frames to leave out at the start", aliases=("skipFrame",)),
    Key("dataDataset", "str", "exchange/data", "", "Dataset of an HDF5 file (undocumented)"),
    Key("darkDataset", "str", "exchange/dark", "", "Dark dataset of an HDF5 file (undocumented)"),
]  # fmt: skip
_GEOMETRY = [
    Key("NrPixels", "int", None, _PX, "Side of a square detector", positive=True),
    Key("NrPixelsY", "int", None, _PX, "Columns of the detector", positive=True),
    Key("NrPixelsZ", "int", None, _PX, "Rows of the detector", positive=True),
    Key("px", "float", None, _UM, "Pixel size", aliases=("PixelSize",), positive=True),
    Key("Lsd", "float", None, _UM, "Sample-to-detector distance", positive=True),
    Key("BC", "float", None, _PX, "Beam centre Y Z, counted from pixel centres", count=2),
    Key("tx", "float", 0.0, _TILT, "Tilt about X (the beam), not refined"),
    Key("ty", "float", 0.0, _TILT, "Tilt about Y, starting value"),
    Key("tz", "float", 0.0, _TILT, "Tilt about Z, starting value"),
    Key("Wedge", "float", 0.0, _TILT, "Wedge of the rotation axis (undocumented, not used here)"),
    Key("Parallax", "float", 0.0, _UM, "Depth at which photons are absorbed (later versions)"),
    Key("ImTransOpt", "int", (0,), "", "Image transform: 0 none, 1 flip left-right, 2 flip "
        "up-down, 3 transpose; in order", repeatable=True, choices=(0, 1, 2, 3)),
]  # fmt: skip
_CRYSTAL = [
    Key("SpaceGroup", "int", None, "", "Space group number", choices=tuple(range(1, 231))),
    Key("LatticeConstant", "float", None, "Angstrom, deg", "a b c alpha beta gamma", count=6,
        aliases=("LatticeParameter",), positive=True),
    Key("Wavelength", "float", None, "Angstrom", "X-ray wavelength", positive=True),
    Key("RhoD", "float", None, _UM, "Largest ring radius; scale of the distortion", positive=True),
    Key("MaxRingRad", "float", None, _UM, "Largest ring radius for the ring list (undocumented)",
        positive=True),
]  # fmt: skip
_MASKING = [
    Key("BadPxIntensity", "int", 0, "counts", "Value of bad pixels"),
    Key("GapIntensity", "int", 0, "counts", "Value of gap pixels"),
    Key("MaskFile", "str", None, "", "uint8 mask, 1 = masked"),
    Key("GapFile", "str", None, "", "uint8 mask of the gaps, 1 = masked (undocumented)"),
    Key("BadPxFile", "str", None, "", "uint8 mask of bad pixels, 1 = masked (undocumented)"),
]
_TOLERANCES = [
    Key("tolTilts", "float", None, _TILT, "Search range of ty, tz"),
    Key("tolBC", "float", None, _PX, "Search range of the beam centre"),
    Key("tolLsd", "float", None, _UM, "Search range of the distance"),
    Key("tolP", "float", None, "", "Search range of p0 to p2 where theirs is not given"),
    Key("tolShifts", "float", 1.0, _PX, "Search range of the panels' dY, dZ"),
    Key("tolRotation", "float", 0.0, _TILT, "Search range of the panels' dTheta; 0 = fixed"),
]
_CONTROL = [
    Key("Width", "float", None, _UM, "Half width of the search about a ring", positive=True),
    Key("EtaBinSize", "float", 5.0, "deg", "Azimuthal bin", positive=True),
    Key("RBinDivisions", "int", 4, "", "Radial steps a pixel (undocumented)", positive=True),
    Key("RingsToExclude", "int", (), "", "Number of a ring to leave out", repeatable=True,
        positive=True),
    Key("MultFactor", "float", 0.0, "", "Outlier limit in units of the mean strain; 0 = off"),
    Key("MinIndicesForFit", "int", 1, "", "Fewest points of a panel (the manual says: of a ring)"),
    Key("FitOrWeightedMean", "int", 0, "", "1 = intensity-weighted mean instead of a fit "
        "(undocumented)", choices=_FLAG),
    Key("nIterations", "int", 1, "", "Refinement iterations; the best is kept", positive=True),
    Key("DoubletSeparation", "float", 0.0, _PX, "Rings closer than this are fitted together; 0 = "
        "off"),
    Key("NormalizeRingWeights", "int", 0, "", "1 = every ring weighs the same", choices=_FLAG),
    Key("WeightByRadius", "int", 0, "", "1 = weight by R/RhoD", choices=_FLAG),
    Key("OutlierIterations", "int", 1, "", "Passes of the outlier clip"),
    Key("DistortionOrder", "int", 4, "", "4 = p0 to p3, 6 = and p4"),
]  # fmt: skip
_PANELS = [
    Key("NPanelsY", "int", 0, "", "Panels across"),
    Key("NPanelsZ", "int", 0, "", "Panels up"),
    Key("PanelSizeY", "int", 0, _PX, "Columns of a panel"),
    Key("PanelSizeZ", "int", 0, _PX, "Rows of a panel"),
    Key("PanelGapsY", "int", (), _PX, "NPanelsY - 1 gaps", count=0),
    Key("PanelGapsZ", "int", (), _PX, "NPanelsZ - 1 gaps", count=0),
    Key("PanelShiftsFile", "str", None, "", "Panel corrections, read and written"),
    Key("FixPanelID", "int", 0, "", "Panel that is held"),
    Key("PerPanelLsd", "int", 0, "", "1 = a distance offset for each panel", choices=_FLAG),
    Key("tolLsdPanel", "float", 100.0, _UM, "Search range of dLsd"),
    Key("PerPanelDistortion", "int", 0, "", "1 = a p2 offset for each panel", choices=_FLAG),
    Key("tolP2Panel", "float", 1e-4, "", "Search range of dP2"),
]
_INTEGRATION = [
    Key("RMin", "float", 10.0, _PX, "Integration: inner radius"),
    Key("RMax", "float", 1000.0, _PX, "Integration: outer radius"),
    Key("RBinSize", "float", 1.0, _PX, "Integration: radial bin", positive=True),
    Key("EtaMin", "float", -180.0, "deg", "Integration: first azimuth"),
    Key("EtaMax", "float", 180.0, "deg", "Integration: last azimuth"),
    Key("DoSmoothing", "int", 1, "", "Integration: smooth before peaks are fitted", choices=_FLAG),
    Key("DoPeakFit", "int", 1, "", "Integration: fit peaks", choices=_FLAG),
    Key("MultiplePeaks", "int", 1, "", "Integration: fit several peaks", choices=_FLAG),
]

KEYS: Final = KeyTable(
    (
        key
        for group in (
            _FILES, _GEOMETRY, _distortion_keys(), _CRYSTAL, _MASKING, _TOLERANCES, _CONTROL,
            _PANELS, _INTEGRATION,
        )
        for key in group
    ),
    what="a MIDAS parameter file",
)  # fmt: skip
"""Key by canonical name, in the order of the manual's table."""


def find_key(name: str, *, path: str | Path | None = None, line: int | None = None) -> Key:
    """Key of a spelling; see :meth:`refimpl.io.key_files.KeyTable.find`."""
    return KEYS.find(name, path=path, line=line)
