"""Commands of ``refimpl powder``: parse, call, print; the physics is in :mod:`refimpl.powder`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from refimpl.errors import ConfigError, ConvergenceError
from refimpl.units import UM, kev_to_angstrom

__all__ = ["app", "calibrate", "map_angles"]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Detector geometry from the Debye-Scherrer rings of a calibrant.",
)

Out = Annotated[Path, typer.Option("-o", "--out", help="Folder for the results; made if missing.")]


@app.command()
def calibrate(
    image: Annotated[Path, typer.Argument(help="Image of the calibrant: TIFF, CBF, EDF, GE, "
                                               "HDF5/Eiger, Zarr, .MIDAS.zip or npy.")],
    out: Out,
    calibrant: Annotated[str | None, typer.Option(help="CeO2, LaB6, Si, Al2O3, ...")] = None,
    lattice_parameter_angstrom: Annotated[float | None, typer.Option(help="Lattice a.")] = None,
    wavelength_angstrom: Annotated[float | None, typer.Option(help="Wavelength.")] = None,
    energy_kev: Annotated[float | None, typer.Option(help="Photon energy instead.")] = None,
    pixel_size_um: Annotated[list[float] | None, typer.Option(
        help="Pixel size; twice for (fast, slow).")] = None,
    refine: Annotated[list[str] | None, typer.Option(
        help="What to refine (repeat): distance, beam_centre, tilt, parallax, p0..p14.")] = None,
    eta_bin_deg: Annotated[float | None, typer.Option(help="Azimuthal bin.")] = None,
    solver: Annotated[str | None, typer.Option(help="lm or simplex.")] = None,
    image_transform: Annotated[list[int] | None, typer.Option(
        help="ImTransOpt codes in order (repeat); default 2.")] = None,
    geometry: Annotated[Path | None, typer.Option(
        help="Published geometry of this image (geometry.json, .poni, HEXRD, MIDAS, .imctrl): how "
             "the image must be laid down for it is found, and it is the start.")] = None,
    params: Annotated[Path | None, typer.Option(help="TOML parameter file.")] = None,
    set_: Annotated[list[str] | None, typer.Option(
        "--set", metavar="NAME=VALUE", help="Any other setting, TOML value (repeat).")] = None,
    mask: Annotated[Path | None, typer.Option(help="Mask image, 1 = bad.")] = None,
    dark: Annotated[Path | None, typer.Option(help="Dark image.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Dataset inside HDF5 or Zarr.")] = None,
    frames: Annotated[str | None, typer.Option(help="N or N:M of a stack; default all.")] = None,
    bad_value: Annotated[list[float] | None, typer.Option(help="Value of bad pixels.")] = None,
    gap_value: Annotated[list[float] | None, typer.Option(help="Value of gaps.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads; the result is the same.")] = None,
    report: Annotated[bool, typer.Option(help="Write figures and the HTML report.")] = True,
    save_plots_hdf: Annotated[Path | None, typer.Option(
        help="Also write all intermediate arrays into this HDF5 file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print result.json.")] = False,
) -> int:  # fmt: skip
    """Calibrate a detector from one image, with no guess needed."""
    from refimpl.io.atomic import make_folder
    from refimpl.powder.calibrate import calibrate as run
    from refimpl.powder.config import read_config
    from refimpl.powder.outputs import result_dict

    settings = _settings(set_ or [])
    for name, value in (
        ("calibrant", calibrant),
        ("lattice_parameter_angstrom", lattice_parameter_angstrom),
        ("wavelength_angstrom", _wavelength(wavelength_angstrom, energy_kev)),
        ("pixel_size_mm", _pixel_size(pixel_size_um)),
        ("refine", tuple(refine) if refine else None),
        ("eta_bin_deg", eta_bin_deg),
        ("solver", solver),
        ("image_transform", tuple(image_transform) if image_transform else None),
    ):
        if value is not None:
            settings[name] = value
    reading: dict[str, Any] = {
        name: value
        for name, value in (
            ("dark", dark),
            ("dataset", dataset),
            ("frames", _frames(frames)),
            ("bad_values", bad_value),
            ("gap_values", gap_value),
        )
        if value is not None
    }
    base = None if params is None else read_config(params)
    make_folder(out)  # an output that cannot be written is found before the work
    given = None if geometry is None else _geometry(geometry, image, reading, settings, base)
    with _progress() as tell:
        result = run(
            image, config=base, mask=mask, reading=reading or None, geometry=given,
            threads=threads, progress=tell, **settings,
        )  # fmt: skip
    result.save(out, report=report)
    if save_plots_hdf is not None:
        from refimpl.powder.intermediates import write_intermediates

        write_intermediates(save_plots_hdf, result)
    if as_json:
        from refimpl.io.atomic import json_text

        typer.echo(json_text(result_dict(result)))
    else:
        typer.echo("\n".join(result.summary_lines()))
        typer.echo(f"wrote {out / ('report.html' if report else 'result.json')}")
    if not result.converged:
        raise ConvergenceError(f"not converged: {result.reason}; what there is stands in {out}")
    return 0


@app.command("map")
def map_angles(
    geometry: Annotated[Path, typer.Argument(help="geometry.json of a calibration.")],
    out: Out,
    tiff: Annotated[bool, typer.Option("--tiff", help="Also as float64 TIFF.")] = False,
) -> int:
    """Write 2-theta and eta [rad] of every pixel centre, in the file's own pixel order."""
    from refimpl.io.angle_maps import write_maps
    from refimpl.io.geometry_json import read_geometry

    for path in write_maps(out, read_geometry(geometry).detector, tiff=tiff):
        typer.echo(f"wrote {path}")
    return 0


