"""What the report of a refinement shows: residuals before and after, and how the panels moved.

:mod:`refimpl.report.metrology_sources` makes it of files or of a refinement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.frames import F64, I64
from refimpl.metrology.gauge import GaugeAnswer
from refimpl.metrology.weak_modes import WeakModes
from refimpl.report.metrology_layout import Layout

__all__ = ["SHOWN", "DetectorView", "MetrologyView"]

SHOWN = 6
"""Detectors that a page shows one by one; of the others it has a line in a table."""


@dataclass(frozen=True, eq=False)
class DetectorView:
    """One detector as a report shows it: p panels, n reflections.

    Attributes
    ----------
    prefix
        Of its parameters' names.
    layout
        Panels on paper.
    names
        Of the panels.
    panel, experiment
        (n,) of each reflection used.
    xy_px, angle_deg
        (n, 2) observed position in panel pixels; (n,) rotation angle, NaN for stills.
    before, after
        (n, 3) calculated minus observed x, y [px] and angle [degrees].
    pixel_mm
        (p, 2).
    moves, sigma
        (p, 6) see :data:`~refimpl.report.metrology_layout.MOVES`; uncertainties NaN where they are
        not known. In a gauge of its own both are of the panels within the detector.
    held
        (p,) panels that nothing moved.
    """

    prefix: str
    layout: Layout
    names: Sequence[str]
    panel: I64
    experiment: I64
    xy_px: F64
    angle_deg: F64
    before: F64
    after: F64
    pixel_mm: F64
    moves: F64
    sigma: F64
    held: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.panel)

    @property
    def n_panels(self) -> int:
        """Panels of the detector."""
        return len(self.names)

    @property
    def counts(self) -> I64:
        """(p,) reflections used."""
        return np.bincount(self.panel, minlength=self.n_panels)

    def by_panel(self, residuals: F64) -> tuple[F64, F64]:
        """(p, 3) means and root-mean-squares of residuals; NaN on panels without reflections."""
        n = np.where(self.counts > 0, self.counts, np.nan)[:, None]
        sums = [
            np.stack([np.bincount(self.panel, v, self.n_panels) for v in (residuals**k).T], axis=1)
            for k in (1, 2)
        ]
        return sums[0] / n, np.sqrt(sums[1] / n)


@dataclass(frozen=True, eq=False)
class MetrologyView:
    """One refinement as its report shows it.

    Attributes
    ----------
    title
        Of the page.
    detectors
        All of them, in the order of the experiments.
    experiments
        Labels of the experiments.
    rmsd, objective
        (m, 3) [mm, mm, degrees] and (m,) at each step; empty where not known.
    parameters
        Name, start, value, sigma of beam and crystals.
    cells
        Cell and space group of each crystal.
    numbers
        ``n_used, n_outliers, n_parameters, reason, converged, reduced``, any of them.
    gauge
        In which terms the panels' moves are told; None: as published.
    weak
        Weak modes; None where they are not known.
    listing
        Published listing, or empty.
    """

    title: str
    detectors: tuple[DetectorView, ...]
    experiments: Sequence[str]
    rmsd: F64 = field(default_factory=lambda: np.empty((0, 3)))
    objective: F64 = field(default_factory=lambda: np.empty(0))
    parameters: Sequence[tuple[str, float, float, float]] = ()
    cells: Sequence[tuple[Sequence[float], str]] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    gauge: GaugeAnswer | None = None
    weak: WeakModes | None = None
    listing: str = ""

    def __len__(self) -> int:
        return sum(len(d) for d in self.detectors)

    @cached_property
    def before(self) -> F64:
        """(n, 3) residuals of all detectors before, as in :class:`DetectorView`."""
        return np.concatenate([d.before for d in self.detectors])

    @cached_property
    def after(self) -> F64:
        """(n, 3) and after."""
        return np.concatenate([d.after for d in self.detectors])

    @cached_property
    def angle_deg(self) -> F64:
        """(n,) rotation angles."""
        return np.concatenate([d.angle_deg for d in self.detectors])

    @cached_property
    def experiment(self) -> I64:
        """(n,) experiments."""
        return np.concatenate([d.experiment for d in self.detectors])

    @property
    def shown(self) -> tuple[DetectorView, ...]:
        """Detectors that the page shows one by one."""
        return self.detectors[:SHOWN]
