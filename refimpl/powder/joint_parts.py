"""From the joint passes to the results of the frames and of all together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from refimpl.dispatch import current_backend, resolve_threads
from refimpl.frames import F64
from refimpl.objective.pseudo_strain import strain_summary
from refimpl.powder.config import PowderConfig, config_from
from refimpl.powder.joint_passes import JointPasses, joint_halves
from refimpl.powder.joint_result import JointResult
from refimpl.powder.joint_words import shared_values
from refimpl.powder.panel_passes import add_panels
from refimpl.powder.panel_result import PanelTable
from refimpl.powder.panel_setup import PanelSetup
from refimpl.powder.passes import Passes
from refimpl.powder.prepare import Prepared
from refimpl.powder.result import ONE_FRAME, PowderResult

__all__ = ["joint_result"]


def joint_result(
    names: Sequence[str],
    configs: Sequence[PowderConfig],
    prepared: Sequence[Prepared],
    single: JointPasses,
    passes: JointPasses,
    setup: PanelSetup | None,
    *,
    alone: Sequence[PowderResult],
    clip_sigma: float,
    threads: int | None,
) -> JointResult:
    """Put the result of a joint calibration together.

    Parameters
    ----------
    names, configs, prepared
        (f,) of the frames.
    single, passes
        With one surface, and the last ones: the same without panels.
    setup
        What the panels may do; None: there are none.
    alone
        (f,) results of the frames by themselves.
    clip_sigma
        Outlier rule.
    threads
        As asked for.
    """
    shared = shared_values(passes.frame_points(), passes.fit, names)
    sentences = (*_about_distances(passes, names), *(v.sentence for v in shared))
    held_out = joint_halves(passes, setup, clip_sigma)
    parts = [
        _part(i, configs[i], prepared[i], passes, held_out[i], threads, sentences)
        for i in range(len(names))
    ]
    table = before = None
    if setup is not None:
        single_out = joint_halves(single, None, clip_sigma)
        parts = [_paneled(i, part, single, passes, single_out[i]) for i, part in enumerate(parts)]
        table = _of_all(parts)
        before = strain_summary(np.concatenate([_before(r)[r.points.used] for r in parts]))
    return JointResult(
        names=tuple(names), frames=tuple(parts), shared=shared, sentences=sentences,
        travel_mm=passes.fit.sharing.travel_mm, panels=table, fit=passes.fit,
        strain_before=before, converged=passes.converged, reason=passes.reason, alone=tuple(alone),
    )  # fmt: skip


def _about_distances(passes: JointPasses, names: Sequence[str]) -> tuple[str, ...]:
    fit = passes.fit
    out = []
    if fit.sharing.travel_mm is not None and "lsd_mm" in fit.names:
        i = fit.names.index("lsd_mm")
        out.append(
            f"One distance for all frames, {fit.x[i]:.4f} +- {fit.sigma[i]:.2g} mm at travel 0, "
            "from which each frame is displaced by its travel."
        )
    if fit.undetermined:
        out.append(f"The data do not determine {', '.join(fit.undetermined)}: held.")
    if fit.at_bound:
        out.append(f"On the bound of its search range: {', '.join(fit.at_bound)}.")
    return tuple(out)


def _part(
    i: int,
    config: PowderConfig,
    prepared: Prepared,
    passes: JointPasses,
    held_out: F64,
    threads: int | None,
    sentences: tuple[str, ...],
) -> PowderResult:
    """Result of one frame, with the pixel size and wavelength of the joint fit."""
    exposure, fit = passes.exposures[i], passes.fit.frames[i]
    found = {
        "wavelength_angstrom": passes.rings[i].wavelength_angstrom,
        "pixel_size_mm": fit.parameters.model.pixel_size_mm,
    }
    result = PowderResult.build(
        config=config_from(found, base=config),
        prepared=replace(prepared, frame=exposure.frame), rings=passes.rings[i],
        points=passes.points[i], fit=fit, iterations=passes.iterations[i],
        converged=passes.converged, reason=passes.reason, excluded=exposure.lines.excluded,
        n_eta=exposure.n_eta, halves=held_out, backend=current_backend(),
        threads=resolve_threads(threads),
    )  # fmt: skip
    kept = tuple(w for w in result.warnings if w != ONE_FRAME)
    others = len(passes.points) - 1
    together = f"Calibrated together with {others} other frame{'s' if others > 1 else ''}."
    return replace(result, warnings=(together, *kept, *sentences))


def _paneled(
    i: int, part: PowderResult, single: JointPasses, passes: JointPasses, single_out: F64
) -> PowderResult:
    """Result with the panels, whose points and strain are those of this frame."""
    # the best single surface has its own wavelength; what one frame would say of the expansion of
    # panels that all frames share is nothing to ask
    free = config_from({"panel_expansion": "free"}, base=part.config)
    of_surface = replace(part, rings=single.rings[i], config=free)
    out = add_panels(of_surface, _passes(i, single), _passes(i, passes), single_out)
    assert out.panels is not None
    p = part.points
    table = replace(
        out.panels,
        points=np.bincount(p.panel[p.used], minlength=len(out.panels)),
        global_names=passes.fit.names,
    )
    return replace(out, rings=part.rings, config=part.config, panels=table)


def _passes(i: int, passes: JointPasses) -> Passes:
    """Passes of one frame, as if it had been alone."""
    e = passes.exposures[i]
    return Passes(
        passes.fit.frames[i], passes.points[i], e.frame, e.lines, passes.iterations[i],
        passes.converged, passes.reason,
    )  # fmt: skip


def _before(result: PowderResult) -> F64:
    assert result.strain_before is not None
    return result.strain_before


def _of_all(parts: Sequence[PowderResult]) -> PanelTable:
    """Panels with the points and the strain of all frames."""
    tables = [part.panels for part in parts if part.panels is not None]
    count = np.array([t.points for t in tables])

    def mean(values: list[F64]) -> F64:
        total = np.sum(np.where(count > 0, np.array(values), 0.0) * count, axis=0)
        with np.errstate(invalid="ignore"):
            return np.asarray(total / np.where(count.sum(axis=0) > 0, count.sum(axis=0), np.nan))

    return replace(
        tables[0], points=count.sum(axis=0), strain=mean([t.strain for t in tables]),
        strain_before=mean([t.strain_before for t in tables]),
    )  # fmt: skip
