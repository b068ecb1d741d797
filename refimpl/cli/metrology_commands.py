"""Commands of ``refimpl metrology``: parse, call, print; what they do is in refimpl.metrology."""

from __future__ import annotations

from collections.abc import Callable

import typer

from refimpl.cli import (
    metrology_compare,
    metrology_counts,
    metrology_grains,
    metrology_models,
    metrology_refine,
    metrology_report,
    metrology_spots,
    metrology_tools,
    metrology_validate,
)
from refimpl.cli.grouped import GroupedCommand

__all__ = ["app"]

app = typer.Typer(
    rich_markup_mode=None,
    help="Crystal, beam and every panel of a detector from the spots of rotation data.",
)


def _command(
    name: str, run: Callable[..., int], short_help: str, epilog: str | None = None
) -> None:
    app.command(name, cls=GroupedCommand, short_help=short_help, epilog=epilog)(run)


_command("import", metrology_models.import_images, "Make experiments of image headers.",
         metrology_models.EXAMPLES)  # fmt: skip
_command("show", metrology_models.show, "Print what experiments and reflections hold.")
_command("find-spots", metrology_spots.find_spots, "Find the spots of images.",
         metrology_spots.FIND_EXAMPLES)  # fmt: skip
_command("count-spots", metrology_counts.count_spots, "Count spots by image, as distl does.",
         metrology_counts.EXAMPLES)  # fmt: skip
_command("index", metrology_spots.index, "Find the lattice of the spots.",
         metrology_spots.INDEX_EXAMPLES)  # fmt: skip
_command("refine", metrology_refine.refine, "Refine crystals, beam and detector, by panel too.",
         metrology_refine.EXAMPLES)  # fmt: skip
_command("validate", metrology_validate.validate, "Refine halves apart and compare them.",
         metrology_validate.EXAMPLES)  # fmt: skip
_command("grains", metrology_grains.grains, "Refine panels and grains of a polycrystal.",
         metrology_grains.EXAMPLES)  # fmt: skip
_command("predict", metrology_models.predict, "Predict every reflection of a scan.")
_command("report", metrology_report.report, "Write the report of any refinement.")
_command("view", metrology_report.view, "Write an image with its spots and predictions.")
_command("export", metrology_tools.export, "Write a detector for XDS, CrystFEL or DIALS.",
         metrology_tools.EXPORT_EXAMPLES)  # fmt: skip
_command("transfer", metrology_tools.transfer, "Carry panels over to another distance.",
         metrology_tools.TRANSFER_EXAMPLES)  # fmt: skip
_command("compare", metrology_compare.compare, "Compare with a detector or a maker's tables.",
         metrology_compare.EXAMPLES)  # fmt: skip
_command("remeasure", metrology_tools.remeasure, "Make millimetres again from pixels.")
_command("simulate", metrology_report.simulate, "Simulate reflections on panels that are off.")
