"""Parallax made anew while panels tilt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refimpl.errors import ConfigError
from refimpl.io.dials_files import read_expt
from refimpl.io.reflection_table import ReflectionTable
from refimpl.metrology.parallax import refine_with_parallax, remeasured
from refimpl.metrology.parameters import FixSettings
from refimpl.metrology.refine import RefineSettings, refine
from refimpl.metrology.selection import preset
from refimpl.testing.rotation_case import rotation_case

LEVEL1 = RefineSettings(replace(preset("tutorial"), outlier="null"), FixSettings(hierarchy_level=1))


def thick(case):
    """The same case on a sensor of 2 mm: pixels are seen by the true panels, millimetres not."""

    def sensor(experiments):
        (e,) = experiments
        modules = tuple(
            replace(m, parallax=True, thickness_mm=2.0, mu_per_mm=1.0) for m in e.detector.modules
        )
        return (replace(e, detector=replace(e.detector, modules=modules)),)

    truth, start = sensor(case.truth), sensor(case.start)
    table = case.table
    xyz, px = table["xyzobs.mm.value"], np.array(table["xyzobs.px.value"])
    px[:, 0], px[:, 1] = truth[0].detector.mm_to_pixel(
        table["panel"].astype(np.int64), xyz[:, 0], xyz[:, 1]
    )
    table = table.with_columns(**{"xyzobs.px.value": px})
    return replace(case, truth=truth, start=start, table=remeasured(table, start))


def test_millimetres_of_the_true_panels_come_back() -> None:
    case = rotation_case(seed=41, turn_mrad=20.0)
    spoiled = thick(case)
    gone = spoiled.table["xyzobs.mm.value"] - case.table["xyzobs.mm.value"]
    assert np.abs(gone[:, :2]).max() > 5e-3
    back = remeasured(spoiled.table, spoiled.truth)["xyzobs.mm.value"]
    # the published inverse is not exact: it takes the ray of the position before
    assert np.abs(back - case.table["xyzobs.mm.value"]).max() < 0.2 * np.abs(gone).max()
    np.testing.assert_array_equal(back[:, 2], case.table["xyzobs.mm.value"][:, 2])


def test_it_settles_nearer_to_the_truth() -> None:
    case = thick(rotation_case(seed=41, n=6000, turn_mrad=20.0, noise=0.1))
    once = refine(case.start, case.table, LEVEL1)
    found, changes = refine_with_parallax(case.start, case.table, LEVEL1)
    assert changes[-1] < 1e-5
    assert changes[0] > 100.0 * changes[-1]

    def off(result) -> float:
        gone = result.experiments[0].detector.d - case.truth[0].detector.d
        return float(np.sqrt(np.mean(gone[:, :2, 2] ** 2)))

    # RMSDs do not tell: a parallax that is off is a shift of the panel to them
    assert off(found) < 0.1 * off(once)


def test_th82_moves_by_little(real_data) -> None:
    with np.load(real_data("metrology/data/th82_60panel_indexed.npz")) as columns:
        table = ReflectionTable(columns={k: columns[k] for k in columns.files})
    start = read_expt(real_data("metrology/refine/th82_60panel_lev0_tukey_refined.expt"))
    again = remeasured(table, start)["xyzobs.mm.value"] - table["xyzobs.mm.value"]
    assert np.abs(again).max() < 0.01  # the table's parallax is that of the models before level 0


def test_refused() -> None:
    case = rotation_case(n=20)
    with pytest.raises(ConfigError, match="refine_with_parallax: no panel has a parallax"):
        refine_with_parallax(case.start, case.table)
    with pytest.raises(ConfigError, match="refine_with_parallax: most = 0: expected 1 or more"):
        refine_with_parallax(case.start, case.table, most=0)
