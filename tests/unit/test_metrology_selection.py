"""Acceptance, weights, subsets and jobs on small tables worked out by hand."""

import numpy as np
import pytest

from refimpl.errors import ConfigError, FormatError
from refimpl.forward.experiment import Beam, Experiment, Goniometer, Scan
from refimpl.io.reflection_table import (
    NOT_SUITABLE_FOR_REFINEMENT,
    OVERLOADED,
    ReflectionTable,
)
from refimpl.metrology.outlier_jobs import reject_outliers, split_jobs
from refimpl.metrology.selection import (
    PRESETS,
    STILLS_ANGLE_WEIGHT,
    SelectionSettings,
    accept,
    observation_weights,
    preset,
    random_subset,
    spindle_measure,
    table_order,
)
from refimpl.units import DEG

BEAM = Beam(np.array([0.0, 0.0, 1.0]), 0.5)  # s0 = (0, 0, -2) 1/Å
SETTING = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # x to y
GONIOMETER = Goniometer(np.array([1.0, 0.0, 0.0]), setting=SETTING)  # lab axis: y


def _experiment(images=(1, 100), oscillation=(10.0, 0.5)):
    return Experiment("a", BEAM, None, GONIOMETER, Scan(images, oscillation))


def _table(n=5, **columns):
    s1 = np.tile([1.0, 0.0, -1.0], (n, 1))  # (s1 x s0).y = s1z s0x - s1x s0z = 2
    base = {
        "miller_index": np.tile(np.array([1, 2, 3], dtype=np.int32), (n, 1)),
        "id": np.zeros(n, dtype=np.int32),
        "panel": np.zeros(n, dtype=np.uint64),
        "flags": np.full(n, 36, dtype=np.uint64),
        "s1": s1,
        "xyzobs.mm.value": np.tile([1.0, 2.0, 30.0 * DEG], (n, 1)),
        "xyzobs.mm.variance": np.tile([0.01, 0.04, 1e-6], (n, 1)),
    }
    return ReflectionTable({**base, **columns})


def test_spindle_measure_uses_the_axis_in_the_lab():
    s1 = np.array([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0], [0.01, 1.0, -1.0]])
    axis = GONIOMETER.setting @ GONIOMETER.rotation_axis
    assert axis.tolist() == [0.0, 1.0, 0.0]
    assert spindle_measure(s1, BEAM.s0, axis) == pytest.approx([2.0, 0.0, 0.02])


def test_each_reason_to_reject():
    table = _table(9)
    columns = {name: np.array(table[name]) for name in ("miller_index", "id", "flags", "s1")}
    place = np.array(table["xyzobs.mm.value"])
    columns["miller_index"][0] = 0
    columns["id"][1] = -1
    columns["flags"][2] |= np.uint64(OVERLOADED)
    columns["flags"][3] |= np.uint64(NOT_SUITABLE_FOR_REFINEMENT)
    place[4, 0] = np.nan
    columns["s1"][5] = [0.0049, 1.0, -1.0]  # measure 0.0098
    place[6, 2] = 9.9999 * DEG
    place[7, 2] = 60.0001 * DEG
    table = _table(9, **columns, **{"xyzobs.mm.value": place})
    found = accept(table, [_experiment()], preset("tutorial"))
    assert found.accepted.tolist() == [False] * 8 + [True]
    assert found.reasons == {
        "not indexed": 2,
        "overloaded": 1,
        "not suitable": 1,
        "position not finite": 1,
        "close to spindle": 1,
        "outside scan": 2,
        "in scan margin": 0,
    }
    assert found.n_accepted == 1


def test_the_cut_off_itself_is_too_close():
    table = _table(1)
    at = preset("current", close_to_spindle_cutoff=2.0)
    assert not accept(table, [_experiment()], at).accepted[0]
    assert accept(table, [_experiment()], preset("current")).accepted[0]


def test_margin_counts_from_image_centres_and_scans_may_run_backwards():
    place = np.tile([1.0, 2.0, 0.0], (4, 1))
    place[:, 2] = np.array([11.2, 11.3, 58.7, 58.8]) * DEG
    table = _table(4, **{"xyzobs.mm.value": place})
    settings = preset("current", scan_margin_deg=1.0)  # 10 + 0.25 + 1 to 60 - 0.25 - 1
    expected = [False, True, True, False]
    assert accept(table, [_experiment()], settings).accepted.tolist() == expected
    backwards = _experiment(oscillation=(60.0, -0.5))
    assert accept(table, [backwards], settings).accepted.tolist() == expected


def test_stills_need_no_rays():
    still = Experiment("s", BEAM)
    table = _table(2).without("s1")
    assert accept(table, [still], preset("current")).accepted.all()
    with pytest.raises(FormatError, match="missing column s1; there are: flags"):
        accept(table, [_experiment()], preset("current"))


def test_ids_without_an_experiment_are_refused():
    table = _table(3, id=np.array([0, 2, 0], dtype=np.int32))
    with pytest.raises(FormatError, match="row 1 has id 2: there are 1 experiments"):
        accept(table, [_experiment()], preset("current"))


