"""Real data against the published program's runs: spots of i04 on 60 panels, and nine images.

The references: th82 with 60 panels, P 4 with 58 58 150, 13,804 of 13,805 spots indexed, cell
57.7843(15) 150.013(3); centroid test data, fft3d without symmetry 568 of 654, 39.409 41.828 41.977,
and P 4 by grid search 569, 42.179(9) 39.668(9).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refimpl.forward.experiment import Beam
from refimpl.forward.reciprocal import diffracted_beams, reciprocal_points
from refimpl.io.dials_files import read_expt, read_refl
from refimpl.io.reflection_table import ReflectionTable
from refimpl.metrology.indexing import IndexSettings, index, refine_rigid
from refimpl.metrology.indexing.assign import assign_global, assign_local

P4 = IndexSettings(space_group="P 4", unit_cell=(58.0, 58.0, 150.0, 90.0, 90.0, 90.0))


@pytest.fixture(scope="module")
def th82(real_data):
    (experiment,) = read_expt(real_data("metrology/index/i04_60_imported.expt"))
    return experiment, read_refl(real_data("metrology/index/i04_60_strong.refl"))


@pytest.fixture(scope="module")
def centroid(real_data):
    """Spots of nine images, with the geometry that their headers tell."""
    (refined,) = read_expt(real_data("metrology/index/centroid_fft3d.expt"))
    header = np.array([[[1.0, 0.0, -212.478], [0.0, -1.0, 220.002], [0.0, 0.0, -190.18]]])
    beam = Beam(np.array([0.0, 0.0, 1.0]), refined.beam.wavelength_angstrom)
    start = replace(refined, crystal=None, beam=beam, detector=refined.detector.with_d(header))
    with np.load(real_data("metrology/data/centroid_strong.npz")) as file:
        table = ReflectionTable({name: file[name] for name in file.files})
    return start, table


def test_reciprocal_points_are_the_published_ones(real_data):
    # the model that the fixture was made with
    model = real_data("metrology/refine/th82_60panel_lev0_tukey_refined.expt")
    (experiment,) = read_expt(model)
    with np.load(real_data("metrology/fixtures/rlp_th82.npz")) as file:
        golden = {name: file[name] for name in file.files}
    xyz, beam, gonio = golden["xyzobs_mm_value"], experiment.beam, experiment.goniometer
    s1 = diffracted_beams(
        golden["panel"], xyz[:, :2], experiment.detector.d, beam.wavelength_angstrom
    )
    points = reciprocal_points(
        s1, beam.s0, xyz[:, 2], gonio.rotation_axis, gonio.setting, gonio.fixed
    )
    # 1e-14/Å: a dozen operations on numbers near 1
    np.testing.assert_allclose(s1, golden["s1"], rtol=0.0, atol=1e-14)
    np.testing.assert_allclose(points, golden["rlp"], rtol=0.0, atol=1e-14)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "method",
    ["fft3d", pytest.param("fft1d", marks=SLOW), pytest.param("grid_search", marks=SLOW)],
)
def test_th82_with_the_tutorials_command(th82, real_data, method):
    experiment, table = th82
    result = index((experiment,), table, replace(P4, method=method))
    assert result.searches[0].max_cell_angstrom == pytest.approx(195.0)  # 1.3 * 150
    assert result.searches[0].d_min_angstrom == pytest.approx(3.81, abs=0.005)
    assert len(table) == 13805
    assert result.n_indexed >= 13804
    # the reference's own standard uncertainties are 0.0015 and 0.003 Å
    assert result.cell == pytest.approx((57.7843, 57.7843, 150.013, 90, 90, 90), abs=0.005)
    (theirs,) = read_expt(real_data("metrology/index/i04_60_fft3d_known.expt"))
    change = result.experiments[0].crystal.real_space @ np.linalg.inv(theirs.crystal.real_space)
    whole = np.rint(change)
    assert abs(np.linalg.det(whole)) == 1.0
    # 1e-3: angles of 1 mrad, detector and crystal turning together about the beam
    assert np.abs(change - whole).max() < 1e-3


@pytest.mark.slow
def test_local_and_global_agree(th82):
    experiment, table = th82
    result = index((experiment,), table, replace(P4, method="fft1d"), refine_model=refine_rigid)
    assert result.n_indexed >= 13804
    a_matrix, phi = result.experiments[0].crystal.A, result.table["xyzobs.mm.value"][:, 2]
    points = result.table["rlp"]
    local, _ = assign_local(points, phi, a_matrix)
    whole, _ = assign_global(points, phi, [a_matrix])
    assert (local == whole).all(axis=1).sum() >= 13800


def test_the_reference_model_gives_the_published_indices(real_data):
    (model,) = read_expt(real_data("metrology/index/i04_60_fft3d_known.expt"))
    with np.load(real_data("metrology/data/th82_60panel_indexed.npz")) as file:
        rlp, phi, hkl = file["rlp"], file["xyzobs.mm.value"][:, 2], file["miller_index"]
    ours, _ = assign_global(rlp, phi, [model.crystal.A])
    assert (hkl != 0).any(axis=1).sum() >= 13804
    # the table's points are those of the model before the last refinement: 0.1 % of the spots
    assert (ours == hkl).all(axis=1).sum() >= 13791


@pytest.mark.parametrize("method", ["fft3d", pytest.param("fft1d", marks=SLOW)])
def test_nine_images_without_symmetry(centroid, method):
    experiment, table = centroid
    result = index((experiment,), table, IndexSettings(method=method))
    # one bin of the histogram of neighbours is 0.5 Å wide here
    assert result.searches[0].max_cell_angstrom == pytest.approx(56.8, abs=0.25)
    assert result.searches[0].d_min_angstrom == pytest.approx(1.45, abs=0.005)
    assert len(table) == 654
    assert abs(result.n_indexed - 568) <= 1
    # 2.5 %: over 1.8 degrees distance and cell move together, the reference's 39.41 as ours
    assert result.cell[:3] == pytest.approx((39.409, 41.828, 41.977), rel=0.025)


@pytest.mark.parametrize("method", ["grid_search", "fft3d"])
def test_nine_images_with_symmetry(centroid, method):
    experiment, table = centroid
    cell = (42.27, 42.27, 39.67, 90.0, 90.0, 90.0)
    settings = IndexSettings(method=method, space_group="P 4", unit_cell=cell)
    result = index((experiment,), table, settings)
    assert abs(result.n_indexed - 569) <= 1
    # within three of the reference's standard uncertainties, 0.009 Å
    assert result.cell == pytest.approx((42.179, 42.179, 39.668, 90, 90, 90), abs=0.027)
