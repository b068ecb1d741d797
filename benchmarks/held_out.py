"""Panels of the measured Pilatus 2M frame on points that they were not fitted to (panel1deg).

    python benchmarks/held_out.py [--update docs/benchmarks.md]

Each model is fitted to one half of a fixed set of ring patches and scored on the other: alternate
1-degree bins of azimuth, alternate 10-degree sectors, odd against even rings. All points count; the
figure in brackets leaves out those beyond 5 median absolute deviations. The same is asserted by
tests/system/test_real_panels.py. Needs the measured frame (refimpl.data).
"""

from __future__ import annotations

import argparse
import sys

from page import Table, add_options, finish
from powder_worker import BEAM_2M, PILATUS2M

from refimpl import data
from refimpl.detector.model import TiltedFlat
from refimpl.detector.panel_grid import named_grid
from refimpl.powder import calibrate
from refimpl.powder.observations import RingPoints
from refimpl.powder.panel_patches import SPLITS, HeldOut, held_out_score, panel_points, split_labels
from refimpl.powder.panel_setup import PanelSetup
from refimpl.powder.panels import fit_panels
from refimpl.powder.parameters import parameters
from refimpl.powder.refine import fit_geometry, point_strain
from refimpl.units import MICROSTRAIN

SURFACE = ("distance", "beam_centre", "tilt")
MODELS = (
    ("shift",), ("shift", "rotation", "height"), ("shift", "rotation", "height", "tilt"),
)  # fmt: skip


def cell(score: HeldOut) -> str:
    return f"{score.mean_abs / MICROSTRAIN:.1f} ({score.cut_mean_abs / MICROSTRAIN:.1f})"


def rows(grid: str, table: Table) -> None:
    """One row a model, on the panels of a grid."""
    flat = calibrate(data.path(PILATUS2M), **BEAM_2M)
    frame, boxes = flat.prepared.frame, named_grid(grid).boxes()
    points = panel_points(frame.counts, frame.usable != 0, flat.model, boxes, flat.rings)
    free = parameters(flat.model.replace(panel_boxes=boxes), SURFACE)
    plain = parameters(flat.model.replace(panel_boxes=None), SURFACE)
    for refine in ((), *MODELS):

        def fit(some: RingPoints, refine: tuple[str, ...] = refine) -> TiltedFlat:
            if refine:
                found = fit_panels(some, flat.rings, free, PanelSetup(refine))
            else:
                found = fit_geometry(some, flat.rings, plain)
            return found.parameters.at(found.fit.x)

        scores = [held_out_score(points, flat.rings, fit, split_labels(points, s)) for s in SPLITS]
        model = fit(points)
        inside = HeldOut.of(point_strain(points, flat.rings, model.geometry, model.corrections))
        name = ", ".join(refine) or "one surface"
        table.add(grid, name, *(cell(s) for s in scores), cell(inside), f"{model.lsd_mm:.4f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add_options(parser)
    options = parser.parse_args()
    if not data.is_here(PILATUS2M):
        print("benchmarks/held_out.py: the measured frame is not here", file=sys.stderr)
        return 2
    table = Table(
        "Pilatus 2M, mean |strain| of all points [µε] (without those beyond 5 MAD)", "panels",
        "refined", "alternate bins", "alternate sectors", "odd/even rings", "in sample", "Lsd [mm]",
    )  # fmt: skip
    for grid in ("pilatus2m", "pilatus2m-half"):
        rows(grid, table)
    return finish("held_out", [table], options)


if __name__ == "__main__":
    sys.exit(main())
