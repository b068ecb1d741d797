"""Every key of the published panel program, what it does in either engine here, and its test.

The rows are data: the documentation prints them, and a test walks them. Sources: the "Complete
Parameter Reference" of the AutoCalibrate manual version 10 (section 7), and the keys that its
program, or a later version, reads besides.
"""

from __future__ import annotations

from dataclasses import dataclass

from refimpl.interop.midas import padding_px
from refimpl.io.midas_keys import KEYS
from refimpl.io.midas_params import MidasParams
from refimpl.powder.panel_params import number_of, panel_grid_of

__all__ = ["KEY_TABLE", "KeyRow", "markdown_table", "notes"]

SAME = "as ours"


@dataclass(frozen=True)
class KeyRow:
    """One key.

    Attributes
    ----------
    section
        Heading in the manual's reference; ``Not in the manual`` for what it lacks.
    key
        As in the file.
    ours, published
        What it does with our engine, and with the published one.
    test
        ``file::function`` that shows it.
    """

    section: str
    key: str
    ours: str
    published: str
    test: str

    @property
    def in_manual(self) -> bool:
        """Whether the manual's reference lists it."""
        return self.section != "Not in the manual"


_ACTS = "tests/unit/test_panel_params.py::test_a_key_acts_where_the_table_says"
_NOTED = "tests/unit/test_panel_params.py::test_a_key_without_effect_is_said"
_REFUSED = "tests/unit/test_panel_params.py::test_bad_keys_are_refused_by_name"
_DARK = "tests/unit/test_panel_frames.py::test_bad_and_gap_values_have_two_readings"
_TYPES = "tests/unit/test_panel_frames.py::test_every_data_type_reads_the_same_frame"
_WIDTH = "tests/cli/test_panels.py::test_rings_beyond_the_search_width_are_said"
_ENGINE = "tests/unit/test_published_panels.py::"


def _rows(section: str, *rows: tuple[str, str, str, str]) -> list[KeyRow]:
    return [KeyRow(section, *row) for row in rows]


