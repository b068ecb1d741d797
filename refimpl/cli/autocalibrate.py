"""The published switches: ``refimpl powder autocalibrate -dataFN FILE -paramFN PARAMS ...``.

Every switch of the AutoCalibrate manual version 10, with its spelling and its default, so that
existing scripts run. The steps are the published ones on true arcs; the published bins of straight
chords, and the other departures that cost accuracy, come back by name. The loop ends at a cap or
where it makes no progress, with exit code 4 and the best that there is written all the same.
``refimpl powder calibrate`` is the calibration to use.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.calibrants import Calibrant, calibrant_from_cell
from refimpl.errors import ConfigError, RefimplError
from refimpl.frames import F64
from refimpl.io.atomic import make_folder, write_text
from refimpl.io.midas_params import MidasParams, read_params
from refimpl.io.midas_zip import convert, read_archive
from refimpl.powder.published import published_vector
from refimpl.powder.published_files import write_plots_hdf, write_results
from refimpl.powder.published_loop import (
    AutoCalibration,
    LoopStep,
    PublishedStart,
    auto_calibrate,
    published_start,
)
from refimpl.powder.published_options import PublishedOptions
from refimpl.units import DEG, MICROSTRAIN, UM

__all__ = ["autocalibrate", "main", "parser"]

LSD_NOT_GIVEN_UM = 1_000_000.0  # the published default stands for "find it"
LOG_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"


class _Parser(argparse.ArgumentParser):
    """Raise instead of printing the usage and leaving."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"autocalibrate: {message}; -h lists the options")


def parser() -> argparse.ArgumentParser:
    """Every published switch, and ours with two dashes."""
    p = _Parser(
        prog="refimpl powder autocalibrate",
        description="Calibrate a detector as AutoCalibrate version 10 does, on true arcs.",
        allow_abbrev=False,
    )
    add = p.add_argument
    files = p.add_argument_group("input")
    files.add_argument("-dataFN", required=True, help="image: .zip (Zarr), HDF5, GE or TIFF")
    files.add_argument(
        "-ConvertFile", type=int, default=0, choices=(0, 1, 2, 3),
        help="0 Zarr archive, 1 HDF5, 2 GE, 3 TIFF: the last three are converted to .MIDAS.zip",
    )  # fmt: skip
    files.add_argument("-paramFN", default="", help="parameter file, needed where converting")
    files.add_argument("-darkFN", default="", help="file with the dark image")
    files.add_argument("-dataLoc", default="", help="dataset within an HDF5 file")
    files.add_argument(
        "-ImTransOpt", type=int, nargs="*", default=[0], choices=(0, 1, 2, 3),
        help="transforms in order: 0 none, 1 flip left-right, 2 flip up-down, 3 transpose",
    )  # fmt: skip
    files.add_argument("-BadPxIntensity", type=float, default=math.nan, help="value of bad pixels")
    files.add_argument("-GapIntensity", type=float, default=math.nan, help="value of gap pixels")
    _add_control(p.add_argument_group("calibration"))
    output = p.add_argument_group("output")
    output.add_argument("-MakePlots", type=int, default=0, help="1: save plots as PNG")
    output.add_argument("-SavePlotsHDF", default="", help="HDF5 file for all intermediate data")
    output.add_argument("-o", "--output", default=".", help="folder for the results")
    add("--max-iterations", type=int, default=20, help="cap on the runs of the loop")
    add("--published-chords", action="store_true",
        help="bins of straight chords: +635 ppm in Lsd at EtaBinSize 5")  # fmt: skip
    add("--published-quirks", action="store_true",
        help="values below 1 set to 1 and nothing masked, frames padded to a square with zeros "
        "taken for data, RhoD with exchanged axes and cut to um")  # fmt: skip
    return p


def _add_control(group: Any) -> None:
    add = group.add_argument
    add("-StoppingStrain", type=float, default=0.00004, help="mean strain to stop at")
    add("-MultFactor", type=float, default=2.5, help="limit for a ring, times the median ring")
    add("-FirstRingNr", type=int, default=1, help="number of the first ring seen")
    add("-LsdGuess", type=float, default=LSD_NOT_GIVEN_UM, help="distance [um]; 1000000: find it")
    add("-BCGuess", type=float, nargs=2, default=[0.0, 0.0], help="beam centre Y Z [px]; 0 0: find")
    add("-EtaBinSize", type=float, default=5.0, help="azimuthal bin [degrees]")
    add("-Threshold", type=float, default=0.0, help="threshold [counts]; 0: automatic")
    add("-NoMedian", type=int, default=0, help="1: no median filter")


