r"""Cells that are drawn to known ones: the published ``tie_to_target``.

Each tied quantity v of a cell (a, b, c, alpha, beta, gamma) adds :math:`((v - v_0)/\sigma)^2` to
the weighted sum of squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.metrology.crystal_parameters import cell_and_gradient
from refimpl.metrology.parameters import ModelSet
from refimpl.metrology.problem import Observations, RefinementProblem
from refimpl.objective.bordered import Bordered
from refimpl.objective.least_squares import Normal

__all__ = ["CellTarget", "RestrainedProblem"]


@dataclass(frozen=True)
class CellTarget:
    """A cell that a crystal's is drawn to.

    Attributes
    ----------
    values
        a, b, c [angstrom], alpha, beta, gamma [deg].
    sigmas
        Standard uncertainties of each in the same units; 0: not tied.
    crystals
        Numbers of the crystals, from 0; None: all.
    """

    values: tuple[float, ...]
    sigmas: tuple[float, ...]
    crystals: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.values) != 6 or len(self.sigmas) != 6:
            raise ConfigError(
                f"tie_to_target: {len(self.values)} values and {len(self.sigmas)} sigmas: expected "
                "six each"
            )
        if not all(s >= 0.0 for s in self.sigmas) or not any(self.sigmas):
            raise ConfigError(
                f"tie_to_target: sigmas {self.sigmas}: expected none negative and one positive"
            )


class RestrainedProblem(RefinementProblem):
    """A refinement with cells drawn to targets; the restraints are part of its objective.

    Parameters
    ----------
    models, observed, threads
        See :class:`RefinementProblem`.
    targets
        Restraints.

    Raises
    ------
    ConfigError
        A target names a crystal that is not there.
    """

    def __init__(
        self,
        models: ModelSet,
        observed: Observations,
        threads: int | None = None,
        targets: Sequence[CellTarget] = (),
    ) -> None:
        super().__init__(models, observed, threads)
        self.targets = tuple(targets)
        n = len(models.cells)
        for target in self.targets:
            for k in target.crystals or ():
                if not 0 <= k < n:
                    raise ConfigError(f"tie_to_target: crystal {k}: there are {n}, from 0")

    def _ties(self, full: F64) -> tuple[float, F64, F64]:
        """Cost, gradient (k,) and normal matrix (k, k) of the restraints."""
        k = len(self.models)
        cost, gradient, hessian = 0.0, np.zeros(k), np.zeros((k, k))
        for target in self.targets:
            sigma = np.array(target.sigmas)
            tied = sigma > 0.0
            for c in target.crystals or range(len(self.models.cells)):
                at = self.models.cell_at(c)
                values, by = cell_and_gradient(self.models.cells[c], full[at])
                r = (values - np.array(target.values))[tied] / sigma[tied]
                j = by[tied] / sigma[tied, None]
                cost += float(r @ r)
                gradient[at] += j.T @ r
                hessian[at, at] += j.T @ j
        return cost, gradient, hessian

    def normal(self, x: F64) -> Normal:
        """Normal equations with those of the restraints."""
        base = super().normal(x)
        cost, gradient, hessian = self._ties(self.full(x))
        f = self.free
        return replace(
            base, cost=base.cost + cost, gradient=base.gradient + gradient[f],
            hessian=base.hessian + hessian[np.ix_(f, f)],
        )  # fmt: skip

    def bordered(self, x: F64) -> Bordered:
        """Arrow-shaped normal equations with those of the restraints in the border."""
        base = super().bordered(x)
        cost, gradient, hessian = self._ties(self.full(x))
        order, _ = self.arrow_order()
        b = base.g
        return replace(
            base, cost=base.cost + cost, gradient=base.gradient + gradient[order],
            border=base.border + hessian[np.ix_(order[:b], order[:b])],
        )  # fmt: skip