_FILES = _rows(
    "File I/O",
    ("FileStem", "name of the data files, Folder/FileStem_%0{Padding}d{Ext}", SAME, _ACTS),
    ("Folder", "folder of the data files and of .corr.csv; default: here", SAME, _ACTS),
    ("Ext", "extension; without DataType, TIFF, CBF, EDF, HDF5, Zarr and npy are known by it",
     SAME, _ACTS),
    ("Dark", "mean over its frames is subtracted; its own marked pixels are masked; `none` for no "
     "dark, another file that is missing is refused", "as ours; with --published-quirks a missing "
     "file is no dark", _ACTS),
    ("StartNr", "first file; each file is fitted alone", "as ours; the published sum that runs on "
     "from file to file is not reproduced", _ACTS),
    ("EndNr", "last file; the mean values are those of all files", SAME, _ACTS),
    ("Padding", "digits of the file number", SAME, _ACTS),
    ("HeadSize", "bytes before the frames of a raw file", SAME, _ACTS),
    ("DataType", "1 uint16, 2 double, 3 float, 4 uint32, 5 int32 raw; 6, 7, 9 TIFF; 8 HDF5; 10 CBF",
     SAME, _TYPES),
    ("SkipFrame", "frames left out at the start, of the dark too", SAME, _ACTS),
)  # fmt: skip
_GEOMETRY = _rows(
    "Detector Geometry",
    ("NrPixels", "side of a square detector; refused beside another NrPixelsY or NrPixelsZ", SAME,
     _ACTS),
    ("NrPixelsY", "columns of the stored frame; checked against the image", SAME, _ACTS),
    ("NrPixelsZ", "rows of the stored frame; checked against the image", SAME, _ACTS),
    ("px", "pixel size, both ways", SAME, _ACTS),
    ("Lsd", "start of the distance", SAME, _ACTS),
    ("BC", "start of the beam centre, counted from pixel centres in the image after ImTransOpt",
     "as ours; with --published-quirks in the square frame that the program pads", _ACTS),
    ("tx", "turn about the beam, carried", SAME, _ACTS),
    ("ty", "start of the tilt", SAME, _ACTS),
    ("tz", "start of the tilt", SAME, _ACTS),
    ("p0", "start of the distortion", SAME, _ACTS),
    ("p1", "start of the distortion", SAME, _ACTS),
    ("p2", "start of the distortion", SAME, _ACTS),
    ("p3", "start of the distortion [deg]", SAME, _ACTS),
    ("ImTransOpt", "transforms of the stored image, in order; at most 10 lines", SAME, _ACTS),
)  # fmt: skip
_CRYSTAL = _rows(
    "Crystallography",
    ("SpaceGroup", "with LatticeConstant tells the calibrant; others than the known are refused",
     "rings of any crystal, Miller indices to 10", _ACTS),
    ("LatticeConstant", "lattice parameter of the calibrant", "rings", _ACTS),
    ("Wavelength", "rings", SAME, _ACTS),
    ("RhoD", "normalises the distortion; rings beyond it are left out", "the same, and "
     "the width of the windows", _ACTS),
)  # fmt: skip
_MASKING = _rows(
    "Masking",
    ("BadPxIntensity", "pixels with this value in the stored image are masked", "pixels with it in "
     "the first dark frame are; without Dark refused", _DARK),
    ("GapIntensity", "as BadPxIntensity", "as BadPxIntensity; with --published-quirks a key that "
     "is not given counts as 0", _DARK),
    ("MaskFile", "uint8, 1 = masked; refused where it does not say which pixels it hides", "the "
     "same; BadPxIntensity and GapIntensity are then not used", _ACTS),
)  # fmt: skip
_TOLERANCES = _rows(
    "Optimization Tolerances",
    ("tolTilts", "bound of ty, tz; 0: not refined; not given: unbounded", "half width of the "
     "search; default 3 deg", _ACTS),
    ("tolBC", "bound of the beam centre; as tolTilts", "half width; default 20 px", _ACTS),
    ("tolLsd", "bound of the distance; as tolTilts", "half width; default 15 mm", _ACTS),
    ("tolP", "bound of p0 to p2; not given or 0: not refined", "half width; default 2e-3", _ACTS),
    ("tolP0", "bound of p0, instead of tolP", SAME, _ACTS),
    ("tolP1", "bound of p1, instead of tolP", SAME, _ACTS),
    ("tolP2", "bound of p2, instead of tolP", SAME, _ACTS),
    ("tolP3", "bound of p3; default 45 deg, not tolP as the manual says; p3 is refined with p1",
     "half width; default 45 deg, with or without p1", _ACTS),
    ("tolShifts", "bound of dY, dZ about their start; not given: none but our prior; "
     "0 is refused", "half width about the start "
     "of each iteration; 0: no panels in the fit", _ACTS),
    ("tolRotation", "bound of dTheta about its start; 0: not refined", "half width", _ACTS),
)  # fmt: skip
_CONTROL = _rows(
    "Calibration Control",
    ("Width", "how far rings may lie from where the start puts them, 2 Width as in the published "
     "windows: what lies beyond is counted and said; the windows themselves follow the widths of "
     "the rings", "half width of the search about a ring; the window is about four times as wide",
     _WIDTH),
    ("EtaBinSize", "azimuthal bin; no bin crosses a panel; default: 2 deg, wider where rings are "
     "weak", "azimuthal bin; default 5 deg", _ACTS),
    ("RingsToExclude", "rings left out", SAME, _ACTS),
    ("MultFactor", "clips the printed MeanStrain, StdStrain and Outlier column, as published; and "
     "rings that stand out by it are left out (0: none; not given: 2.5)", "clips the printed "
     "figures, never the fit", _ACTS),
    ("MinIndicesForFit", "a panel with fewer points is held and named; not given: 5", "a panel "
     "with fewer points is held at 0 (by panel, not by ring as the manual says)", _ACTS),
)  # fmt: skip
_PANELS = _rows(
    "Multi-Panel",
    ("NPanelsY", "panels across", SAME, _ACTS),
    ("NPanelsZ", "panels up", SAME, _ACTS),
    ("PanelSizeY", "columns of a panel; the grid must span the image", SAME, _ACTS),
    ("PanelSizeZ", "rows of a panel; the grid must span the image", SAME, _ACTS),
    ("PanelGapsY", "gaps across; a wrong number of them is refused", SAME, _ACTS),
    ("PanelGapsZ", "gaps up; a wrong number of them is refused", SAME, _ACTS),
    ("PanelShiftsFile", "read where it exists, as the manual says, and written, with .shifts.tif "
     "and .strain.tif", "as ours (the program did not read it)",
     "tests/cli/test_panels.py::test_a_second_run_goes_on_from_the_shifts_file"),
    ("FixPanelID", "panel whose corrections are 0 in what is printed and written; the fit is held "
     "by sums over all panels", "panel that is not varied", _ACTS),
)  # fmt: skip
_ADVANCED = [
    *_rows(
        "Iterative Refinement",
        ("nIterations", "most passes of extraction and fit, 20 if not given; they end when "
         "the parameters stand still, else the exit code is 4", "passes, all of them; the best is "
         "kept, with its points", _ACTS),
    ),
    *_rows(
        "Doublet Fitting",
        ("DoubletSeparation", "rings nearer than this are fitted together; 0: those that overlap",
         "rings nearer than this are fitted together, 10 parameters a pair", _ACTS),
    ),
    *_rows(
        "Objective Function Weighting",
        ("NormalizeRingWeights", "every ring weighs the same", SAME, _ACTS),
        ("WeightByRadius", "points weigh as R/RhoD", SAME, _ACTS),
    ),
    *_rows(
        "Outlier Rejection",
        ("OutlierIterations", "passes of the clip that the printed StdStrain and Outlier column "
         "come from", SAME, _ENGINE + "test_multfactor_clips_the_figures_and_not_the_fit"),
    ),
    *_rows(
        "Distortion Model",
        ("DistortionOrder", "6: p4 too; other than 4 and 6 refused", SAME, _ACTS),
        ("tolP4", "bound of p4; above 0 with DistortionOrder 4 refused", "half width", _ACTS),
    ),
    *_rows(
        "Per-Panel Advanced",
        ("PerPanelLsd", "1: heights of the panels are refined", "1: dLsd is varied", _ACTS),
        ("tolLsdPanel", "bound of dLsd about its start; not given: our prior", "half width", _ACTS),
        ("PerPanelDistortion", "1: dP2 is refined", "1: dP2 is varied", _ACTS),
        ("tolP2Panel", "bound of dP2 about its start; not given: our prior", "half width", _ACTS),
    ),
]  # fmt: skip
_LATE_P = "start of the distortion of later versions"
_OTHER = _rows(
    "Not in the manual",
    ("dataDataset", "dataset of HDF5 files; default: found", SAME, _ACTS),
    ("darkDataset", "dataset of the dark; without Dark in the data file", SAME, _ACTS),
    ("GapFile", "as MaskFile, and joined with it", SAME, _ACTS),
    ("BadPxFile", "as MaskFile, and joined with it", SAME, _ACTS),
    ("MaxRingRad", "RhoD where that is not given", SAME, _ACTS),
    ("Parallax", "carried", SAME, _ACTS),
    ("RBinDivisions", "no effect, which is said: peaks are fitted to pixels", "radial steps a "
     "pixel", _NOTED),
    ("FitOrWeightedMean", "1 is refused: peaks are always fitted", "1: weighted mean instead of a "
     "fit", _ENGINE + "test_weighted_means_stand_in_for_fits"),
    *((f"p{n}", _LATE_P, SAME, _ACTS) for n in range(4, 15)),
    *((f"tolP{n}", f"bound of p{n}; not given or 0: not refined", "above 0 refused: the program "
       "refines p0 to p4", _ACTS) for n in range(5, 15)),
    ("Wedge", "no effect, which is said", SAME, _NOTED),
    *((key, "no effect, which is said: a key of the integration", SAME, _NOTED) for key in (
        "RMin", "RMax", "RBinSize", "EtaMin", "EtaMax", "DoSmoothing", "DoPeakFit",
        "MultiplePeaks")),
)  # fmt: skip

