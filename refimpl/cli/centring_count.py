"""``refimpl centring count``: the reflection count of each diffraction image, or of a log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refimpl.cli import parse
from refimpl.cli.rules import goes_without
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EXAMPLES", "count"]

EXAMPLES = """\b
Examples:
  refimpl centring count series_master.h5 --frames 1:400 -o counts.csv
  refimpl centring count 'out######.cbf' -o counts.csv
  refimpl centring count --log distl.log --log dials.find_spots.log --json

The count is Spot Total, as distl.signal_strength defines it. Frames are numbered from 1, both ends
of a range included. Exit: 0 done; 2 bad input; 4 an image without background."""

_LISTED = ("frame", "rc", "remove_ice", "in_resolution", "good_bragg", "ice_rings")


@goes_without("log", "threads")
def count(
    images: Annotated[list[str] | None, typer.Argument(metavar="IMAGES", help=(
        "CBF files, a folder, a pattern or template in quotes, or an Eiger master file."))] = None,
    log: Annotated[list[Path] | None, typer.Option(
        metavar="FILE", help="Take the counts of a log of distl or DIALS; repeatable.")] = None,
    frames: Annotated[str | None, typer.Option(
        metavar="N:M", help="First and last frame, from 1.")] = None,
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", metavar="FILE", help="Write the table as CSV.")] = None,
    kind: Annotated[str | None, typer.Option(
        metavar="NAME", help="Defaults of pilatus, eiger or other; default: by header.")] = None,
    threads: Annotated[int | None, typer.Option(
        metavar="N", help="Threads; the result does not depend on it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> int:  # fmt: skip
    """Count the reflections of diffraction images by our own spot finder, or read them in logs."""
    from refimpl.centring.counts import count_images, frame_range
    from refimpl.cli import metrology_files as files

    if bool(images) == bool(log):
        raise ConfigError("give images or --log, one of them")
    if log and (frames or kind):
        raise ConfigError("--frames and --kind are for images, not for --log")
    parse.output_file(out)
    if log:
        table = _of_logs(log)
    else:
        paths, chosen = files.expand(images or []), frame_range(frames)
        with parse.progress() as tell:
            table = count_images(
                paths, chosen, kind=kind, threads=threads,  # type: ignore[arg-type]
                progress=lambda done, of: tell("counting spots", done / of),
            )  # fmt: skip
    _tell(table, out, as_json)
    return 0


def _of_logs(paths: list[Path]) -> pd.DataFrame:
    import pandas as pd

    from refimpl.centring.counts import counts_of_log

    return pd.concat([counts_of_log(path) for path in paths], ignore_index=True)


def _tell(table: pd.DataFrame, out: Path | None, as_json: bool) -> None:
    from refimpl.io.atomic import json_text, write_text

    if out is not None:
        write_text(out, table.to_csv(index=False, lineterminator="\n"))
    if as_json:
        typer.echo(json_text(table.to_dict("records")))
        return
    names = [name for name in _LISTED if name in table.columns]
    typer.echo(table[names].to_string(index=False))
    if out is not None:
        typer.echo(f"wrote {out}: {len(table)} images")
