"""``refimpl powder integrate``: a pattern, or a cake with its pattern, from an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from refimpl.cli import parse
from refimpl.errors import ConfigError

__all__ = ["integrate"]


def integrate(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help=(
        "Image: TIFF, CBF, EDF, GE, HDF5/Eiger, Zarr, .MIDAS.zip or npy."))],
    geometry: Annotated[Path, typer.Argument(
        metavar="GEOMETRY", help="geometry.json of a calibration.")],
    out: Annotated[Path, typer.Option(
        "-o", "--out", metavar="DIR", help="Folder for the results; made if missing.")],
    bins: Annotated[int, typer.Option(metavar="N", help="Radial bins.")] = 1000,
    azimuth_bins: Annotated[int | None, typer.Option(
        metavar="N", help="Also a cake with so many azimuthal bins.")] = None,
    unit: Annotated[str, typer.Option(
        metavar="NAME", help="two_theta_deg, two_theta_rad, q_inv_angstrom, q_inv_nm, "
                             "d_angstrom or radius_mm.")] = "two_theta_deg",
    radial_range: Annotated[str | None, typer.Option(
        metavar="FROM:TO", help="In the unit; default: all that the image covers.")] = None,
    azimuth_range_deg: Annotated[str | None, typer.Option(
        metavar="FROM:TO", help="Sector; 0 is up, 90 right along the beam.")] = None,
    wavelength_angstrom: Annotated[float | None, typer.Option(
        metavar="A", help="For q and d, where the geometry does not state it.")] = None,
    polarisation: Annotated[float | None, typer.Option(
        metavar="PART", help="Degree of horizontal polarisation, -1 to 1; default: no correction.")
    ] = None,
    solid_angle: Annotated[bool, typer.Option(help="Divide by the solid angle.")] = True,
    error_model: Annotated[str, typer.Option(metavar="NAME", help="poisson or none.")] = "poisson",
    gain: Annotated[float, typer.Option(
        metavar="X", help="Counts a photon: variance = gain * counts.")] = 1.0,
    split: Annotated[str, typer.Option(
        metavar="NAME", help="no, or sub for a grid of sub-pixels.")] = "no",
    subpixels: Annotated[int, typer.Option(metavar="N", help="Sub-pixels a side.")] = 3,
    mask: Annotated[Path | None, typer.Option(metavar="FILE", help="Mask image, 1 = bad.")] = None,
    dark: Annotated[Path | None, typer.Option(metavar="FILE", help="Dark image.")] = None,
    dataset: Annotated[str | None, typer.Option(
        metavar="NAME", help="Dataset inside HDF5 or Zarr.")] = None,
    frame: Annotated[int | None, typer.Option(
        metavar="N", help="One frame of a stack, from 0; default: the mean of all.")] = None,
    bad_value: Annotated[list[float] | None, typer.Option(
        metavar="VALUE", help="Value of bad pixels (repeat).")] = None,
    threads: Annotated[int | None, typer.Option(
        metavar="N", help="Threads; the result does not depend on it.")] = None,
) -> int:  # fmt: skip
    """Integrate an image azimuthally: pattern.csv, and cake.h5 with --azimuth-bins."""
    from refimpl.io.atomic import write_json
    from refimpl.powder.integrate import integrate as run

    options: dict[str, Any] = {
        "n_radial": bins,
        "n_azimuth": azimuth_bins,
        "unit": unit,
        "radial_range": _range("--radial-range", radial_range),
        "azimuth_range_deg": _range("--azimuth-range-deg", azimuth_range_deg),
        "wavelength_angstrom": wavelength_angstrom,
        "polarisation": polarisation,
        "solid_angle": solid_angle,
        "error_model": error_model,
        "gain": gain,
        "split": split,
        "subpixels": subpixels,
    }
    reading = {"dark": dark, "dataset": dataset, "frames": frame, "bad_values": bad_value}
    given = {name: value for name, value in reading.items() if value is not None}
    with parse.output_folder(out):
        pattern = run(image, geometry, mask=mask, reading=given, threads=threads, **options)
        written = [pattern.over_azimuth().save(out / "pattern.csv")]
        if azimuth_bins is not None:
            written.append(pattern.save(out / "cake.h5"))
        written.append(write_json(out / "integrate.json", pattern.meta))
    typer.echo(repr(pattern))
    for path in written:
        typer.echo(f"wrote {path}")
    return 0


def _range(name: str, text: str | None) -> tuple[float, float] | None:
    """FROM:TO as two numbers."""
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError as exc:
        raise ConfigError(f"{name} {text!r}: expected FROM:TO, two numbers", key=name) from exc
    return low, high
