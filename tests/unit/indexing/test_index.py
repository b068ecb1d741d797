"""Indexing one crystal from beginning to end."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from refimpl.crystal.reduction import basis_of_cell, cell_of_basis
from refimpl.dispatch import available_backends, use_backend
from refimpl.io.reflection_table import INDEXED, STRONG
from refimpl.metrology.indexing import IndexSettings, index, refine_rigid
from refimpl.metrology.indexing.spots import mapped, spots_of_table
from refimpl.rotations import expmap
from refimpl.testing.lattice_spots import lattice_spots

TURN = expmap(np.array([0.4, -1.1, 0.7]))
BASIS = basis_of_cell((38.0, 47.0, 61.0, 82.0, 95.0, 104.0)) @ TURN
QUICK = IndexSettings(n_grid=96, macro_cycles=2)


def test_the_result_tells_everything(spots, result):
    said = []
    again = index(
        (spots.experiment,), spots.table, QUICK, lambda text, part: said.append((text, part))
    )
    assert [p for _, p in said] == sorted(p for _, p in said)
    assert said[0] == ("mapping spots to reciprocal space", 0.0)
    table = result.table
    assert result.n_indexed == int(table.has_flags(INDEXED).sum()) > 560
    assert table.has_flags(STRONG).all()
    good = table["id"] == 0
    assert (table["id"][~good] == -1).all()
    assert not table["miller_index"][~good].any()
    assert table.identifiers == {0: result.experiments[0].identifier}
    assert {"rlp", "s1", "entering", "xyzobs.mm.value", "imageset_id"} <= set(table.columns)
    crystal = result.experiments[0].crystal
    assert (
        np.abs(table["rlp"][good] @ np.linalg.inv(crystal.A).T - table["miller_index"][good]).max()
        < 0.3
    )
    assert [r.symbol for r in result.searches[0].lattices] == ["aP"]
    assert len(result.cycles) == 2
    assert result.cycles[0].d_min_angstrom > result.cycles[1].d_min_angstrom
    text = result.text()
    assert text.endswith(f"{result.n_indexed} of {len(table)} spots indexed\n")
    assert re.match(r" (37\.8|37\.9|38\.0)\d +46\.\d\d", text.splitlines()[3])
    assert again.text() == text
    assert again.experiments[0].identifier == result.experiments[0].identifier


def test_the_refinement_can_be_handed_in(spots):
    calls = []

    def counted(experiments, table):
        calls.append(len(table))
        return refine_rigid(experiments, table)

    result = index((spots.experiment,), spots.table, QUICK, refine_model=counted)
    assert len(calls) == 2
    assert calls[-1] == result.cycles[-1].n_indexed


def test_millimetres_are_taken_as_they_are(spots):
    _, table = spots_of_table((spots.experiment,), spots.table)
    only_mm = table.without("xyzobs.px.value", "xyzobs.px.variance", "flags", "id")
    result = index((spots.experiment,), only_mm, QUICK)
    assert result.n_indexed > 560


def test_local_assignment_and_a_known_cell(spots):
    cell = (38.2, 47.2, 61.0, 82.0, 95.0, 104.0)
    settings = replace(QUICK, unit_cell=cell, assignment="local", method="fft1d")
    result = index((spots.experiment,), spots.table, settings)
    assert result.n_indexed > 540
    assert result.cell == pytest.approx(cell, rel=0.01)
    assert result.searches[0].lattices == ()


def test_the_most_symmetric_lattice_on_request():
    basis = basis_of_cell((58.0, 58.0, 90.0, 90.0, 90.0, 90.0)) @ TURN
    data = lattice_spots(basis, "P 4", most=600)
    settings = replace(QUICK, choose_lattice=True, max_delta_deg=1.0)
    result = index((data.experiment,), data.table, settings)
    assert result.searches[0].lattices[0].symbol == "tP"
    assert result.cell == pytest.approx((58.0, 58.0, 90.0, 90.0, 90.0, 90.0), rel=1e-3)
    assert result.experiments[0].crystal.hall == " P 4"
    assert len(result.cycles) == 3


def test_the_definitions_give_the_same(spots):
    cell = (38.0, 47.0, 61.0, 82.0, 95.0, 104.0)
    settings = replace(QUICK, unit_cell=cell, method="grid_search", direction_step_rad=0.05)
    found = []
    for backend in available_backends():
        with use_backend(backend):
            result = index((spots.experiment,), spots.table, settings, refine_model=refine_rigid)
        found.append(result.table["miller_index"])
    assert (found[0] == found[-1]).all()
    assert (found[0] != 0).any(axis=1).sum() > 560


def test_a_still_is_indexed():
    data = lattice_spots(BASIS, most=4000, degrees=0.5, d_min=1.6, error_px=0.05)
    still = replace(data.experiment, goniometer=None, scan=None)
    turn = expmap(np.array([1.0, 0.0, 0.0]) * float(data.experiment.scan.phi_of_frame(0.5)))
    settings = replace(
        QUICK, unit_cell=cell_of_basis(BASIS), method="grid_search", d_min_angstrom=1.6
    )
    result = index((still,), data.table, settings, refine_model=refine_rigid)
    assert result.n_indexed > 0.8 * len(data.table)
    assert result.cell == pytest.approx(cell_of_basis(BASIS), rel=0.01)
    assert not result.table["entering"].any()
    # of several stills each has a crystal of its own
    two = data.table.with_columns(id=(np.arange(len(data.table)) < 10).astype(np.int32))
    pair = index((still, still), two, settings, refine_model=refine_rigid)
    assert len(pair.experiments) == 1
    assert pair.notes == ("experiment 1: 10 spots: indexing needs at least 20",)
    hkl = mapped((still,), spots_of_table((still,), data.table)[0])[0] @ (BASIS @ turn.T).T
    assert len(hkl) == len(data.table)