@dataclass(frozen=True, eq=False)
class _Frame:
    """Image and what belongs to it, model frame."""

    image: F64
    mask: NDArray[np.bool_] | None
    params: MidasParams
    powder: Calibrant
    wavelength_angstrom: float
    pixel_mm: float


def autocalibrate(argv: Sequence[str]) -> AutoCalibration:
    """Calibrate as the published command does, and write its files.

    Parameters
    ----------
    argv
        The switches, as on the command line.

    Raises
    ------
    ConfigError, FormatError
        A switch, the parameters or an input file is wrong.
    NoRingsError
        No arcs, centre, distance or ring points were found.
    """
    args = parser().parse_args(list(argv))
    folder = make_folder(args.output)
    log = _Log(folder / "autocal.log")
    try:
        return _calibrated(args, folder, log.logger)
    except RefimplError as error:
        log.logger.error("%s", error)
        raise
    finally:
        log.close()


def _calibrated(args: argparse.Namespace, folder: Path, log: logging.Logger) -> AutoCalibration:
    transforms = tuple(args.ImTransOpt)
    frame = _read(args, folder, transforms)
    log.info("image %s: %d x %d px", args.dataFN, *reversed(frame.image.shape))
    start = _start(args, frame, transforms)
    x = published_vector(start.detector)
    log.info("start: Lsd %.3f um, BC %.4f %.4f px, threshold %g", *x[:3], start.threshold)

    def report(number: int, step: LoopStep) -> None:
        run = step.run
        v = published_vector(run.detector)
        log.info(
            "run %d: MeanStrain %.2f ue, %d points, rings rejected %s; Lsd %.4f BC %.5f %.5f "
            "ty %.6f tz %.6f p0 %.8f p1 %.8f p2 %.8f p3 %.5f",
            *(number, run.mean_strain / MICROSTRAIN, len(run.points)),
            *(list(step.new_rings) or "none", *v[:9]),
        )

    result = auto_calibrate(
        *(frame.image, start.detector, frame.powder, frame.wavelength_angstrom, _options(args)),
        mask=frame.mask,
        stopping_strain=args.StoppingStrain,
        mult_factor=args.MultFactor,
        max_iterations=args.max_iterations,
        rings_to_exclude=frame.params["RingsToExclude"],  # type: ignore[arg-type]
        progress=report,
    )
    log.info("%s", _verdict(result, args.StoppingStrain))
    stem = Path(args.dataFN).name.split(".")[0]
    given = {k: frame.params[k] for k in _CARRIED if k in frame.params}
    if not math.isnan(args.BadPxIntensity):
        given["BadPxIntensity"] = int(args.BadPxIntensity)
    if not math.isnan(args.GapIntensity):
        given["GapIntensity"] = int(args.GapIntensity)
    write_results(folder, stem, result, given, frame.wavelength_angstrom)
    if args.SavePlotsHDF:
        write_plots_hdf(
            *(args.SavePlotsHDF, args.dataFN, frame.image, start, result),
            *(frame.powder, frame.wavelength_angstrom),
        )
    if args.MakePlots:
        from refimpl.cli.autocalibrate_plots import write_plots

        write_plots(folder, frame.image, start, result)
    return result


_CARRIED = ("SkipFrame", "SpaceGroup", "LatticeConstant", "DataType", "HeadSize")


