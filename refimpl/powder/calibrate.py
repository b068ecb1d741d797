"""The calibration itself: image in, geometry with uncertainties out, by one documented call.

Passes of extraction and fit follow each other until the parameters stand still
(:mod:`refimpl.powder.passes`): first those of one surface, then, where asked for, those of the
surface with all of its panels.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refimpl.crystal.calibrants import calibrant
from refimpl.crystal.rings import Rings, rings
from refimpl.detector.model import TiltedFlat
from refimpl.dispatch import current_backend, resolve_threads
from refimpl.errors import ConfigError, NoRingsError
from refimpl.io.image import Image
from refimpl.powder.automatic import WIDEST_ANGLE, automatic_start, doubts
from refimpl.powder.config import PowderConfig, config_from
from refimpl.powder.grow import N_ETA, Grown, RingsAt, reach, ring_widths
from refimpl.powder.observations import RingPoints, RingProfiles, estimate_relative_noise
from refimpl.powder.orient import find_transform
from refimpl.powder.panel_passes import add_panels, fit_surface, halves, panel_setup, with_panels
from refimpl.powder.parameters import Parameters, parameters
from refimpl.powder.passes import Lines, Passes, run_passes
from refimpl.powder.prepare import Prepared, prepare, read_source
from refimpl.powder.refine import GeometryFit
from refimpl.powder.result import PowderResult

__all__ = ["automatic_start", "calibrate"]

FINEST_DEG, WIDEST_DEG = 2.0, 10.0
"""Range of the azimuthal bin where none is asked for [degrees]."""

WEAK_CENTRE = 0.05
"""Wanted uncertainty of a peak's centre, in its widths."""

Progress = Callable[[str, float], None]

# Sizes of pixels that need no remark [mm]: cameras behind a scintillator to coarse image plates.
_PIXEL_MM = (0.002, 1.0)


