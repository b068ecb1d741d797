"""A session: the exposures, what was wrong with the files, and what EPU planned."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from refimpl.epu.exposures import COLUMNS, empty_errors, table_of
from refimpl.errors import ConfigError
from refimpl.frames import F64

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "Session", "table_of"]


def _no_foil_images() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            "path": pd.Series([], dtype=object),
            "square": np.empty(0, dtype=np.int64),
            "hole": np.empty(0, dtype=np.int64),
            "time_s": np.empty(0, dtype=np.float64),
        }
    )


@dataclass(frozen=True, eq=False)
class Session:
    """Everything that is known of an EPU session.

    Attributes
    ----------
    table
        One row an exposure, columns :data:`COLUMNS`, sorted by time and name (:func:`table_of`).
    errors
        ``path, reason, used``: files that cannot be used, copies of a file (the copy is not used),
        and what is missing in files that are used.
    holes
        ``square, hole, stage_x_um, stage_y_um`` as EPU planned them (``GridSquare_*.dm``), or None.
    hole_spacing_um, hole_size_um
        From ``EpuSession.dm``, or None.
    foil_images
        ``path, square, hole, time_s`` of the pictures of foil holes, by name; time in UTC.
    folder
        Where it was read from, or None.
    """

    table: pd.DataFrame
    errors: pd.DataFrame = field(default_factory=empty_errors)
    holes: pd.DataFrame | None = None
    hole_spacing_um: float | None = None
    hole_size_um: float | None = None
    foil_images: pd.DataFrame = field(default_factory=_no_foil_images)
    folder: Path | None = None

    def __post_init__(self) -> None:
        missing = [name for name in COLUMNS if name not in self.table.columns]
        if missing:
            raise ConfigError(f"not a table of exposures, use table_of: it lacks {missing}")

    def __len__(self) -> int:
        return len(self.table)

    @property
    def exposures(self) -> int:
        """Number of exposures."""
        return len(self.table)

    @property
    def beam_shift(self) -> F64:
        """(n, 2) beam shifts, dimensionless."""
        return self.table[["beam_shift_x", "beam_shift_y"]].to_numpy(np.float64)

    @property
    def stage_um(self) -> F64:
        """(n, 2) stage positions [um]."""
        return self.table[["stage_x_um", "stage_y_um"]].to_numpy(np.float64)
