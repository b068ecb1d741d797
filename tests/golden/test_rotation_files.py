"""Files of rotation data as other programs wrote them: geometry, parallax, pixels, round trips.

Golden values: DIALS and dxtbx (panel frames, parallax points, round trips of files of six years),
and SHA-256 sums of the pixels that three readers agree on.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from refimpl.io.dials_files import (
    check_pair,
    check_sorted,
    check_variances,
    read_expt,
    read_refl,
    write_expt,
    write_refl,
)
from refimpl.io.minicbf import experiment_from_minicbf, read_minicbf, valid_pixels
from refimpl.rotations import expmap

LISTS = [
    "data/centroid_indexed", "data/cspad_benchmark_level2d", "data/i04_weak", "data/i23_24_panel",
    "data/i23_dials423", "data/sacla_mpccd_level1", "index/centroid_fft3d", "index/centroid_rsgs",
    "index/i04_60_fft3d_known", "index/i04_60_imported", "simple/regression_start",
    "simple/regression_true", "refine/centroid_indexed_default_refined",
    "refine/centroid_indexed_null_refined", "refine/cspad_level2_tukey_sparse_refined",
    "refine/i23_lev0_null_refined", "refine/i23_lev0_tukey_refined",
    "refine/i23_lev1_null_refined", "refine/i23_lev1_tukey_refined",
    "refine/th82_60panel_lev0_tukey_refined", "refine/th82_60panel_lev1_tukey_refined",
]  # fmt: skip
TABLES = {
    "data/i23_dials423": "data/i23_dials423",
    "index/i04_60_strong": "index/i04_60_imported",
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_are_the_same_after_reading_and_writing(real_data, tmp_path, name):
    path = real_data(f"metrology/{name}.expt")
    experiments = read_expt(path)
    again = write_expt(tmp_path / "again.expt", experiments)
    assert json.loads(again.read_text()) == json.loads(path.read_text())
    for one, two in zip(experiments, read_expt(again), strict=True):
        assert one.detector == two.detector
        assert np.array_equal(one.detector.d, two.detector.d)


def test_no_list_of_the_folder_is_left_out(real_data):
    folder = real_data("metrology")
    found = {str(p.relative_to(folder).with_suffix("")) for p in folder.rglob("*.expt")}
    assert found == set(LISTS)
    tables = {str(p.relative_to(folder).with_suffix("")) for p in folder.rglob("*.refl")}
    assert tables == set(TABLES)


def test_shared_models_stay_shared(real_data):
    experiments = read_expt(real_data("metrology/data/cspad_benchmark_level2d.expt"))
    assert len(experiments) == 300
    assert len({id(e.detector) for e in experiments}) == 1
    assert len({id(e.crystal) for e in experiments}) == 300
    assert all(e.is_still for e in experiments)
    detector = experiments[0].detector
    assert [len(detector.groups(level)) for level in range(4)] == [1, 4, 32, 64]


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_the_same_to_the_last_byte(real_data, tmp_path, name):
    path = real_data(f"metrology/{name}.refl")
    table = read_refl(path)
    assert write_refl(tmp_path / "again.refl", table).read_bytes() == path.read_bytes()
    check_pair(table, read_expt(real_data(f"metrology/{TABLES[name]}.expt")))
    check_sorted(table)
    check_variances(table, "xyzobs.px.variance")


def test_a_table_equals_its_plain_copy(real_data):
    table = read_refl(real_data("metrology/data/i23_dials423.refl"))
    with np.load(real_data("metrology/data/i23_dials423.npz")) as plain:
        shared = set(plain.files) & set(table.columns)
        assert len(shared) > 10
        for name in shared:
            assert np.array_equal(table[name], plain[name]), name


def test_frames_of_sixty_panels(real_data):
    (experiment,) = read_expt(real_data("metrology/refine/th82_60panel_lev0_tukey_refined.expt"))
    frames = json.loads(real_data("metrology/fixtures/th82_lev0_panel_frames.json").read_text())
    expected = np.array([[f["fast"], f["slow"], f["origin"]] for f in frames]).transpose(0, 2, 1)
    # mm; products of a few numbers of 1e2
    assert np.allclose(experiment.detector.d, expected, rtol=0, atol=1e-12)


def test_parallax_forward_and_back(real_data):
    golden = json.loads(real_data("metrology/fixtures/parallax_points.json").read_text())
    (experiment,) = read_expt(real_data(f"metrology/refine/{golden['panel_model']}"))
    detector = experiment.detector
    module = detector.modules[0]
    assert (module.mu_per_mm, module.thickness_mm) == (golden["mu"], golden["t0"])
    panel, x, y, x_mm, y_mm, x_back, y_back, *lab = np.array(golden["rows"]).T
    panel = panel.astype(np.int64)
    # a few ulp of 1e2 px or mm
    assert np.allclose(detector.pixel_to_mm(panel, x, y), (x_mm, y_mm), rtol=0, atol=1e-12)
    assert np.allclose(
        detector.mm_to_pixel(panel, x_mm, y_mm), (x_back, y_back), rtol=0, atol=1e-12
    )
    points = detector.d[panel] @ np.stack([x_mm, y_mm, np.ones_like(x_mm)], -1)[..., None]
    assert np.allclose(points[..., 0], np.transpose(lab), rtol=0, atol=1e-12)


def test_millimetres_of_the_tutorials_spots(real_data):
    """All 13,805 positions of the indexed table from their pixels, by the imported geometry."""
    (experiment,) = read_expt(real_data("metrology/index/i04_60_imported.expt"))
    with np.load(real_data("metrology/data/th82_60panel_indexed.npz")) as table:
        px, mm = table["xyzobs.px.value"], table["xyzobs.mm.value"]
        panel = table["panel"].astype(np.int64)
    x, y = experiment.detector.pixel_to_mm(panel, px[:, 0], px[:, 1])
    assert np.allclose(np.stack([x, y], -1), mm[:, :2], rtol=0, atol=1e-9)
    # rad; the width of an image is the difference of two stored angles
    assert np.allclose(experiment.scan.phi_of_frame(px[:, 2]), mm[:, 2], rtol=0, atol=1e-10)


def test_a_goniometer_of_three_axes(real_data):
    """S R F brings the reciprocal lattice of the barrel detector's crystal to the sphere."""
    (experiment,) = read_expt(real_data("metrology/data/i23_dials423.expt"))
    table = read_refl(real_data("metrology/data/i23_dials423.refl"))
    goniometer = experiment.goniometer
    assert (goniometer.names, goniometer.scan_axis) == (("PHI", "KAPPA", "OMEGA"), 2)
    rows = np.arange(0, len(table), 500)
    phi = table["xyzobs.mm.value"][rows, 2]
    for row, angle in zip(rows, phi, strict=True):
        turn = goniometer.setting @ expmap(goniometer.rotation_axis * angle) @ goniometer.fixed
        observed = turn.T @ (table["s1"][row] - experiment.beam.s0)
        expected = experiment.crystal.A @ table["miller_index"][row]
        # 1/Å, of points up to 0.5 from the origin: the table is older than the refined model
        assert np.allclose(observed, expected, rtol=0, atol=2e-3)


