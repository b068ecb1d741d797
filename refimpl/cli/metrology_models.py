"""``refimpl metrology import``, ``show`` and ``predict``: experiments in, text and tables out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import metrology_files as files
from refimpl.cli import parse
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.forward.experiment import Experiment
    from refimpl.io.reflection_table import ReflectionTable

__all__ = ["EXAMPLES", "import_images", "predict", "show"]

EXAMPLES = """\b
Examples:
  refimpl metrology import 'th_8_2_####.cbf' --multi-panel -o imported.expt
  refimpl metrology import series_master.h5 -o imported.expt
  refimpl metrology import 'th_8_2_####.cbf' --x-corrections x_geo_corr.cbf \\
      --y-corrections y_geo_corr.cbf -o imported.expt"""

_TABLES = ("x_corrections", "y_corrections")
Target = Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="File to write.")]


def import_images(
    images: Annotated[list[str], typer.Argument(metavar="IMAGES", help=(
        "Images of a scan, or stills: files, a folder, a pattern or template in quotes, or an NXmx "
        "file."))],
    out: Target = Path("imported.expt"),
    multi_panel: Annotated[bool, typer.Option(
        "--multi-panel", help="The modules of a Pilatus as panels of one group, not as one panel.")
    ] = False,
    mu_per_mm: Annotated[float | None, typer.Option(
        metavar="X", help="Attenuation of the sensor [1/mm]; default: silicon's.")] = None,
    x_corrections: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Table of a maker or of XDS (.cbf, .npy) that is added to pixels "
                             "along fast; that of XDS has the parallax in it.")] = None,
    y_corrections: Annotated[Path | None, typer.Option(
        metavar="FILE", help="The same along slow.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> int:  # fmt: skip
    """Make experiments of what the headers of images say: beam, detector, goniometer, scan.

    Images without rotation (stills) make one experiment each.
    """
    from refimpl.cli.metrology_images import stills_apart
    from refimpl.io.dials_files import write_expt

    if (x_corrections is None) != (y_corrections is None):
        raise ConfigError("--x-corrections and --y-corrections: give both or neither")
    paths = files.expand(images)
    parse.output_file(out)
    if paths[0].suffix in (".h5", ".nxs", ".hdf5"):
        from refimpl.interop.nexus_experiment import experiment_from_nexus

        if len(paths) > 1 or multi_panel:
            raise ConfigError(
                f"{paths[0]}: a NeXus file states its own panels and images: give it alone"
            )
        experiment = experiment_from_nexus(paths[0], mu_per_mm=mu_per_mm)
    else:
        from refimpl.io.minicbf import experiment_from_minicbf

        experiment = experiment_from_minicbf(paths, multi_panel=multi_panel, mu_per_mm=mu_per_mm)
    if x_corrections is not None and y_corrections is not None:
        from refimpl.metrology.pixels import with_corrections

        experiment = with_corrections(experiment, x_corrections, y_corrections)
    made = stills_apart(experiment)
    write_expt(out, made)
    _print(described(made), as_json, f"wrote {out}")
    return 0


def show(
    paths: Annotated[list[Path], typer.Argument(
        metavar="FILES", help="Experiments (.expt) and reflections (.refl), any number.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> int:  # fmt: skip
    """Print what files hold: models with their numbers, columns with their ranges."""
    from refimpl.io.dials_files import read_expt

    found: dict[str, Any] = {}
    for path in paths:
        if path.suffix in (".refl", ".npz"):
            found[str(path)] = of_table(files.read_table(path))
        else:
            found[str(path)] = described(read_expt(path))
    _print(found, as_json)
    return 0


def predict(
    experiments: Annotated[Path, typer.Argument(metavar="EXPT", help="Experiments, .expt.")],
    out: Target = Path("predicted.refl"),
    d_min_angstrom: Annotated[float | None, typer.Option(
        metavar="D", help="Resolution limit; default: the detector's farthest corner.")] = None,
    threads: Annotated[int | None, typer.Option(
        metavar="N", help="Threads; the result does not depend on it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> int:  # fmt: skip
    """Predict every reflection of the scans: where on which panel, at which angle."""
    import numpy as np

    from refimpl.io.dials_files import read_expt, write_refl
    from refimpl.metrology import predict_all

    models = read_expt(experiments)
    parse.output_file(out)
    table = predict_all(models, d_min_angstrom, threads=threads)
    write_refl(out, table)
    panels = np.bincount(np.asarray(table["panel"], dtype=np.int64))
    found = {
        "reflections": len(table),
        "d_min_angstrom": float(table["d"].min()) if len(table) else None,
        "panels_with_reflections": int(np.count_nonzero(panels)),
    }
    _print(found, as_json, f"wrote {out}")
    return 0


# --- descriptions ---------------------------------------------------------------------------------


def described(experiments: Any) -> dict[str, Any]:
    """Models of a list of experiments; those that are shared are counted once."""
    unique = {
        what: list({id(m): m for e in experiments if (m := getattr(e, what)) is not None}.values())
        for what in ("detector", "beam", "goniometer", "scan", "crystal")
    }
    out: dict[str, Any] = {"experiments": len(experiments)}
    out |= {f"{what}s": len(models) for what, models in unique.items()}
    out |= _first(experiments[0]) if experiments else {}
    return out


def _first(e: Experiment) -> dict[str, Any]:
    """Numbers of one experiment."""
    out: dict[str, Any] = {}
    if e.beam is not None:
        out["wavelength_angstrom"] = e.beam.wavelength_angstrom
        out["beam_direction"] = e.beam.direction.tolist()
    if e.detector is not None:
        module = e.detector.modules[0]
        out |= {
            "panels": len(e.detector),
            "levels": e.detector.depth,
            "panel_size_px": list(module.size_px),
            "pixel_size_mm": list(module.pixel_size_mm),
            "trusted_range": list(module.trusted_range),
            "thickness_mm": module.thickness_mm,
            "parallax": module.parallax,
            "first_origin_mm": e.detector.d[0][:, 2].tolist(),
        }
    named = [str(name) for key in _TABLES if (name := (e.imageset or {}).get(key))]
    out |= {"corrections": named} if named else {}
    if e.goniometer is not None:
        axis = e.goniometer.setting @ e.goniometer.rotation_axis
        out["rotation_axis"] = axis.tolist()
    if e.scan is not None:
        out["image_range"] = list(e.scan.image_range)
        out["oscillation_deg"] = list(e.scan.oscillation_deg)
    if e.crystal is not None:
        from refimpl.metrology.outputs import symbol_of

        out["cell"] = [round(float(v), 5) for v in e.crystal.cell]
        out["space_group"] = symbol_of(e.crystal.hall)
    return out


def of_table(table: ReflectionTable) -> dict[str, Any]:
    """Columns of a table with their type and range, and what its flags say."""
    import numpy as np

    from refimpl.io import reflection_table as flags

    out: dict[str, Any] = {"reflections": len(table)}
    for name, values in table.columns.items():
        text = table.types[name]
        if len(table) and values.dtype.kind in "iuf":
            low, high = np.min(values, axis=0), np.max(values, axis=0)
            text += f"  {_numbers(low)} to {_numbers(high)}"
        out[name] = text
    out |= {name: f"pixels of {np.count_nonzero(b.flag)} reflections"
            for name, b in table.shoeboxes.items()}  # fmt: skip
    if "flags" in table:
        for word, bit in (
            ("indexed", flags.INDEXED), ("used in refinement", flags.USED_IN_REFINEMENT),
            ("outliers", flags.CENTROID_OUTLIER), ("strong", flags.STRONG),
        ):  # fmt: skip
            out[f"flags: {word}"] = int(np.count_nonzero(table.has_flags(bit)))
    return out


def _numbers(values: Any) -> str:
    import numpy as np

    flat = np.atleast_1d(values).ravel()
    text = ", ".join(f"{v:.6g}" if values.dtype.kind == "f" else str(v) for v in flat)
    return f"({text})" if len(flat) > 1 else text


def _print(found: dict[str, Any], as_json: bool, last: str | None = None) -> None:
    """Write to stdout: for people, or for machines."""
    if as_json:
        from refimpl.io.atomic import json_text

        typer.echo(json_text(found))
        return
    for key, value in found.items():
        if isinstance(value, dict):
            typer.echo(key)
            width = max(map(len, value))
            typer.echo("\n".join(f"  {k:<{width}}  {_text(v)}" for k, v in value.items()))
        else:
            typer.echo(f"{key:<24}  {_text(value)}")
    if last is not None:
        typer.echo(last)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(v) for v in value)
    return f"{value:.8g}" if isinstance(value, float) else str(value)
