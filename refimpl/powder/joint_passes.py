"""Passes over several frames: all are extracted at the common model, then fitted together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.rings import Rings
from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConvergenceError
from refimpl.frames import F64, I64
from refimpl.objective.pseudo_strain import StrainSummary, strain_summary
from refimpl.powder.config import PowderConfig
from refimpl.powder.joint_border import FramePoints, Sharing
from refimpl.powder.joint_fit import JointFit, fit_joint
from refimpl.powder.observations import Frame, RingPoints
from refimpl.powder.panel_passes import emphasis
from refimpl.powder.panel_setup import PanelSetup
from refimpl.powder.parameters import Parameters
from refimpl.powder.passes import (
    PATIENCE,
    SETTLE,
    STANDS_STILL,
    Lines,
    bad_rings,
    extracted,
    settled,
)
from refimpl.powder.refine import point_strain
from refimpl.powder.result import Iteration

__all__ = ["Exposure", "JointPasses", "at_wavelength", "joint_halves", "joint_passes"]


def at_wavelength(rings: Rings, logarithm: float) -> Rings:
    """Rings at another wavelength, given by the logarithm of its ratio to theirs."""
    if logarithm == 0.0:
        return rings
    sine = np.sin(0.5 * rings.two_theta_rad) * np.exp(logarithm)
    wavelength = float(rings.wavelength_angstrom * np.exp(logarithm))
    return replace(
        rings, two_theta_rad=2.0 * np.arcsin(np.minimum(sine, 1.0)), wavelength_angstrom=wavelength
    )


@dataclass(frozen=True, eq=False)
class Exposure:
    """One frame on its way through the passes.

    Attributes
    ----------
    frame, config, lines, n_eta
        As of :func:`refimpl.powder.passes.run_passes`.
    given
        Rings at the given wavelength.
    free
        Parameters; their model has the given pixel size.
    model
        Where the detector is thought to be now.
    lasting
        Keys of points that were there in every pass since the windows stand still; None before.
    """

    frame: Frame
    config: PowderConfig
    lines: Lines
    n_eta: int
    given: Rings
    free: Parameters
    model: TiltedFlat
    lasting: I64 | None = None

    def observed(
        self, rings: Rings, turn: int, threads: int | None
    ) -> tuple[RingPoints, I64 | None]:
        """Points at the present model, and the keys that last."""
        points = extracted(
            self.frame, self.config, rings, self.model, self.lines, self.n_eta, threads
        )
        lasting = self.lasting
        if turn >= SETTLE:
            lasting = points.key if lasting is None else np.intersect1d(lasting, points.key)
            points = points.with_used(points.used & np.isin(points.key, lasting))
        n, least = int(np.count_nonzero(points.used)), len(self.free) + 3
        if n < least:
            raise ConvergenceError(
                f"only {n} ring points for {least - 3} parameters: the rings are too weak or too "
                "few"
            )
        return points, lasting

    def points(self, points: RingPoints) -> FramePoints:
        """As the joint fit takes them, from the present model."""
        out = FramePoints(points, self.given, self.free, emphasis(points, self.config))
        return replace(out, free=out.at(self.model))


@dataclass(frozen=True, eq=False)
class JointPasses:
    """Outcome: the best pass, and how it went.

    Attributes
    ----------
    fit, points, rings
        Of the best pass; rings at its wavelengths.
    exposures
        As the last pass left them.
    iterations
        (f,) all passes of each frame.
    converged, reason
        Whether they stood still in the end, and why they ended.
    """

    fit: JointFit
    points: tuple[RingPoints, ...]
    rings: tuple[Rings, ...]
    exposures: tuple[Exposure, ...]
    iterations: tuple[tuple[Iteration, ...], ...]
    converged: bool
    reason: str

    def models(self) -> list[TiltedFlat]:
        """Detector of each frame at the best pass."""
        return [f.parameters.at(f.fit.x) for f in self.fit.frames]

    def frame_points(self) -> list[FramePoints]:
        """Points of the best pass as the fit took them, from where it ended."""
        return [
            replace(e, model=m).points(p)
            for e, m, p in zip(self.exposures, self.models(), self.points, strict=True)
        ]


def joint_passes(
    exposures: Sequence[Exposure],
    sharing: Sharing,
    setup: PanelSetup | None,
    config: PowderConfig,
    *,
    done: int = 0,
    last: JointFit | None = None,
    reject_rings: bool = True,
    stage: Callable[[int], None] = lambda turn: None,
    threads: int | None = None,
) -> JointPasses:
    """Extract all frames and fit them together until nothing moves.

    Parameters
    ----------
    exposures
        The frames.
    sharing, setup
        As of :func:`~refimpl.powder.joint_fit.fit_joint`.
    config
        For the number of passes and the outlier rules.
    done
        Passes of an earlier stage, for the numbers of the iterations.
    last
        Fit of an earlier stage: its candidates go on from where they are.
    reject_rings
        Whether rings that stand out are left out; panels out of place make good rings stand out.
    stage
        Called with the number of the pass when it is done.
    threads
        See :func:`refimpl.dispatch.resolve_threads`.

    Raises
    ------
    ConvergenceError
        Too few points of the rings of a frame are left.
    """
    state = _State(tuple(exposures), sharing, setup, config, last, reject_rings, threads)
    for turn in range(1, config.calibrate.max_iterations + 1):
        again = state.turn(turn, done)
        stage(turn)
        if not again and (outcome := state.ended(turn)) is not None:
            return state.result(*outcome)
    return state.result(False, f"stopped after {config.calibrate.max_iterations} passes")


class _State:
    """What the passes carry from one to the next."""

    def __init__(
        self,
        exposures: tuple[Exposure, ...],
        sharing: Sharing,
        setup: PanelSetup | None,
        config: PowderConfig,
        last: JointFit | None,
        reject_rings: bool,
        threads: int | None,
    ) -> None:
        self.exposures, self.sharing, self.setup = exposures, sharing, setup
        self.config, self.last, self.threads = config, last, threads
        self.reject_rings = reject_rings
        self.iterations: list[list[Iteration]] = [[] for _ in exposures]
        self.best: tuple[float, int, JointFit, tuple[RingPoints, ...], tuple[Rings, ...]] | None
        self.summary: StrainSummary | None
        self.best, self.moved, self.summary = None, np.inf, None

    def turn(self, turn: int, done: int) -> bool:
        """One pass; whether rings were left out, so that another must follow."""
        rings = self._rings()
        seen = [
            e.observed(r, turn, self.threads) for e, r in zip(self.exposures, rings, strict=True)
        ]
        points = [p for p, _ in seen]
        fit = fit_joint(
            [e.points(p) for e, p in zip(self.exposures, points, strict=True)],
            self.sharing, self.setup, clip_sigma=self.config.calibrate.clip_sigma,
            before=self.last,
        )  # fmt: skip
        self.moved = _moved(fit, self.exposures[0].model)
        self.last, rings = fit, [at_wavelength(e.given, w) for e, w in self._wavelengths(fit)]
        moved = [
            replace(e, lasting=lasting)
            for e, (_, lasting) in zip(self.exposures, seen, strict=True)
        ]
        summary = self._note(fit, points, rings, done + turn)
        if self.best is None or summary.clip_mean <= self.best[0] * (1.0 + 1e-3):
            self.best = (summary.clip_mean, turn, fit, tuple(points), tuple(rings))
        self.summary = summary
        self.exposures, bad = _next(moved, fit, points, rings, turn, self.reject_rings)
        if turn > 1 and bad:
            self.best = None  # figures before and after a ring is left out do not compare
            return True
        return False

    def ended(self, turn: int) -> tuple[bool, str] | None:
        """Whether the passes converged and why they end; None to go on."""
        limit = self.config.calibrate.stopping_strain
        assert self.best is not None
        assert self.summary is not None
        if self.moved < (STANDS_STILL if turn < PATIENCE else 5.0 * STANDS_STILL):
            return True, "parameters stand still"
        if limit is not None and self.summary.mean_all < limit:
            return True, "stopping strain"
        if turn - self.best[1] >= PATIENCE:
            return False, "no progress: the best pass is kept"
        return None

    def result(self, converged: bool, reason: str) -> JointPasses:
        assert self.best is not None
        _, _, fit, points, rings = self.best
        iterations = tuple(tuple(i) for i in self.iterations)
        return JointPasses(fit, points, rings, self.exposures, iterations, converged, reason)

    def _wavelengths(self, fit: JointFit) -> list[tuple[Exposure, float]]:
        names = (f"wavelength[{k + 1}]" for k in self.sharing.groups)
        return [(e, fit.logarithms[n]) for e, n in zip(self.exposures, names, strict=True)]

    def _rings(self) -> list[Rings]:
        if self.last is None:
            return [e.given for e in self.exposures]
        return [at_wavelength(e.given, w) for e, w in self._wavelengths(self.last)]

    def _note(
        self, fit: JointFit, points: list[RingPoints], rings: list[Rings], number: int
    ) -> StrainSummary:
        """Write the pass down; summary over all frames."""
        own_strains = []
        for i, (own, p, r) in enumerate(zip(fit.frames, points, rings, strict=True)):
            strain = own.strain[p.used]
            own_strains.append(strain)
            self.iterations[i].append(Iteration.of(number, own, p, r, strain_summary(strain)))
        return strain_summary(np.concatenate(own_strains))


def _next(
    exposures: list[Exposure],
    fit: JointFit,
    points: list[RingPoints],
    rings: list[Rings],
    turn: int,
    reject_rings: bool,
) -> tuple[tuple[Exposure, ...], bool]:
    """Frames for the next pass, and whether a ring was newly left out."""
    out, any_bad = [], False
    for e, own, p, r in zip(exposures, fit.frames, points, rings, strict=True):
        frame, lines = e.frame, e.lines
        if turn <= SETTLE:  # then the windows stand still, so that the passes can
            frame, lines = settled(frame, r, lines, p.with_used(own.used))
        bad = bad_rings(own, p, len(r), e.config.calibrate.ring_multiplier)
        if reject_rings and turn > 1 and np.any(bad & ~lines.excluded):
            lines, any_bad = replace(lines, excluded=lines.excluded | bad), True
        out.append(replace(e, frame=frame, lines=lines, model=own.parameters.at(own.fit.x)))
    return tuple(out), any_bad


def _moved(fit: JointFit, model: TiltedFlat) -> float:
    """Largest move of a parameter in this pass, in standard uncertainties."""
    moves, sigma = [np.abs(fit.x - fit.start)], [fit.sigma]
    panels = fit.frames[0].panels
    if panels is not None:
        moves.append(np.abs(panels.corrections - model.corrections[:, 2:]).ravel())
        sigma.append(panels.sigma.ravel())
    move, unit = np.concatenate(moves), np.concatenate(sigma)
    return float(np.max(move[unit > 0.0] / unit[unit > 0.0], initial=0.0))


def joint_halves(passes: JointPasses, setup: PanelSetup | None, clip_sigma: float) -> list[F64]:
    """(n,) strain of each frame's points at a fit of the other half of the azimuthal bins.

    NaN for points not used, and everywhere if a half cannot be fitted.
    """
    frames = passes.frame_points()
    out = [np.full(len(f.points), np.nan) for f in frames]
    for half in (0, 1):
        mine, score = [], []
        for f in frames:
            odd = f.points.eta_bin % 2 == half
            mine.append(f.points.used & ~odd)
            score.append(f.points.used & odd)
        if any(np.count_nonzero(m) <= len(f.free) for m, f in zip(mine, frames, strict=True)):
            return [np.full(len(f.points), np.nan) for f in frames]
        cold = [_cold(f, m) for f, m in zip(frames, mine, strict=True)]
        fit = fit_joint(
            cold, passes.fit.sharing, setup, clip_sigma=clip_sigma, active=passes.fit.active
        )
        for values, f, own, s, k in zip(
            out, frames, fit.frames, score, fit.sharing.groups, strict=True
        ):
            model = own.parameters.at(own.fit.x)
            rings = at_wavelength(f.rings, fit.logarithms[f"wavelength[{k + 1}]"])
            values[s] = point_strain(f.points, rings, model.geometry, model.corrections)[s]
    return out


def _cold(frame: FramePoints, used: NDArray[np.bool_]) -> FramePoints:
    """Some points, with the panels in place: nothing of the other half is known."""
    flat = replace(frame.free, model=frame.free.model.replace(panel_corrections=None))
    return replace(frame, points=frame.points.with_used(used), free=flat)
