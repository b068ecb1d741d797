"""The two engines behind ``refimpl powder panels``: read a file, fit it, hand back its figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refimpl.cli import parse
from refimpl.detector.corrections import fixed_panel
from refimpl.detector.model import TiltedFlat
from refimpl.detector.panel_grid import PanelGrid
from refimpl.io.midas_params import MidasParams
from refimpl.objective.pseudo_strain import published_mean_strain
from refimpl.powder.config import config_from
from refimpl.powder.panel_figures import PanelFigures
from refimpl.powder.panel_frames import read_published_frame, read_stored
from refimpl.powder.panel_keys import notes
from refimpl.powder.panel_params import check_params, number_of, panel_grid_of
from refimpl.powder.panel_settings import panel_settings
from refimpl.powder.prepare import prepare
from refimpl.powder.published_panel_run import PanelIteration, calibrate_published_panels
from refimpl.powder.published_panel_text import (
    doublet_lines,
    indices_map,
    outlier_line,
    passes_line,
)
from refimpl.powder.published_setup import (
    PublishedSetup,
    continued,
    published_setup,
    start_geometry,
)
from refimpl.powder.published_summary import iteration_box
from refimpl.powder.result import PowderResult
from refimpl.units import DEG, UM

__all__ = ["PanelJob", "fit_ours", "fit_published", "read_first"]


@dataclass(frozen=True, eq=False)
class PanelJob:
    """What is the same for every file.

    Attributes
    ----------
    params
        Checked, against the image too.
    shape
        (n_slow, n_fast) as stored.
    grid
        None on a single surface.
    start
        Geometry to begin at, with the corrections of an earlier run if there was one.
    continued_from
        Its file.
    setup
        For the published engine.
    settings
        For ours.
    quirks
        Published quirks.
    notes
        What has no effect, a sentence each.
    """

    params: MidasParams
    shape: tuple[int, int]
    grid: PanelGrid | None
    start: TiltedFlat
    continued_from: Path | None
    setup: PublishedSetup | None
    settings: dict[str, Any]
    quirks: bool
    notes: tuple[str, ...]

    @property
    def fix_panel(self) -> int:
        """FixPanelID."""
        return int(number_of(self.params, "FixPanelID"))


def read_first(
    params: MidasParams,
    files: list[Path],
    *,
    published: bool,
    chords: bool,
    quirks: bool,
    allow_masked: bool,
) -> PanelJob:
    """Read the first file and check everything against it.

    Raises
    ------
    ConfigError, FormatError
        A key, the image, the dark, a mask or the file of shifts cannot be used.
    """
    setup: PublishedSetup | None = None
    settings: dict[str, Any] = {}
    if published:
        setup, shape = _published_start(params, files[0], chords=chords, quirks=quirks)
        start = setup.start
    else:
        start, shape, settings = _our_start(params, files[0], allow_masked)
    start, path = continued(params, start)
    return PanelJob(
        params=params,
        shape=shape,
        grid=panel_grid_of(params),
        start=start,
        continued_from=path,
        setup=setup,
        settings=settings,
        quirks=quirks,
        notes=tuple(notes(params, shape, published=published)),
    )


def _published_start(
    params: MidasParams, file: Path, *, chords: bool, quirks: bool
) -> tuple[PublishedSetup, tuple[int, int]]:
    """What the published engine is given, and the shape of the stored image."""
    _, _, shape = read_published_frame(params, file, published_quirks=quirks)
    check_params(params, shape)
    setup = published_setup(
        *(params, shape),
        published_padding=quirks,
        published_restore=quirks,
        published_chords=chords,
        published_frame=quirks,
        published_rho_d=quirks,
    )
    return setup, shape


def _our_start(
    params: MidasParams, file: Path, allow_masked: bool
) -> tuple[TiltedFlat, tuple[int, int], dict[str, Any]]:
    """Start geometry, shape of the stored image, and settings of our engine."""
    image = read_stored(params, file)
    check_params(params, image.shape)
    settings = panel_settings(params)
    if "panels_grid" in settings:
        settings["allow_masked_panels"] = allow_masked
    start = start_geometry(params, image.shape)
    config = config_from(settings | {"image_transform": start.image_transform})
    prepare(image, config, start.panel_boxes)  # refuses here what it would refuse later
    return start, image.shape, settings


def fit_ours(job: PanelJob, file: Path, threads: int | None) -> tuple[PanelFigures, PowderResult]:
    """Calibrate one file by least squares, told in the published convention of FixPanelID."""
    from refimpl.powder.calibrate import calibrate

    with parse.progress() as tell:
        result = calibrate(
            read_stored(job.params, file),
            start=job.start,
            threads=threads,
            progress=tell,
            **job.settings,
        )
    figures = PanelFigures.of_result(
        result,
        job.start,
        number_of(job.params, "MultFactor"),
        int(number_of(job.params, "OutlierIterations")),
        int(number_of(job.params, "DistortionOrder")),
    )
    if figures.detector.panel_boxes is not None:
        figures = figures.at(fixed_panel(figures.detector, job.fix_panel))
    return figures, result


def fit_published(job: PanelJob, file: Path, say: Callable[[str], None]) -> PanelFigures:
    """Calibrate one file as published, saying what each iteration did."""
    assert job.setup is not None  # read_first made it for this engine
    image, mask, _ = read_published_frame(job.params, file, published_quirks=job.quirks)
    setup, options = job.setup, job.setup.options

    def tell(number: int, step: PanelIteration) -> None:
        say(_iteration_text(job, setup, number, step))

    run = calibrate_published_panels(
        *(image, job.start, setup.rings, options, setup.panels),
        mask=mask,
        progress=tell,
    )
    if run.best != len(run.iterations) - 1:
        points = "points of the last" if setup.panels.published_restore else "with its points"
        say(
            f"*** Restoring best result from iteration {run.best + 1}/{len(run.iterations)} "
            f"(MeanStrain {run.mean_strain:.12f} vs last {run.history[-1]:.12f}), {points} ***"
        )
    return PanelFigures.of_run(run)


def _iteration_text(job: PanelJob, setup: PublishedSetup, number: int, step: PanelIteration) -> str:
    """Block of one iteration in the published layout."""
    options = setup.options
    factor, passes = options.mult_factor, options.outlier_iterations
    lines = []
    if options.n_iterations > 1:
        lines.append(iteration_box(number, options.n_iterations).rstrip("\n"))
    windows = setup.windows(step.start)
    lines += doublet_lines(windows, setup.groups(step.start), step.start.pixel_size_mm[0])
    lines.append(f"Out of {step.points.n_bins} slices, {step.in_detector} were in the detector")
    if options.normalize_ring_weights:
        rings = len({int(r) for r in step.points.ring})
        lines.append(f"Ring weight normalization: {rings} distinct rings, weights computed.")
    lines.append(f"Number of calls to profiler function: {step.points.evaluations}")
    lines += [text for text in (passes_line(step.strain_before, factor, passes),) if text]
    if job.grid is not None:
        across, up = job.grid.n_fast, job.grid.n_slow
        lines.append(indices_map(step.counts, across, up, job.fix_panel))
    lines += [text for text in (outlier_line(step.strain, factor),) if text]
    lines.append(f"Number of function calls: {step.evaluations} ({step.reason})")
    lines += _geometry_lines(step, factor, options.distortion_order)
    return "\n".join(lines)


def _geometry_lines(step: PanelIteration, factor: float, order: int) -> list[str]:
    d = step.detector
    fast, slow = (v - 0.5 for v in d.beam_centre_px)
    _, ty, tz = (v / DEG for v in d.tilts_rad)
    return [
        f"Lsd {d.lsd_mm / UM:.12f}",
        f"BC {fast:.12f} {slow:.12f}",
        f"ty {ty:.12f}",
        f"tz {tz:.12f}",
        *(f"p{n} {d.p[n]:.12f}" for n in range(4)),
        f"MeanStrain {published_mean_strain(step.strain, factor):.12f}",
        *([f"p4 {d.p[4]:.12f}"] if order >= 6 else []),
    ]
