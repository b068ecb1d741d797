"""Commands of ``refimpl epu``: parse, call, print; what they do is in refimpl.epu."""

from __future__ import annotations

from collections.abc import Callable

import typer

from refimpl.cli import epu_calibrate, epu_duplicates, epu_groups, epu_simulate
from refimpl.cli.grouped import GroupedCommand

__all__ = ["app"]

app = typer.Typer(
    rich_markup_mode=None,
    help="Sessions of EPU (cryo-EM): beam shifts, exposures of one place, optics groups.",
)


def _command(name: str, run: Callable[..., int], short_help: str, epilog: str) -> None:
    app.command(name, cls=GroupedCommand, short_help=short_help, epilog=epilog)(run)


_command("calibrate", epu_calibrate.calibrate, "Find where beam shifts move the beam.",
         epu_calibrate.EXAMPLES)  # fmt: skip
_command("duplicates", epu_duplicates.duplicates, "Find places that were exposed twice.",
         epu_duplicates.EXAMPLES)  # fmt: skip
_command("groups", epu_groups.groups, "Make optics groups for RELION and cryoSPARC.",
         epu_groups.EXAMPLES)  # fmt: skip
_command("simulate", epu_simulate.simulate, "Simulate a session with known duplicates.",
         epu_simulate.EXAMPLES)  # fmt: skip
