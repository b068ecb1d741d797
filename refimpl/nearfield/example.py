"""A small near-field experiment that is made up: parameter file, map of grains, far-field grains.

A disc of random polygons (Voronoi cells of random points) in random orientations, before a detector
of 512 x 512 pixels at two distances: small enough that images, map and comparison take seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.spatial import cKDTree

from refimpl.crystal.symmetry_operators import operators
from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import Voxels
from refimpl.frames import F64, I64
from refimpl.io.atomic import make_folder
from refimpl.io.grains_csv import GrainTable, write_grains
from refimpl.io.mic import MicTable, write_mic
from refimpl.io.nearfield_params import write_nearfield_params
from refimpl.nearfield.grid import hex_grid
from refimpl.nearfield.seeds import random_seeds
from refimpl.rotations import (
    euler_of_quaternion,
    expmap,
    matrix_of_quaternion,
)
from refimpl.units import DEG, UM

__all__ = ["EXAMPLE", "SMALL", "Example", "grain_map", "write_example"]

EXAMPLE: Final[dict[str, Any]] = {
    "DataDirectory": ".", "ReducedFileName": "example", "OrigFileName": "example",
    "extOrig": "h5", "StartNr": 0, "EndNr": 359, "NrFilesPerDistance": 360,
    "nDistances": 2, "Lsd": (3000.0, 4500.0), "BC": ((255.3, 10.4), (256.1, 12.7)), "px": 2.0,
    "NrPixels": 512, "tx": 0.3, "ty": -0.2, "tz": 0.4,
    "SpaceGroup": 225, "LatticeParameter": (4.08, 4.08, 4.08, 90.0, 90.0, 90.0),
    "Wavelength": 0.172979, "MaxRingRad": 800.0,
    "OmegaStart": -90.0, "OmegaStep": 0.5, "OmegaRange": ((-90.0, 90.0),),
    "BoxSize": ((-450.0, 450.0, 20.0, 900.0),), "ExcludePoleAngle": 6.0,
    "GridSize": 6.0, "Rsample": 60.0, "DoLoGFilter": 0, "BlanketSubtraction": 20.0,
    "MedFiltRadius": 0,  # spots of voxels of 6 um are two or three pixels wide
    "GrainsFile": "Grains.csv", "MinFracAccept": 0.2, "OrientTol": 2.0, "SaveNSolutions": 1,
    "MinConfidence": 0.5, "MicFileText": "map.mic", "MicFileBinary": "map.mic.bin",
}  # fmt: skip
"""Parameters of the example, in the units of the file."""
SMALL: Final[dict[str, Any]] = {
    "NrPixels": 256, "px": 4.0, "BC": ((127.6, 5.4), (128.2, 6.7)), "EndNr": 119,
    "NrFilesPerDistance": 120, "OmegaStep": 1.5, "GridSize": 12.0, "Rsample": 40.0,
}  # fmt: skip
"""Changes that make it an example of a second: coarse frames and pixels, 96 voxels."""

_ROUGH = 0.3 * DEG
_SAMPLE = 0.9  # of Rsample


@dataclass(frozen=True)
class Example:
    """Files of the example."""

    parameters: Path
    truth: Path
    grains: Path


def grain_map(voxels: Voxels, n_grains: int, seed: int, space_group: int) -> tuple[F64, I64]:
    """Voronoi cells of random points in the sample, each with a random orientation.

    Returns
    -------
    (g, 4) orientations, and (v,) grain of each voxel.

    Raises
    ------
    ConfigError
        No grain, or more grains than voxels.
    """
    if not 1 <= n_grains <= len(voxels):
        raise ConfigError(f"{n_grains} grains in {len(voxels)} voxels: expected 1 or more, and not "
                          "more than voxels", key="grains", got=n_grains)  # fmt: skip
    rng = np.random.default_rng(seed)
    middles = voxels.xy_mm[rng.choice(len(voxels), n_grains, replace=False)]
    label = np.asarray(cKDTree(middles).query(voxels.xy_mm)[1], dtype=np.int64)
    return random_seeds(n_grains, operators(space_group), seed), label


def write_example(
    folder: str | Path, *, n_grains: int = 24, seed: int = 1, **changes: Any
) -> Example:
    """Write ``ps.txt``, ``truth.mic`` and ``Grains.csv``: what a measurement would begin with.

    The grains of ``Grains.csv`` are 0.3 degrees off in random directions, as those of a far field.

    Parameters
    ----------
    folder
        Made if it does not exist.
    n_grains
        Of the sample.
    seed
        Of places, orientations and errors.
    changes
        Other values of keys of :data:`EXAMPLE`, or further keys.

    Raises
    ------
    ConfigError
        As :func:`grain_map`; the folder cannot be written to.
    """
    target = make_folder(folder)
    values = EXAMPLE | changes
    grid = hex_grid(values["GridSize"] * UM, values["Rsample"] * UM)
    voxels = grid[np.hypot(*grid.xy_mm.T) < _SAMPLE * values["Rsample"] * UM]
    q, label = grain_map(voxels, n_grains, seed, values["SpaceGroup"])
    mic = MicTable.of(voxels, euler_of_quaternion(q)[label], np.ones(len(voxels)), seed_row=label)
    rng = np.random.default_rng([seed, 1])
    rough = np.stack(
        [expmap(_ROUGH * v / np.linalg.norm(v)) for v in rng.normal(size=(n_grains, 3))]
    ) @ matrix_of_quaternion(q)
    unknown = np.full(n_grains, np.nan)
    grains = GrainTable(
        np.arange(1, n_grains + 1), rough, np.zeros((n_grains, 3)),
        np.tile(values["LatticeParameter"], (n_grains, 1)), unknown, unknown,
    )  # fmt: skip
    return Example(
        write_nearfield_params(target / "ps.txt", values),
        write_mic(target / "truth.mic", mic),
        write_grains(target / "Grains.csv", grains, values["SpaceGroup"]),
    )
