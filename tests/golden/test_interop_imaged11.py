"""ImageD11's own angles and axes, pixel by pixel."""

from __future__ import annotations

import numpy as np

from refimpl.detector.panel import Detector
from refimpl.frames import midas_from_lab
from refimpl.interop.imaged11 import axis_of_par, panel_of_par, par_from_panel, par_of_axis
from refimpl.testing.golden import golden


def rows(table):
    return [
        dict(zip(table, map(float, row), strict=True)) for row in zip(*table.values(), strict=True)
    ]


def two_theta_eta_deg(values, slow, fast):
    detector = Detector((panel_of_par(values, (2048, 2048)),), (2048, 2048))
    angles = detector.two_theta_eta(np.array([fast + 0.5]), np.array([slow + 0.5]), 0)
    return [float(np.degrees(a[0])) for a in angles]


def test_angles_and_axes():
    case = golden("interop/imaged11_par")
    table = case.table()
    found = {name: [] for name in ("tth_deg", "eta_deg", "axis_x", "axis_y", "axis_z")}
    for v in rows(table):
        tth, eta = two_theta_eta_deg(v, v["slow"], v["fast"])
        values = (tth, eta, *midas_from_lab(axis_of_par(v)))
        for name, value in zip(found, values, strict=True):
            found[name].append(float(value))
    case.check(found)


def test_written_anew_they_are_the_same():
    for v in rows(golden("interop/imaged11_par").table()):
        again = par_from_panel(panel_of_par(v, (2048, 2048)), 0.2)
        again |= par_of_axis(axis_of_par(v))
        expected = two_theta_eta_deg(v, v["slow"], v["fast"])
        # 1e-10 degrees: the tolerance of the golden
        np.testing.assert_allclose(
            two_theta_eta_deg(again, v["slow"], v["fast"]), expected, rtol=0, atol=1e-10
        )
        np.testing.assert_allclose(axis_of_par(again), axis_of_par(v), rtol=0, atol=1e-14)