def calibrate(
    image: str | Path | Image | ArrayLike,
    *,
    config: PowderConfig | None = None,
    mask: str | Path | NDArray[np.bool_] | None = None,
    reading: dict[str, Any] | None = None,
    start: TiltedFlat | None = None,
    geometry: TiltedFlat | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> PowderResult:
    """Detector geometry from one image of a calibrant.

    Parameters
    ----------
    image
        Path of an image in any known format, or an array (n_slow, n_fast) in the file's order.
    config
        A whole configuration; `settings` are laid over it.
    mask
        True (1) = bad, in the file's pixel order: path or array.
    reading
        Options of :func:`refimpl.io.images.read` (``dataset``, ``dark``, ``frames``, ...).
    start
        Geometry to start from (its image transform counts); default: found automatically.
    geometry
        A published geometry of this image. How the image must be laid down for it is found,
        said in the result, and used; the geometry is the start.
    threads
        See :func:`refimpl.dispatch.resolve_threads`. The result does not depend on it.
    progress
        Called with the name of a stage and the part of the work that is done.
    **settings
        Any setting of :class:`refimpl.powder.config.PowderConfig` by name, among them
        ``wavelength_angstrom`` and ``pixel_size_mm`` (both needed), ``calibrant``,
        ``lattice_parameter_angstrom``, ``refine``, ``eta_bin_deg``, ``panels_grid``.

    Returns
    -------
    PowderResult

    Raises
    ------
    ConfigError
        A setting is unknown, missing or out of range.
    FormatError
        The image cannot be used; as NoRingsError: it shows no rings, or not the calibrant's.
    GeometryError
        The image fits `geometry` in no way.
    ConvergenceError
        Too few points of the rings are left.

    Examples
    --------
    >>> import refimpl
    >>> result = refimpl.powder.calibrate(  # doctest: +SKIP
    ...     "ceria.tif", calibrant="CeO2", wavelength_angstrom=0.2022, pixel_size_mm=0.172
    ... )
    """
    tell = progress or (lambda stage, part: None)
    clock = _Clock()
    settled = config_from(settings, base=config)
    if start is not None:
        settled = config_from({"image_transform": start.image_transform}, base=settled)
    _check_names(settled)
    everything = rings(
        calibrant(settled.calibrant.calibrant, settled.calibrant.lattice_parameter_angstrom),
        settled.beam.wavelength_angstrom,
        WIDEST_ANGLE,
    )
    tell("reading", 0.0)
    source = read_source(image, mask, reading)
    notes: list[str] = []
    if geometry is not None:
        found_way = find_transform(source, geometry, everything, threads=threads)
        notes.append(found_way.sentence())
        start = geometry.replace(image_transform=found_way.transform)
        settled = config_from({"image_transform": found_way.transform}, base=settled)
    notes.extend(_unusual(settled.detector.pixel_size_mm))
    prepared = prepare(source, settled, None if start is None else start.panel_boxes)
    clock.stop("reading")
    tell("finding rings", 0.05)
    try:
        grown, found = automatic_start(
            prepared.frame, everything, settled, start=start, threads=threads
        )
    except NoRingsError as exc:
        raise NoRingsError(str(exc), path=source.path) from exc
    notes += doubts(grown, settled)
    clock.stop("automatic start")
    result = _refined(prepared, settled, grown, found, everything, start, threads, tell, clock)
    return replace(result, warnings=(*notes, *result.warnings))


@dataclass
class _Clock:
    """Wall and CPU seconds by stage."""

    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    _last: tuple[float, float] = field(
        default_factory=lambda: (time.perf_counter(), time.process_time())
    )

    def stop(self, stage: str) -> None:
        now = (time.perf_counter(), time.process_time())
        self.wall[stage] = self.wall.get(stage, 0.0) + now[0] - self._last[0]
        self.cpu[stage] = self.cpu.get(stage, 0.0) + now[1] - self._last[1]
        self._last = now


def _unusual(pixel_size_mm: tuple[float, float]) -> list[str]:
    """Say what only shows in the distance: a pixel size in other units."""
    if all(_PIXEL_MM[0] <= size <= _PIXEL_MM[1] for size in pixel_size_mm):
        return []
    return [
        f"Pixels of {pixel_size_mm[0]:g} mm x {pixel_size_mm[1]:g} mm are unusual. The rings fit "
        "with any size: if it is wrong, the distance is wrong in proportion."
    ]


def _check_names(config: PowderConfig) -> None:
    """Refuse what could only be found wrong after minutes of work."""
    probe = TiltedFlat((10, 10), config.detector.pixel_size_mm, 1.0, (5.0, 5.0), p=config.start.p)
    parameters(probe, config.calibrate.refine, config.calibrate.tolerances)
    setup = panel_setup(config)
    if setup is not None and config.calibrate.solver != "lm":
        raise ConfigError(
            f"solver {config.calibrate.solver!r} with panels: expected 'lm'; the published "
            "Nelder-Mead with panels is refimpl powder panels --published",
            key="solver",
        )
    if config.calibrate.objective == "published" and config.calibrate.solver != "simplex":
        raise ConfigError(
            "objective 'published' is an L1 sum: it needs solver 'simplex'", key="solver"
        )


def _refined(
    prepared: Prepared,
    config: PowderConfig,
    grown: Grown,
    found: Rings,
    everything: Rings,
    start: TiltedFlat | None,
    threads: int | None,
    tell: Progress,
    clock: _Clock,
) -> PowderResult:
    """Passes until the parameters stand still: of one surface, then with its panels."""
    n_eta = _eta_bins(config.calibrate.eta_bin_deg, grown)
    model = grown.model
    rho_d = config.detector.rho_d_mm
    model = model.replace(rho_d_mm=model.farthest_corner_mm() if rho_d is None else rho_d)
    found = RingsAt(everything)(reach(model))
    free = parameters(model, config.calibrate.refine, config.calibrate.tolerances)
    lines = Lines(
        ring_widths(grown.points, len(found), np.full(len(found), np.median(grown.fwhm_rad))),
        RingProfiles.of(grown.points, found),
        np.isin(found.number, config.calibrant.exclude_rings),
    )
    frame = prepared.frame
    frame = replace(frame, relative_noise=estimate_relative_noise(frame, grown.points))

    def stage(name: str, turn: int) -> None:
        clock.stop(name)
        if name == "geometry":
            tell(f"pass {turn}", min(0.1 + 0.15 * turn, 0.9))

    def surface(points: RingPoints, free: Parameters, last: GeometryFit | None) -> GeometryFit:
        return fit_surface(points, found, free, config)

    least = len(free) + 3
    setup = panel_setup(config)
    passes = run_passes(
        frame, config, found, free, lines, surface, n_eta=n_eta, least_points=least,
        reject_rings=setup is None, stage=stage, threads=threads,
    )  # fmt: skip
    single: Passes | None = None
    if setup is not None:
        single = passes
        passes = with_panels(
            single, prepared, config, found, free, setup, start, n_eta=n_eta, stage=stage,
            threads=threads,
        )  # fmt: skip
    result = PowderResult.build(
        config=config, prepared=replace(prepared, frame=passes.frame), rings=found,
        points=passes.points, fit=passes.fit, iterations=passes.iterations,
        converged=passes.converged, reason=passes.reason, excluded=passes.lines.excluded,
        n_eta=n_eta, halves=halves(passes, found, config, setup),
        backend=current_backend(), threads=resolve_threads(threads),
    )  # fmt: skip
    if single is not None:
        result = add_panels(result, single, passes, halves(single, found, config, None))
    clock.stop("statistics")
    tell("done", 1.0)
    return replace(result, timing=dict(clock.wall), cpu_timing=dict(clock.cpu), command=_command())


def _eta_bins(eta_bin_deg: float | None, grown: Grown) -> int:
    """Bins in the full circle: as asked, else fine enough for detail and wide enough for counts.

    A peak whose centre is worse than :data:`WEAK_CENTRE` widths is about to drop below the limit
    of acceptance, and what it knows with it. The weaker quarter of the points decides.
    """
    if eta_bin_deg is None:
        used = grown.points.used
        loose = grown.points.sigma_rad[used] / grown.points.fwhm_rad[used]
        weak = float(np.percentile(loose, 75.0)) / WEAK_CENTRE
        eta_bin_deg = float(np.clip(360.0 / N_ETA * weak * weak, FINEST_DEG, WIDEST_DEG))
    return max(8, round(360.0 / eta_bin_deg))


def _command() -> str:
    return " ".join(sys.argv)