KEY_TABLE: tuple[KeyRow, ...] = (
    *_FILES, *_GEOMETRY, *_CRYSTAL, *_MASKING, *_TOLERANCES, *_CONTROL, *_PANELS, *_ADVANCED,
    *_OTHER,
)  # fmt: skip
"""Row of each key, in the manual's order."""

_INTEGRATION = (
    "RMin", "RMax", "RBinSize", "EtaMin", "EtaMax", "DoSmoothing", "DoPeakFit", "MultiplePeaks",
)  # fmt: skip


def notes(params: MidasParams, shape: tuple[int, int], *, published: bool) -> list[str]:
    """What is given and has no effect, or another one than meant: a sentence each.

    Parameters
    ----------
    params
        Checked.
    shape
        (n_slow, n_fast) of the stored image.
    published
        For the published engine.
    """
    said: list[str] = []
    if not published and "RBinDivisions" in params:
        said.append("RBinDivisions has no effect: peaks are fitted to pixels, not to lineouts")
    if "Wedge" in params:
        said.append("Wedge has no effect: it is no part of a calibration from one frame")
    extra = [key for key in _INTEGRATION if key in params]
    if extra:
        said.append(f"{', '.join(extra)}: no effect here, keys of the integration")
    for key, switch in (("tolLsdPanel", "PerPanelLsd"), ("tolP2Panel", "PerPanelDistortion")):
        if key in params and not params[switch]:
            said.append(f"{key} has no effect: {switch} is 0")
    if "OutlierIterations" in params and not number_of(params, "MultFactor"):
        said.append("OutlierIterations has no effect: MultFactor is 0")
    if panel_grid_of(params) is not None and "PanelShiftsFile" not in params:
        said.append("no PanelShiftsFile: the corrections are printed, but not written")
    marks = [key for key in ("BadPxIntensity", "GapIntensity") if key in params]
    if published and marks and any(k in params for k in ("MaskFile", "GapFile", "BadPxFile")):
        said.append(f"{', '.join(marks)}: no effect beside a mask file, as published")
    return said + _padding_note(params, shape)


def _padding_note(params: MidasParams, shape: tuple[int, int]) -> list[str]:
    codes = params["ImTransOpt"]
    moved = padding_px(tuple(int(c) for c in codes if c), shape)  # type: ignore[union-attr]
    y, z = (int(v) for v in moved)
    if not y and not z:
        return []
    return [
        f"BC counts from the image itself; the published program pads it to a square before "
        f"ImTransOpt, and its BC is larger by {y} {z} px"
    ]


def markdown_table() -> str:
    """Rows of :data:`KEY_TABLE` as a table for the documentation, a heading for each section."""
    lines: list[str] = []
    section = ""
    for row in KEY_TABLE:
        if row.section != section:
            section = row.section
            head = ["Key", "Default", "Our engine", "`--published`", "Test"]
            lines += ["", f"## {section}", "", f"| {' | '.join(head)} |"]
            lines.append("| :-- " * len(head) + "|")
        cells = (f"`{row.key}`", _default(row.key), row.ours, row.published, f"`{row.test}`")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines).strip() + "\n"


def _default(name: str) -> str:
    key = KEYS[name]
    if key.default_key is not None:
        return f"`{key.default_key}`"
    return "none" if key.default is None or key.default == () else f"{_plain(key.default)}"


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(str(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
