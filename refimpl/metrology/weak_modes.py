r"""What a refinement knows badly: weak modes in words, and the uncertainty of every panel.

The normal matrix is scaled to a unit diagonal, :math:`\tilde N = D^{-1/2} N D^{-1/2}`. Along an
eigenvector u of eigenvalue :math:`\lambda` the answer may move by
:math:`\Delta x = D^{-1/2} u / \sqrt\lambda` before the weighted sum of squares rises by 1: a small
eigenvalue is a combination of parameters that the data hardly see, though each alone is seen well.
Panels are told in their own terms: the shift of the centre and the rotation vector, along the
panel's fast and slow axes and its normal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.hierarchy import axes_of
from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.metrology.constraints import TiedProblem
from refimpl.metrology.gauge import GaugeAnswer
from refimpl.metrology.group_moves import at_point, group_moves
from refimpl.metrology.mode_parts import ModePart, parts_of, unit_of
from refimpl.metrology.parameters import ModelSet
from refimpl.metrology.problem import RefinementProblem

__all__ = ["PanelUncertainty", "WeakMode", "WeakModes", "panel_uncertainties", "weak_modes"]

PANEL_MOVES = ("fast_mm", "slow_mm", "normal_mm", "about_fast_mrad", "about_slow_mrad",
               "about_normal_mrad")  # fmt: skip
_SAID = 0.2
"""Weights below this part of the largest are not said."""
_MOST = 6
_HOW = "amounts and numbers in brackets are how far each moves before chi-square has risen by 1"
_OPEN = 1e-12
"""Eigenvalues below are those of combinations that no reflection sees."""


@dataclass(frozen=True, eq=False)
class WeakMode:
    """One combination of parameters.

    Attributes
    ----------
    eigenvalue
        Of the scaled normal matrix, whose diagonal is 1.
    names, weights
        Largest parts, in the scaled parameters; the sum of squares of all weights is 1.
    shift
        (f,) change of the free parameters at which the weighted sum of squares has risen by 1.
    parts
        The same in physical terms, that which matters most first; where nothing holds the mode,
        of amount 1.
    sentence
        Both in words.
    """

    eigenvalue: float
    names: tuple[str, ...]
    weights: tuple[float, ...]
    shift: F64
    parts: tuple[ModePart, ...]
    sentence: str


@dataclass(frozen=True, eq=False)
class WeakModes:
    """Spectrum of a refinement.

    Attributes
    ----------
    eigenvalues
        (f,) of the scaled normal matrix, rising.
    condition
        Largest over smallest.
    modes
        The weakest, weakest first.
    unseen
        Names of free parameters that no reflection depends on.
    """

    eigenvalues: F64
    condition: float
    modes: tuple[WeakMode, ...]
    unseen: tuple[str, ...]

    def sentences(self) -> tuple[str, ...]:
        """Report, line by line."""
        first = (
            f"condition number of the scaled normal matrix {self.condition:.3g} for "
            f"{len(self.eigenvalues)} parameters",
        )
        unseen = (f"seen by no reflection: {', '.join(self.unseen)}",) if self.unseen else ()
        return first + unseen + tuple(mode.sentence for mode in self.modes)


def weak_modes(problem: RefinementProblem | TiedProblem, x: F64, n: int = 5) -> WeakModes:
    """Weakest combinations of the free parameters at a point.

    Parameters
    ----------
    problem
        Refinement; parameters that shift together are one.
    x
        (f,) free values, those of the minimum as a rule.
    n
        How many modes.

    Raises
    ------
    ConfigError
        No parameter is seen by any reflection.
    """
    base, tie, values = _released(problem, x)
    normal = base.normal(values).hessian
    hessian = tie.T @ normal @ tie
    names = np.array(problem.names)
    diagonal = np.diag(hessian)
    seen = diagonal > 0.0
    if not seen.any():
        raise ConfigError("no free parameter is seen by any reflection: there are no modes")
    scale = np.sqrt(diagonal[seen])
    small, vectors = np.linalg.eigh(hessian[np.ix_(seen, seen)] / np.outer(scale, scale))
    small = np.maximum(small, np.finfo(float).eps * small[-1])  # an exact 0 is rounding's
    modes = []
    for k in range(min(n, len(small))):
        vector, shift = np.zeros(len(x)), np.zeros(len(x))
        vector[seen] = vectors[:, k]
        shift[seen] = vectors[:, k] / scale / np.sqrt(small[k])
        parts = parts_of(base.models, base.full(values), normal, tie @ shift)
        modes.append(_mode(k, float(small[k]), names, vector, shift, parts))
    return WeakModes(
        small, float(small[-1] / small[0]), tuple(modes), tuple(str(s) for s in names[~seen])
    )


def _released(
    problem: RefinementProblem | TiedProblem, x: F64
) -> tuple[RefinementProblem, F64, F64]:
    """Problem in all free parameters, (f, h) what they are of those of the problem, (f,) values."""
    if isinstance(problem, TiedProblem):
        return problem.problem, problem.matrix, problem.released(x)
    return problem, np.eye(len(x)), x


def _mode(
    k: int, value: float, names: NDArray[np.str_], vector: F64, shift: F64,
    parts: tuple[ModePart, ...],
) -> WeakMode:  # fmt: skip
    order = np.argsort(-np.abs(vector), kind="stable")
    sign = 1.0 if vector[order[0]] >= 0.0 else -1.0
    said = [i for i in order[:_MOST] if abs(vector[i]) >= _SAID * abs(vector[order[0]])]
    size, how = sign, _HOW
    if value < _OPEN:  # nothing holds it: an amount would be rounding's
        size, how = sign / abs(parts[0].amount), "the data do not see it: amounts are in proportion"
        parts = tuple(replace(part, amount=part.amount * abs(size)) for part in parts)
    own = [
        f"{names[i]} {sign * vector[i]:+.2f} ({size * shift[i]:+.3g} {unit_of(names[i])})"
        for i in said
    ]
    weight = float(np.sum(vector[said] ** 2))
    rest = f", {1.0 - weight:.0%} in the rest" if weight < 0.995 else ""
    sentence = (
        f"mode {k + 1} (eigenvalue {value:.3g}): {'; '.join(str(part) for part in parts)}. In "
        f"parameters: {', '.join(own)}{rest}; {how}"
    )
    return WeakMode(
        value, tuple(str(names[i]) for i in said), tuple(float(sign * vector[i]) for i in said),
        sign * shift, parts, sentence,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class PanelUncertainty:
    """How well each panel stands.

    Attributes
    ----------
    sigma
        (p, 6) standard uncertainties in the order of :data:`PANEL_MOVES`: of the panel's centre
        [mm] and of its rotation [mrad], along its own fast, slow, normal. NaN where held.
    covariance
        (p, 6, 6) of each panel's six.
    n
        (p,) reflections.
    held
        A sentence a panel that is held.
    """

    sigma: F64
    covariance: F64
    n: NDArray[np.intp]
    held: tuple[str, ...]


def panel_uncertainties(
    models: ModelSet,
    full: F64,
    covariance: F64 | GaugeAnswer,
    n: NDArray[np.intp] | None = None,
    detector: int = 0,
) -> PanelUncertainty:
    """Uncertainties of the panels of a detector, by propagation.

    Parameters
    ----------
    models
        Of the refinement.
    full
        (k,) all values at the end.
    covariance
        (f, f) of the free parameters, scaled as wanted; or an answer in a gauge, for the panels
        within the detector.
    n
        (p,) reflections on each panel, for the sentences.
    detector
        Its number; answers in a gauge are of the only one.

    Raises
    ------
    ConfigError
        The covariance is of another number of parameters.
    """
    groups, at = models.detectors[detector], models.detector_at(detector)
    values = models.detector_values(full, detector)
    own = _groups_covariance(models, covariance, detector)
    free = models.free[at].reshape(-1, 6)
    d = groups.d(values)
    centres, axes = groups.detector.centres(d), axes_of(d)
    moves = group_moves(groups, values)
    p = len(d)
    count = np.zeros(p, dtype=np.intp) if n is None else np.asarray(n)
    out, held = np.full((p, 6, 6), np.nan), []
    for panel, g in enumerate(groups.group_of):
        if not free[g].any():
            name = groups.detector.modules[panel].name
            why = "" if n is None else f": {count[panel]} reflections"
            held.append(f"panel {panel} ({name}) is held{why}")
            continue
        point = groups.pose(g, values[g])[1]
        local = np.kron(np.eye(2), axes[panel].T) @ at_point(moves[g], point, centres[panel])
        local[3:] *= 1e3
        out[panel] = local @ own[g] @ local.T
    sigma = np.sqrt(np.maximum(np.einsum("pii->pi", out), 0.0))
    return PanelUncertainty(sigma, out, count, tuple(held))


def _groups_covariance(models: ModelSet, covariance: F64 | GaugeAnswer, detector: int) -> F64:
    """(g, 6, 6) blocks of the groups of a detector."""
    at = models.detector_at(detector)
    size = at.stop - at.start
    free = np.flatnonzero(models.free)
    if isinstance(covariance, GaugeAnswer):
        whole = covariance.covariance[-size:, -size:]
    elif covariance.shape == (len(free), len(free)):
        mine = np.flatnonzero((free >= at.start) & (free < at.stop))
        whole = np.zeros((size, size))
        place = free[mine] - at.start
        whole[np.ix_(place, place)] = covariance[np.ix_(mine, mine)]
    else:
        raise ConfigError(
            f"covariance of shape {covariance.shape}: expected ({len(free)}, {len(free)})"
        )
    blocks = whole.reshape(size // 6, 6, size // 6, 6)
    return np.asarray(np.moveaxis(np.diagonal(blocks, axis1=0, axis2=2), -1, 0))
