"""Every key of the published near-field parameter files: type, default, unit, meaning; one table.

The registry for the reader, the writer, the command line and the docs, as
:mod:`refimpl.io.midas_keys` is for powder. Sources: the tables of the NF-HEDM multi-resolution
manual version 7.0, the keys that its programs read without its mention (spec 1.2 to 1.13 and 2)
and those of the upstream example. Keys of the successor programs alone are known, and refused by
name. Of a key that stands twice the last line wins, as published, except of the repeatable ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from refimpl.io.key_files import Key, KeyTable

__all__ = ["NEARFIELD_KEYS", "find_nearfield_key"]

_FLAG = (0, 1)
_DEG, _UM, _PX = "deg", "um", "px"

_FILES = [
    Key("DataDirectory", "str", None, "", "Folder of the data, and of all outputs without "
        "OutputDirectory"),
    Key("OutputDirectory", "str", None, "", "Folder of the outputs", default_key="DataDirectory"),
    Key("OrigFileName", "str", None, "", "Base name of the raw images",
        default_key="ReducedFileName"),
    Key("ReducedFileName", "str", None, "", "Base name of the reduced images"),
    Key("extOrig", "str", "tif", "", "Extension of the raw images, without dot"),
    Key("extReduced", "str", "bin", "", "Extension of the reduced images, without dot"),
    Key("StartNr", "int", None, "", "Number of the first frame", not_negative=True),
    Key("EndNr", "int", None, "", "Number of the last frame", not_negative=True),
    Key("RawStartNr", "int", 0, "", "Number of the first raw file", not_negative=True),
    Key("NrFilesPerDistance", "int", None, "", "Files of a distance, without wide-field images; "
        "none: EndNr - StartNr + 1", positive=True),
    Key("WFImages", "int", 0, "", "Wide-field images after each distance", not_negative=True),
    Key("Ice9Input", "flag", 0, "", "Images come from Ice9: Z is counted from the other end",
        choices=_FLAG),
]  # fmt: skip
_DETECTOR = [
    Key("nDistances", "int", None, "", "Number of detector distances", positive=True),
    Key("Lsd", "float", (), _UM, "Sample-to-detector distance; a line for each distance",
        repeatable=True, positive=True),
    Key("BC", "float", (), _PX, "Beam centre Y Z, counted from the flipped corner; a line for "
        "each distance", count=2, repeatable=True),
    Key("px", "float", None, _UM, "Pixel size", positive=True),
    Key("NrPixels", "int", 2048, _PX, "Side of a square detector", positive=True),
    Key("NrPixelsY", "int", None, _PX, "Pixels along Y", default_key="NrPixels", positive=True),
    Key("NrPixelsZ", "int", None, _PX, "Pixels along Z", default_key="NrPixels", positive=True),
    Key("tx", "float", 0.0, _DEG, "Tilt about X, the beam"),
    Key("ty", "float", 0.0, _DEG, "Tilt about Y"),
    Key("tz", "float", 0.0, _DEG, "Tilt about Z, the rotation axis"),
]  # fmt: skip
_CRYSTAL = [
    Key("SpaceGroup", "int", None, "", "Space group number", choices=tuple(range(1, 231))),
    Key("LatticeParameter", "float", None, "Angstrom, deg", "a b c alpha beta gamma", count=6,
        aliases=("LatticeConstant",), positive=True),
    Key("Wavelength", "float", None, "Angstrom", "X-ray wavelength", positive=True),
    Key("MaxRingRad", "float", None, _UM, "Largest ring radius at the last Lsd (the manual says "
        "pixels; the programs take um)", aliases=("RhoD",), positive=True),
    Key("RingsToUse", "int", (), "", "Number of a ring to use, in order; none: all",
        repeatable=True, positive=True),
    Key("SGNr", "int", None, "", "Space group of the maps of grains", default_key="SpaceGroup",
        choices=tuple(range(1, 231))),
    Key("NumPhases", "int", 1, "", "Number of phases", positive=True),
    Key("PhaseNr", "int", 1, "", "Number of the phase of this run", positive=True),
]  # fmt: skip
_SCAN = [
    Key("OmegaStart", "float", None, _DEG, "Leading edge of the first frame"),
    Key("OmegaStep", "float", None, _DEG, "Width of a frame, with its sign"),
    Key("OmegaRange", "float", (), _DEG, "Range of omega that counts, low high", count=2,
        repeatable=True),
    Key("BoxSize", "float", (), _UM, "ylo yhi zlo zhi of the spots of each OmegaRange", count=4,
        repeatable=True),
    Key("ExcludePoleAngle", "float", 0.0, _DEG, "Spots nearer to the poles are left out",
        not_negative=True),
    Key("Wedge", "float", 0.0, _DEG, "Lean of the rotation axis along the beam"),
]  # fmt: skip
_GRID = [
    Key("GridSize", "float", None, _UM, "Edge of the grid's triangles", positive=True),
    Key("EdgeLength", "float", None, _UM, "Edge of the triangles that are projected",
        default_key="GridSize", positive=True),
    Key("Rsample", "float", None, _UM, "Radius of the circle that the grid covers",
        positive=True),
    Key("GridFileName", "str", "grid.txt", "", "File of the grid"),
    Key("TomoImage", "str", None, "", "Tomography image (raw square uint8) that masks the grid"),
    Key("TomoPixelSize", "float", None, _UM, "Pixel size of the tomography image", positive=True),
    Key("GridMask", "float", None, _UM, "xmin xmax ymin ymax of the grid points to keep",
        count=4),
    Key("GridPoints", "float", (), "", "A row of a .mic file (12 columns): a point for the "
        "calibration of geometry", count=12, repeatable=True),
]  # fmt: skip
_IMAGES = [
    Key("BlanketSubtraction", "float", 0.0, "counts", "Taken off every pixel beside the median",
        not_negative=True),
    Key("MedFiltRadius", "int", 1, _PX, "Spatial median: 1 (3 x 3), 2 (5 x 5), other: none",
        not_negative=True),
    Key("DoLoGFilter", "int", 1, "", "1 = Laplacian of Gaussian, 0 = every pixel above zero",
        choices=_FLAG),
    Key("LoGMaskRadius", "int", 4, _PX, "Half width of its kernel", positive=True),
    Key("GaussFiltRadius", "float", 1.0, _PX, "Its sigma", positive=True),
    Key("WriteFinImage", "int", 0, "", "1 = write the reduced images too", choices=_FLAG),
    Key("Deblur", "int", 0, "", "Nothing but WriteFinImage 1", choices=_FLAG),
    Key("WriteLegacyBin", "int", 0, "", "1 = a file for each frame", choices=_FLAG,
        unused="the files are for MMapImageInfo, which cannot run upstream either"),
]  # fmt: skip
_SEARCH = [
    Key("SeedOrientations", "str", None, "", "File of candidate orientations"),
    Key("NrOrientations", "int", None, "", "Number of lines of SeedOrientations", positive=True),
    Key("GrainsFile", "str", None, "", "Grains.csv of the far field, for seeds"),
    Key("MinFracAccept", "float", None, "", "Least confidence of a candidate that is fitted",
        not_negative=True),
    Key("OrientTol", "float", None, _DEG, "Half width of the search about a candidate, of each "
        "Euler angle", positive=True),
    Key("SaveNSolutions", "int", 1, "", "Solutions saved for each grid point", positive=True),
    Key("MinMisoNSaves", "float", 1.0, _DEG, "Least misorientation of saved solutions",
        not_negative=True),
    Key("NearestMisorientation", "float", 0.0, _DEG, "Grid points that differ by more from all "
        "nearest neighbours are flagged and fitted again from these; 0 = off (no published "
        "version acts on it)", not_negative=True),
]  # fmt: skip
_OUTPUT = [
    Key("MicFileBinary", "str", None, "", "Binary map"),
    Key("MicFileText", "str", None, "", "Text map"),
    Key("GlobalPosition", "float", None, _UM, "Height of the layer, for the map's header; none: "
        "that of GlobalPositionFirstLayer"),
    Key("GlobalPositionFirstLayer", "float", 0.0, _UM, "Height of the first layer"),
    Key("LayerThickness", "float", 0.0, _UM, "Step from layer to layer"),
    Key("GBAngle", "float", 5.0, _DEG, "Misorientation of a grain boundary", positive=True),
]  # fmt: skip
_RESOLUTIONS = [
    Key("GridRefactor", "float", None, "", "StartingGridSize ScalingFactor NumLoops: coarse to "
        "fine", count=3, not_negative=True),
    Key("SeedOrientationsAll", "str", None, "", "File of all candidates, for the bad points of a "
        "coarse-to-fine run"),
    Key("MinConfidence", "float", 0.5, "", "Confidence below which a point is bad",
        not_negative=True),
    Key("MaxAngle", "float", 1.0, _DEG, "Points nearer than this are one grain", positive=True),
]  # fmt: skip
_CALIBRATION = [
    Key("LsdTol", "float", None, _UM, "Search range of the first distance", positive=True),
    Key("LsdRelativeTol", "float", None, _UM, "Search range of the steps between distances",
        positive=True),
    Key("BCTol", "float", None, _PX, "Search ranges of the beam centre, Y Z", count=2,
        positive=True),
    Key("TiltsTol", "float", None, _DEG, "Search range of the tilts", positive=True),
    Key("NumIterations", "int", None, "", "Rounds of the calibration with GridPoints",
        positive=True),
]  # fmt: skip
_SIMULATION = [
    Key("OnlySpotsInfo", "int", 0, "", "1 = SpotsInfo.bin alone", choices=_FLAG),
    Key("WriteImage", "int", 1, "", "1 = images of the simulation too", choices=_FLAG),
    Key("SimulationBatches", "int", 1, "", "Parts that the simulation is cut in", positive=True,
        unused="blocks are chosen so that the memory is bounded"),
]  # fmt: skip

_SUCCESSOR = "only the successor programs (nf-preprocess, nf-fitorientation, nf-pipeline) have it"
_DENOISER = "denoising is a program of its own; give its images as DataDirectory"


def _refused() -> list[Key]:
    """Keys of other programs, refused by name."""
    successor = """RefineWedge WedgeTol MinFracAcceptSigma ConfidenceMetric NMMaxIter DataLoc
        PixelScale MedianFrames MedianRowBlock SumFrames BlanketSigma NLMDenoise SpotDetect
        PhaseAtom DropForbiddenReflections"""
    denoiser = """Denoise DenoiseMethod DenoisedDirectory DenoiseConfigFile DenoisePattern
        DenoiseTrainJointly DenoiseCheckpoint DenoiseFinetune DenoiseMaskThreshold
        DenoiseNoMedian"""
    return [
        Key(name, "str", None, "", "Not a key of this program", refused=why)
        for names, why in ((successor, _SUCCESSOR), (denoiser, _DENOISER))
        for name in names.split()
    ]


NEARFIELD_KEYS: Final = KeyTable(
    (
        key
        for group in (
            _FILES, _DETECTOR, _CRYSTAL, _SCAN, _GRID, _IMAGES, _SEARCH, _OUTPUT, _RESOLUTIONS,
            _CALIBRATION, _SIMULATION, _refused(),
        )
        for key in group
    ),
    last_wins=True,
    what="a near-field parameter file",
)  # fmt: skip
"""Key by canonical name, by subject."""


def find_nearfield_key(
    name: str, *, path: str | Path | None = None, line: int | None = None
) -> Key:
    """Key of a spelling; see :meth:`refimpl.io.key_files.KeyTable.find`."""
    return NEARFIELD_KEYS.find(name, path=path, line=line)
