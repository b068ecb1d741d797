"""The least-squares problem of a refinement: predictions, residuals, normal equations.

Reflections are kept in the order of experiment, then detector group, so that the rows of one pair
touch the same few parameters: its beam, its crystal, its group. The normal matrix is summed pair
by pair and scattered; no whole Jacobian is ever made.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.forward.rotation import SEEN, predict_rotation, rotation_jacobian
from refimpl.forward.stills import predict_still, still_jacobian
from refimpl.frames import F64
from refimpl.metrology.observations import Observations, observations_of
from refimpl.metrology.parameters import ModelSet, Pose
from refimpl.objective.bordered import Bordered
from refimpl.objective.least_squares import Normal, accumulate_blocks

__all__ = ["Observations", "RefinementProblem", "observations_of", "predict"]


def predict(
    pose: Pose, observed: Observations, threads: int | None = None
) -> tuple[F64, F64, NDArray[np.uint8]]:
    """X, Y, phi (n, 3), rays (n, 3) and status of one experiment's reflections.

    Of a still the third is the angle off the Ewald sphere.
    """
    p0 = np.ascontiguousarray(observed.hkl @ pose.setting.T)
    if pose.is_still:
        return predict_still(p0, observed.panel, pose.s0, pose.inverse_d)
    phi = np.ascontiguousarray(observed.xyz[:, 2])
    return predict_rotation(
        p0, observed.panel, observed.entering, phi, pose.s0, pose.axis, pose.inverse_d,
        threads=threads,  # type: ignore[call-arg]
    )  # fmt: skip


class RefinementProblem:
    """Residuals and normal equations of observations under a set of parameters.

    Parameters
    ----------
    models
        Parameters; those that are free are refined.
    observed
        In any order; :attr:`observed` has them in the order of the fit.
    threads
        See :func:`refimpl.dispatch.resolve_threads`.

    Attributes
    ----------
    seen
        Reflections that were predicted at the point that was linearised last.
    """

    def __init__(
        self, models: ModelSet, observed: Observations, threads: int | None = None
    ) -> None:
        self.models, self.threads = models, threads
        group = np.empty(len(observed), dtype=np.int64)
        for e in range(len(models.experiments)):
            mine = observed.experiment == e
            detector = models.detectors[int(models.of_detector[e])]
            panel = observed.panel[mine]
            if len(panel) and panel.max() >= len(detector.group_of):
                raise ConfigError(
                    f"reflections lie on panel {panel.max()}: the detector of experiment {e} has "
                    f"{len(detector.group_of)}"
                )
            group[mine] = detector.group_of[panel]
        order = np.lexsort((np.arange(len(observed)), group, observed.experiment))
        self.observed, self.group, self.order = observed.select(order), group[order], order
        self.weight = self.observed.weight.copy()
        self.seen = len(observed)
        self._last: tuple[F64, F64] | None = None

    @cached_property
    def free(self) -> NDArray[np.intp]:
        """(f,) positions of the free parameters."""
        return np.flatnonzero(self.models.free)

    def full(self, x: F64) -> F64:
        """(k,) all values at free ones (f,)."""
        out = self.models.initial.copy()
        out[self.free] = x
        return out

    @property
    def start(self) -> F64:
        """(f,) free values to start from."""
        return self.models.initial[self.free]

    @property
    def names(self) -> tuple[str, ...]:
        """(f,) names of the free parameters."""
        return tuple(self.models.names[k] for k in self.free)

    def _experiments(self) -> Iterator[tuple[int, slice]]:
        edges = np.searchsorted(
            self.observed.experiment, np.arange(len(self.models.experiments) + 1)
        )
        for e in range(len(self.models.experiments)):
            if edges[e] < edges[e + 1]:
                yield e, slice(int(edges[e]), int(edges[e + 1]))

    def residuals(self, x: F64) -> F64:
        """(n, 3) calculated minus observed; NaN where nothing is predicted.

        At the point that was linearised last they are those of the linearisation.
        """
        full = self.full(x)
        if self._last is not None and np.array_equal(full, self._last[0]):
            return self._last[1].copy()
        poses = self.models.poses(full)
        out = np.empty((len(self.observed), 3))
        for e, mine in self._experiments():
            some = self.observed.select(mine)
            out[mine] = predict(poses[e], some, self.threads)[0] - some.xyz
        return out

    def _linear(self, x: F64) -> Iterator[tuple[int, slice, F64, F64, NDArray[np.uint8]]]:
        """Experiment, its rows, residuals (n, 3), jacobian (n, 3, 3 + c + 6), status."""
        poses = self.models.poses(self.full(x))
        for e, mine in self._experiments():
            pose, o = poses[e], self.observed
            p0 = np.ascontiguousarray(o.hkl[mine] @ pose.setting.T)
            if pose.is_still:
                xyz, jacobian, status = still_jacobian(
                    p0, o.panel[mine], pose.s0, pose.inverse_d, o.hkl[mine], pose.crystal,
                    pose.beam, pose.detector,
                )  # fmt: skip
                yield e, mine, xyz - o.xyz[mine], jacobian, status
                continue
            xyz, jacobian, status = rotation_jacobian(
                p0, o.panel[mine], o.entering[mine], np.ascontiguousarray(o.xyz[mine, 2]),
                pose.s0, pose.axis, pose.inverse_d, np.ascontiguousarray(o.hkl[mine]),
                pose.crystal, pose.beam, pose.detector,
                threads=self.threads,  # type: ignore[call-arg]
            )  # fmt: skip
            yield e, mine, xyz - o.xyz[mine], jacobian, status

    def _columns(self, e: int) -> NDArray[np.intp]:
        """(3 + c,) full positions of an experiment's beam and crystal."""
        m = self.models
        c = int(m.of_crystal[e])
        slices = m.beam_at(int(m.of_beam[e])), m.orientation_at(c), m.cell_at(c)
        return np.concatenate([np.arange(s.start, s.stop) for s in slices])

    def _pairs(self, x: F64) -> Iterator[tuple[int, int, F64]]:
        """Experiment, group, (w + 1, w + 1) of ``[r J]^T W [r J]`` for each pair that has rows.

        Reflections that are not predicted count nothing; :attr:`seen` is the number of the others.
        """
        seen, residuals = 0, np.empty((len(self.observed), 3))
        for e, mine, r, jacobian, status in self._linear(x):
            residuals[mine] = r
            seen += int(np.count_nonzero(status == SEEN))
            group = self.group[mine]
            first = np.searchsorted(group, np.arange(group[-1] + 2))
            w = np.where((status == SEEN)[:, None], self.weight[mine], 0.0)
            sums = accumulate_blocks(
                np.where(w > 0.0, r, 0.0).reshape(-1), jacobian.reshape(-1, jacobian.shape[2]),
                w.reshape(-1), 3 * first,
                threads=self.threads,  # type: ignore[call-arg]
            )  # fmt: skip
            for g in np.unique(group):
                yield e, int(g), sums[g]
        self._last, self.seen = (self.full(x), residuals), seen

    def normal(self, x: F64) -> Normal:
        """Dense normal equations of the free parameters; the cost is sum w r^2."""
        k = len(self.models)
        hessian, gradient, cost = np.zeros((k, k)), np.zeros(k), 0.0
        for e, g, part in self._pairs(x):
            start = self.models.detector_at(int(self.models.of_detector[e])).start + 6 * g
            at = np.concatenate([self._columns(e), np.arange(start, start + 6)])
            cost += float(part[0, 0])
            gradient[at] += part[1:, 0]
            hessian[np.ix_(at, at)] += part[1:, 1:]
        f = self.free
        return Normal(cost, gradient[f], hessian[np.ix_(f, f)], 3 * self.seen)

    @property
    def is_arrow(self) -> bool:
        """Whether the groups of one detector are blocks and all else a small border."""
        return len(self.models.detectors) == 1 and len(self.models) > 30

    def arrow_order(self) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """(k,) full positions of the parameters of :meth:`bordered`, and which are free."""
        size, k = self.models.detectors[0].initial.size, len(self.models)
        order = np.concatenate([np.arange(size, k), np.arange(size)])
        return order, self.models.free[order]

    def bordered(self, x: F64) -> Bordered:
        """Arrow-shaped normal equations of all parameters, free or not: border, then groups."""
        size = self.models.detectors[0].initial.size
        groups, k = size // 6, len(self.models)
        b = k - size
        border, cross = np.zeros((b, b)), np.zeros((groups, b, 6))
        blocks, gradient, cost = np.zeros((groups, 6, 6)), np.zeros(k), 0.0
        for e, g, part in self._pairs(x):
            at = self._columns(e) - size
            n = len(at)
            cost += float(part[0, 0])
            gradient[at] += part[1 : 1 + n, 0]
            gradient[b + 6 * g : b + 6 * g + 6] += part[1 + n :, 0]
            border[np.ix_(at, at)] += part[1 : 1 + n, 1 : 1 + n]
            cross[g][at] += part[1 : 1 + n, 1 + n :]
            blocks[g] += part[1 + n :, 1 + n :]
        none = np.zeros((0, groups, 6))
        return Bordered(cost, gradient, 3 * self.seen, border, cross, blocks, none)

    def jacobian(self, x: F64) -> tuple[F64, F64]:
        """Residuals (3 n,) and Jacobian (3 n, f), rows all X, all Y, all phi; for checks only."""
        n, k = len(self.observed), len(self.models)
        r, out = np.empty((n, 3)), np.zeros((n, 3, k))
        for e, mine, own, jacobian, _ in self._linear(x):
            r[mine] = own
            columns = self._columns(e)
            rows = np.arange(mine.start, mine.stop)
            out[rows[:, None, None], np.arange(3)[None, :, None], columns] = jacobian[
                :, :, : len(columns)
            ]
            start = self.models.detector_at(int(self.models.of_detector[e])).start
            at = start + 6 * self.group[mine][:, None] + np.arange(6)
            out[rows[:, None, None], np.arange(3)[None, :, None], at[:, None, :]] = jacobian[
                :, :, len(columns) :
            ]
        stacked = np.moveaxis(out, 1, 0).reshape(3 * n, k)
        return r.T.ravel(), stacked[:, self.free]
