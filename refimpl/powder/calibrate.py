"""The calibration itself: image in, geometry with uncertainties out, by one documented call.

Passes of extraction and fit follow each other until the parameters stand still: the peaks are
always sought where the last geometry says they are, on true arcs. There is a cap on the passes
and an exit where they no longer gain anything; the published loop has neither.
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
from refimpl.errors import ConfigError, ConvergenceError, NoRingsError
from refimpl.frames import F64, I64
from refimpl.io.image import Image
from refimpl.objective.pseudo_strain import strain_summary
from refimpl.powder.automatic import WIDEST_ANGLE, automatic_start, doubts, polarisation
from refimpl.powder.config import PowderConfig, config_from
from refimpl.powder.grow import N_ETA, Grown, RingsAt, reach, ring_widths
from refimpl.powder.observations import (
    RingPoints,
    RingProfiles,
    estimate_relative_noise,
    observe,
)
from refimpl.powder.orient import find_transform
from refimpl.powder.parameters import Parameters, parameters
from refimpl.powder.prepare import Prepared, prepare, read_source
from refimpl.powder.refine import GeometryFit, fit_geometry, fit_published
from refimpl.powder.result import Iteration, PowderResult
from refimpl.powder.windows import ring_groups

__all__ = ["automatic_start", "calibrate"]

SETTLE = 2
"""Passes in which the widths of the rings, hence the windows, and the noise still change."""

STANDS_STILL = 0.02
"""The passes have converged when no parameter moves by more than this part of its uncertainty."""

FINEST_DEG, WIDEST_DEG = 2.0, 10.0
"""Range of the azimuthal bin where none is asked for [degrees]."""

WEAK_CENTRE = 0.05
"""Wanted uncertainty of a peak's centre, in its widths."""

PATIENCE = 6
"""Passes after which moves of a tenth of the uncertainty count as standing still (pixels at the
edge of a window may come and go for ever), and passes without gain after which there is no hope."""

Progress = Callable[[str, float], None]


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
        ``lattice_parameter_angstrom``, ``refine``, ``eta_bin_deg``.

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
    prepared = prepare(source, settled)
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
    result = _refined(prepared, settled, grown, found, everything, threads, tell, clock)
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


def _check_names(config: PowderConfig) -> None:
    """Refuse what could only be found wrong after minutes of work."""
    probe = TiltedFlat((10, 10), config.detector.pixel_size_mm, 1.0, (5.0, 5.0), p=config.start.p)
    parameters(probe, config.calibrate.refine, config.calibrate.tolerances)
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
    threads: int | None,
    tell: Progress,
    clock: _Clock,
) -> PowderResult:
    """Passes of extraction and fit until the parameters stand still."""
    frame, c = prepared.frame, config.calibrate
    n_eta = _eta_bins(c.eta_bin_deg, grown)
    model = grown.model
    if config.detector.rho_d_mm is not None:
        model = model.replace(rho_d_mm=config.detector.rho_d_mm)
    else:
        model = model.replace(rho_d_mm=model.farthest_corner_mm())
    found = RingsAt(everything)(reach(model))
    fwhm = ring_widths(grown.points, len(found), np.full(len(found), np.median(grown.fwhm_rad)))
    free = parameters(model, c.refine, c.tolerances)
    excluded = np.isin(found.number, config.calibrant.exclude_rings)
    iterations: list[Iteration] = []
    best: tuple[float, GeometryFit, RingPoints, int] | None = None
    lasting: I64 | None = None
    profiles = RingProfiles.of(grown.points, found)
    converged, reason = False, f"stopped after {c.max_iterations} passes"
    frame = replace(frame, relative_noise=estimate_relative_noise(frame, grown.points))
    for turn in range(1, c.max_iterations + 1):
        tell(f"pass {turn}", min(0.1 + 0.15 * turn, 0.9))
        half = np.maximum(c.window_fwhm * fwhm, 4.0 * min(model.pixel_size_mm) / model.lsd_mm)
        groups = ring_groups(found.two_theta_rad, fwhm, half, ~excluded)
        points = observe(
            frame, model, found, groups, n_eta,
            polarisation=polarisation(config), least_coverage=c.least_coverage,
            least_snr=c.least_snr, profiles=profiles, threads=threads,
        )  # fmt: skip
        points = points.with_used(points.used & ~excluded[points.ring])
        if turn >= SETTLE:
            # a point at the edge of a rule may come and go with every pass: once gone it stays out
            lasting = points.key if lasting is None else np.intersect1d(lasting, points.key)
            points = points.with_used(points.used & np.isin(points.key, lasting))
        clock.stop("peaks")
        if np.count_nonzero(points.used) < len(free) + 3:
            raise ConvergenceError(
                f"only {np.count_nonzero(points.used)} ring points for {len(free)} parameters: "
                "the rings are too weak or too few"
            )
        fit = _fit(points, found, free, config)
        if turn <= SETTLE:  # then the windows stand still, so that the passes can
            kept = points.with_used(fit.used)
            profiles = RingProfiles.of(kept, found)
            fwhm = ring_widths(kept, len(found), fwhm)
            frame = replace(frame, relative_noise=estimate_relative_noise(frame, kept))
        new = fit.parameters.at(fit.fit.x)
        summary = strain_summary(fit.strain[points.used])
        iterations.append(Iteration.of(turn, fit, points, found, summary))
        clock.stop("geometry")
        bad = _bad_rings(fit, points, len(found), c.ring_multiplier)
        moved = _moved(free, model, fit)
        if best is None or summary.clip_mean <= best[0] * (1.0 + 1e-3):
            best = (summary.clip_mean, fit, points, turn)
        model, free = new, free.moved_to(new)
        if turn > 1 and np.any(bad & ~excluded):
            excluded = excluded | bad
            best = None  # figures before and after a ring is left out do not compare
            continue
        still = STANDS_STILL if turn < PATIENCE else 5.0 * STANDS_STILL
        if moved < still or (
            c.stopping_strain is not None and summary.mean_all < c.stopping_strain
        ):
            converged, reason = (
                True,
                "parameters stand still" if moved < still else "stopping strain",
            )
            break
        if turn - best[3] >= PATIENCE:
            reason = "no progress: the best pass is kept"
            break
    assert best is not None
    _, fit, points, _ = best
    result = PowderResult.build(
        config=config, prepared=replace(prepared, frame=frame), rings=found, points=points, fit=fit,
        iterations=tuple(iterations), converged=converged, reason=reason,
        excluded=excluded, n_eta=n_eta,
        halves=_cross_validated(points, found, fit.parameters, config),
        backend=current_backend(), threads=resolve_threads(threads),
    )  # fmt: skip
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