# --- images ---------------------------------------------------------------------------------------

PIXELS = "metrology/fixtures/thaumatin_grid_pixels.json"


@pytest.mark.parametrize("number", [1, pytest.param(range(2, 11), marks=pytest.mark.slow)])
def test_pixels_of_a_pilatus(real_data, number):
    golden = json.loads(real_data(PIXELS).read_text())
    for k in (number,) if isinstance(number, int) else number:
        expected = golden[k - 1]
        image, _ = read_minicbf(real_data(f"thaumatin-grid/{expected['file']}.bz2"))
        assert list(image.shape) == expected["shape"]
        sum_256 = hashlib.sha256(image.astype("<i4").tobytes()).hexdigest()
        assert sum_256 == expected["sha256_int32_le"]
        assert int((image == -1).sum()) == expected["n_minus1"]
        assert int((image == -2).sum()) == expected["n_minus2"]
        assert int(image.max()) == expected["max"]


def test_the_experiment_of_a_pilatus(real_data):
    path = real_data("thaumatin-grid/thau_3_2_0001.cbf.bz2")
    whole, parts = (experiment_from_minicbf(path, multi_panel=m) for m in (False, True))
    assert whole.is_still
    (module,) = whole.detector.modules
    assert module.size_px == (2463, 2527)
    assert module.origin_mm == pytest.approx((-216.997, 224.797, -351.0), abs=5e-4)
    assert module.mu_per_mm == pytest.approx(3.83262, rel=1e-5)  # stated to six digits
    assert module.thickness_mm == pytest.approx(0.45, rel=1e-12)
    assert module.trusted_range == (0.0, 115897.0)
    image, _ = read_minicbf(path)
    valid = valid_pixels(image, module.trusted_range)
    covered = np.zeros(image.shape, bool)
    for part in parts.detector.modules:
        (fast0, slow0), (n_fast, n_slow) = part.raw_image_offset, part.size_px
        covered[slow0 : slow0 + n_slow, fast0 : fast0 + n_fast] = True
    assert len(parts.detector) == 60
    # gaps are between the panels and nowhere else
    assert np.array_equal(covered, image != -1)
    assert not valid[~covered].any()
    assert int((covered & ~valid).sum()) == int((image == -2).sum())
