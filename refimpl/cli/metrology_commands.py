"""Commands of ``refimpl metrology``: parse, call, print; what they do is in refimpl.metrology."""

from __future__ import annotations

import typer

from refimpl.cli import metrology_models, metrology_refine, metrology_report, metrology_spots

__all__ = ["app"]

app = typer.Typer(
    rich_markup_mode=None,
    help="Crystal, beam and every panel of a detector from the spots of rotation data.",
)

app.command(
    "import", epilog=metrology_models.EXAMPLES, short_help="Make experiments of image headers."
)(metrology_models.import_images)
app.command("show", short_help="Print what experiments and reflections hold.")(
    metrology_models.show
)
app.command(
    "find-spots", epilog=metrology_spots.FIND_EXAMPLES, short_help="Find the spots of images."
)(metrology_spots.find_spots)
app.command(
    "index", epilog=metrology_spots.INDEX_EXAMPLES, short_help="Find the lattice of the spots."
)(metrology_spots.index)
app.command(
    "refine", epilog=metrology_refine.EXAMPLES,
    short_help="Refine crystals, beam and detector, whole or by panel.",
)(metrology_refine.refine)  # fmt: skip
app.command("predict", short_help="Predict every reflection of a scan.")(metrology_models.predict)
app.command("report", short_help="Write the report of any refinement.")(metrology_report.report)
app.command("view", short_help="Write an image with its spots and predictions.")(
    metrology_report.view
)
app.command("simulate", short_help="Simulate reflections on panels that are off.")(
    metrology_report.simulate
)
