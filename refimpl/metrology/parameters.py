"""All parameters of a set of experiments, in the published order, and which of them are free.

Models that experiments share are one: one detector, one beam, many crystals. The order is
detectors, beams, crystal orientations, cells (spec 2.9); a parameter's name is as published, so
that lists of parameters to fix can be taken over. The setting of a goniometer is not refined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.forward.experiment import Experiment
from refimpl.frames import F64, I64
from refimpl.metrology.crystal_parameters import (
    BeamParameters,
    CellParameters,
    OrientationParameters,
    beam_parameters,
    cell_parameters,
    orientation_parameters,
)
from refimpl.metrology.detector_parameters import DetectorParameters, detector_parameters
from refimpl.metrology.fix_settings import FixSettings

__all__ = ["FixSettings", "ModelSet", "Pose", "model_set"]


@dataclass(frozen=True, eq=False)
class Pose:
    """One experiment at a set of values, with its derivatives.

    Attributes
    ----------
    s0, axis
        (3,) beam vector and rotation axis in the lab; the axis is zero for a still.
    setting
        (3, 3) S F U B: a lattice point is at ``setting @ hkl`` at phi = 0.
    d, inverse_d
        (p, 3, 3) columns fast, slow, origin of each panel, and their inverses.
    beam, crystal, detector
        (3, 3), (3 + c, 3, 3), (p, 6, 3, 3) derivatives of s0, of `setting`, of d.
    """

    s0: F64
    axis: F64
    setting: F64
    d: F64
    inverse_d: F64
    beam: F64
    crystal: F64
    detector: F64

    @property
    def is_still(self) -> bool:
        """Whether nothing rotates."""
        return not self.axis.any()


@dataclass(frozen=True, eq=False)
class ModelSet:
    """Parameters of a set of experiments.

    Attributes
    ----------
    experiments
        As they were when the parameters were made.
    detectors, beams, orientations, cells
        One a model.
    of_detector, of_beam, of_crystal
        (e,) model of each experiment.
    names, initial, free
        (k,) all parameters, free or not.
    """

    experiments: tuple[Experiment, ...]
    detectors: tuple[DetectorParameters, ...]
    beams: tuple[BeamParameters, ...]
    orientations: tuple[OrientationParameters, ...]
    cells: tuple[CellParameters, ...]
    of_detector: I64
    of_beam: I64
    of_crystal: I64
    names: tuple[str, ...]
    initial: F64
    free: NDArray[np.bool_]
    _starts: Mapping[str, I64] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def with_free(self, free: NDArray[np.bool_]) -> ModelSet:
        """Same parameters with others free."""
        return replace(self, free=free)

    def detector_at(self, model: int) -> slice:
        """Where a detector's parameters stand."""
        return slice(*self._starts["detector"][model : model + 2])

    def beam_at(self, model: int) -> slice:
        """Where a beam's parameters stand."""
        return slice(*self._starts["beam"][model : model + 2])

    def orientation_at(self, model: int) -> slice:
        """Where a crystal orientation's parameters stand."""
        return slice(*self._starts["orientation"][model : model + 2])

    def cell_at(self, model: int) -> slice:
        """Where a cell's parameters stand."""
        return slice(*self._starts["cell"][model : model + 2])

    def detector_values(self, x: F64, model: int) -> F64:
        """(g, 6) values of a detector's groups."""
        return x[self.detector_at(model)].reshape(-1, 6)

    def poses(self, x: F64) -> list[Pose]:
        """Every experiment at the values (k,)."""
        panels = []
        for model, detector in enumerate(self.detectors):
            values = self.detector_values(x, model)
            d = detector.d(values)
            panels.append((d, np.asarray(np.linalg.inv(d)), detector.derivatives(values)))
        beams = []
        for model, beam in enumerate(self.beams):
            values = x[self.beam_at(model)]
            beams.append((beam.s0(values), beam.derivatives(values)))
        out = []
        for e, experiment in enumerate(self.experiments):
            c = int(self.of_crystal[e])
            angles, cell = x[self.orientation_at(c)], x[self.cell_at(c)]
            before = _before(experiment)
            u, b = self.orientations[c].u(angles), self.cells[c].b(cell)
            by_u = [before @ du @ b for du in self.orientations[c].derivatives(angles)]
            by_b = [before @ u @ db for db in self.cells[c].derivatives(cell)]
            s0, by_beam = beams[int(self.of_beam[e])]
            d, inverse, by_d = panels[int(self.of_detector[e])]
            crystal = np.array([*by_u, *by_b])
            out.append(
                Pose(s0, _axis(experiment), before @ u @ b, d, inverse, by_beam, crystal, by_d)
            )
        return out

    def moved(self, x: F64) -> tuple[Experiment, ...]:
        """Experiments at the values (k,); models that were shared stay shared."""
        detectors = [p.moved(self.detector_values(x, k)) for k, p in enumerate(self.detectors)]
        beams = {
            k: self._first(self.of_beam, k).beam.with_s0(p.s0(x[self.beam_at(k)]))
            for k, p in enumerate(self.beams)
        }
        crystals = {}
        for k, (u, b) in enumerate(zip(self.orientations, self.cells, strict=True)):
            setting = u.u(x[self.orientation_at(k)]) @ b.b(x[self.cell_at(k)])
            crystals[k] = self._first(self.of_crystal, k).crystal.with_A(setting)
        return tuple(
            replace(e, detector=detectors[int(d)], beam=beams[int(b)], crystal=crystals[int(c)])
            for e, d, b, c in zip(
                self.experiments, self.of_detector, self.of_beam, self.of_crystal, strict=True
            )
        )

    def _first(self, owner: I64, model: int) -> Any:
        return self.experiments[int(np.flatnonzero(owner == model)[0])]


