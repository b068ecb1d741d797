"""Several frames of one detector calibrated together: distances, energies, calibrants.

Each frame is calibrated by itself first; then all are extracted at the common model and fitted
together, pass after pass, until nothing moves: first as one surface, then with all panels. What
the frames share, and what becomes determined by it, is said in the result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import HARMONIC_POWERS
from refimpl.errors import ConfigError, ConvergenceError, FormatError, GeometryError
from refimpl.frames import F64, I64
from refimpl.io.image import Image
from refimpl.io.panel_grids import resolve_grid
from refimpl.io.transforms import apply_transforms
from refimpl.powder.calibrate import _check_names, calibrate
from refimpl.powder.config import PowderConfig, config_from
from refimpl.powder.grow import ring_widths
from refimpl.powder.joint_border import Sharing
from refimpl.powder.joint_frames import JointFrame, frame_names
from refimpl.powder.joint_parts import joint_result
from refimpl.powder.joint_passes import Exposure, joint_passes
from refimpl.powder.joint_result import JointResult
from refimpl.powder.observations import RingProfiles
from refimpl.powder.panel_passes import panel_setup
from refimpl.powder.parameters import parameters
from refimpl.powder.passes import Lines
from refimpl.powder.prepare import Prepared, prepare, read_source
from refimpl.powder.result import PowderResult

__all__ = ["JointFrame", "JointResult", "calibrate_joint"]

Progress = Callable[[str, float], None]

SAME_WAVELENGTH = 1e-9
"""Relative difference up to which two given wavelengths are one."""


def calibrate_joint(
    frames: Sequence[JointFrame],
    *,
    config: PowderConfig | None = None,
    refine_shared: Sequence[str] = ("pixel_size",),
    share: Sequence[str] = (),
    threads: int | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> JointResult:
    """Calibrate several frames of one detector together.

    Parameters
    ----------
    frames
        At least two, all of one shape. With ``travel_mm`` on all of them they have one distance,
        from which each is displaced.
    config
        What holds for all frames; `settings` are laid over it, and a frame's own over both.
    refine_shared
        ``pixel_size``, ``wavelength``, in the order of importance: where the frames determine
        only some, the last named is held. () for none.
    share
        What else the frames have in common: ``beam_centre``, ``tilt``, ``parallax``. The
        distortion and the panels always are.
    threads
        See :func:`refimpl.dispatch.resolve_threads`. The result does not depend on it.
    progress
        Called with the name of a stage and the part of the work that is done.
    **settings
        As of :func:`refimpl.powder.calibrate`, ``panels_grid`` among them.

    Returns
    -------
    JointResult

    Raises
    ------
    ConfigError
        Fewer than two frames, frames of different shapes, travel on some frames only, a setting
        that is unknown, missing or out of range, or that a joint fit does not know.
    FormatError, ConvergenceError
        As of :func:`refimpl.powder.calibrate`; the message names the frame.
    """
    tell = progress or (lambda stage, part: None)
    clock = {"start": time.perf_counter()}
    names = frame_names(frames)
    whole, configs = _configs(frames, names, config, settings)
    sharing = _sharing(frames, names, configs, refine_shared, share)
    sources = _sources(frames, names)
    alone = _alone(frames, names, sources, configs, threads, tell)
    clock["each frame alone"] = time.perf_counter()
    setup = panel_setup(whole)
    prepared = _prepared(sources, frames, configs, alone)
    exposures = _exposures(alone, prepared, configs, panels=setup is not None)

    def stage(name: str, start: float) -> Callable[[int], None]:
        return lambda turn: tell(f"{name} {turn}", min(start + 0.03 * turn, start + 0.2))

    single = joint_passes(
        exposures, sharing, None, whole, reject_rings=setup is None,
        stage=stage("joint pass", 0.5), threads=threads,
    )  # fmt: skip
    clock["one surface"] = time.perf_counter()
    passes = single
    if setup is not None:
        moved = _with_panels(single.exposures, single.models(), prepared, frames)
        passes = joint_passes(
            moved, sharing, setup, whole, done=len(single.iterations[0]), last=single.fit,
            stage=stage("panel pass", 0.75), threads=threads,
        )  # fmt: skip
        clock["panels"] = time.perf_counter()
    result = joint_result(
        names, configs, prepared, single, passes, setup, alone=alone,
        clip_sigma=whole.calibrate.clip_sigma, threads=threads,
    )  # fmt: skip
    clock["statistics"] = time.perf_counter()
    tell("done", 1.0)
    spent = {b: clock[b] - clock[a] for a, b in pairwise(clock)}
    return replace(result, timing=spent)


def _configs(
    frames: Sequence[JointFrame],
    names: Sequence[str],
    config: PowderConfig | None,
    settings: dict[str, Any],
) -> tuple[PowderConfig, list[PowderConfig]]:
    """What holds for all, and each frame's own configuration."""
    if len(frames) < 2:
        raise ConfigError(f"a joint calibration needs two frames or more: got {len(frames)}")
    key = "wavelength_angstrom"
    if config is None and key not in settings:
        lacking = [n for n, f in zip(names, frames, strict=True) if key not in f.settings]
        if lacking:
            raise ConfigError(f"frame {lacking[0]}: {key}: missing: give it", key=key)
        settings = {**settings, key: frames[0].settings[key]}
    whole = config_from(settings, base=config)
    out = []
    for frame, name in zip(frames, names, strict=True):
        with _named(name):
            out.append(config_from(dict(frame.settings), base=whole))
    c = whole.calibrate
    if (c.solver, c.objective) != ("lm", "strain"):
        raise ConfigError(
            f"solver {c.solver!r}, objective {c.objective!r} with several frames: expected 'lm' "
            "and 'strain'",
            key="solver",
        )
    _check_names(whole)
    return whole, out


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Put the name of the frame before what goes wrong with it, where no file is named."""
    try:
        yield
    except (ConfigError, FormatError, GeometryError, ConvergenceError) as error:
        if error.path is not None:
            raise
        raise type(error)(f"frame {name}: {error}", key=error.key, got=error.got) from error


def _sharing(
    frames: Sequence[JointFrame],
    names: Sequence[str],
    configs: Sequence[PowderConfig],
    refine_shared: Sequence[str],
    share: Sequence[str],
) -> Sharing:
    lacking = [n for n, f in zip(names, frames, strict=True) if f.travel_mm is None]
    if lacking and len(lacking) < len(frames):
        raise ConfigError(
            f"travel_mm: {', '.join(lacking)} lacks it, other frames have it: expected on all "
            "frames or on none",
            key="travel_mm",
        )
    for name in share:
        if name in ("beam_centre", "tilt", "parallax") and name not in configs[0].calibrate.refine:
            raise ConfigError(f"share: {name!r} is not refined", key="share", got=name)
    given = np.array([c.beam.wavelength_angstrom for c in configs])
    levels: list[float] = []
    for value in np.sort(given):
        if not levels or value > levels[-1] * (1.0 + SAME_WAVELENGTH):
            levels.append(float(value))
    groups = tuple(int(np.argmin(np.abs(np.array(levels) - v))) for v in given)
    known = {g for g, f in zip(groups, frames, strict=True) if f.wavelength_known}
    travel = None if lacking else tuple(float(f.travel_mm or 0.0) for f in frames)
    return Sharing(tuple(refine_shared), tuple(share), travel, groups, frozenset(known))


def _sources(frames: Sequence[JointFrame], names: Sequence[str]) -> list[Image]:
    """Images in their files' order, all of one shape."""
    out = []
    for frame, name in zip(frames, names, strict=True):
        with _named(name):
            out.append(read_source(frame.image, frame.mask, dict(frame.reading) or None))
        if out[-1].shape != out[0].shape:
            n, m = ("{1} x {0}".format(*image.shape) for image in (out[-1], out[0]))
            raise ConfigError(
                f"frame {name} has {n} px, {names[0]} has {m}: frames of one detector have one "
                "shape"
            )
    return out