def _read(args: argparse.Namespace, folder: Path, transforms: tuple[int, ...]) -> _Frame:
    """Convert if asked for, read the archive, and check what it lacks."""
    params = read_params(args.paramFN) if args.paramFN else None
    archive = Path(args.dataFN)
    if args.ConvertFile:
        if params is None:
            raise ConfigError(
                f"-paramFN is needed with -ConvertFile {args.ConvertFile}: it holds SpaceGroup, "
                "LatticeParameter, Wavelength and px",
                key="paramFN",
            )
        archive = convert(
            archive,
            params,
            folder / f"{archive.name.split('.')[0]}.MIDAS.zip",
            convert_file=args.ConvertFile,
            dark=args.darkFN or None,
            dataset=args.dataLoc or None,
        )
    marks: dict[str, Any] = {}
    if not args.published_quirks:
        marks["bad_values"] = None if math.isnan(args.BadPxIntensity) else args.BadPxIntensity
        marks["gap_values"] = None if math.isnan(args.GapIntensity) else args.GapIntensity
    if args.darkFN and not args.ConvertFile:
        marks["dark"] = args.darkFN
    found, stored = read_archive(archive, transforms=transforms, **marks)
    merged = MidasParams({**stored.given, **(params.given if params else {})}, archive)
    merged.require("SpaceGroup", "LatticeConstant", "Wavelength", "px")
    image, mask = np.asarray(found.data, dtype=np.float64), found.mask
    if args.published_quirks:
        image = np.maximum(image, 1.0)
    cell: Any = merged["LatticeConstant"]
    return _Frame(
        image=image,
        mask=None if args.published_quirks else mask,
        params=merged,
        powder=calibrant_from_cell("calibrant", int(merged.number("SpaceGroup")), cell),
        wavelength_angstrom=merged.number("Wavelength"),
        pixel_mm=merged.number("px") * UM,
    )


def _start(args: argparse.Namespace, frame: _Frame, transforms: tuple[int, ...]) -> PublishedStart:
    fast, slow = args.BCGuess
    return published_start(
        *(frame.image, frame.powder, frame.wavelength_angstrom, frame.pixel_mm),
        median=not args.NoMedian,
        threshold=args.Threshold,
        first_ring=args.FirstRingNr,
        beam_centre_px=None if fast == 0.0 else (fast + 0.5, slow + 0.5),
        lsd_mm=None if args.LsdGuess == LSD_NOT_GIVEN_UM else args.LsdGuess * UM,
        tx_rad=frame.params.number("tx") * DEG,
        image_transform=transforms,
        published_rho_d=args.published_quirks,
    )


def _options(args: argparse.Namespace) -> PublishedOptions:
    return PublishedOptions(
        eta_bin_deg=args.EtaBinSize,
        published_chords=args.published_chords,
        published_frame=args.published_quirks,
        published_rho_d=args.published_quirks,
    )


def _verdict(result: AutoCalibration, stopping_strain: float) -> str:
    """One line on how the loop ended."""
    run, runs = result.run, len(result.steps)
    ue, limit = run.mean_strain / MICROSTRAIN, stopping_strain / MICROSTRAIN
    if result.status == "converged":
        return f"converged after {runs} runs: mean strain {ue:.1f} ue, {run.summary}"
    return (
        f"not converged ({result.status} after {runs} runs): mean strain {ue:.1f} ue, "
        f"StoppingStrain {limit:.1f} ue; the last geometry is written; {run.summary}"
    )


class _Log:
    """Log lines to stderr as they come, and appended to the file at the end in one piece."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[str] = []
        self.logger = logging.Logger("AutoCalibrate", logging.INFO)  # not in the global registry
        formatter = logging.Formatter(LOG_FORMAT)
        formatter.converter = time.localtime
        keeper = logging.Handler()
        keeper.emit = lambda record: self.lines.append(formatter.format(record))  # type: ignore[method-assign]
        screen = logging.StreamHandler(sys.stderr)
        screen.setFormatter(formatter)
        screen.addFilter(lambda record: record.levelno < logging.ERROR)  # main says errors
        for handler in (keeper, screen):
            self.logger.addHandler(handler)

    def close(self) -> None:
        """Append to the file, atomically."""
        before = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        write_text(self.path, before + "".join(line + "\n" for line in self.lines))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 converged, 2 bad input, 4 not converged."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        result = autocalibrate(arguments)
    except RefimplError as error:
        sys.stderr.write(f"refimpl: {error}\n")
        return 2
    x = published_vector(result.detector)
    sys.stdout.write(
        f"{result.status}: Lsd {x[0]:.3f} um, BC {x[1]:.4f} {x[2]:.4f} px, ty {x[3]:.5f} "
        f"tz {x[4]:.5f} deg, MeanStrain {result.run.mean_strain / MICROSTRAIN:.2f} ue\n"
    )
    return 0 if result.status == "converged" else 4
