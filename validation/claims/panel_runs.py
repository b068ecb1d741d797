"""Claims of the published panel program's own files and console text: ours from its points."""

from __future__ import annotations

import gzip
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from refimpl import data
from refimpl.detector.panel_grid import named_grid
from refimpl.interop.hexrd import detector_from_hexrd, read_hexrd
from refimpl.interop.panels import tilted_flat_from_panels
from refimpl.io.images import read
from refimpl.io.panel_files import (
    read_corrections,
    read_panel_tif,
    write_corrections,
    write_shifts_tif,
)
from refimpl.objective.pseudo_strain import published_l1
from refimpl.powder.published_panel_run import calibrate_published_panels
from refimpl.powder.published_panel_text import (
    doublet_lines,
    indices_map,
    passes_line,
    ring_lines,
    shift_statistics,
    strain_map,
)
from refimpl.powder.published_panels import (
    fit_published_panels,
    panel_strain_of,
    published_panel_index,
)
from refimpl.powder.published_points import extract_points
from refimpl.powder.published_setup import published_setup
from refimpl.powder.published_summary import iteration_box, summary_box
from refimpl.testing.published_panel_case import PanelRun
from refimpl.units import MICROSTRAIN

SHAPE = (1679, 1475)
FIXED = 20


def _file(name: str) -> Path:
    return data.path(f"powder-golden/{name}")


@cache
def _run(name: str) -> PanelRun:
    return PanelRun(_file(f"{name}/ps.txt").parent)


def points(name: str) -> list[float]:
    """Largest difference of eta [deg], strain, fitted radius [um] and place [px] of a point."""
    theirs, ours = _run(name).corr, _run(name).figures().corr_table()
    columns = ("eta_deg", "strain", "rad_fit_um", "y_px")
    return [float(np.abs(getattr(ours, c) - getattr(theirs, c)).max()) for c in columns]


def blocks(name: str) -> str:
    """Printed blocks that ours differ from."""
    run = _run(name)
    figures, setup = run.figures(), published_setup(run.params, SHAPE)
    varied = figures.counts > 0
    varied[FIXED] = False
    pairs = doublet_lines(setup.windows(setup.start), setup.groups(setup.start), 0.172)
    made = {
        "outlier line": passes_line(figures.strain, 2.5, 3),
        "indices per panel": indices_map(figures.counts, 6, 8, FIXED),
        "strain per panel": strain_map(figures.panel_means(), 6, 8),
        "shift statistics": shift_statistics(run.shifts, varied, FIXED),
        "iteration": iteration_box(10, 10),
        "rings": ring_lines(setup.rings.two_theta_rad, (), setup.tolerance_rad, (2,)),
        "doublets": "\n".join(pairs),
    }
    return ", ".join(title for title, text in made.items() if text not in run.text)


def summary_lines(name: str) -> str:
    """Lines of the summary box that are printed otherwise."""
    run = _run(name)
    lines = run.text.splitlines()
    box = summary_box(run.params, SHAPE, 48).splitlines()
    return " ".join(line.split()[1] for line in box if line not in lines)


def simplex_end(name: str) -> float:
    """Our simplex, started where the published one ended: its objective over the published."""
    run = _run(name)
    setup, own = published_setup(run.params, SHAPE), run.points()
    weights = 1.0 / np.bincount(own.ring)[own.ring]
    best = published_l1(panel_strain_of(own, run.panel, run.detector), weights)
    detector, _, _ = fit_published_panels(own, run.panel, run.detector, setup.options, setup.panels)
    return float(published_l1(panel_strain_of(own, run.panel, detector), weights) / best)


def _setup(iterations: int | None = None) -> Any:
    more = {} if iterations is None else {"n_iterations": iterations}
    return published_setup(
        _run("panels-it10").params, SHAPE, published_chords=True, published_frame=True, **more
    )


def _image() -> tuple[Any, Any]:
    name = "pilatus2m-ceria-hexrd/ceria_50x30_740mm_000005_Pilatus2M.hdf5"
    image = read(data.path(name), transforms=(2,))
    return np.asarray(image.data, dtype=float), np.asarray(image.mask)


def first_iteration() -> list[float]:
    """Of the first iteration from the frame: bins, points, those on panels, clipped strain."""
    setup = _setup()
    found = extract_points(*_image(), setup.start, setup.rings, setup.options)
    panel = published_panel_index(setup.start, found.fast_px, found.slow_px)
    on = panel >= 0
    strain = panel_strain_of(found.select(on), panel[on], setup.start)
    kept = float(passes_line(strain, 2.5, 3).split()[-1])
    return [float(found.n_bins), float(len(found)), float(on.sum()), kept / MICROSTRAIN]


def four_iterations() -> list[float]:
    """Mean strain after four iterations from the frame [microstrain], and distance [mm]."""
    setup = _setup(4)
    counts, mask = _image()
    found = calibrate_published_panels(
        counts, setup.start, setup.rings, setup.options, setup.panels, mask
    )
    return [found.mean_strain / MICROSTRAIN, found.detector.lsd_mm]


def shifts_file(name: str) -> int:
    """Lines of panelshifts.txt that differ after reading and writing in our units."""
    path = _file(f"{name}/panelshifts.txt")
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder, "p.txt")
        write_corrections(again, read_corrections(path, 48))
        one, two = path.read_bytes().split(b"\n"), again.read_bytes().split(b"\n")
    return sum(a != b for a, b in zip(one, two, strict=False)) + abs(len(one) - len(two))


def shift_map() -> float:
    """Largest relative difference of our map of the lengths that the published map holds."""
    grid = named_grid("pilatus2m-half")
    with tempfile.TemporaryDirectory() as folder:
        theirs, ours = Path(folder, "theirs.tif"), Path(folder, "ours.tif")
        packed = _file("panels-it10/panelshifts.txt.shifts.tif.gz").read_bytes()
        theirs.write_bytes(gzip.decompress(packed))
        published = read_panel_tif(theirs)
        table = np.zeros((len(grid), 7))
        for row, (f0, s0, _, _) in zip(table, grid.boxes(), strict=True):
            row[:2] = np.array([0.6, -0.8]) * float(published[s0, f0])
        write_shifts_tif(ours, grid.boxes(), table, grid.shape)
        found = read_panel_tif(ours)
    away = np.abs(found.astype(float) - published)[published != 0.0]
    return float((away / np.abs(published[published != 0.0])).max())


def composite() -> list[Any]:
    """HEXRD's panels as one model of ours: panels, largest change of a corner [mm]."""
    name = "pilatus2m-ceria-hexrd/geometry_24panels.json"
    instrument = read_hexrd(data.path(name))
    places = {p.name: [int(n) for n in p.name.split("_")[-2:]] for p in instrument.panels}
    origins = {key: (494 * column, 212 * row) for key, (row, column) in places.items()}
    detector = detector_from_hexrd(instrument, SHAPE, origins)
    again = tilted_flat_from_panels(detector).detector()
    f, s = np.meshgrid([0.5, 486.5], [0.5, 194.5])
    away = [
        np.abs(same.lab_mm(f, s) - panel.lab_mm(f, s)).max()
        for panel, same in zip(detector.panels, again.panels, strict=True)
    ]
    return [float(len(away)), float(max(away))]
