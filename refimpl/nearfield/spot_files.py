"""Published files of what a run predicts: reflections, and the spots of its seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from refimpl.crystal.hkls_csv import HklTable, format_hkls, nearfield_hkls
from refimpl.forward.nearfield_setup import Setup
from refimpl.forward.nearfield_spots import spots_of_setup
from refimpl.frames import F64
from refimpl.io.atomic import write_text
from refimpl.io.nearfield_files import SeedSpots, write_seed_spots
from refimpl.io.seed_spots_text import write_seed_spots_text
from refimpl.nearfield.settings import NearfieldConfig
from refimpl.rotations import matrix_of_quaternion

__all__ = ["write_hkls", "write_spots"]


def write_hkls(path: str | Path, config: NearfieldConfig) -> HklTable:
    """Write ``hkls.csv`` as GetHKLListNF does, every ring; atomic.

    Raises
    ------
    ConfigError
        There are no reflections; the file cannot be written.
    """
    crystal = config.crystal
    table = nearfield_hkls(
        crystal.cell, crystal.space_group, config.beam.wavelength_angstrom,
        config.detector.lsd_mm[-1], crystal.max_ring_radius_mm,
    )  # fmt: skip
    write_text(path, format_hkls(table, digits=17))
    return table


def write_spots(
    folder: str | Path,
    setup: Setup,
    seeds: F64,
    *,
    text: bool = False,
    threads: int | None = None,
) -> SeedSpots:
    """Write ``DiffractionSpots.bin``, ``Key.bin`` and ``OrientMat.bin`` as MakeDiffrSpots does.

    Parameters
    ----------
    folder
        Of the files; each is atomic.
    setup
        The experiment.
    seeds
        (o, 4) orientations, w x y z.
    text
        Write also their text: :mod:`refimpl.io.seed_spots_text`.
    threads
        Of the prediction.
    """
    matrices = np.ascontiguousarray(matrix_of_quaternion(seeds))
    made = spots_of_setup(setup, matrices, threads=threads)
    key = made.key.astype(np.int32)
    spots = SeedSpots(made.yl_mm, made.zl_mm, made.omega_rad, key, matrices)
    write_seed_spots(folder, spots)
    if text:
        write_seed_spots_text(folder, spots)
    return spots
