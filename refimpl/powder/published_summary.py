"""The boxed summary that the published program prints first: every value as parsed.

Layout, labels and number formats are those of `CalibrantPanelShiftsOMP` as of the AutoCalibrate
manual version 10. Lines that its known outputs never show have labels of ours.
"""

from __future__ import annotations

from collections.abc import Iterator

from refimpl.io.midas_params import MidasParams

__all__ = ["iteration_box", "summary_box"]

WIDTH = 62
TITLE = "           CalibrantPanelShiftsOMP — Parameter Summary       "


def summary_box(params: MidasParams, shape: tuple[int, int], n_panels: int) -> str:
    """Boxed summary of the parameters.

    Parameters
    ----------
    params
        As read.
    shape
        (n_slow, n_fast) of the stored frames [px].
    n_panels
        0 for a single surface.
    """
    sections = [
        ("FILE I/O", _files(params)),
        ("DETECTOR GEOMETRY", _geometry(params, shape)),
        ("CRYSTALLOGRAPHY", _crystal(params)),
        ("MASKING", _masking(params)),
        ("OPTIMIZATION TOLERANCES", _tolerances(params)),
        ("CALIBRATION CONTROL", _control(params)),
    ]
    if n_panels:
        sections.append(("MULTI-PANEL", _panels(params, n_panels)))
    bar = "═" * WIDTH
    lines = [f"╔{bar}╗", f"║{TITLE}║"]
    for title, rows in sections:
        lines += [f"╠{bar}╣", f"║  {title:<59}║", *rows]
    return "\n".join([*lines, f"╚{bar}╝"]) + "\n"


def iteration_box(number: int, of: int) -> str:
    """Heading of one iteration."""
    bar = "═" * 42
    return f"\n╔{bar}╗\n║         Iteration {number} / {of}                  ║\n╚{bar}╝\n"


def _row(label: str, value: object, after: str = "") -> str:
    return f"║    {label + ':':<16}{value!s:<40} {after}║"


def _number(params: MidasParams, key: str) -> float:
    value = params[key]
    return float(value) if isinstance(value, int | float) else 0.0


def _text(params: MidasParams, key: str) -> str:
    value = params[key]
    return "" if value is None else str(value)


def _files(params: MidasParams) -> Iterator[str]:
    for key in ("FileStem", "Folder", "Ext", "Dark", "StartNr"):
        yield _row(key, _text(params, key))
    yield _row("EndNr", _text(params, "EndNr" if "EndNr" in params else "StartNr"))
    for key in ("Padding", "HeadSize", "DataType", "SkipFrame"):
        yield _row(key, _text(params, key))


def _geometry(params: MidasParams, shape: tuple[int, int]) -> Iterator[str]:
    rows, columns = shape
    yield _row("NrPixelsY", columns)
    yield _row("NrPixelsZ", rows)
    yield _row("NrPixels(max)", max(shape))
    yield _row("PixelSize", f"{_number(params, 'px'):f}")
    yield _row("Lsd", f"{_number(params, 'Lsd'):.2f}")
    centre = params["BC"]
    y, z = centre if isinstance(centre, tuple) else (0.0, 0.0)
    yield _row("BC", f"{float(y):<20.4f} {float(z):<19.4f}")
    yield _row("tx (fixed)", f"{_number(params, 'tx'):f}")
    for key in ("ty", "tz"):
        yield _row(f"{key} (initial)", f"{_number(params, key):f}")
    later = [k for k in range(4, 15) if f"p{k}" in params]
    for k in (*range(4), *later):
        yield _row(f"p{k} (initial)", f"{_number(params, f'p{k}'):.8f}")


