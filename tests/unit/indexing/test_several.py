"""Several crystals in a scan, and several scans of crystals."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from refimpl.crystal.reduction import basis_of_cell, cell_of_basis
from refimpl.errors import ConvergenceError
from refimpl.io.reflection_table import ReflectionTable
from refimpl.metrology.indexing import IndexSettings, index, refine_rigid
from refimpl.metrology.indexing.orientations import misorientation
from refimpl.rotations import expmap
from refimpl.testing.lattice_spots import lattice_spots, small_experiment

TURN = expmap(np.array([0.4, -1.1, 0.7]))
BASIS = basis_of_cell((38.0, 47.0, 61.0, 82.0, 95.0, 104.0)) @ TURN
QUICK = IndexSettings(n_grid=96, macro_cycles=2)

OTHER = BASIS @ expmap(np.array([-0.6, 0.3, 0.5]))


def joined(*parts):
    """Spots of several simulations in one table, mixed; ids say which."""
    names = ("panel", "xyzobs.px.value", "xyzobs.px.variance", "flags")
    columns = {n: np.concatenate([p.table[n] for p in parts]) for n in names}
    columns["id"] = np.repeat(np.arange(len(parts), dtype=np.int32), [len(p.hkl) for p in parts])
    mixed = np.random.default_rng(5).permutation(len(columns["id"]))
    return ReflectionTable(columns).select(mixed), columns["id"][mixed]


def turned(experiment, degrees):
    """Second scan of the same detector: elsewhere on the spindle, on a turned goniometer."""
    gonio = replace(
        experiment.goniometer,
        fixed=expmap(np.array([0.2, 0.9, -0.1])),
        setting=expmap(np.array([0.0, 0.3, 0.4])),
    )
    scan = replace(experiment.scan, oscillation_deg=(degrees, 0.5))
    return replace(experiment, goniometer=gonio, scan=scan)


def same_lattice(result, number, basis):
    change = np.asarray(result.experiments[number].crystal.real_space) @ np.linalg.inv(basis)
    # 0.01: 0.2 px of errors, beam and detector free to move along
    return np.abs(change - np.rint(change)).max() < 0.01


@pytest.mark.parametrize("refine_model", [None, refine_rigid])
def test_two_crystals_in_one_scan(refine_model):
    one, two = lattice_spots(BASIS, most=700), lattice_spots(OTHER, most=450, seed=1)
    table, truth = joined(one, two)
    settings = replace(QUICK, max_lattices=3, unit_cell=cell_of_basis(BASIS))
    result = index((one.experiment,), table.without("id"), settings, refine_model=refine_model)
    assert len(result.experiments) == 2
    assert same_lattice(result, 0, BASIS)
    assert same_lattice(result, 1, OTHER)
    assert result.experiments[0].detector is result.experiments[1].detector
    assert result.experiments[0].identifier != result.experiments[1].identifier
    # a tenth of the spots of one lie on points of the other, as near as on their own
    assert (result.table["id"] == truth).mean() > 0.93
    assert result.n_indexed == sum(result.per_experiment) > 1130
    assert result.searches[0].n_spots == 1150
    assert 380 < result.searches[1].n_spots < 450
    (note,) = result.notes
    assert re.match(r"no crystal 3: \d+ of 1150 spots are left, fewer than 10 % or 20$", note)
    text = result.text()
    assert text.startswith("crystal 1: 1150 spots of scan 0\nmax cell ")
    assert note in text
    assert re.search(r"\nexperiment 1: 4\d\d spots indexed, cell ", text)


def test_a_crystal_is_not_found_twice():
    near = BASIS @ expmap(np.array([0.01, 0.02, 0.03]))  # 2.14 degrees
    table, _ = joined(lattice_spots(BASIS, most=700), lattice_spots(near, most=500, seed=1))
    experiment = small_experiment()
    settings = replace(QUICK, max_lattices=2, unit_cell=cell_of_basis(BASIS), hkl_tolerance=0.2)
    result = index((experiment,), table, settings, refine_model=refine_rigid)
    assert len(result.experiments) == 1
    words = (
        r"no crystal 2: the best cell among the spots left is crystal 1 turned by (1\.9|2\.\d)\d "
        r"degrees, less than min_separation_deg = 5$"
    )
    assert re.match(words, result.notes[0])
    both = replace(settings, min_separation_deg=1.0)
    result = index((experiment,), table, both, refine_model=refine_rigid)
    assert len(result.experiments) == 2


def test_a_crystal_that_does_not_hold_is_not_taken():
    table, _ = joined(lattice_spots(BASIS, most=700), lattice_spots(OTHER, most=400, seed=1))
    settings = replace(QUICK, max_lattices=2, unit_cell=cell_of_basis(BASIS))

    def greedy(experiments, table):
        """Once there are two crystals, the second follows the first."""
        done = refine_rigid(experiments[:1], table.select(table["id"] == 0))
        first = done.experiments[0]
        wide = replace(first.crystal, extra={})
        return replace(done, experiments=(first, replace(first, crystal=wide))[: len(experiments)])

    result = index((small_experiment(),), table, settings, refine_model=greedy)
    assert len(result.experiments) == 1
    words = (
        r"no crystal 2: after refinement it has \d+ of the 3\d\d spots that were left, expected at"
    )
    assert re.match(words, result.notes[0])


def test_misorientation_by_hand():
    cube = 50.0 * np.eye(3)
    turn = expmap(np.array([0.0, 0.0, np.pi / 2.0 - 0.1]))
    assert misorientation(cube, cube @ turn) == pytest.approx(0.1)
    assert misorientation(BASIS, BASIS @ turn) == pytest.approx(np.pi / 2.0 - 0.1)
    assert misorientation(BASIS, 1.2 * BASIS) == np.inf


@pytest.mark.parametrize("refine_model", [None, refine_rigid])
def test_two_scans_of_one_crystal(refine_model):
    one = lattice_spots(BASIS, most=250)
    second = turned(one.experiment, 75.0)
    two = lattice_spots(BASIS, most=350, seed=1, experiment=second)
    table, truth = joined(one, two)
    scans = (replace(one.experiment, identifier="first"), second)
    found = [
        index(scans, table, QUICK, refine_model=refine_model, threads=threads) for threads in (1, 2)
    ]
    result = found[0]
    assert result.experiments[0].crystal is result.experiments[1].crystal
    assert result.experiments[0].detector is result.experiments[1].detector
    assert result.experiments[0].identifier == "first"
    assert same_lattice(result, 0, BASIS)
    assert result.n_indexed > 590
    good = result.table["id"] >= 0
    assert (result.table["id"][good] == truth[good]).all()
    assert (result.table["imageset_id"] == truth).all()
    assert found[1].text() == result.text()
    assert (found[1].table["miller_index"] == result.table["miller_index"]).all()


def test_scans_of_one_crystal_each():
    one = lattice_spots(BASIS, most=400)
    second = turned(one.experiment, 75.0)
    two = lattice_spots(OTHER, most=500, seed=1, experiment=second)
    table, truth = joined(one, two)
    scans = (one.experiment, second)
    settings = replace(QUICK, joint=False)
    result = index(scans, table, settings, refine_model=refine_rigid)
    assert same_lattice(result, 0, BASIS)
    assert same_lattice(result, 1, OTHER)
    good = result.table["id"] >= 0
    assert good.mean() > 0.99
    assert (result.table["id"][good] == truth[good]).all()
    assert (result.table["xyzobs.px.value"] == table["xyzobs.px.value"]).all()
    few = table.select(np.flatnonzero((truth == 0) | (np.arange(900) < 20)))
    result = index(scans, few, settings, refine_model=refine_rigid)
    assert len(result.experiments) == 1
    n = int((few["id"] == 1).sum())
    assert (result.table["id"][few["id"] == 1] == -1).all()
    assert len(result.table) == len(few)
    assert result.notes == (f"experiment 1: {n} spots: indexing needs at least 20",)
    with pytest.raises(ConvergenceError, match=r"^no lattice found in any of 2 experiments; "):
        index(scans, few.select(np.arange(30)), settings)
