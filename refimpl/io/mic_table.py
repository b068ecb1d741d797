"""Rows of a published near-field map (``.mic``), whatever file they are from.

The columns stay as the file has them, so that what is read is written back byte for byte; the
properties are in mm and rad, in the MIDAS near-field frame. Files: :mod:`refimpl.io.mic`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FormatError
from refimpl.forward.nearfield_setup import Voxels, VoxelShape
from refimpl.frames import F64, I64
from refimpl.units import UM

__all__ = ["N_COLUMNS", "MicTable", "first_edge_um"]

N_COLUMNS = 11
"""Columns of a row, without the phase that the text has too."""


@dataclass(frozen=True, eq=False)
class MicTable:
    """Rows of a map.

    Attributes
    ----------
    columns
        (n, 11) as in the file: um, rad.
    phase
        (n,) phase numbers; the binary file has none.
    n_phases
        Of the header.
    global_position_um
        Height of the layer, of the header.
    tri_edge_um
        Of the header.
    """

    columns: F64
    phase: I64
    n_phases: int = 1
    global_position_um: float = 0.0
    tri_edge_um: float = 0.0

    def __post_init__(self) -> None:
        if self.columns.ndim != 2 or self.columns.shape[1] != N_COLUMNS:
            raise FormatError(f"a map of shape {self.columns.shape}: expected (n, {N_COLUMNS})")
        if self.phase.shape != (len(self.columns),):
            raise FormatError(f"{self.phase.shape} phases for {len(self.columns)} rows of a map")

    def __len__(self) -> int:
        return len(self.columns)

    @classmethod
    def of(
        cls,
        voxels: Voxels,
        euler_rad: F64,
        confidence: F64,
        *,
        seed_row: I64 | None = None,
        n_kept: I64 | None = None,
        seconds: F64 | None = None,
        phase: int = 1,
        n_phases: int = 1,
        global_position_um: float = 0.0,
    ) -> MicTable:
        """Table of a result, one row a voxel.

        Parameters
        ----------
        voxels
            n positions with edges.
        euler_rad
            (n, 3) Bunge angles; what is NaN becomes 0, as in the published files.
        confidence
            (n,) 0 to 1; what is NaN becomes 0.
        seed_row, n_kept, seconds
            (n,) each; 0 where not given.
        phase, n_phases, global_position_um
            For every row and the header.
        """
        n = len(voxels)
        columns = np.zeros((n, N_COLUMNS))
        for i, values in ((0, seed_row), (1, n_kept), (2, seconds)):
            if values is not None:
                columns[:, i] = values
        columns[:, 3:5], columns[:, 5] = voxels.xy_mm / UM, voxels.edge_mm / UM
        columns[:, 6] = np.where(voxels.up, 1.0, -1.0)
        columns[:, 7:10] = np.nan_to_num(euler_rad, nan=0.0)
        columns[:, 10] = np.nan_to_num(confidence, nan=0.0)
        phases = np.full(n, phase, dtype=np.int64)
        return cls(columns, phases, n_phases, global_position_um, first_edge_um(columns))

    @property
    def seed_row(self) -> I64:
        """(n,) row of the best seed."""
        return self.columns[:, 0].astype(np.int64)

    @property
    def n_kept(self) -> I64:
        """(n,) number of seeds that were fitted (the text calls it OrientationID)."""
        return self.columns[:, 1].astype(np.int64)

    @property
    def seconds(self) -> F64:
        """(n,) time of the fit [s]."""
        return self.columns[:, 2]

    @property
    def xy_mm(self) -> F64:
        """(n, 2) positions."""
        return np.ascontiguousarray(self.columns[:, 3:5] * UM)

    @property
    def edge_mm(self) -> F64:
        """(n,) edges."""
        return self.columns[:, 5] * UM

    @property
    def up(self) -> NDArray[np.bool_]:
        """(n,) whether the triangle points to +y."""
        return np.asarray(self.columns[:, 6] > 0.0)

    @property
    def euler_rad(self) -> F64:
        """(n, 3) Bunge angles."""
        return np.ascontiguousarray(self.columns[:, 7:10])

    @property
    def confidence(self) -> F64:
        """(n,) part of the predicted pixels that are lit."""
        return self.columns[:, 10]

    @property
    def hole(self) -> NDArray[np.bool_]:
        """(n,) rows of zeros: voxels that the published program found nothing for."""
        return np.asarray(~self.columns.any(axis=1))

    def voxels(self, shape: VoxelShape = "triangle") -> Voxels:
        """Positions with their edges; holes have none and are refused.

        Raises
        ------
        GeometryError
            An edge is not positive.
        """
        return Voxels(self.xy_mm, self.edge_mm, self.up, shape)

    def rows(self, keep: NDArray[np.bool_] | I64) -> MicTable:
        """Part of the table, with the same header."""
        return MicTable(
            self.columns[keep],
            self.phase[keep],
            self.n_phases,
            self.global_position_um,
            self.tri_edge_um,
        )


def first_edge_um(columns: F64) -> float:
    """Edge [um] of the first row that has one (published: of row 0, though it be a hole)."""
    edges = columns[columns[:, 5] > 0.0, 5]
    return float(edges[0]) if len(edges) else 0.0
