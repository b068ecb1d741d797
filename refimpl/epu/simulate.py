r"""Simulated EPU sessions as arrays, with the truth: what a calibration and a search must find.

The beam hits :math:`p = s + b M` with the stage at :math:`s` and the beam shift :math:`b`. The
stage stops beside where it was sent; the shift makes up for it, as EPU does after it has centred
on a hole. What is recorded is :math:`s` with the jitter of the read-back and :math:`b` with noise.

Not simulated: drift during an exposure, beam shifts that are not linear, coma, image shift (0, as
in the real session), squares of two discs at the same place of the stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from refimpl.epu.simulate_exposures import Planned, exposures_of, planned_holes, stops_of
from refimpl.epu.simulate_geometry import lattice_of, matrix_of
from refimpl.epu.simulate_layout import Square
from refimpl.epu.simulate_plan import plan
from refimpl.epu.simulate_settings import SimulationSettings
from refimpl.epu.simulate_table import columns_of
from refimpl.epu.simulate_truth import KINDS, Truth, truth_of
from refimpl.epu.simulate_varied import varied
from refimpl.errors import ConfigError
from refimpl.frames import I64

if TYPE_CHECKING:
    from refimpl.epu.session import Session

__all__ = ["Simulated", "SimulationSettings", "Truth", "large", "simulate", "varied"]


@dataclass(frozen=True, eq=False)
class Simulated:
    """A session and the truth about it; rows of both in the order of time.

    Attributes
    ----------
    settings, seed
        What it was made from.
    columns
        Columns of the session's table.
    truth
        What happened.
    planned
        Holes as they stand in the .dm files.
    hole_spacing_um
        As it stands in EpuSession.dm.
    squares
        Grid squares.
    visit, square_index
        (n,) stage position, counted in the order of time, and square of each exposure.
    """

    settings: SimulationSettings
    seed: int
    columns: Mapping[str, Any]
    truth: Truth
    planned: Planned
    hole_spacing_um: float
    squares: tuple[Square, ...]
    visit: I64
    square_index: I64

    @cached_property
    def session(self) -> Session:
        """The session as if it had been read from its XML files alone."""
        from refimpl.epu.session import Session, table_of

        return Session(table=table_of(**self.columns))

    @cached_property
    def session_with_dm(self) -> Session:
        """The session with what EPU planned: places of the holes, and their spacing."""
        import pandas as pd

        number = np.array([s.number for s in self.squares], dtype=np.int64)
        x, y = self.planned.stage_um.T
        holes = pd.DataFrame(
            {
                "square": number[self.planned.square], "hole": self.planned.hole,
                "stage_x_um": x, "stage_y_um": y,
            }
        )  # fmt: skip
        return replace(
            self.session, holes=holes, hole_spacing_um=self.hole_spacing_um,
            hole_size_um=self.settings.hole_um,
        )  # fmt: skip


def simulate(settings: SimulationSettings | None = None, *, seed: int = 0) -> Simulated:
    """Simulate one session.

    Parameters
    ----------
    settings
        None: the defaults, about 2,300 exposures.
    seed
        Same settings and seed, same session, to the bit.

    Raises
    ------
    ConfigError
        The layout has no room for the mistakes that are asked for.
    """
    return _simulate(settings or SimulationSettings(), seed, None)


def large(n: int, seed: int = 0) -> Simulated:
    """Simulate ``n`` exposures for timings: 0.1 % duplicates or so, squares as many as needed.

    Raises
    ------
    ConfigError
        Less than one exposure, or more than the squares there can be (7 million).
    """
    if n < 1:
        raise ConfigError(f"n = {n}: expected one exposure or more", key="n", got=n)
    settings = SimulationSettings(
        squares=max(1, int(np.ceil(n / 750.0))), hole_fraction=1.0,
        revisits=n // 120_000, overlaps=n // 20_000, missed=n // 120_000, singles=n // 4000,
        near_misses=n // 2000, lost=0.0, other_diameters=0, equal_times=0, shot_s=6.0,
    )  # fmt: skip
    return _simulate(settings, seed, n)


def _simulate(settings: SimulationSettings, seed: int, limit: int | None) -> Simulated:
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(6)]
    squares, visits = plan(settings, streams[0])
    stops = stops_of(squares, visits, settings, streams[1])
    rows = exposures_of(squares, visits, settings, streams[2])
    kept = np.nonzero(streams[5].random(len(rows.visit)) >= settings.lost)[0]
    if not len(kept):
        raise ConfigError("no exposure is left: all are lost", key="lost", got=settings.lost)
    rows = rows.part(kept[:limit])
    matrix = matrix_of(settings)
    true_um, stage_um = rows.target_um, stops[rows.visit]
    shift = (true_um - stage_um) @ np.linalg.inv(matrix)
    shift += settings.beam_shift_noise * streams[3].normal(size=shift.shape)
    read_um = stage_um + settings.readback_um * streams[3].normal(size=shift.shape)
    columns, order = columns_of(rows, shift, read_um, squares, visits, settings, streams[4])
    kind = np.array(KINDS)[rows.kind[order]]
    lattice = None if settings.lacey else lattice_of(settings)
    planned = planned_holes(rows, squares, visits, settings, streams[5])
    spacing = settings.pitch_um * (1.0 + settings.spacing_error * streams[5].normal())
    return Simulated(
        settings, seed, columns, truth_of(matrix, lattice, true_um[order], kind), planned,
        round(spacing, 2), tuple(squares), rows.visit[order],
        np.array([v.square for v in visits])[rows.visit][order],
    )  # fmt: skip
