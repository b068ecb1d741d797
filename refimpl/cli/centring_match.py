"""``refimpl centring match``: camera pictures and reflection counts brought together by time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import parse
from refimpl.cli.rules import goes_without
from refimpl.errors import ConfigError, ConvergenceError

if TYPE_CHECKING:
    import pandas as pd

    from refimpl.centring.matching import Matches

__all__ = ["EXAMPLES", "match"]

EXAMPLES = """\b
Examples:
  refimpl centring match camera.csv eiger.log --counts counts.csv -o pairs.csv
  refimpl centring match Pictures detector.csv --counts distl.log --combine max -o pairs.csv
  refimpl centring match camera.csv eiger.log --counts counts.csv --offset-s 0.35 -o pairs.csv
  refimpl centring match camera.csv own.log --line '(?P<time>\\S+) f(?P<frame>\\d+)' --json

The detector's clock is ahead of the camera's by the offset; offset and drift are found from where
the scans of both logs begin and end, unless they are given. Frames and pictures without a partner
are listed with --unmatched. Exit: 0 done; 2 bad input; 4 the logs do not fix the offset."""

_CLOCK = "Clocks"


@goes_without("offset_s", "max_offset_s", "undecided")
def match(
    camera: Annotated[Path, typer.Argument(metavar="CAMERA", help=(
        "CSV with image, time_s and perhaps crystal, zoom, omega_deg; or a folder of pictures with "
        "times in their names."))],
    detector: Annotated[Path, typer.Argument(metavar="DETECTOR", help=(
        "Log of the detector, or CSV with frame, time_s and perhaps series, crystal, rc."))],
    counts: Annotated[Path | None, typer.Option(
        metavar="FILE", help="CSV with frame, rc; or a log of distl or DIALS.")] = None,
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", metavar="FILE", help="Write the pairs as CSV.")] = None,
    unmatched: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Write what has no partner as CSV.")] = None,
    combine: Annotated[str, typer.Option(
        metavar="NAME", help="Count of several frames: median, mean, max or nearest.")] = "median",
    unique: Annotated[bool, typer.Option(
        "--unique", help="One frame a picture, the nearest.")] = False,
    tolerance_s: Annotated[float, typer.Option(
        "--tolerance-s", metavar="S", help="Largest difference of a pair.")] = 0.0625,
    offset_s: Annotated[float | None, typer.Option(
        "--offset-s", metavar="S", help="Detector's clock ahead of the camera's; default: found.",
        rich_help_panel=_CLOCK)] = None,
    drift: Annotated[float | None, typer.Option(
        metavar="RATE", help="With --offset-s: seconds a second, from the first picture on.",
        rich_help_panel=_CLOCK)] = None,
    max_offset_s: Annotated[float, typer.Option(
        "--max-offset-s", metavar="S", help="Largest offset that is looked for.",
        rich_help_panel=_CLOCK)] = 10.0,
    undecided: Annotated[bool, typer.Option(
        "--undecided", help="Go on where the logs do not fix the offset.",
        rich_help_panel=_CLOCK)] = False,
    line: Annotated[str | None, typer.Option(
        metavar="REGEX", help="Line of the detector's log, with groups time and frame.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> int:  # fmt: skip
    """Give each camera picture the reflection count of the frames that were taken with it."""
    from refimpl.centring.clock import Clock, fit_clock
    from refimpl.centring.matching import match as matched
    from refimpl.centring.matching import match_tables
    from refimpl.io.camera_log import read_camera_log
    from refimpl.io.eiger_log import read_eiger_log

    if drift is not None and offset_s is None:
        raise ConfigError("--drift is for an offset that is given with --offset-s")
    for path in (out, unmatched):
        parse.output_file(path)
    pictures, frames = read_camera_log(camera), read_eiger_log(detector, line)
    ours, theirs = (table["time_s"].to_numpy(dtype=float) for table in (pictures, frames))
    if offset_s is not None:
        clock = Clock(offset_s, drift or 0.0, float(ours.min()))
    else:
        clock = fit_clock(ours, theirs, tolerance_s=tolerance_s, max_offset_s=max_offset_s)
        if not (clock.is_decided or undecided):
            raise ConvergenceError(
                f"{'; '.join(clock.notes)}; give --offset-s, or go on with --undecided", path=camera
            )
    found = matched(ours, theirs, clock, tolerance_s=tolerance_s, unique=unique)
    table = match_tables(
        pictures, frames, None if counts is None else _counts(counts), matches=found,
        combine=combine,
    )  # fmt: skip
    _write(table, _without(pictures, frames, found), out, unmatched)
    _tell(table, found, as_json, out)
    return 0


def _counts(path: Path) -> pd.DataFrame:
    from refimpl.centring.counts import counts_of_log
    from refimpl.io.log_tables import read_log_table

    if path.suffix.lower() != ".csv":
        return counts_of_log(path)
    names = {"frame": ("frame",), "rc": ("rc", "spot_total"), "series": ("series", "scan")}
    return read_log_table(path, names, needed=("frame", "rc"))


def _without(pictures: pd.DataFrame, frames: pd.DataFrame, found: Matches) -> pd.DataFrame:
    """Pictures and frames without a partner, each with its time by its own clock."""
    import pandas as pd

    lost_p, lost_f = pictures.iloc[found.unmatched_pictures], frames.iloc[found.unmatched_frames]
    return pd.DataFrame({
        "what": ["picture"] * len(lost_p) + ["frame"] * len(lost_f),
        "name": [*lost_p["image"], *(str(n) for n in lost_f["frame"])],
        "time_s": [*lost_p["time_s"], *lost_f["time_s"]],
    })  # fmt: skip


def _write(
    table: pd.DataFrame, lost: pd.DataFrame, out: Path | None, unmatched: Path | None
) -> None:
    from refimpl.io.atomic import write_text

    for path, what in ((out, table), (unmatched, lost)):
        if path is not None:
            write_text(path, what.to_csv(index=False, lineterminator="\n"))


def _tell(table: pd.DataFrame, found: Matches, as_json: bool, out: Path | None) -> None:
    from refimpl.io.atomic import json_text

    clock = found.clock
    done: dict[str, Any] = {
        "offset_s": clock.offset_s, "drift": clock.drift, "reference_s": clock.reference_s,
        "uncertainty_s": clock.uncertainty_s, "is_decided": clock.is_decided,
        "scans": clock.n_bursts, "notes": list(clock.notes), "pairs": len(table),
        "pictures_without_frame": len(found.unmatched_pictures),
        "frames_without_picture": len(found.unmatched_frames),
        "tolerance_s": found.tolerance_s,
        "median_residual_s": float(table["residual_s"].abs().median()),
    }  # fmt: skip
    if as_json:
        typer.echo(json_text(done))
        return
    typer.echo(
        f"offset {clock.offset_s:.4f} +- {clock.uncertainty_s:.4f} s, drift {clock.drift:.2g}; "
        f"{len(table)} pairs, {done['pictures_without_frame']} pictures and "
        f"{done['frames_without_picture']} frames without a partner"
    )
    for note in clock.notes:
        typer.echo(f"note: {note}")
    if out is not None:
        typer.echo(f"wrote {out}")
