"""Grids of the loops of a coarse-to-fine run: the settings of one run, at the size of each loop.

As published, EdgeLength stays what it is from loop to loop where it is stated; else the triangles
that are projected have the edge of the grid. Masks act on every grid. A grid file is never read:
GridFileName names the file that is written (:mod:`refimpl.nearfield.multires_files`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from refimpl.errors import ConfigError, GeometryError
from refimpl.forward.nearfield_setup import NearfieldDetector, Voxels
from refimpl.nearfield.grid import check_view, grid_of
from refimpl.nearfield.settings import GridTable
from refimpl.units import UM

__all__ = ["LoopGrids"]


@dataclass(frozen=True)
class LoopGrids:
    """Grid of an edge [mm], on call.

    Attributes
    ----------
    table
        Settings of the grid; its size and its file do not count.
    """

    table: GridTable

    @classmethod
    def of(cls, table: GridTable, *, edge_stated: bool) -> LoopGrids:
        """Grids of a run; ``edge_stated`` says whether its EdgeLength is more than a default."""
        edge = table.edge_mm if edge_stated else None
        return cls(table.model_copy(update={"grid_file": None, "edge_mm": edge}))

    def __call__(self, size_mm: float) -> Voxels:
        """Points of a loop, within the masks.

        Raises
        ------
        ConfigError
            A size is missing or impossible; masks leave nothing.
        """
        return grid_of(self.table.model_copy(update={"grid_size_mm": size_mm}))

    def whole(self, size_mm: float) -> Voxels:
        """The same without masks."""
        open_ = {"grid_size_mm": size_mm, "tomo_image": None, "grid_mask_mm": None}
        return grid_of(self.table.model_copy(update=open_))

    @property
    def backup(self) -> str | None:
        """Published name of the file of the unmasked grid; None where no mask acts.

        A tomography image goes before a box, as published.
        """
        if self.table.tomo_image is not None:
            return "grid_unfilt.txt"
        return "grid_old.txt" if self.table.grid_mask_mm is not None else None

    def check(self, sizes_mm: Sequence[float], detector: NearfieldDetector) -> None:
        """Lay out the grid of every loop, so that what is wrong with one is said before the work.

        Raises
        ------
        ConfigError
            With key GridRefactor: a grid has no point within the masks, or too many. Else as on
            call.
        GeometryError
            A point is out of the detector's view.
        """
        for number, size in enumerate(sizes_mm):
            what = f"GridRefactor: the grid of loop {number} with an edge of {size / UM:g} um"
            try:
                check_view(self(size), detector)
            except ConfigError as error:
                if error.key in ("GridMask", "TomoImage") and error.path is None:
                    if "leaves no grid point" not in str(error):
                        raise
                    raise ConfigError(
                        f"{what} has no point within {error.key}", key="GridRefactor"
                    ) from error
                if error.key == "GridSize":
                    raise ConfigError(f"{what}: {error}", key="GridRefactor") from error
                raise
            except GeometryError as error:
                raise GeometryError(f"{what}: {error}") from error
