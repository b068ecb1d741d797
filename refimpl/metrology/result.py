"""What a refinement gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refimpl import hooks
from refimpl.forward.experiment import Experiment
from refimpl.frames import F64
from refimpl.io.reflection_table import ReflectionTable
from refimpl.metrology.constraints import tie_matrix
from refimpl.metrology.engines import Trajectory
from refimpl.metrology.gauge import GaugeAnswer
from refimpl.metrology.outlier_jobs import OutlierReport
from refimpl.metrology.parameters import ModelSet
from refimpl.metrology.refine_settings import RefineSettings
from refimpl.metrology.rmsd import ResidualSummary, RmsdTable
from refimpl.units import DEG

__all__ = ["RefinementResult"]


@dataclass(frozen=True, eq=False)
class RefinementResult:
    """What a refinement found.

    Attributes
    ----------
    experiments
        Refined.
    table
        As given, with predictions and flags of the outcome; see
        :func:`refimpl.metrology.marking.marked`.
    models
        Parameters, free or not.
    trajectory
        Of the engine.
    outliers
        Report of the rejection.
    reduced
        A sentence a model that had too few reflections.
    n_accepted, n_used
        Reflections before and after rejection.
    accepted
        Summary of residuals and weights at the start, before rejection.
    before, after
        The same at the start and the end, of what was used.
    by_experiment
        RMSDs [px, px, images].
    by_detector
        The same by panel, a table a detector of :attr:`models`.
    residuals
        (n, 3) of the used reflections at the end.
    used
        (n,) their rows in the table.
    settings
        As given.
    gauge
        The detector told in the gauge of the settings; None in the published one.
    """

    experiments: tuple[Experiment, ...]
    table: ReflectionTable
    models: ModelSet
    trajectory: Trajectory
    outliers: OutlierReport
    reduced: tuple[str, ...]
    n_accepted: int
    n_used: int
    accepted: ResidualSummary
    before: ResidualSummary
    after: ResidualSummary
    by_experiment: RmsdTable
    by_detector: tuple[RmsdTable, ...]
    residuals: F64
    used: NDArray[np.intp]
    settings: RefineSettings
    gauge: GaugeAnswer | None = None

    @property
    def rmsd(self) -> F64:
        """(3,) overall [mm, mm, rad]."""
        return self.trajectory.steps[-1].rmsd

    @property
    def by_panel(self) -> RmsdTable:
        """RMSDs [px, px, images] by panel of the first detector."""
        return self.by_detector[0]

    def report(self, folder: str | Path) -> Path:
        """Write figures and ``report.html`` into a folder; return the path of the page."""
        return Path(hooks.call("metrology.report", self, Path(folder)))

    @property
    def n_parameters(self) -> int:
        """Free parameters; those that shift together count once."""
        free = [n for n, f in zip(self.models.names, self.models.free, strict=True) if f]
        return len(tie_matrix(free, self.settings.constraints)[1])

    def summary(self) -> dict[str, object]:
        """JSON-ready figures."""
        x, y, phi = (float(v) for v in self.rmsd)
        return {
            "rmsd_mm": [x, y],
            "rmsd_deg": phi / DEG,
            "n_used": self.n_used,
            "n_accepted": self.n_accepted,
            "n_outliers": int(self.outliers.rejected.sum()),
            "n_parameters": self.n_parameters,
            "objective": self.trajectory.steps[-1].objective,
            "steps": len(self.trajectory.steps) - 1,
            "reason": self.trajectory.reason,
            "converged": self.trajectory.converged,
            "undetermined": list(self.trajectory.undetermined),
            "reduced": list(self.reduced),
        }