def _fit(points: RingPoints, found: Rings, free: Parameters, config: PowderConfig) -> GeometryFit:
    c = config.calibrate
    if c.objective == "published":
        return fit_published(points, found, free)
    return fit_geometry(points, found, free, clip_sigma=c.clip_sigma, solver=c.solver)


def _moved(free: Parameters, model: TiltedFlat, fit: GeometryFit) -> float:
    """Largest move of a parameter in this pass, in standard uncertainties."""
    before = free.moved_to(model).start
    sigma = fit.fit.sigma
    moved = np.abs(fit.fit.x - before)[sigma > 0.0] / sigma[sigma > 0.0]
    return float(np.max(moved)) if len(moved) else 0.0


def _bad_rings(
    fit: GeometryFit, points: RingPoints, n_rings: int, multiplier: float
) -> NDArray[np.bool_]:
    """Rings whose mean |strain| over its expected spread is far above the median ring's."""
    bad = np.zeros(n_rings, dtype=bool)
    seen = np.unique(points.ring[points.used])
    if multiplier <= 0.0 or len(seen) < 4:
        return bad
    spread = np.abs(fit.strain) * np.sqrt(np.maximum(fit.weight, 0.0))
    mean = np.array(
        [
            np.mean(spread[fit.used & (points.ring == k)])
            if np.any(fit.used & (points.ring == k))
            else np.inf
            for k in seen
        ]
    )
    bad[seen] = mean > multiplier * np.median(mean)
    return bad


def _cross_validated(
    points: RingPoints, found: Rings, free: Parameters, config: PowderConfig
) -> F64:
    """Strain of every used point at a geometry fitted to the other half of the azimuthal bins."""
    from refimpl.powder.refine import point_strain

    out = np.full(len(points), np.nan)
    for half in (0, 1):
        mine = points.used & (points.eta_bin % 2 == half)
        if np.count_nonzero(mine) <= len(free) or np.count_nonzero(points.used & ~mine) == 0:
            return out
        other = points.with_used(mine)
        fit = _fit(other, found, free, config)
        strain = point_strain(
            points, found, fit.parameters.geometry(fit.fit.x), free.model.corrections
        )
        score = points.used & ~mine
        out[score] = strain[score]
    return out