def _alone(
    frames: Sequence[JointFrame],
    names: Sequence[str],
    sources: Sequence[Image],
    configs: Sequence[PowderConfig],
    threads: int | None,
    tell: Progress,
) -> list[PowderResult]:
    """Each frame calibrated by itself, as one surface."""
    out = []
    for i, (frame, name, source) in enumerate(zip(frames, names, sources, strict=True)):
        tell(f"frame {name}", 0.5 * i / len(frames))
        plain = config_from({"panels_grid": "none"}, base=configs[i])
        with _named(name):
            out.append(calibrate(source, config=plain, start=frame.start, threads=threads))
    return out


def _prepared(
    sources: Sequence[Image],
    frames: Sequence[JointFrame],
    configs: Sequence[PowderConfig],
    alone: Sequence[PowderResult],
) -> list[Prepared]:
    """Frames whose panels are those that will be refined, the same in all."""
    whole = configs[0]
    grid = whole.panels.panels_grid
    if grid == "none":
        return [r.prepared for r in alone]
    codes = whole.detector.image_transform
    boxes: I64 | None
    if grid == "start":
        boxes = None if frames[0].start is None else frames[0].start.panel_boxes
    else:
        usable = np.logical_or.reduce([~apply_transforms(s.mask, codes) for s in sources])
        shape = (usable.shape[0], usable.shape[1])
        boxes, _ = resolve_grid(grid, shape, usable=usable, image_transform=codes)
    out = []
    for source, config, result in zip(sources, configs, alone, strict=True):
        own = prepare(source, config_from({"panels_grid": "start"}, base=config), boxes)
        noise = result.prepared.frame.relative_noise
        out.append(replace(own, frame=replace(own.frame, relative_noise=noise)))
    return out


