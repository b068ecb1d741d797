"""Options that the commands of ``refimpl epu`` share: what is read, and how it is calibrated."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from refimpl.cli import parse
from refimpl.cli.with_options import Options, with_options
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.epu.calibration import Calibration
    from refimpl.epu.session import Session

__all__ = ["CALIBRATION", "Options", "calibration_of", "check_calibration", "errors_note", "load"]
__all__ += ["with_calibration_options"]

CALIBRATION: Final = "Calibration"

Method = Annotated[str, typer.Option(
    metavar="NAME", rich_help_panel=CALIBRATION,
    help="auto (what the data support best), lattice (2 x 2 from the XML files alone), metadata "
         "(hole positions of the .dm files), affine (given) or scalar (as published).",
)]  # fmt: skip
K = Annotated[float | None, typer.Option(
    "--k", metavar="UM", rich_help_panel=CALIBRATION,
    help="Given: um on the specimen for a beam shift of 1; alone, the published scalar.",
)]  # fmt: skip
RotationDeg = Annotated[float | None, typer.Option(
    metavar="DEG", rich_help_panel=CALIBRATION, help="Of --k: turn anticlockwise from beam shift "
    "to stage.")]  # fmt: skip
Mirror = Annotated[bool, typer.Option(
    "--mirror", rich_help_panel=CALIBRATION, help="Of --k: reverse y of the beam shift first.",
)]  # fmt: skip
Matrix = Annotated[str | None, typer.Option(
    metavar="A,B,C,D", rich_help_panel=CALIBRATION,
    help="Given: stage + (x, y) @ [[A, B], [C, D]], in um.")]  # fmt: skip
CalibrationFile = Annotated[Path | None, typer.Option(
    "--calibration", metavar="FILE", rich_help_panel=CALIBRATION,
    help="Take what 'refimpl epu calibrate -o FILE' found.")]  # fmt: skip
Spacing = Annotated[float | None, typer.Option(
    metavar="UM", rich_help_panel=CALIBRATION,
    help="Distance between neighbouring holes; default: EpuSession.dm, if it is there.",
)]  # fmt: skip
Rule = Annotated[str | None, typer.Option(
    metavar="NAME", rich_help_panel=CALIBRATION,
    help="Of scalar: the distance between clusters that stands for the spacing: min, nn_mean, "
         "nn_median, edge_mean or smallest_median (default).")]  # fmt: skip
Clusters = Annotated[int | None, typer.Option(
    metavar="N", min=1, rich_help_panel=CALIBRATION,
    help="Of scalar: k-means with N clusters; default: the holes that the data show.",
)]  # fmt: skip
MaxIter = Annotated[int | None, typer.Option(
    "--max-iter", "--max_iter", metavar="N", min=1, rich_help_panel=CALIBRATION,
    help="Of --clusters: most iterations, 300.")]  # fmt: skip
NInit = Annotated[int | None, typer.Option(
    "--n-init", "--n_init", metavar="N", min=1, rich_help_panel=CALIBRATION,
    help="Of --clusters: starts, 10.")]  # fmt: skip

Cache = Annotated[Path | None, typer.Option(
    "--cache", metavar="FILE", help="Keep what is read here, and read new files only next time.",
)]  # fmt: skip
Csv = Annotated[bool, typer.Option(
    "--csv", help="SESSION is a CSV table; a name with .csv says so, too.")]  # fmt: skip
Strict = Annotated[bool, typer.Option(
    "--strict", help="Refuse a session with a file that cannot be used.")]  # fmt: skip

_NAMES: Final = {
    "k": "--k", "matrix": "--matrix", "rotation_deg": "--rotation-deg", "mirror": "--mirror",
    "spacing": "--spacing", "rule": "--rule", "clusters": "--clusters", "max_iter": "--max_iter",
    "n_init": "--n_init",
}  # fmt: skip


def _shared(
    method: Method = "auto",
    spacing: Spacing = None,
    calibration: CalibrationFile = None,
    k: K = None,
    rotation_deg: RotationDeg = None,
    mirror: Mirror = False,
    matrix: Matrix = None,
    rule: Rule = None,
    clusters: Clusters = None,
    max_iter: MaxIter = None,
    n_init: NInit = None,
) -> None:
    """Options of every command that calibrates."""


with_calibration_options = with_options(_shared)
"""Command that takes the options of a calibration beside its own; see :func:`.with_options`."""


def check_calibration(options: Options) -> None:
    """Refuse options of the calibration that contradict each other or would not act.

    Raises
    ------
    ConfigError
        See the messages.
    """
    from refimpl.epu.calibration import METHODS

    method = options["method"]
    given = [flag for name, flag in _NAMES.items() if options[name] not in (None, False)]
    if method not in ("auto", *METHODS):
        raise ConfigError(f"--method {method!r}: expected one of auto, {', '.join(METHODS)}")
    if options["calibration"] is not None and (given or method != "auto"):
        other = given[0] if given else "--method"
        raise ConfigError(f"--calibration FILE and {other}: one of them")
    if options["matrix"] is not None:
        for flag in ("--k", "--rotation-deg", "--mirror"):
            if flag in given:
                raise ConfigError(f"--matrix and {flag}: one of them")
        if method not in ("auto", "affine"):
            raise ConfigError(f"--matrix with --method {method}: a given matrix is affine")
    if options["k"] is None:
        for flag in ("--rotation-deg", "--mirror"):
            if flag in given:
                raise ConfigError(f"{flag} without --k: there is nothing to turn")
        if method == "affine" and options["matrix"] is None:
            raise ConfigError("--method affine: expected --matrix, or --k with --rotation-deg or "
                              "--mirror")  # fmt: skip
    elif method in ("lattice", "metadata"):
        raise ConfigError(f"--k with --method {method}, which finds it itself")
    elif method == "scalar" and ("--rotation-deg" in given or "--mirror" in given):
        raise ConfigError("--method scalar knows neither --rotation-deg nor --mirror")
    _check_acting(method, options, given)


def _check_acting(method: str, options: Options, given: list[str]) -> None:
    """Refuse what belongs to another method."""
    is_given = options["k"] is not None or options["matrix"] is not None
    for flag in ("--rule", "--clusters"):
        if flag in given and (method != "scalar" or is_given):
            raise ConfigError(
                f"{flag} is of --method scalar without --k: otherwise the data tell the holes"
            )
    for flag in ("--max_iter", "--n_init"):
        if flag in given and options["clusters"] is None:
            raise ConfigError(f"{flag} is of k-means: it goes with --clusters N")
    if "--spacing" in given and (is_given or method == "metadata"):
        raise ConfigError("--spacing does not act: the calibration does not look for the holes")
    if options["spacing"] is not None and not options["spacing"] > 0.0:
        raise ConfigError(f"--spacing {options['spacing']:g}: expected > 0")


def load(
    folder: Path, *, csv: bool = False, strict: bool = False, cache: Path | None = None
) -> Session:
    """Exposures of a folder or CSV table, with a line of progress on a terminal.

    Raises
    ------
    ConfigError, FormatError
        See :func:`refimpl.epu.session.read_session`.
    """
    from refimpl.epu.session import read_session

    if cache is not None:
        if csv:
            raise ConfigError("--cache keeps what was read of a folder; SESSION is one table")
        parse.output_file(cache)
    with parse.progress() as tell:
        return read_session(
            folder, source="csv" if csv else "epu", strict=strict, cache=cache,
            progress=lambda done, of: tell("reading", done / max(of, 1)),
        )  # fmt: skip


def errors_note(session: Session) -> None:
    """Say on stderr which files could not be used, the first few by name, and count copies."""
    from refimpl.epu.copies import COPY

    errors = session.errors[~session.errors["used"].astype(bool)]
    is_copy = errors["reason"].str.startswith(COPY).astype(bool)
    bad = errors[~is_copy]
    for path, reason in list(zip(bad["path"], bad["reason"], strict=True))[:5]:
        typer.echo(f"note: {path}: {reason}", err=True)
    if len(bad) > 5:
        typer.echo(f"note: {len(bad) - 5} more files cannot be used", err=True)
    if is_copy.any():
        typer.echo(f"note: {int(is_copy.sum())} copies of files are left out", err=True)


def calibration_of(session: Session, options: Options) -> Calibration:
    """Calibration that the options ask for.

    Raises
    ------
    ConfigError, FormatError
        A number or a file is not what it should be.
    ConvergenceError
        The data support no method.
    """
    from refimpl.epu.affine import affine
    from refimpl.epu.calibrate import calibrate
    from refimpl.epu.calibration import load_calibration

    if options["calibration"] is not None:
        found = load_calibration(options["calibration"])
        _check_fits(found, session, options["calibration"])
        return found
    more: dict[str, Any] = {"spacing_um": options["spacing"]}
    if options["matrix"] is not None:
        more["matrix_um"] = _matrix(options["matrix"])
    elif options["k"] is not None and (options["rotation_deg"] or options["mirror"]):
        turn = math.radians(options["rotation_deg"] or 0.0)
        more["matrix_um"] = affine(options["k"], turn, mirror=options["mirror"]).matrix_um
    elif options["k"] is not None:
        more["k"] = options["k"]
    if options["rule"] is not None:
        more["rule"] = options["rule"]
    if options["clusters"] is not None:
        from refimpl.clustering.beam_shift import cluster

        how = {name: options[name] for name in ("max_iter", "n_init") if options[name]}
        more["clusters"] = cluster(session.beam_shift, "kmeans", options["clusters"], **how)
    method = "affine" if "matrix_um" in more else options["method"]
    return calibrate(session, "auto" if "k" in more else method, **more)


def _check_fits(found: Calibration, session: Session, path: Path) -> None:
    """Say where a calibration is of another microscope or magnification than the exposures."""
    import numpy as np

    for name, of, unit in (
        ("magnification", found.magnification, "x"), ("voltage_kv", found.voltage_kv, "kV"),
    ):  # fmt: skip
        here = np.unique(session.table[name].to_numpy(dtype=np.float64))
        here = here[np.isfinite(here)]
        if math.isfinite(of) and len(here) and not np.any(here == of):
            typer.echo(f"note: {path} is for {of:g} {unit}, the session has {here[0]:g} {unit}",
                       err=True)  # fmt: skip
    instruments = set(session.table["instrument"]) - {""}
    if found.instrument and instruments and found.instrument not in instruments:
        typer.echo(f"note: {path} is for {found.instrument}, the session is of "
                   f"{', '.join(sorted(instruments))}", err=True)  # fmt: skip


def _matrix(text: str) -> list[list[float]]:
    try:
        a, b, c, d = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--matrix {text!r}: expected four numbers, A,B,C,D") from error
    return [[a, b], [c, d]]
