"""``refimpl metrology find-spots`` and ``index``: from images to indexed reflections."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import metrology_files as files
from refimpl.cli import parse
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.crystal.cell import Cell
    from refimpl.metrology.indexing import IndexResult

__all__ = ["FIND_EXAMPLES", "INDEX_EXAMPLES", "find_spots", "index"]

FIND_EXAMPLES = """\b
Examples:
  refimpl metrology find-spots imported.expt -o spots
  refimpl metrology find-spots imported.expt --threshold dispersion --min-spot-size 6 -o spots"""

INDEX_EXAMPLES = """\b
Examples:
  refimpl metrology index imported.expt spots/strong.refl -o indexed
  refimpl metrology index imported.expt strong.refl --space-group P4 \\
      --unit-cell 57.8,57.8,150,90,90,90 -o indexed
  refimpl metrology index a.expt a.refl b.expt b.refl --max-lattices 2 -o indexed"""

Out = Annotated[Path, typer.Option(
    "-o", "--out", metavar="DIR", help="Folder for the results; made if missing.")]  # fmt: skip
Threads = Annotated[int | None, typer.Option(
    metavar="N", help="Threads; the result does not depend on it.")]  # fmt: skip
Again = Annotated[bool, typer.Option("--again", help="Also what is done already.")]
Json = Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")]
Set = Annotated[list[str] | None, typer.Option(
    "--set", metavar="NAME=VALUE", help="Any other setting, value as in TOML.")]  # fmt: skip


def find_spots(
    experiments: Annotated[Path, typer.Argument(metavar="EXPT", help=(
        "One scan, or stills, with their images, as refimpl metrology import makes them."))],
    out: Out,
    threshold: Annotated[str | None, typer.Option(
        metavar="NAME", help="dispersion_extended (default) or dispersion.")] = None,
    min_spot_size: Annotated[int | None, typer.Option(
        metavar="N", help="Least number of pixels; default 3.")] = None,
    global_threshold: Annotated[float | None, typer.Option(
        metavar="X", help="Counts that a strong pixel must exceed; default 0.")] = None,
    mask: Annotated[str | None, typer.Option(
        metavar="FILE", help=(
            "Image or .npy that is not 0 where pixels may be used; none: as if the experiment "
            "named no mask."))] = None,
    set_: Set = None,
    threads: Threads = None,
    again: Again = False,
    as_json: Json = False,
) -> int:  # fmt: skip
    """Find the spots of a scan or of stills; writes DIR/strong.refl and DIR/spots.json.

    Pixels of spots (shoeboxes) are not kept. An interrupted search goes on from the images that are
    done; until it is finished they are in DIR/find-spots.parts.
    """
    from refimpl.cli.metrology_images import of_experiment, together
    from refimpl.cli.metrology_search import mask_file, search, with_gains
    from refimpl.imaging.spots import SpotSettings
    from refimpl.io.atomic import json_text, write_json
    from refimpl.io.dials_files import read_expt, write_refl
    from refimpl.io.reflection_table import ReflectionTable
    from refimpl.io.spot_journal import SpotJournal

    given: dict[str, Any] = {
        "threshold": threshold, "min_spot_size": min_spot_size,
        "global_threshold": global_threshold,
    }  # fmt: skip
    options = parse.settings(set_ or []) | {k: v for k, v in given.items() if v is not None}
    models = read_expt(experiments)
    experiment = together(models, experiments)
    if experiment.detector is None:
        raise ConfigError("the experiment has no detector", path=experiments)
    settings = with_gains(SpotSettings(**_checked(options, SpotSettings)), experiment)
    own_mask = mask_file(experiment, mask, experiments)
    images = of_experiment(experiment, experiments)
    inputs = [experiments, *images.paths, *([] if own_mask is None else [own_mask])]
    own = files.fingerprint(inputs, options | {"mask": mask})
    journal = SpotJournal(out / "find-spots.parts", own)
    if not again and files.is_done(out, "find-spots", own, ("strong.refl", "spots.json")):
        journal.remove()  # it stays where a run is killed at its very end
        typer.echo((out / "spots.json").read_text().rstrip("\n") if as_json else f"wrote {out}")
        return 0
    with parse.output_folder(out):
        if again:
            journal.remove()
        found = search(experiment, images, settings, own_mask, journal, threads)
        identifiers = {k: e.identifier for k, e in enumerate(models) if e.identifier}
        table = ReflectionTable(columns=found.columns, identifiers=identifiers)
        write_refl(out / "strong.refl", table)
        numbers = {
            "spots": len(found), "extracted": found.extracted, "too_small": found.too_small,
            "too_large": found.too_large, "too_far": found.too_far,
            "images": len(found.strong_per_image),
            "strong_pixels_per_image": found.strong_per_image.tolist(),
            "spots_per_image": found.per_image().tolist(),
        }  # fmt: skip
        write_json(out / "spots.json", numbers)
        files.mark(out, "find-spots", own)
        journal.remove()
    if as_json:
        typer.echo(json_text(numbers))
    else:
        typer.echo(
            f"{len(found)} spots on {numbers['images']} images; left out: {found.too_small} too "
            f"small, {found.too_large} too large, {found.too_far} with the peak far from the "
            f"centroid\nwrote {out / 'strong.refl'}"
        )
    return 0


def index(
    inputs: Annotated[list[Path], typer.Argument(metavar="EXPT REFL ...", help=(
        "Experiments and their strong spots, .refl (or .npz); more pairs for more scans."))],
    out: Out,
    method: Annotated[str | None, typer.Option(
        metavar="NAME", help="fft3d (default), fft1d or grid_search.")] = None,
    space_group: Annotated[str | None, typer.Option(
        metavar="NAME", help="Known space group, P4 or 75.")] = None,
    unit_cell: Annotated[str | None, typer.Option(
        metavar="CELL", help="Known cell a,b,c,alpha,beta,gamma [A, degrees].")] = None,
    max_lattices: Annotated[int | None, typer.Option(
        metavar="N", help="Crystals looked for, among the spots that others leave; default 1.")
    ] = None,
    joint: Annotated[bool | None, typer.Option(
        "--joint/--separate", help=(
            "Whether several scans see the same crystals (default), or each its own (stills)."))
    ] = None,
    set_: Set = None,
    threads: Threads = None,
    again: Again = False,
    as_json: Json = False,
) -> int:  # fmt: skip
    """Find the lattices of strong spots; writes DIR/indexed.expt, indexed.refl and index.log."""
    from refimpl.io.atomic import json_text, write_json, write_text
    from refimpl.io.dials_files import write_expt, write_refl
    from refimpl.metrology.indexing import IndexSettings
    from refimpl.metrology.indexing import index as run

    given = {
        "method": method, "space_group": space_group, "unit_cell": _cell(unit_cell),
        "max_lattices": max_lattices, "joint": joint,
    }  # fmt: skip
    options = parse.settings(set_ or []) | {k: v for k, v in given.items() if v is not None}
    settings = IndexSettings(**_checked(options, IndexSettings))
    models, table = files.read_pairs(inputs)
    own = files.fingerprint(inputs, options)
    wanted = ("indexed.expt", "indexed.refl", "index.json")
    if not again and files.is_done(out, "index", own, wanted):
        typer.echo((out / "index.json").read_text().rstrip("\n") if as_json else f"wrote {out}")
        return 0
    with parse.output_folder(out), parse.progress() as tell:
        result = run(models, table, settings, tell, threads=threads)
        write_expt(out / "indexed.expt", result.experiments)
        write_refl(out / "indexed.refl", result.table)
        write_text(out / "index.log", result.text())
        numbers = _numbers(result)
        write_json(out / "index.json", numbers)
        files.mark(out, "index", own)
    if as_json:
        typer.echo(json_text(numbers))
        return 0
    lines = [f"{result.n_indexed} of {len(result.table)} spots indexed"]
    for k, (n, cell) in enumerate(zip(result.per_experiment, result.cells, strict=True)):
        which = f"experiment {k}, {n} spots: " if len(result.cells) > 1 else ""
        lines.append(f"{which}cell {' '.join(f'{v:.3f}' for v in cell)}")
    x, y, _ = result.cycles[-1].rmsd
    lines += [f"RMSD x {x:.4f} mm, y {y:.4f} mm", *result.notes, f"wrote {out / 'indexed.expt'}"]
    typer.echo("\n".join(lines))
    return 0


def _numbers(result: IndexResult) -> dict[str, Any]:
    """What index.json tells."""
    return {
        "n_indexed": result.n_indexed, "n_spots": len(result.table),
        "cell": list(result.cell), "rmsd_mm_mm_rad": list(result.cycles[-1].rmsd),
        "d_min_angstrom": result.searches[0].d_min_angstrom,
        "lattices": [row.symbol for row in result.searches[0].lattices if row.fits],
        "experiments": [
            {"identifier": e.identifier, "n_indexed": n, "cell": list(cell)}
            for e, n, cell in zip(
                result.experiments, result.per_experiment, result.cells, strict=True
            )
        ],
        "notes": list(result.notes),
    }  # fmt: skip


def _cell(text: str | None) -> Cell | None:
    """Cell from six numbers with commas or blanks."""
    if text is None:
        return None
    try:
        a, b, c, alpha, beta, gamma = (float(v) for v in text.replace(",", " ").split())
    except ValueError as exc:
        raise ConfigError(
            f"--unit-cell {text!r}: expected six numbers a,b,c,alpha,beta,gamma", key="unit_cell"
        ) from exc
    return a, b, c, alpha, beta, gamma


def _checked(options: dict[str, Any], kind: type) -> dict[str, Any]:
    """Settings by name; lists become tuples.

    Raises
    ------
    ConfigError
        A name is unknown.
    """
    known = kind.__dataclass_fields__  # type: ignore[attr-defined]
    for name in options:
        if name not in known:
            raise ConfigError(
                f"unknown setting {name!r}: expected some of {', '.join(known)}", key=name
            )
    return {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