@app.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "help_option_names": [],
    }
)
def autocalibrate(context: typer.Context) -> int:
    """Calibrate with the published switches (-dataFN, -paramFN, ...); -h lists them."""
    from refimpl.cli.autocalibrate import main

    return main(context.args)


def _settings(pairs: list[str]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ConfigError(f"--set {pair!r}: expected NAME=VALUE")
        try:
            out[name.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            out[name.strip()] = text  # a bare word is a string
    return out


def _wavelength(wavelength: float | None, energy: float | None) -> float | None:
    if energy is None:
        return wavelength
    if wavelength is not None:
        raise ConfigError("--wavelength-angstrom and --energy-kev: give one of them")
    if not energy > 0.0:
        raise ConfigError(f"--energy-kev {energy:g}: expected > 0")
    return kev_to_angstrom(energy)


def _pixel_size(sizes: list[float] | None) -> tuple[float, float] | None:
    if not sizes:
        return None
    if len(sizes) > 2:
        raise ConfigError(f"--pixel-size-um: got {len(sizes)} values: expected one or two")
    return sizes[0] * UM, sizes[-1] * UM


def _frames(text: str | None) -> int | slice | None:
    if text is None:
        return None
    parts = text.split(":")
    if len(parts) > 2 or not all(p.strip().isdecimal() or p == "" for p in parts) or text == "":
        raise ConfigError(f"--frames {text!r}: expected N or N:M, from 0")
    if len(parts) == 1:
        return int(parts[0])
    return slice(int(parts[0]) if parts[0] else None, int(parts[1]) if parts[1] else None)


def _geometry(
    path: Path, image: Path, reading: dict[str, Any], settings: dict[str, Any], base: Any
) -> Any:
    from refimpl.io import images
    from refimpl.powder.config import config_from
    from refimpl.powder.known_geometry import read_known_geometry

    pixel_size = config_from(settings, base=base).detector.pixel_size_mm
    return read_known_geometry(path, images.read(image, **reading).shape, pixel_size)


class _progress:
    """Progress line on a terminal, nothing elsewhere."""

    def __enter__(self) -> Any:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description:<16}"), BarColumn(), TimeElapsedColumn(),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self.bar.start()
        task = self.bar.add_task("reading", total=1.0)
        return lambda stage, part: self.bar.update(task, description=stage, completed=part)

    def __exit__(self, *exc: object) -> None:
        self.bar.stop()
