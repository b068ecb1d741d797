"""Commands of ``refimpl powder``: parse, call, print; the physics is in :mod:`refimpl.powder`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import parse, powder_batch, powder_joint
from refimpl.cli.powder_integrate import integrate
from refimpl.cli.powder_panels import EXAMPLES as PANEL_EXAMPLES
from refimpl.cli.powder_panels import panels
from refimpl.errors import ConfigError, ConvergenceError

if TYPE_CHECKING:
    from refimpl.powder.config import PowderConfig
    from refimpl.powder.result import PowderResult

__all__ = ["app", "calibrate", "map_angles", "settled"]

app = typer.Typer(
    rich_markup_mode=None,
    help="Detector geometry from the Debye-Scherrer rings of a calibrant.",
)

Out = Annotated[Path, typer.Option(
    "-o", "--out", metavar="DIR", help="Folder for the results; made if missing.")]  # fmt: skip

EXAMPLES = """\b
Examples:
  refimpl powder calibrate ceria.tif --calibrant CeO2 \\
      --wavelength-angstrom 0.2022 --pixel-size-um 172 -o out
  refimpl powder calibrate ge.h5 --dataset images/ge3/images --energy-kev 80.725 \\
      --pixel-size-um 200 --refine distance,beam_centre,tilt,p0..p5 -o out
  refimpl powder calibrate ceria.tif --energy-kev 61.3323 --pixel-size-um 172 \\
      --panels pilatus2m -o out
  refimpl powder calibrate ceria.tif --params out/config.toml --geometry old.poni -o new

