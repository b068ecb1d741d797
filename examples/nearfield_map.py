"""Simulate a polycrystal's near-field spots, find its map again, and compare the two.

Three grains before a small detector at two distances; the search starts from orientations that are
0.3 degrees off, as those of a far-field measurement.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from refimpl.detector.lit_pixels import LitPixels
from refimpl.forward.nearfield_stack import simulate_stack
from refimpl.io.grains_csv import read_grains
from refimpl.io.nearfield_params import read_nearfield_params
from refimpl.nearfield import config_of_params, setup_of
from refimpl.nearfield.compare import compare_maps
from refimpl.nearfield.example import SMALL, write_example
from refimpl.nearfield.outputs import read_map
from refimpl.nearfield.reconstruct import reconstruct
from refimpl.nearfield.search import SearchSettings
from refimpl.nearfield.seeds import seeds_of_grains

files = write_example(Path("example"), n_grains=3, seed=3, **SMALL)
setup = setup_of(config_of_params(read_nearfield_params(files.parameters)))
truth = read_map(files.truth, space_group=setup.space_group)

pixels = simulate_stack(setup, truth.voxels, truth.matrices)
lit = LitPixels.from_hits(pixels.pixels(), pixels.shape)
print(f"{len(truth)} voxels light {lit.n_lit} pixels of {np.prod(pixels.shape):,}")

seeds = seeds_of_grains(read_grains(files.grains))
found = reconstruct(setup, lit, truth.voxels, seeds, SearchSettings(least=0.2))
print(
    f"mean confidence {found.confidence.mean():.4f}, by distance {found.by_distance.mean(axis=0)}"
)
print("\n".join(compare_maps(found, truth).sentences()))
