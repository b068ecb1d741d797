"""Predictions of a whole scan against the reference program's."""

from __future__ import annotations

import numpy as np

from refimpl.io.dials_files import read_expt
from refimpl.metrology.predictions import highest_resolution, predict_all


def test_every_reflection_of_th82_to_3_angstrom(real_data) -> None:
    """The same reflections, each on the same panel; the reference list reaches a little further.

    It was made with a limit of 3 angstrom and holds some down to 2.94: complete to 3 only.
    """
    with np.load(real_data("metrology/fixtures/prediction_th82_dmin3.npz")) as file:
        z = {key: file[key] for key in file.files}
    experiments = read_expt(real_data("metrology/refine/th82_60panel_lev0_tukey_refined.expt"))
    table = predict_all(experiments, 2.9)
    s0 = experiments[0].beam.s0
    d = 1.0 / np.linalg.norm(z["s1"] - s0, axis=1)

    def keys(hkl, entering, panel):
        columns = (*hkl.T, entering, panel)
        return np.rec.fromarrays([np.asarray(c, dtype=np.int64) for c in columns])

    ours = keys(table["miller_index"], table["entering"], table["panel"])
    theirs = keys(z["miller_index"], z["entering"], z["panel"])
    inside = table["d"] >= 3.0
    assert np.count_nonzero(d >= 3.0) == np.count_nonzero(inside) > 30_000
    assert set(theirs.tolist()) <= set(ours.tolist())
    assert set(theirs[d >= 3.0].tolist()) == set(ours[inside].tolist())
    a, b = np.argsort(ours), np.argsort(theirs)
    a = a[np.isin(ours[a], theirs)]
    np.testing.assert_array_equal(ours[a], theirs[b])
    # mm and rad; the reference's own rounding
    np.testing.assert_allclose(table["xyzcal.mm"][a], z["xyzcal.mm"][b], rtol=0, atol=1e-11)
    # px: a logarithm of the sensor's depth more, and positions of a thousand
    np.testing.assert_allclose(table["xyzcal.px"][a], z["xyzcal.px"][b], rtol=0, atol=1e-9)


def test_the_corner_is_the_default_limit(real_data) -> None:
    experiments = read_expt(real_data("metrology/refine/th82_60panel_lev0_tukey_refined.expt"))
    assert 1.0 < highest_resolution(experiments[0]) < 1.3