def _crystal(params: MidasParams) -> Iterator[str]:
    yield _row("SpaceGroup", _text(params, "SpaceGroup"))
    cell = params["LatticeConstant"]
    if isinstance(cell, tuple):
        a, b, c, *angles = (float(v) for v in cell)
        degrees = " ".join(f"{v:<5.2f}" for v in angles)
        yield f"║    LatticeConst:   {a:<8.4f} {b:<8.4f} {c:<8.4f} {degrees}  ║"
    yield _row("Wavelength", f"{_number(params, 'Wavelength'):.8f}")
    yield _row("RhoD", f"{_number(params, 'RhoD') or _number(params, 'MaxRingRad'):.2f}")


def _masking(params: MidasParams) -> Iterator[str]:
    yield _row("BadPxIntensity", _text(params, "BadPxIntensity"))
    yield _row("GapIntensity", _text(params, "GapIntensity"))
    for key in ("MaskFile", "GapFile", "BadPxFile"):
        if key in params:
            yield _row(key, _text(params, key))
    yield _row("MakeMap mode", make_map_mode(params))


def make_map_mode(params: MidasParams) -> int:
    """Published number of the way that the mask is made: 0 none, 1 values, 2 two files, 3 one."""
    if "MaskFile" in params:
        return 3
    if "GapFile" in params or "BadPxFile" in params:
        return 2
    return 1 if "BadPxIntensity" in params or "GapIntensity" in params else 0


def _tolerances(params: MidasParams) -> Iterator[str]:
    yield _row("tolTilts", f"{_number(params, 'tolTilts'):f}")
    yield _row("tolBC", f"{_number(params, 'tolBC'):f}")
    yield _row("tolLsd", f"{_number(params, 'tolLsd'):.2f}")
    later = [k for k in range(5, 15) if f"tolP{k}" in params]
    for k in (*range(4), *later):
        yield _row(f"tolP{k}", f"{_number(params, f'tolP{k}'):.8f}")
    yield _row("tolShifts", f"{_number(params, 'tolShifts'):f}")
    yield _row("tolRotation", f"{_number(params, 'tolRotation'):f}")


def _control(params: MidasParams) -> Iterator[str]:
    yield _row("Width", f"{_number(params, 'Width'):.2f}")
    yield _row("EtaBinSize", f"{_number(params, 'EtaBinSize'):.4f}")
    yield _row("RBinDivisions", _text(params, "RBinDivisions"))
    yield _row("MultFactor", f"{_number(params, 'MultFactor'):.4f}")
    yield _row("MinIndices", _text(params, "MinIndicesForFit"))
    yield _row("FitOrWMean", _text(params, "FitOrWeightedMean"))
    yield _row("nIterations", _text(params, "nIterations"))
    if _number(params, "DoubletSeparation") > 0.0:
        yield _row("DoubletSep(px)", f"{_number(params, 'DoubletSeparation'):.1f}")
    if params["NormalizeRingWeights"]:
        yield _row("RingWeightNorm", "ON")
    if params["WeightByRadius"]:
        yield _row("WeightByRadius", "ON")
    if _number(params, "OutlierIterations") > 1:
        yield _row("OutlierIters", _text(params, "OutlierIterations"))
    if _number(params, "DistortionOrder") != 4:
        yield _row("DistortOrder", _text(params, "DistortionOrder"))
    if params["PerPanelLsd"]:
        after = f"(tol={_number(params, 'tolLsdPanel'):f}) "
        yield _row("PerPanelLsd", "ON", after)
    if params["PerPanelDistortion"]:
        yield _row("PerPanelP2", "ON", f"(tol={_number(params, 'tolP2Panel'):f}) ")
    excluded = params["RingsToExclude"]
    if isinstance(excluded, tuple) and excluded:
        yield _row("RingsExclude", " ".join(str(ring) for ring in excluded))


def _panels(params: MidasParams, n_panels: int) -> Iterator[str]:
    for key in ("NPanelsY", "NPanelsZ", "PanelSizeY", "PanelSizeZ", "FixPanelID"):
        yield _row(key, _text(params, key))
    yield _row("Panels", n_panels)
    if "PanelShiftsFile" in params:
        yield _row("ShiftsFile", _text(params, "PanelShiftsFile"))
