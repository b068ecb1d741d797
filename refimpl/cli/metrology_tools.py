"""``refimpl metrology export``, ``transfer`` and ``remeasure``: a metrology in use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refimpl.cli import metrology_files as files
from refimpl.cli import parse
from refimpl.cli.metrology_compare import (
    Refined,
    Weights,
    detector_of,
    first_of,
    reference_of,
    weights_of,
)
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.detector.hierarchy import Hierarchy
    from refimpl.forward.experiment import Experiment

__all__ = [
    "EXPORT_EXAMPLES",
    "TRANSFER_EXAMPLES",
    "export",
    "remeasure",
    "transfer",
]

EXPORT_EXAMPLES = """\b
Examples:
  refimpl metrology export level1/refined.expt --to crystfel -o detector.geom
  refimpl metrology export level1/refined.expt --to dials -o reference.expt
  refimpl metrology export level1/refined.expt --to xds --reflections level1/refined.refl -o tables

\b
xds writes X-CORRECTIONS.cbf and Y-CORRECTIONS.cbf (4 x 4 pixels in 1/10 pixel, with the parallax);
xds-geo writes x_geo_corr.cbf and y_geo_corr.cbf (every pixel in 1/100 pixel, without), for
X-GEO_CORR= and Y-GEO_CORR=. Both write flat.expt, the flat detector that they belong to."""

TRANSFER_EXAMPLES = """\b
Examples:
  refimpl metrology transfer level1/refined.expt --distance-mm 300 -o at300.expt
  refimpl metrology transfer level1/refined.expt --onto other.expt -o other_refined.expt"""

FORMATS = ("xds", "xds-geo", "crystfel", "dials")


def export(
    experiments: Refined,
    to: Annotated[str, typer.Option(
        "--to", metavar="NAME", help="xds, xds-geo, crystfel or dials (a reference geometry).")],
    out: Annotated[Path, typer.Option(
        "-o", "--out", metavar="PATH", help="File to write; for xds and xds-geo a folder.")],
    reference: Annotated[Path | None, typer.Option(
        metavar="EXPT", help="Of tables: what their reader believes in, one panel or the same "
                             "ones. Default: the flat detector that fits best.")] = None,
    reflections: Weights = None,
) -> int:  # fmt: skip
    """Write a refined detector for another program."""
    from refimpl.io.dials_files import write_expt
    from refimpl.metrology import reference_geometry, write_geom

    if to not in FORMATS:
        raise ConfigError(f"--to {to!r}: expected one of {', '.join(FORMATS)}")
    tables = to in ("xds", "xds-geo")
    if not tables and (reference is not None or reflections is not None):
        raise ConfigError(f"--reference and --reflections are of tables, not of --to {to}")
    experiment = first_of(experiments)
    if tables:
        typer.echo(_export_tables(experiment, to, out, reference, reflections))
        return 0
    parse.output_file(out)
    if to == "crystfel":
        write_geom(out, experiment)
    else:
        write_expt(out, [reference_geometry(experiment)])
    typer.echo(f"wrote {out}")
    return 0


def _export_tables(
    experiment: Experiment, to: str, out: Path, reference: Path | None, reflections: Path | None
) -> str:
    """Write tables and the detector that they belong to; say what it is."""
    from dataclasses import replace

    from refimpl.io.dials_files import write_expt
    from refimpl.metrology import reference_geometry, write_tables

    before = reference_of(experiment, reference, reflections)
    flat = reference_geometry(replace(experiment, detector=before))  # refused before the work
    with parse.output_folder(out):
        paths = write_tables(
            out, before, detector_of(experiment), "xds" if to == "xds" else "geometry"
        )
        write_expt(out / "flat.expt", [flat])
    said = [f"wrote {path}" for path in (*paths, out / "flat.expt")]
    if len(before) == 1:
        said.insert(0, f"they belong to {_placed(before)}")
    return "\n".join(said)


def _placed(flat: Hierarchy) -> str:
    """Distance of a panel and where the normal from the sample meets it."""
    import numpy as np

    fast, slow, origin = flat.d[0].T
    size = np.array(flat.modules[0].pixel_size_mm)
    normal = np.cross(fast, slow)
    foot = -np.array([fast @ origin, slow @ origin]) / size
    return (
        f"a flat detector {abs(normal @ origin):.4f} mm away, the foot of its normal at "
        f"({foot[0]:.3f}, {foot[1]:.3f}) px (the first pixel's centre is 0.5, 0.5)"
    )


def transfer(
    experiments: Refined,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="File to write.")],
    onto: Annotated[Path | None, typer.Option(
        metavar="EXPT", help="Experiments that take the panels over, at their own distance, beam "
                             "centre and orientation. Default: EXPT itself.")] = None,
    distance_mm: Annotated[float | None, typer.Option(
        metavar="D", help="Move the detector along the beam to this distance.")] = None,
    reflections: Weights = None,
) -> int:  # fmt: skip
    """Carry a refined layout of panels over to another distance or experiment.

    The distance that comes out still wants refining against the other's data, at level 0.
    """
    from refimpl.io.dials_files import read_expt, write_expt
    from refimpl.metrology import transfer as run

    if onto is None and distance_mm is None:
        raise ConfigError("transfer: say whereto, with --onto EXPT, --distance-mm D or both")
    refined = first_of(experiments)
    detector = detector_of(refined)
    models = read_expt(onto or experiments)
    weight = weights_of(detector, reflections)
    parse.output_file(out)
    write_expt(out, run(models, detector, distance_mm, weight=weight))
    typer.echo(f"{len(detector)} panels for {len(models)} experiments\nwrote {out}")
    return 0


def remeasure(
    experiments: Annotated[Path, typer.Argument(metavar="EXPT", help="Experiments, .expt.")],
    reflections: Annotated[Path, typer.Argument(metavar="REFL", help="Their reflections, .refl.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="File to write.")],
) -> int:  # fmt: skip
    """Make observed millimetres again from pixels, with parallax and tables as EXPT has them.

    Calculated pixels are made again of calculated millimetres where the file has both.
    """
    import numpy as np

    from refimpl.io.dials_files import write_refl
    from refimpl.metrology import remeasured

    models, table = files.read_pair(experiments, reflections)
    parse.output_file(out)
    new = remeasured(table, models)
    moved = new["xyzobs.mm.value"] - table["xyzobs.mm.value"]
    write_refl(out, new)
    size = float(np.sqrt(np.mean(np.sum(moved[:, :2] ** 2, axis=1)))) if len(moved) else 0.0
    most = float(np.abs(moved[:, :2]).max(initial=0.0))
    typer.echo(f"positions moved by {size:.5f} mm r.m.s., {most:.5f} mm at most\nwrote {out}")
    return 0
