"""Spots of one lattice, and what indexing makes of them."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.crystal.reduction import basis_of_cell
from refimpl.metrology.indexing import IndexSettings, index
from refimpl.rotations import expmap
from refimpl.testing.lattice_spots import lattice_spots

TURN = expmap(np.array([0.4, -1.1, 0.7]))
BASIS = basis_of_cell((38.0, 47.0, 61.0, 82.0, 95.0, 104.0)) @ TURN


@pytest.fixture(scope="session")
def spots():
    return lattice_spots(BASIS, most=600)


@pytest.fixture(scope="session")
def result(spots):
    return index((spots.experiment,), spots.table, IndexSettings(n_grid=96, macro_cycles=2))
