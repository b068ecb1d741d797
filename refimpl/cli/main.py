"""The program ``refimpl``: groups of commands, and the one place where errors become exit codes.

Exit 0: done. 1: a comparison failed. 2: usage or bad input, one line on stderr and no traceback.
4: the calculation did not converge. ``--debug`` before the command shows the traceback.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any

import typer

import refimpl
from refimpl.cli import (
    centring_commands,
    cluster,
    compare,
    conform,
    convert,
    epu_commands,
    metrology_commands,
    nearfield_commands,
    powder_commands,
    validate,
)
from refimpl.errors import ConvergenceError, RefimplError

__all__ = ["app", "main"]

# typer's usage errors are click's, but newer versions carry their own copy of it
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
_ClickException: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Executable reference for the calibrations behind diffraction and cryo-EM experiments.",
    epilog="Results go to stdout or -o, progress and errors to stderr; nothing ever asks back. "
    "Exit: 0 done, 1 a comparison failed, 2 usage or bad input, 4 no convergence.",
)
app.add_typer(powder_commands.app, name="powder")
app.add_typer(metrology_commands.app, name="metrology")
app.add_typer(nearfield_commands.app, name="nearfield")
app.add_typer(epu_commands.app, name="epu")
app.add_typer(centring_commands.app, name="centring")
app.command(
    "cluster", epilog=cluster.EXAMPLES, short_help="Write a Parsl configuration for a scheduler."
)(cluster.cluster)
app.command(
    "compare",
    epilog=compare.EXAMPLES,
    short_help="Compare two results of any code, with a verdict.",
)(compare.compare)
app.command(
    "convert", epilog=convert.EXAMPLES, short_help="Write a geometry in another program's format."
)(convert.convert)
app.command(
    "conform", epilog=conform.EXAMPLES, short_help="Hold any code to the quantities of refimpl."
)(conform.conform)

app.command(
    "validate", epilog=validate.EXAMPLES, short_help="Check the figures of the published sources."
)(validate.validate)


def _version(value: bool) -> None:
    if value:
        typer.echo(refimpl.__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options before the command; ``--debug`` is read by :func:`main`."""


@app.command()
def info(
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Print versions, backends, OpenMP and threads."""
    from refimpl.cli import info as command

    command.main(as_json=as_json)


@app.command(short_help="Calibrate a simulated detector, compare with the truth.")
def demo(
    out: Annotated[
        str, typer.Option("-o", "--out", metavar="DIR", help="Folder for the results.")
    ] = "demo-out",
    seed: Annotated[int, typer.Option(min=0, help="Of the noise and of the panel errors.")] = 1,
    download: Annotated[
        bool, typer.Option(help="Fetch the real frame (2.6 MB) if it is not here.")
    ] = True,
) -> None:
    """Simulate a Pilatus 2M frame with known errors, calibrate it, print found against true.

    Where the real frame is at hand (REFIMPL_DATA, or a network) that is calibrated too.
    """
    from refimpl.cli import demo as command

    command.demo(out, seed, download=download)


@cache
def _program() -> Any:
    """All commands; made once, since reading their signatures takes longer than most refusals."""
    return typer.main.get_command(app)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        result = _program().main(args, prog_name="refimpl", standalone_mode=False)
        if result == 130:  # newer typers turn an interruption into this
            raise KeyboardInterrupt
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except typer.Exit as exc:
        return int(exc.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        return _fail("interrupted", 130)
    except BrokenPipeError:  # the reader of stdout has left, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as exc:  # stdout, or a file that is written line by line
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or "--debug" in args:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        where = "" if exc.filename is None else f"{exc.filename}: "
        return _fail(f"{where}cannot write: {exc.strerror}", 2)
    except (RefimplError, _ClickException) as exc:
        if "--debug" in args:
            raise
        return _fail(_one_line(exc), 4 if isinstance(exc, ConvergenceError) else 2)


def _one_line(exc: Exception) -> str:
    """Message of an error, on one line; a usage error says where help is."""
    text = exc.format_message() if hasattr(exc, "format_message") else str(exc)
    text = " ".join(text.split())
    context = getattr(exc, "ctx", None)
    if isinstance(exc, _UsageError) and context is not None:
        text = f"{text.rstrip('.')}; see '{context.command_path} --help'"
    return text


def _fail(message: str, code: int) -> int:
    typer.echo(f"refimpl: {message}", err=True)
    return code


def run() -> None:
    """Entry point of the installed program."""
    raise SystemExit(main())


if __name__ == "__main__":
    run()
