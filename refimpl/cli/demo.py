"""``refimpl demo``: a calibration from end to end, on a frame whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from refimpl import data
from refimpl.units import DEG

__all__ = ["demo"]

REAL = "pilatus2m-ceria-hexrd/ceria_50x30_740mm_000005_Pilatus2M.hdf5"
SETTINGS: dict[str, Any] = {
    "calibrant": "CeO2",
    "lattice_parameter_angstrom": 5.41153,
    "wavelength_angstrom": 0.20215155543,
    "pixel_size_mm": 0.172,
}


def demo(out: str | Path, seed: int = 1) -> None:
    """Simulate, calibrate, compare; then the real frame where it is at hand.

    Parameters
    ----------
    out
        Folder for both results.
    seed
        Of the noise and of the panel errors.
    """
    from refimpl.forward.scenes import pilatus2m
    from refimpl.powder.calibrate import calibrate

    folder = Path(out)
    typer.echo("Simulating a Pilatus 2M frame of CeO2: 48 half-modules displaced by 0.3 px rms ...")
    frame = pilatus2m(seed).simulate()
    saved = folder / "simulated"
    saved.mkdir(parents=True, exist_ok=True)
    frame.save(saved / "frame.h5")
    typer.echo("Calibrating it, with no guess but wavelength, pixel size and calibrant ...")
    result = calibrate(frame.image, **SETTINGS)
    t = frame.model
    truth = {
        "Lsd": t.lsd_mm,
        "BC_fast": t.beam_centre_px[0],
        "BC_slow": t.beam_centre_px[1],
        "ty": t.tilts_rad[1] / DEG,
        "tz": t.tilts_rad[2] / DEG,
    }
    result = replace(result, truth=truth)
    typer.echo(f"{'':10}{'found':>14}{'+-':>11}{'true':>14}{'error/sigma':>13}")
    for name, value in truth.items():
        p = result[name]
        pull = (p.value - value) / p.sigma
        typer.echo(
            f"{name + ' ' + p.unit:10}{p.value:14.5f}{p.sigma:11.5f}{value:14.5f}{pull:13.2f}"
        )
    typer.echo(f"strain: {result.summary}")
    cpu = sum(result.cpu_timing.values())
    typer.echo(f"calibration: {sum(result.timing.values()):.2f} s, {cpu:.2f} s of CPU")
    result.save(saved)
    report = saved / "report.html"
    if data.is_here(REAL):
        typer.echo("\nCalibrating the real Pilatus 2M frame (HEXRD/examples) ...")
        result = calibrate(data.path(REAL), **SETTINGS)
        typer.echo("\n".join(result.summary_lines()))
        result.save(folder / "pilatus2m")
        typer.echo("published: four codes find 739.769 to 739.793 mm on this frame")
        typer.echo(f"report of the simulated frame: {report.resolve()}")
        report = folder / "pilatus2m" / "report.html"
    else:
        typer.echo("\n(The real frame is not here; set REFIMPL_DATA to calibrate that too.)")
    typer.echo(f"report: {report.resolve()}")
