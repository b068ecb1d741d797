"""Settings and spots that indexing refuses, and the words that it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refimpl.crystal.reduction import basis_of_cell
from refimpl.errors import ConfigError, ConvergenceError, FormatError, GeometryError
from refimpl.io.reflection_table import ReflectionTable
from refimpl.metrology.indexing import IndexSettings, index, refine_rigid
from refimpl.metrology.indexing.candidates import KnownSymmetry
from refimpl.metrology.indexing.spots import spots_of_table
from refimpl.rotations import expmap

TURN = expmap(np.array([0.4, -1.1, 0.7]))
BASIS = basis_of_cell((38.0, 47.0, 61.0, 82.0, 95.0, 104.0)) @ TURN
QUICK = IndexSettings(n_grid=96, macro_cycles=2)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"method": "dps"}, "method 'dps' is not known: expected one of fft3d, fft1d, grid_search"),
        ({"assignment": "x"}, "assignment 'x' is not known: expected one of global, local"),
        ({"space_group": "P 7"}, "space group 'P 7' is not known"),
        ({"unit_cell": (1.0, 2.0)}, "unit cell has 2 numbers"),
        ({"method": "grid_search"}, "'grid_search' looks for a known cell: give unit_cell"),
        ({"hkl_tolerance": 0.0}, "hkl_tolerance = 0.0: expected a positive number"),
        ({"max_cell_angstrom": -1.0}, "max_cell_angstrom = -1.0: expected a positive number"),
        ({"macro_cycles": 0}, "macro_cycles = 0: expected at least 1"),
        ({"n_grid": 8}, "n_grid = 8: expected at least 32"),
        ({"max_lattices": 0}, "max_lattices = 0: expected at least 1"),
        ({"max_lattices": 2, "assignment": "local"}, "assignment 'local' takes one lattice: got"),
    ],
)
def test_settings_that_cannot_be_meant(wrong, words):
    with pytest.raises(ConfigError, match=words):
        IndexSettings(**wrong)


def test_a_cell_without_the_symmetry_is_refused():
    settings = IndexSettings(space_group="P 4", unit_cell=(58.0, 61.0, 150.0, 90.0, 90.0, 90.0))
    with pytest.raises(ConfigError, match=r"61\.00 .* does not have the symmetry of 'P 4'"):
        KnownSymmetry(settings)


def test_an_unusual_setting_needs_the_cell():
    with pytest.raises(ConfigError, match="'I 1 2 1' is not in the standard setting"):
        KnownSymmetry(IndexSettings(space_group="I 1 2 1"))
    known = IndexSettings(space_group="I 1 2 1", unit_cell=(60.0, 50.0, 70.0, 90.0, 95.0, 90.0))
    assert KnownSymmetry(known).longest_edge == pytest.approx(60.0, rel=0.1)


def _with(table, **columns):
    return table.with_columns({k.replace("_", "."): v for k, v in columns.items()})


def test_too_few_spots(spots):
    with pytest.raises(FormatError, match=r"^12 spots: indexing needs at least 20$"):
        index((spots.experiment,), spots.table.select(np.arange(12)))
    with pytest.raises(ConfigError, match=r"edge 2\.50 Å is not above min_cell_angstrom = 3"):
        index((spots.experiment,), spots.table, replace(QUICK, max_cell_angstrom=2.5))
    with pytest.raises(FormatError, match=r"of 600 spots are within 40\.00 Å: indexing needs"):
        index((spots.experiment,), spots.table, replace(QUICK, d_min_angstrom=40.0))


def test_experiments_and_spots_that_do_not_belong(spots):
    with pytest.raises(ConfigError, match=r"^no experiment: indexing needs at least one$"):
        index((), spots.table)
    two = (spots.experiment, spots.experiment)
    with pytest.raises(FormatError, match=r"^2 experiments: the spots need a column imageset_id"):
        index(two, spots.table.without("id"))
    wrong = spots.table.with_columns(id=np.arange(600) // 250)
    with pytest.raises(FormatError, match=r"^id of spot 500 is 2: there are 2 experiments, from 0"):
        index(two, wrong)
    still = replace(spots.experiment, goniometer=None, scan=None)
    with pytest.raises(ConfigError, match=r"^experiment 1 is a still and 0 is not: index them ap"):
        index((spots.experiment, still), spots.table)


def test_what_an_experiment_needs(spots):
    bare = replace(spots.experiment, detector=None)
    with pytest.raises(GeometryError, match="an experiment with a beam and a detector"):
        index((bare,), spots.table)
    dark = replace(spots.experiment, beam=None)
    with pytest.raises(GeometryError, match="an experiment with a beam and a detector"):
        index((dark,), spots.table)


def test_a_table_of_another_detector(spots):
    table = spots.table.with_columns(panel=np.full(len(spots.table), 17, dtype=np.uint64))
    with pytest.raises(GeometryError, match=r"17"):
        index((spots.experiment,), table)


def test_broken_columns(spots):
    _, table = spots_of_table((spots.experiment,), spots.table)
    with pytest.raises(FormatError, match=r"missing column.* panel"):
        index((spots.experiment,), table.without("panel"))
    with pytest.raises(FormatError, match=r"missing column.* xyzobs\.px\.value"):
        index((spots.experiment,), spots.table.without("xyzobs.px.value"))
    variance = table["xyzobs.mm.variance"].copy()
    variance[3, 1] = -1.0
    with pytest.raises(FormatError, match=r"variance of spot 3 .*: expected positive numbers"):
        index((spots.experiment,), _with(table, xyzobs_mm_variance=variance))
    value = table["xyzobs.mm.value"].copy()
    value[5, 0] = np.nan
    with pytest.raises(FormatError, match=r"value of spot 5 .*: expected finite numbers"):
        index((spots.experiment,), _with(table, xyzobs_mm_value=value))


def test_a_cell_that_does_not_match_is_told_what_is_there(spots):
    settings = replace(QUICK, unit_cell=(80.0, 80.0, 80.0, 90.0, 90.0, 90.0), space_group="P 2 3")
    words = (
        r"no lattice matches unit cell 80\.00 80\.00 80\.00 90\.00 90\.00 90\.00 and space group "
        r"P 2 3 within 10 % and 5 degrees; reduced cells found: "
        r"(37\.[5-9]|38\.[0-4])\d 4[67]\.\d\d 6\d\.\d\d .* \(\d+ % of the spots\)"
    )
    with pytest.raises(ConvergenceError, match=words):
        index((spots.experiment,), spots.table, settings)


def test_a_lattice_that_indexes_too_little(spots):
    settings = replace(QUICK, min_indexed_fraction=1.1)
    words = r"no lattice found: the best of \d+ cells, .* indexes \d+ % of the spots, expected at"
    with pytest.raises(ConvergenceError, match=words):
        index((spots.experiment,), spots.table, settings)


def test_noise_is_no_lattice(spots):
    rng = np.random.default_rng(1)
    pixels = rng.uniform(size=(400, 3)) * [700.0, 1400.0, 60.0]
    table = ReflectionTable(
        {
            "panel": rng.integers(0, 2, 400).astype(np.uint64),
            "xyzobs.px.value": pixels,
            "xyzobs.px.variance": np.full((400, 3), 0.04),
        }
    )
    with pytest.raises(ConvergenceError, match="no lattice"):
        index((spots.experiment,), table, replace(QUICK, max_cell_angstrom=80.0))


@pytest.mark.parametrize("how", ["stretched", "nonsense"])
def test_a_refinement_that_loses_the_lattice(spots, how):
    def lost(experiments, table):
        if how == "nonsense":
            raise GeometryError("cell vectors nan")
        done = refine_rigid(experiments, table)
        crystal = done.experiments[0].crystal
        far = replace(done.experiments[0], crystal=crystal.with_A(0.5 * crystal.A))
        return replace(done, experiments=(far,))

    with pytest.raises(ConvergenceError, match=r"the refinement lost the lattice: cell \d\d\.\d\d"):
        index((spots.experiment,), spots.table, QUICK, refine_model=lost)


def test_the_quick_refinement_needs_spots(result):
    few = result.table.select(np.flatnonzero(result.table["id"] == 0)[:10])
    with pytest.raises(ConvergenceError, match="of 10 indexed spots failed: fewer than 20"):
        refine_rigid(result.experiments, few)
