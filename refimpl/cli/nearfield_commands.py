"""Commands of ``refimpl nearfield``: parse, call, print; what they do is in refimpl.nearfield."""

from __future__ import annotations

from collections.abc import Callable

import typer

from refimpl.cli import (
    nearfield_calibrate,
    nearfield_grains,
    nearfield_grid,
    nearfield_images,
    nearfield_reconstruct,
    nearfield_simulate,
    nearfield_view,
)
from refimpl.cli.grouped import GroupedCommand

__all__ = ["app"]

app = typer.Typer(
    rich_markup_mode=None,
    help="Maps of orientations from near-field images (NF-HEDM), and what they are made of.",
)


def _command(name: str, run: Callable[..., int], short_help: str, epilog: str) -> None:
    app.command(name, cls=GroupedCommand, short_help=short_help, epilog=epilog)(run)


_command("simulate", nearfield_simulate.simulate, "Simulate images of a map.",
         nearfield_simulate.EXAMPLES)  # fmt: skip
_command("process-images", nearfield_images.process_images, "Find the lit pixels of raw images.",
         nearfield_images.EXAMPLES)  # fmt: skip
_command("grid", nearfield_grid.grid, "Lay out the grid of a map.", nearfield_grid.GRID_EXAMPLES)
_command("seeds", nearfield_grid.seeds, "Write candidate orientations.",
         nearfield_grid.SEEDS_EXAMPLES)  # fmt: skip
_command("reconstruct", nearfield_reconstruct.reconstruct, "Find the orientation of every voxel.",
         nearfield_reconstruct.EXAMPLES)  # fmt: skip
_command("calibrate", nearfield_calibrate.calibrate, "Refine distances, beam centres and tilts.",
         nearfield_calibrate.EXAMPLES)  # fmt: skip
_command("grains", nearfield_grains.grains, "List the grains of a map.", nearfield_grains.EXAMPLES)
_command("view", nearfield_view.view, "Draw a map.", nearfield_view.VIEW_EXAMPLES)
_command("compare", nearfield_view.compare, "Compare a map with another one.",
         nearfield_view.COMPARE_EXAMPLES)  # fmt: skip
