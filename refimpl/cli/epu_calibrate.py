"""``refimpl epu calibrate``: how far, and where to, a beam shift moves the beam on the specimen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refimpl.cli import epu_options as shared
from refimpl.cli import parse
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.epu.calibration import Calibration
    from refimpl.epu.session import Session

__all__ = ["EXAMPLES", "calibrate"]

EXAMPLES = """\b
Examples:
  refimpl epu calibrate Session
  refimpl epu calibrate Session --spacing 2.5 -o titan.json
  refimpl epu calibrate Session --method scalar --spacing 4 --rule smallest_median
  refimpl epu calibrate Session --scatter shifts.png --report-picture maps.png

A calibration holds for the microscope and magnification it was made at: take it
along with 'refimpl epu duplicates OTHER --calibration titan.json'. Exit 4: the
data support no method, and the message says what each was lacking."""

FILES = "Files"


@shared.with_calibration_options
def calibrate(
    session: Annotated[Path, typer.Argument(
        metavar="SESSION", help="Folder of EPU, at any level, or a CSV table.")],
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", metavar="FILE", help="Write the calibration as JSON.")] = None,
    as_json: Annotated[bool, typer.Option(
        "--json", help="Print the calibration as JSON.")] = False,
    csv: shared.Csv = False,
    strict: shared.Strict = False,
    cache: shared.Cache = None,
    options: shared.Options = {},  # noqa: B006
    scatter: Annotated[Path | None, typer.Option(
        metavar="FILE", rich_help_panel=FILES, help="Draw the beam shifts with the numbers of "
        "their groups.")] = None,
    report_picture: Annotated[Path | None, typer.Option(
        metavar="FILE", rich_help_panel=FILES, help="Draw the exposures with k alone and with this "
        "calibration, side by side.")] = None,
) -> int:  # fmt: skip
    """Calibrate beam shifts by what the session itself shows, and say how well."""
    shared.check_calibration(options)
    _check_files(out, scatter, report_picture)
    is_table = csv or (session.suffix.lower() == ".csv" and session.is_file())
    read = shared.load(session, csv=is_table, strict=strict, cache=cache)
    shared.errors_note(read)
    found = shared.calibration_of(read, options)
    written = _write(read, found, out, scatter, report_picture)
    if as_json:
        from refimpl.io.atomic import json_text

        typer.echo(json_text(found.as_dict()))
    else:
        typer.echo("\n".join(found.sentences()))
    for path in written:
        typer.echo(f"wrote {path}", err=as_json)
    return 0


def _check_files(*paths: Path | None) -> None:
    """Refuse places that could not be written to, and one name for two files."""
    given = [path for path in paths if path is not None]
    for path in given:
        parse.output_file(path)
    if len({path.absolute() for path in given}) < len(given):
        raise ConfigError("-o, --scatter and --report-picture: two of them are one file")


def _write(
    read: Session, found: Calibration, out: Path | None, scatter: Path | None, maps: Path | None
) -> list[Path]:
    """Write the calibration and its pictures together."""
    from refimpl import hooks
    from refimpl.epu.calibration import save_calibration
    from refimpl.io.together import together

    paths = [path for path in (out, scatter, maps) if path is not None]
    with together(paths) as places:
        at = dict(zip(paths, places, strict=True))
        if scatter is not None:
            from refimpl.clustering.beam_shift import cluster

            groups = cluster(read.beam_shift)
            hooks.call("epu.scatter", read.beam_shift, groups.labels, groups.centres, at[scatter])
        if maps is not None:
            from refimpl.epu.duplicates import find_duplicates

            hooks.call("epu.maps", find_duplicates(read, found), at[maps])
        if out is not None:
            save_calibration(found, at[out])
    return paths