def _axis(experiment: Experiment) -> F64:
    if experiment.is_still or experiment.goniometer is None:
        return np.zeros(3)
    return np.asarray(experiment.goniometer.setting @ experiment.goniometer.rotation_axis)


def _before(experiment: Experiment) -> F64:
    """(3, 3) S F, what stands before U B."""
    g = experiment.goniometer
    return np.eye(3) if g is None else np.asarray(g.setting @ g.fixed)


def model_set(experiments: Sequence[Experiment], fix: FixSettings | None = None) -> ModelSet:
    """Parameters of experiments.

    Parameters
    ----------
    experiments
        Each with a beam, a detector and a crystal.
    fix
        What is held; default: as published.

    Raises
    ------
    ConfigError
        An experiment lacks a model; an entry of the fix list matches no parameter; nothing is left
        free.
    """
    fix = fix or FixSettings()
    for number, e in enumerate(experiments):
        for what in ("beam", "detector", "crystal"):
            if getattr(e, what) is None:
                raise ConfigError(f"experiment {number} has no {what}: it cannot be refined")
    unique: dict[str, list[Any]] = {"detector": [], "beam": [], "crystal": []}
    owner: dict[str, list[int]] = {key: [] for key in unique}
    for e in experiments:
        for key, models in unique.items():
            model = getattr(e, key)
            same = [i for i, m in enumerate(models) if m[0] is model]
            if not same:
                models.append((model, e))
            owner[key].append(same[0] if same else len(models) - 1)
    detectors = tuple(
        detector_parameters(m, fix.hierarchy_level, f"Detector{i + 1}", e.beam.s0)
        for i, (m, e) in enumerate(unique["detector"])
    )
    beams = tuple(
        beam_parameters(m.s0, None if e.is_still else _axis(e), f"Beam{i + 1}")
        for i, (m, e) in enumerate(unique["beam"])
    )
    orientations, cells = [], []
    for i, (m, _) in enumerate(unique["crystal"]):
        cell, u = cell_parameters(m.A, m.hall, f"Crystal{i + 1}")
        cells.append(cell)
        orientations.append(orientation_parameters(u, f"Crystal{i + 1}"))
    parts = {
        "detector": [(p.names, p.initial.ravel()) for p in detectors],
        "beam": [(p.names, p.initial) for p in beams],
        "orientation": [(p.names, np.zeros(3)) for p in orientations],
        "cell": [(p.names, p.initial) for p in cells],
    }
    names: list[str] = []
    values: list[F64] = []
    starts: dict[str, I64] = {}
    for kind, parameters in parts.items():
        edges = [len(names)]
        for own, initial in parameters:
            names += own
            values.append(initial)
            edges.append(len(names))
        starts[kind] = np.array(edges, dtype=np.int64)
    fix.check(names)
    free = np.array([not fix.fixed(name) for name in names])
    if not free.any():
        raise ConfigError("every parameter is fixed: nothing to refine")
    owners = {key: np.array(models, dtype=np.int64) for key, models in owner.items()}
    return ModelSet(
        tuple(experiments), detectors, beams, tuple(orientations), tuple(cells),
        owners["detector"], owners["beam"], owners["crystal"], tuple(names),
        np.concatenate(values), free, starts,
    )  # fmt: skip
