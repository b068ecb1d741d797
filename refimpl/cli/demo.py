"""``refimpl demo``: a calibration from end to end, on a frame whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from refimpl import data
from refimpl.cli import parse
from refimpl.errors import ConfigError, FormatError
from refimpl.units import DEG

if TYPE_CHECKING:
    from refimpl.detector.model import TiltedFlat
    from refimpl.powder.result import PowderResult

__all__ = ["demo"]

REAL = "pilatus2m-ceria-hexrd/ceria_50x30_740mm_000005_Pilatus2M.hdf5"
SETTINGS: dict[str, Any] = {
    "calibrant": "CeO2",
    "lattice_parameter_angstrom": 5.41153,
    "wavelength_angstrom": 0.20215155543,
    "pixel_size_mm": 0.172,
}


def demo(out: str | Path, seed: int = 1, *, download: bool = False) -> None:
    """Simulate, calibrate, compare; then the real frame where it is at hand.

    Parameters
    ----------
    out
        Folder for both results.
    seed
        Of the noise and of the panel errors.
    download
        Whether to fetch the real frame where it is not here.

    Raises
    ------
    ConfigError
        The folder cannot be written to.
    """
    with parse.output_folder(Path(out)) as folder:
        report = _simulated(folder / "simulated", seed)
        real = _real_frame(download)
        if real is not None:
            typer.echo(f"report of the simulated frame: {report.resolve()}")
            report = _calibrated(real, folder / "pilatus2m")
    typer.echo(f"report: {report.resolve()}")


def _simulated(folder: Path, seed: int) -> Path:
    """Simulate a frame, calibrate it, print found against true; return the report's path."""
    from refimpl.forward.scenes import pilatus2m
    from refimpl.io.atomic import make_folder
    from refimpl.powder.calibrate import calibrate

    typer.echo("Simulating a Pilatus 2M frame of CeO2: 48 half-modules displaced by 0.3 px rms ...")
    frame = pilatus2m(seed).simulate()
    frame.save(make_folder(folder) / "frame.h5")
    typer.echo("Calibrating it, with no guess but wavelength, pixel size and calibrant ...")
    result = calibrate(frame.image, **SETTINGS)
    result = replace(result, truth=_truth(frame.model))
    typer.echo("\n".join(_comparison(result)))
    typer.echo(f"strain: {result.summary}")
    cpu = sum(result.cpu_timing.values())
    typer.echo(f"calibration: {sum(result.timing.values()):.2f} s, {cpu:.2f} s of CPU\n")
    return result.save(folder) / "report.html"


def _truth(model: TiltedFlat) -> dict[str, float]:
    """True parameters under the names of the result."""
    (fast, slow), (_, ty, tz) = model.beam_centre_px, model.tilts_rad
    return {
        "Lsd": model.lsd_mm,
        "BC_fast": fast,
        "BC_slow": slow,
        "ty": ty / DEG,
        "tz": tz / DEG,
    }


def _comparison(result: PowderResult) -> list[str]:
    """Table of found against true."""
    lines = [f"{'':10}{'found':>14}{'+-':>11}{'true':>14}{'error/sigma':>13}"]
    for name, true in (result.truth or {}).items():
        p = result[name]
        lines.append(
            f"{name + ' ' + p.unit:10}{p.value:14.5f}{p.sigma:11.5f}{true:14.5f}"
            f"{(p.value - true) / p.sigma:13.2f}"
        )
    return lines


def _real_frame(download: bool) -> Path | None:
    """Path of the real frame; None, and why, where it cannot be had."""
    if download and not data.is_here(REAL):
        typer.echo("Fetching the real Pilatus 2M frame (2.6 MB; github.com/HEXRD/examples) ...")
    try:
        return data.path(REAL, allow_download=download)
    except (ConfigError, FormatError) as exc:
        typer.echo(f"The real frame is left out: {exc}")
        return None


def _calibrated(image: Path, folder: Path) -> Path:
    """Calibrate the real frame; return the report's path."""
    from refimpl.powder.calibrate import calibrate

    typer.echo("\nCalibrating the real Pilatus 2M frame (HEXRD/examples) ...")
    result = calibrate(image, **SETTINGS)
    typer.echo("\n".join(result.summary_lines()))
    typer.echo("published: four codes find 739.769 to 739.793 mm on this frame")
    return result.save(folder) / "report.html"