def test_weights_are_reciprocal_variances():
    table = _table(2)
    assert observation_weights(table) == pytest.approx(np.array([[100.0, 25.0, 1e6]] * 2))
    still = observation_weights(table, still=True)
    assert still[:, 2].tolist() == [STILLS_ANGLE_WEIGHT] * 2
    other = observation_weights(table, still=True, angle_weight=1e4)
    assert other[0] == pytest.approx([100.0, 25.0, 1e4])


@pytest.mark.parametrize("bad", [-0.01, 0.0, np.nan, np.inf])
def test_variances_that_are_not_positive_are_refused(bad):
    variances = np.tile([0.01, 0.04, 1e-6], (3, 1))
    variances[2, 1] = bad
    table = _table(3, **{"xyzobs.mm.variance": variances})
    message = r"1 of 3 rows of xyzobs\.mm\.variance are not positive, the first is row 2: \[0\.01"
    with pytest.raises(FormatError, match=message):
        observation_weights(table)
    with pytest.raises(FormatError, match=r"1 of 2 rows .* the first is row 2:"):
        observation_weights(table, np.array([2, 0]))
    assert observation_weights(table, np.array([0, 1])).shape == (2, 3)


def test_sorting_only_where_ids_are_unsorted():
    sorted_ids = _table(3, id=np.array([0, 0, 1], np.int32), panel=np.array([5, 1, 0], np.uint64))
    assert table_order(sorted_ids).tolist() == [0, 1, 2]
    mixed = _table(4, id=np.array([1, 0, 1, 0], np.int32), panel=np.array([5, 3, 0, 2], np.uint64))
    assert table_order(mixed).tolist() == [3, 1, 2, 0]


def test_presets():
    assert set(PRESETS) == {"tutorial", "current"}
    assert PRESETS["current"] == SelectionSettings()
    assert preset("tutorial", seed=7).outlier == "tukey"
    with pytest.raises(ConfigError, match="preset 'old' is unknown: expected one of tutorial, cur"):
        preset("old")
    with pytest.raises(
        ConfigError, match="selection: 'cutoff' is unknown: expected one of close_t"
    ):
        preset("current", cutoff=1)


# --------------------------------------------------------------------------- subsets


@pytest.mark.parametrize(
    ("images", "wanted", "least", "size"),
    [
        (100, None, 0, 9000),
        (100, 20.0, 0, 1000),  # 50 degrees
        (100, 20.0, 1500, 1500),
        (100, 1000.0, 0, 9000),
        (100, "auto", 0, 9000),  # less than a turn
        (1440, "auto", 0, 9000),  # 2 turns: max(4500, 72000)
    ],
)
def test_size_of_the_subset(images, wanted, least, size):
    settings = preset("current", reflections_per_degree=wanted, minimum_sample_size=least)
    experiment = _experiment((1, images))
    kept = random_subset(np.zeros(9000, dtype=int), [experiment], settings)
    assert kept.sum() == size
    again = random_subset(np.zeros(9000, dtype=int), [experiment], settings)
    assert np.array_equal(kept, again)


def test_auto_takes_one_turn_of_many_and_each_experiment_by_itself():
    settings = preset("current", minimum_sample_size=10)
    turns = _experiment((1, 1440), (0.0, 0.5))  # 2 turns
    ids = np.repeat([0, 1], [200_000, 500])
    kept = random_subset(ids, [turns, _experiment()], settings)
    assert kept[ids == 0].sum() == 100_000
    assert kept[ids == 1].all()


# --------------------------------------------------------------------------- jobs


def test_jobs_by_experiment_panel_and_block():
    ids = np.array([0, 1, 0, 0, 1, 0])
    panels = np.array([2, 0, 0, 2, 0, 2], dtype=np.uint64)
    phi = np.array([0.0, 5.0, 1.0, 10.0, 6.0, 20.0]) * DEG
    settings = preset("tutorial")
    jobs = split_jobs(ids, panels, phi, settings)
    assert [(j.experiment, j.panel, j.rows.tolist()) for j in jobs] == [
        (0, 0, [2]),
        (0, 1, []),
        (0, 2, [0, 3, 5]),
        (1, 0, [1, 4]),
    ]
    whole = split_jobs(ids, panels, phi, preset("tutorial", separate_experiments=False))
    assert [(j.experiment, j.panel, len(j.rows)) for j in whole] == [
        (None, 0, 3),
        (None, 1, 0),
        (None, 2, 3),
    ]
    blocks = split_jobs(
        ids, panels, phi, preset("tutorial", separate_blocks=True, block_width_deg=9.0)
    )
    found = [(j.panel, j.phi_range_deg, j.rows.tolist()) for j in blocks if j.experiment == 0]
    assert found[0] == (0, None, [2])  # one angle: not split
    assert found[1] == (1, None, [])
    assert [f[2] for f in found[2:]] == [[0], [3, 5]]  # 20 deg / 9 deg: 2 blocks of 10
    assert np.array([f[1] for f in found[2:]]) == pytest.approx(np.array([[0, 10], [10, 20]]))


