"""``refimpl epu duplicates``: which exposures are of places that were exposed before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refimpl.cli import epu_options as shared
from refimpl.cli.epu_files import MONTAGE_LIMIT, Files, Written
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.epu.duplicates import Duplicates
    from refimpl.epu.live import Update
    from refimpl.epu.radius import Radius

__all__ = ["EXAMPLES", "duplicates"]

EXAMPLES = """\b
Examples:
  refimpl epu duplicates Session
  refimpl epu duplicates Session --radius beam:0.9 --ignore-same-hole -o out/s7
  refimpl epu duplicates Session --rawdata Movies --montage --map -o out/s7
  refimpl epu duplicates Session --calibration titan.json --json
  refimpl epu duplicates Session --watch 60 -o out/s7
  refimpl epu duplicates --compat --epudata . --montage --rad 0.2 --k 25

\b
Files: PREFIX_badfiles_jpg.txt and PREFIX_badfiles_tiff.txt as published,
PREFIX_badfiles_movies.txt with --rawdata, PREFIX.csv (pairs), PREFIX_groups.csv
(exposures of a place in the order of time, with the dose before), PREFIX.json.
All of them are written, or none changes. PREFIX is 'duplicates'; with --json
alone nothing is written.

\b
find_dupl.py --epudata D --o P --rad R --k K --rawdata M
  its options are accepted: --epudata for SESSION, --o for -o, --rad R for
  --radius fixed:R, --resize and --rescale; a --k alone is its scalar model,
  which knows no rotation and no mirror. With --compat everything is as
  published, the first run without --k included; success exits with 0."""

WHAT, FILES, PUBLISHED = "What is a duplicate", "Files", "As published"


@shared.with_calibration_options
def duplicates(
    session: Annotated[Path | None, typer.Argument(
        metavar="SESSION", help="Folder of EPU, at any level, or a CSV table.")] = None,
    out: Annotated[str | None, typer.Option(
        "-o", "--out", "--o", metavar="PREFIX", help="Start of the names of the files.")] = None,
    as_json: Annotated[bool, typer.Option(
        "--json", help="Print the result as JSON.")] = False,
    csv: shared.Csv = False,
    strict: shared.Strict = False,
    cache: shared.Cache = None,
    watch: Annotated[float | None, typer.Option(
        metavar="SECONDS", help="Look again and again while EPU writes, and tell new duplicates; "
        "Ctrl-C ends it.")] = None,
    radius: Annotated[str | None, typer.Option(
        metavar="RULE", rich_help_panel=WHAT, help="Closer ones are duplicates: fixed:UM (a number "
        "alone, too), beam:FACTOR of the beam's diameter, or beam-radius:FACTOR; default: "
        "fixed:0.2.")] = None,
    ignore_same_hole: Annotated[bool, typer.Option(
        "--ignore-same-hole", rich_help_panel=WHAT, help="Different shots of one hole are close "
        "on purpose.")] = False,
    options: shared.Options = {},  # noqa: B006
    rawdata: Annotated[Path | None, typer.Option(
        metavar="DIR", rich_help_panel=FILES, help="Find the movies here, whatever their suffix.",
    )] = None,
    montage: Annotated[bool, typer.Option(
        "--montage", rich_help_panel=FILES, help="Draw the pairs with their foil holes: "
        "PREFIX_montage.png.")] = False,
    resize: Annotated[bool, typer.Option(
        "--resize", "--rescale", rich_help_panel=FILES, help="The montage at half the size.",
    )] = False,
    montage_limit: Annotated[int | None, typer.Option(
        metavar="N", min=0, rich_help_panel=FILES, help="Most pairs of the montage, 100; 0: all.",
    )] = None,
    montage_file: Annotated[Path | None, typer.Option(
        metavar="FILE", rich_help_panel=FILES, help="Another name for the montage.")] = None,
    map_: Annotated[bool, typer.Option(
        "--map", rich_help_panel=FILES, help="Draw all exposures: PREFIX_map.png.")] = False,
    report: Annotated[Path | None, typer.Option(
        metavar="DIR", rich_help_panel=FILES, help="Write a page with figures here.")] = None,
    compat: Annotated[bool, typer.Option(
        "--compat", rich_help_panel=PUBLISHED, help="Do what find_dupl.py does, with its options.",
    )] = False,
    epudata: Annotated[Path | None, typer.Option(
        "--epudata", metavar="DIR", rich_help_panel=PUBLISHED, help="SESSION.")] = None,
    rad: Annotated[float | None, typer.Option(
        "--rad", metavar="UM", rich_help_panel=PUBLISHED, help="--radius fixed:UM.")] = None,
) -> int:  # fmt: skip
    """Find exposures of places that were exposed before, and list what is to be dropped."""
    if session is not None and epudata is not None:
        raise ConfigError("SESSION and --epudata: one of them")
    folder = session if session is not None else epudata
    if compat:
        return _published(folder, options)
    if folder is None:
        raise ConfigError("duplicates: expected SESSION, the folder of an EPU session")
    shared.check_calibration(options)
    rule = _radius(radius, rad)
    files = _files(options)
    files.check()
    is_table = csv or (folder.suffix.lower() == ".csv" and folder.is_file())
    if watch is not None:
        return _watch(folder, "csv" if is_table else "epu", watch, rule, files, options)
    from refimpl.epu.duplicates import find_duplicates

    read = shared.load(folder, csv=is_table, strict=strict, cache=cache)
    shared.errors_note(read)
    rule.of(read.table)  # a beam that is not known is found before the work
    calibration = shared.calibration_of(read, options)
    found = find_duplicates(read, calibration, rule, ignore_same_hole=ignore_same_hole)
    _tell(found, files.write(found), as_json=as_json)
    return 0


def _radius(radius: str | None, rad: float | None) -> Radius:
    """Rule of --radius or --rad."""
    from refimpl.epu.radius import DEFAULT_RADIUS, Radius

    if radius is not None and rad is not None:
        raise ConfigError("--radius and --rad: one of them")
    if rad is not None:
        return Radius.parse(f"fixed:{rad!r}")
    return DEFAULT_RADIUS if radius is None else Radius.parse(radius)


def _files(options: shared.Options) -> Files:
    """Files that the options ask for."""
    has_montage = options["montage"] or options["resize"]
    for name in ("montage_limit", "montage_file"):
        if options[name] is not None and not has_montage:
            raise ConfigError(f"--{name.replace('_', '-')} goes with --montage")
    prefix, limit = options["out"], options["montage_limit"]
    if prefix is None and (has_montage or options["map_"] or not options["as_json"]):
        prefix = "duplicates"
    return Files(
        prefix, has_montage, options["map_"], options["montage_file"],
        MONTAGE_LIMIT if limit is None else limit, options["resize"], options["report"],
        options["rawdata"],
    )  # fmt: skip


def _tell(found: Duplicates, written: Written, *, as_json: bool) -> None:
    """Print the result; with --json what is to be said about files goes to stderr."""
    if as_json:
        from refimpl.epu.bad_lists import summary_of
        from refimpl.io.atomic import json_text

        typer.echo(json_text(summary_of(found, written.movies)))
        if not found.calibration.is_decided:
            typer.echo("note: the calibration is not decided: see its notes", err=True)
    else:
        typer.echo("\n".join(found.sentences()))
    for line in (*written.notes, *(f"wrote {path}" for path in written.paths)):
        typer.echo(line, err=as_json)


def _watch(
    folder: Path, source: str, seconds: float, rule: Radius, files: Files, options: shared.Options
) -> int:
    """Look again and again until Ctrl-C; the files are written anew with every change."""
    from refimpl.epu.live import watch

    if options["strict"]:
        raise ConfigError("--strict with --watch: a file that is half-written is no error")
    if options["cache"] is not None:
        raise ConfigError("--cache with --watch, which reads each file once as it is")
    looks = watch(
        folder, lambda read: shared.calibration_of(read, options), rule, interval_s=seconds,
        ignore_same_hole=options["ignore_same_hole"], source=source,
    )  # fmt: skip
    try:
        for update in looks:
            if update.duplicates is not None:
                files.write(update.duplicates)
            _tell_update(update, as_json=options["as_json"])
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
    return 0


def _tell_update(update: Update, *, as_json: bool) -> None:
    """One line of JSON, or the lines that are new."""
    found = update.duplicates
    if as_json:
        typer.echo(json.dumps({
            "n_exposures": len(update.session),
            "n_duplicates": None if found is None else found.n_duplicates,
            "k": None if found is None else found.calibration.k_um,
            "new": update.new, "withdrawn": update.withdrawn, "waiting": update.waiting,
            "unusable": update.unusable, "note": update.note,
        }))  # fmt: skip
        return
    count = "not searched yet" if found is None else f"{found.n_duplicates} duplicates"
    typer.echo(f"{len(update.session)} exposures, {count}")
    if update.is_calibrated_anew and found is not None:
        typer.echo(f"  calibrated: {found.calibration.sentences()[0]}")
    for name, partner in zip(update.new, update.partners, strict=True):
        typer.echo(f"  duplicate {name} of {partner}")
    for name in update.withdrawn:
        typer.echo(f"  no duplicate after all: {name}")
    for path, reason in update.unusable:
        typer.echo(f"note: {path}: {reason}", err=True)
    if update.waiting:
        typer.echo(f"note: files that cannot be read yet: {len(update.waiting)}", err=True)
    if update.note:
        typer.echo(f"note: {update.note}", err=True)


def _published(folder: Path | None, options: shared.Options) -> int:
    """Hand over to the published way; options that it does not know are refused."""
    from refimpl.cli import epu_compat

    taken = {"compat", "session", "epudata", "out", "k", "rawdata", "rad", "clusters", "montage",
             "resize", "max_iter", "n_init"}  # fmt: skip
    for name, value in options.items():
        if name not in taken and value not in (None, False, "auto"):
            flag = {"as_json": "json", "map_": "map"}.get(name, name.replace("_", "-"))
            raise ConfigError(f"--{flag} with --compat, which takes find_dupl's options alone")
    return epu_compat.run(
        folder if folder is not None else Path(), options["out"] or "duplicates",
        **{name: options[name] for name in ("k", "rawdata", "rad", "clusters", "montage",
                                            "resize", "max_iter", "n_init")},
    )  # fmt: skip