Exit: 0 done; 2 bad input, one line says what and where; 4 the fit did not converge (what there is
stands in DIR, marked as not converged)."""


@app.command(epilog=EXAMPLES, short_help="Calibrate a detector from one image.")
def calibrate(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help=(
        "Image of the calibrant: TIFF, CBF, EDF, GE, HDF5/Eiger, Zarr, .MIDAS.zip or npy."))],
    out: Out,
    calibrant: Annotated[str | None, typer.Option(
        metavar="NAME", help="CeO2 (default), LaB6, Si, Al2O3, Cr2O3, AgBh, Ni or Au.")] = None,
    lattice_parameter_angstrom: Annotated[float | None, typer.Option(
        metavar="A", help="Lattice parameter a; default: the certified one.")] = None,
    wavelength_angstrom: Annotated[float | None, typer.Option(
        metavar="A", help="Wavelength; needed, or --energy-kev.")] = None,
    energy_kev: Annotated[float | None, typer.Option(
        metavar="KEV", help="Photon energy, instead of the wavelength.")] = None,
    pixel_size_um: Annotated[list[float] | None, typer.Option(
        metavar="UM", help="Pixel size; needed. Give it twice for (fast, slow).")] = None,
    refine: Annotated[list[str] | None, typer.Option(
        metavar="NAMES", help="What to refine, with commas or repeated: distance, beam_centre, "
                              "tilt (the default three), parallax, p0..p14.")] = None,
    panels: Annotated[str | None, typer.Option(
        metavar="GRID", help="Refine every panel of a grid: auto (from the gaps), a detector by "
                             "name (pilatus2m, pilatus2m-half, eiger16m, ...) or a description "
                             "file, .toml or .json.")] = None,
    panel_refine: Annotated[list[str] | None, typer.Option(
        metavar="NAMES", help="What to refine of every panel: shift, rotation, height, tilt (the "
                              "default four), p2.")] = None,
    joint: Annotated[list[Path] | None, typer.Option(
        metavar="FILE", help="Another frame of the same detector (repeat): an image, or a .toml "
                             "with image and what is its own: wavelength_angstrom, calibrant, "
                             "mask, travel_mm, ... All are calibrated together.")] = None,
    refine_shared: Annotated[list[str] | None, typer.Option(
        metavar="NAMES", help="With --joint: pixel_size (default), wavelength or none.")] = None,
    share: Annotated[list[str] | None, typer.Option(
        metavar="NAMES", help="With --joint: one for all frames: beam_centre, tilt, parallax.")
    ] = None,
    eta_bin_deg: Annotated[float | None, typer.Option(
        metavar="DEG", help="Size of an azimuthal bin; default 2.")] = None,
    solver: Annotated[str | None, typer.Option(
        metavar="NAME", help="lm (Levenberg-Marquardt, default) or simplex.")] = None,
    image_transform: Annotated[list[int] | None, typer.Option(
        metavar="CODE", help="ImTransOpt codes in order (repeat): 0 none, 1 flip left-right, "
                             "2 flip up-down (default), 3 transpose.")] = None,
    geometry: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Published geometry of this image (geometry.json, .poni, HEXRD, "
                             "MIDAS, .imctrl): how the image must be laid down for it is found "
                             "and said, and it is the start.")] = None,
    params: Annotated[Path | None, typer.Option(
        metavar="FILE", help="TOML parameter file; options on the command line win.")] = None,
    set_: Annotated[list[str] | None, typer.Option(
        "--set", metavar="NAME=VALUE", help="Any other setting, value as in TOML (repeat).")
    ] = None,
    mask: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Mask image in the file's pixel order, 1 = bad.")] = None,
    dark: Annotated[Path | None, typer.Option(metavar="FILE", help="Dark image.")] = None,
    dataset: Annotated[str | None, typer.Option(
        metavar="NAME", help="Dataset inside HDF5 or Zarr.")] = None,
    frames: Annotated[str | None, typer.Option(
        metavar="N[:M]", help="Frames of a stack, from 0, averaged; default: all.")] = None,
    bad_value: Annotated[list[float] | None, typer.Option(
        metavar="VALUE", help="Value of bad pixels (repeat).")] = None,
    gap_value: Annotated[list[float] | None, typer.Option(
        metavar="VALUE", help="Value of gaps (repeat).")] = None,
    threads: Annotated[int | None, typer.Option(
        metavar="N", help="Threads; the result does not depend on it.")] = None,
    report: Annotated[bool, typer.Option(help="Write figures and the HTML report.")] = True,
    save_plots_hdf: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Also write all intermediate arrays into this HDF5 file.")] = None,
    as_json: Annotated[bool, typer.Option(
        "--json", help="Print the content of result.json.")] = False,
) -> int:  # fmt: skip
    """Calibrate a detector from one image of a calibrant, with no starting guess needed."""
    options = locals()  # as they stand above
    if powder_joint.wanted(options):
        return powder_joint.calibrate(options, settled)
    config, reading = settled(options)
    parse.output_file(save_plots_hdf)
    with parse.output_folder(out):
        result = _run(image, config, reading, geometry, threads)
        result.save(out, report=report)
        if save_plots_hdf is not None:
            from refimpl.powder.intermediates import write_intermediates

            write_intermediates(save_plots_hdf, result)
    _print(result, out / ("report.html" if report else "result.json"), as_json)
    if not result.converged:
        raise ConvergenceError(f"not converged: {result.reason}; what there is stands in {out}")
    return 0


def settled(options: Mapping[str, Any]) -> tuple[PowderConfig, dict[str, Any]]:
    """Return the configuration and the reading options that the options of ``calibrate`` say.

    Parameters
    ----------
    options
        The arguments of :func:`calibrate` by name; those of other commands are left alone.
    """
    from refimpl.powder.config import config_from, read_config

    settings = parse.settings(options["set_"] or [])
    transform = options["image_transform"]
    settings |= _given(
        calibrant=options["calibrant"],
        lattice_parameter_angstrom=options["lattice_parameter_angstrom"],
        wavelength_angstrom=parse.wavelength_angstrom(
            options["wavelength_angstrom"], options["energy_kev"]
        ),
        pixel_size_mm=parse.pixel_size_mm(options["pixel_size_um"]),
        refine=parse.names(options["refine"]),
        panels_grid=options["panels"],
        panel_refine=parse.names(options["panel_refine"]),
        eta_bin_deg=options["eta_bin_deg"],
        solver=options["solver"],
        image_transform=tuple(transform) if transform else None,
    )
    params = options["params"]
    try:
        config = config_from(settings) if params is None else read_config(params, settings)
    except ConfigError as error:
        raise parse.with_option(error) from error
    reading = _given(
        dark=options["dark"], dataset=options["dataset"], frames=parse.frames(options["frames"]),
        bad_values=options["bad_value"], gap_values=options["gap_value"], mask=options["mask"],
    )  # fmt: skip
    return config, reading


def _given(**values: Any) -> dict[str, Any]:
    """Return what is not None."""
    return {name: value for name, value in values.items() if value is not None}


def _run(
    image: Path,
    config: PowderConfig,
    reading: dict[str, Any],
    geometry: Path | None,
    threads: int | None,
) -> PowderResult:
    """Read the image and calibrate."""
    from refimpl.io import images
    from refimpl.powder.calibrate import calibrate as run
    from refimpl.powder.known_geometry import read_known_geometry

    with parse.progress() as tell:
        source = images.read(image, **reading)
        known = None
        if geometry is not None:
            known = read_known_geometry(geometry, source.shape, config.detector.pixel_size_mm)
        return run(source, config=config, geometry=known, threads=threads, progress=tell)


def _print(result: PowderResult, path: Path, as_json: bool) -> None:
    """Write the result to stdout: for people, or for machines."""
    from refimpl.io.atomic import json_text
    from refimpl.powder.outputs import result_dict

    if as_json:
        typer.echo(json_text(result_dict(result)))
    else:
        typer.echo("\n".join([*result.summary_lines(), f"wrote {path}"]))


@app.command("map", short_help="Write 2-theta and eta of every pixel.")
def map_angles(
    geometry: Annotated[Path, typer.Argument(
        metavar="GEOMETRY", help="geometry.json of a calibration.")],
    out: Out,
    tiff: Annotated[bool, typer.Option("--tiff", help="Also as float64 TIFF.")] = False,
) -> int:  # fmt: skip
    """Write 2-theta and eta [rad] of every pixel centre, in the pixel order of the image file.

    The files are DIR/two_theta.npy and DIR/eta.npy: float64 (slow, fast), NaN in gaps. Eta is 0
    straight up and grows towards -X, to the right seen along the beam.
    """
    from refimpl.io.angle_maps import write_maps
    from refimpl.io.geometry_json import read_geometry

    detector = read_geometry(geometry).detector
    with parse.output_folder(out):
        written = write_maps(out, detector, tiff=tiff)
    for path in written:
        typer.echo(f"wrote {path}")
    return 0


app.command(short_help="Integrate an image by 2-theta and azimuth.")(integrate)
app.command(epilog=PANEL_EXAMPLES, short_help="Calibrate panel by panel, the published call.")(
    panels
)
powder_batch.register(app, calibrate, settled)


@app.command(
    short_help="Calibrate with the published switches.",
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "help_option_names": [],
    },
)
def autocalibrate(context: typer.Context) -> int:
    """Calibrate with the published switches (-dataFN, -paramFN, ...); -h lists them."""
    from refimpl.cli.autocalibrate import main

    return main(context.args)
