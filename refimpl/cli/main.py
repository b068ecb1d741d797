"""The program ``refimpl``: groups of commands, and the one place where errors become exit codes.

Exit 0: done. 1: a comparison failed. 2: usage or bad input, one line on stderr and no traceback.
4: the calculation did not converge. ``--debug`` before the command shows the traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import click
import typer

import refimpl
from refimpl.cli import powder_commands
from refimpl.errors import ConvergenceError, RefimplError

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Executable reference for the calibrations behind diffraction and cryo-EM experiments.",
)
app.add_typer(powder_commands.app, name="powder")


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


@app.command()
def demo(
    out: Annotated[str, typer.Option("-o", "--out", help="Folder for the results.")] = "demo-out",
    seed: Annotated[int, typer.Option(help="Of the simulated noise.")] = 1,
) -> None:
    """Simulate a Pilatus 2M frame with known errors, calibrate it, print found against true."""
    from refimpl.cli import demo as command

    command.demo(out, seed)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        result = app(args, prog_name="refimpl", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as exc:
        return int(exc.exit_code)
    except click.Abort:
        return _fail("interrupted", 130)
    except click.ClickException as exc:
        return _fail(exc.format_message().replace("\n", " "), 2)
    except RefimplError as exc:
        if "--debug" in args:
            raise
        return _fail(" ".join(str(exc).split("\n")), 4 if isinstance(exc, ConvergenceError) else 2)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _fail(message: str, code: int) -> int:
    typer.echo(f"refimpl: {message}", err=True)
    return code


def run() -> None:
    """Entry point of the installed program."""
    raise SystemExit(main())


if __name__ == "__main__":
    run()