def test_stills_are_judged_together_where_panels_are_apart():
    """40 stills of 6 reflections: alone each would be too few, as scans they would be."""
    rng = np.random.default_rng(3)
    ids = np.repeat(np.arange(40), 6)
    panels, zero = ids % 2, np.zeros(240)
    residuals = rng.uniform(-1.0, 1.0, size=(240, 3))
    residuals[5] = 30.0
    settings = preset("tutorial")
    report = reject_outliers(residuals, ids, panels, zero, settings, still=True)
    assert np.flatnonzero(report.rejected).tolist() == [5]
    assert {job.experiment for job in report.jobs} == {None}
    apart = preset("tutorial", separate_experiments=True)
    for few in (
        reject_outliers(residuals, ids, panels, zero, settings),
        reject_outliers(residuals, ids, panels, zero, apart, still=True),
    ):
        assert few.rejected.all()
        assert few.told() == (
            "240 reflections are rejected as outliers by tukey: 240 lie in 40 jobs of fewer than "
            "20; separate_experiments = False or separate_panels = False makes larger jobs"
        )
    # whole stills are told apart as published
    assert len(split_jobs(ids, panels, zero, preset("current"), still=True)) == 40
    far = preset("tutorial", separate_panels=False, minimum_job_size=1)
    assert reject_outliers(residuals, ids * 0, ids * 0, zero, far).told() == (
        "1 reflections are rejected as outliers by tukey: the models are far off"
    )


def test_every_reflection_is_in_one_block():
    rng = np.random.default_rng(4)
    phi = rng.uniform(0.3, 0.3 + 75 * DEG, 5000)
    ids = np.zeros(5000, dtype=int)
    settings = preset("current", block_width_deg=10.0)
    jobs = split_jobs(ids, ids, phi, settings)
    assert len(jobs) == 7 == round(np.ptp(phi) / DEG / 10.0)  # 74.98 deg / 10 deg
    assert np.array_equal(np.sort(np.concatenate([j.rows for j in jobs])), np.arange(5000))
    for job in jobs:
        low, high = job.phi_range_deg
        assert (phi[job.rows] / DEG >= low - 1e-9).all()  # deg, rounding
        assert (phi[job.rows] / DEG <= high + 1e-9).all()


def test_automatic_blocks_are_18_degrees_or_hold_100_reflections():
    ids = np.zeros(10_000, dtype=int)
    dense = np.linspace(0.0, 180.0, 10_000) * DEG
    assert len(split_jobs(ids, ids, dense, preset("current"))) == 10
    sparse = np.linspace(0.0, 180.0, 400) * DEG
    assert len(split_jobs(ids[:400], ids[:400], sparse, preset("current"))) == 4


def test_small_jobs_are_rejected_whole_but_not_by_null():
    rng = np.random.default_rng(8)
    panels = np.repeat([0, 1, 3], [40, 19, 20])
    residuals = rng.uniform(-1.0, 1.0, size=(79, 3))
    residuals[3] = 30.0
    ids, phi = np.zeros(79, dtype=int), np.zeros(79)
    report = reject_outliers(residuals, ids, panels, phi, preset("tutorial"))
    assert report.n_rejected == (1, 19, 0, 0)
    assert report.too_small == (False, True, False, False)
    assert report.rejected.sum() == 20
    nothing = reject_outliers(residuals, ids, panels, phi, preset("tutorial", outlier="null"))
    assert not nothing.rejected.any()


def test_rule_of_auto():
    residuals = np.random.default_rng(8).normal(size=(50, 3)) * 0.03
    residuals[:, 2] = 0.0  # mcd would refuse the angle of stills, were it judged
    ids = np.zeros(50, dtype=int)
    phi = np.linspace(0.0, 1.0, 50)
    settings = preset("current", separate_blocks=False)
    assert reject_outliers(residuals, ids, ids, phi, settings, still=True).method == "sauter_poon"
    robust = preset("current", separate_blocks=False, outlier="mcd")
    assert reject_outliers(residuals, ids, ids, phi, robust, still=True).method == "mcd"
    residuals[:, 2] = phi[::-1] ** 2
    assert reject_outliers(residuals, ids, ids, phi, settings).method == "mcd"


def test_jobs_do_not_depend_on_each_other():
    rng = np.random.default_rng(1)
    residuals = rng.standard_t(3, size=(300, 3))
    panels = np.repeat([0, 1], [120, 180])
    ids, phi = np.zeros(300, dtype=int), np.zeros(300)
    settings = preset("current", separate_panels=True)
    both = reject_outliers(residuals, ids, panels, phi, settings).rejected
    part = panels == 1
    alone = reject_outliers(residuals[part], ids[part], panels[part], phi[part], settings).rejected
    assert np.array_equal(both[part], alone)


def test_width_of_blocks_must_be_positive():
    ids = np.zeros(3, dtype=int)
    with pytest.raises(ConfigError, match="block_width_deg = 0: expected a positive number"):
        split_jobs(ids, ids, np.zeros(3), preset("current", block_width_deg=0))


def test_nothing_gives_no_jobs():
    none = np.zeros(0, dtype=int)
    assert split_jobs(none, none, np.zeros(0), preset("tutorial")) == ()
