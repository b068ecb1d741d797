"""``refimpl metrology export``, ``transfer``, ``compare``, ``remeasure``: a metrology in use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import metrology_files as files
from refimpl.cli import parse
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.detector.hierarchy import Hierarchy
    from refimpl.forward.experiment import Experiment
    from refimpl.frames import F64

__all__ = [
    "COMPARE_EXAMPLES",
    "EXPORT_EXAMPLES",
    "TRANSFER_EXAMPLES",
    "compare",
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

COMPARE_EXAMPLES = """\b
Examples:
  refimpl metrology compare level1/refined.expt other/refined.expt
  refimpl metrology compare level1/refined.expt --tables x_geo_corr.cbf y_geo_corr.cbf"""

Refined = Annotated[Path, typer.Argument(metavar="EXPT", help="Refined experiments, .expt.")]
Weights = Annotated[Path | None, typer.Option(
    "--reflections", metavar="REFL", help=(
        "Refined reflections, .refl: panels count by those that were used, and panels that were "
        "held not at all. Default: all alike."))]  # fmt: skip
Json = Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")]
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
    experiment = _first(experiments)
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

    before = _reference(experiment, reference, reflections)
    flat = reference_geometry(replace(experiment, detector=before))  # refused before the work
    with parse.output_folder(out):
        paths = write_tables(
            out, before, _detector(experiment), "xds" if to == "xds" else "geometry"
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
    refined = _first(experiments)
    detector = _detector(refined)
    models = read_expt(onto or experiments)
    weight = _weights(detector, reflections)
    parse.output_file(out)
    write_expt(out, run(models, detector, distance_mm, weight=weight))
    typer.echo(f"{len(detector)} panels for {len(models)} experiments\nwrote {out}")
    return 0


def compare(
    experiments: Refined,
    other: Annotated[Path | None, typer.Argument(
        metavar="OTHER", help="Experiments with another detector of the same panels.")] = None,
    tables: Annotated[tuple[Path, Path] | None, typer.Option(
        metavar="X Y", help="Correction tables of a maker or of XDS, .cbf or .npy.")] = None,
    reference: Annotated[Path | None, typer.Option(
        metavar="EXPT", help="Of --tables: the detector that they belong to. Default: the flat "
                             "one that fits best.")] = None,
    reflections: Weights = None,
    as_json: Json = False,
) -> int:  # fmt: skip
    """Compare a detector with another one, or with tables of corrections."""
    if (other is None) == (tables is None):
        raise ConfigError("compare: expected either another EXPT or --tables X Y")
    if tables is None and reference is not None:
        raise ConfigError("--reference is of --tables")
    experiment = _first(experiments)
    if other is not None:
        found = _congruence(_detector(experiment), _detector(_first(other)), reflections)
    else:
        assert tables is not None  # one of the two
        found = _with_tables(experiment, tables, reference, reflections)
    if as_json:
        from refimpl.io.atomic import json_text

        found.pop("sentences")
        typer.echo(json_text(found))
    else:
        typer.echo("\n".join(found["sentences"]))
    return 0


def _congruence(first: Hierarchy, second: Hierarchy, reflections: Path | None) -> dict[str, Any]:
    from refimpl.metrology import congruence

    weight = _weights(first, reflections)
    plain, aligned = (congruence(first, second, weight, aligned=a) for a in (False, True))
    return {
        "sentences": (plain.sentence(), f"without a common move: {aligned.sentence()}"),
        "congruence": plain.summary(),
        "aligned": aligned.summary(),
        "panels": [
            {"panel": k, "offset_mm": offset, "turn_mrad": turn}
            for k, (offset, turn) in enumerate(
                zip(plain.offset.tolist(), plain.turn.tolist(), strict=True)
            )
        ],
    }


def _with_tables(
    experiment: Experiment,
    tables: tuple[Path, Path],
    reference: Path | None,
    reflections: Path | None,
) -> dict[str, Any]:
    from refimpl.io.xds_tables import read_with_layout
    from refimpl.metrology import compare_tables, correction_tables
    from refimpl.metrology.correction_tables import image_shape, without_parallax

    detector = _detector(experiment)
    x, y, layout = read_with_layout(*tables, image_shape(detector))
    before = _reference(experiment, reference, reflections)
    if layout == "xds":  # has the parallax in it
        before = without_parallax(before)
    found = compare_tables(
        correction_tables(before, detector), (x, y), detector,
        weight=_weights(detector, reflections),
    )  # fmt: skip
    return {
        "sentences": (found.sentence(),),
        "layout": layout,
        "overall_px": found.overall,
        "overall_reference_px": found.overall_reference,
        "common": dict(
            zip(("fast_px", "slow_px", "roll_rad", "scale"), found.common.tolist(), strict=True)
        ),
        "panels": [
            {"panel": k, "mean_px": mean, "rms_px": rms, "rms_reference_px": own}
            for k, (mean, rms, own) in enumerate(
                zip(found.mean.tolist(), found.rms.tolist(), found.reference.tolist(), strict=True)
            )
        ],
    }


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


# --- what they share ------------------------------------------------------------------------------


def _first(path: Path) -> Experiment:
    from refimpl.io.dials_files import read_expt

    models = read_expt(path)
    if not models:
        raise ConfigError("no experiment in the list", path=path)
    if models[0].detector is None:
        raise ConfigError("the experiment has no detector", path=path)
    n = len({id(e.detector) for e in models})
    if n > 1:
        raise ConfigError(f"{n} detectors in {len(models)} experiments: expected one", path=path)
    return models[0]


def _detector(experiment: Experiment) -> Hierarchy:
    assert experiment.detector is not None  # _first demands one
    return experiment.detector


def _reference(
    experiment: Experiment, reference: Path | None, reflections: Path | None
) -> Hierarchy:
    """What the reader of tables believes in."""
    from refimpl.metrology import flat_detector

    if reference is not None:
        return _detector(_first(reference))
    detector = _detector(experiment)
    return flat_detector(detector, _weights(detector, reflections))


def _weights(detector: Hierarchy, reflections: Path | None) -> F64 | None:
    """(p,) reflections that were used on each panel."""
    if reflections is None:
        return None
    import numpy as np

    from refimpl.io.reflection_table import USED_IN_REFINEMENT

    table = files.read_table(reflections)
    table.require("panel", "flags")
    used = np.asarray(table["panel"])[table.has_flags(USED_IN_REFINEMENT)].astype(np.int64)
    if not len(used):
        raise ConfigError("no reflection is marked as used in refinement", path=reflections)
    if used.max() >= len(detector):
        raise ConfigError(
            f"reflections lie on panel {used.max()}: the detector has {len(detector)} panels",
            path=reflections,
        )
    return np.bincount(used, minlength=len(detector)).astype(np.float64)