def _exposures(
    alone: Sequence[PowderResult],
    prepared: Sequence[Prepared],
    configs: Sequence[PowderConfig],
    panels: bool,
) -> list[Exposure]:
    """Frames from where each ended alone; the distortion of all counts from one radius."""
    models = [r.fit.parameters.at(r.fit.fit.x).replace(panel_boxes=None) for r in alone]
    rho = max(m.rho_d_mm for m in models)
    out = []
    for result, own, config, model in zip(alone, prepared, configs, models, strict=True):
        model = _normalised(model, rho)
        free = parameters(model, config.calibrate.refine, config.calibrate.tolerances)
        points, n = result.points, len(result.rings)
        widths = ring_widths(points, n, np.full(n, np.median(points.fwhm_rad[points.used])))
        # of one surface alone: with panels in their places the ring may be as good as others
        out_of = config.calibrant.exclude_rings if panels else result.excluded_rings
        excluded = np.isin(result.rings.number, out_of)
        lines = Lines(widths, RingProfiles.of(points, result.rings), excluded)
        out.append(Exposure(own.frame, config, lines, result.n_eta, result.rings, free, model))
    return out


_TERM_POWERS = np.array([2, 4, 6, *(n for n in HARMONIC_POWERS for _ in "cs")], dtype=np.float64)


def _normalised(model: TiltedFlat, rho_d_mm: float) -> TiltedFlat:
    """The same detector, its distortion in terms of another radius."""
    if model.rho_d_mm == rho_d_mm:
        return model
    g = model.geometry
    g[10:] *= (rho_d_mm / model.rho_d_mm) ** _TERM_POWERS
    g[8] = rho_d_mm
    return model.with_geometry(g)


def _with_panels(
    exposures: Sequence[Exposure],
    models: Sequence[TiltedFlat],
    prepared: Sequence[Prepared],
    frames: Sequence[JointFrame],
) -> list[Exposure]:
    """Frames for the second stage: panels in place, or where the first start geometry has them."""
    boxes, start = prepared[0].frame.boxes, frames[0].start
    moves: F64 | None = None
    if start is not None and start.panel_corrections is not None:
        same = start.panel_boxes is not None and np.array_equal(start.panel_boxes, boxes)
        moves = start.panel_corrections if same else None
    out = []
    for e, model in zip(exposures, models, strict=True):
        nominal = e.free.model.replace(panel_boxes=boxes, panel_corrections=moves)
        model = model.replace(panel_boxes=boxes, panel_corrections=moves)
        out.append(replace(e, free=replace(e.free, model=nominal), model=model, lasting=None))
    return out
