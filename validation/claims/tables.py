"""Claims of NIST, pyFAI and HEXRD on rings and pixels: our figures."""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.crystal import rings, two_theta_of_d
from refimpl.interop.hexrd import HexrdInstrument, HexrdPanel, detector_from_hexrd
from refimpl.interop.poni_file import Poni
from refimpl.interop.pyfai import tilted_flat_from_poni
from refimpl.testing.golden import golden
from refimpl.units import DEG


def srm640f() -> list[float]:
    """2 theta of the bright rings of silicon at the certificate's wavelength [deg]."""
    found = rings("Si", 1.5405929, 140 * DEG)
    return [float(v) / DEG for v in found.select(found.intensity > 1e-6).two_theta_rad]


def eskolaite() -> list[float]:
    """Spacings that pyFAI's list lacks; largest difference of the others [angstrom]."""
    listed = golden("rings/pyfai_Cr2O3").table()["d_angstrom"]
    found = rings("Cr2O3", 0.5, float(two_theta_of_d(np.array(1.13), 0.5))).d_angstrom
    away = np.abs(found[:, None] - listed).min(axis=1)
    return [float((away > 1e-4).sum()), float(away[away <= 1e-4].max())]


def _rows(case: str) -> list[dict[str, Any]]:
    table = golden(case).table()
    columns = zip(*table.values(), strict=True)
    return [dict(zip(table, map(float, row), strict=True)) for row in columns]


def poni_pixels() -> list[float]:
    """Pixels; largest difference of 2 theta [rad]."""
    away = []
    rows = _rows("interop/pyfai_poni")
    for v in rows:
        keys = ("dist", "poni1", "poni2", "rot1", "rot2", "rot3", "pixel1", "pixel2")
        shape, orientation = (int(v["rows"]), int(v["columns"])), int(v["orientation"])
        poni = Poni(*(v[k] for k in keys), shape=shape, orientation=orientation)
        pixel = np.array([v["column"] + 0.5]), np.array([v["row"] + 0.5])
        found, _ = tilted_flat_from_poni(poni).detector().two_theta_eta(*pixel, 0)
        away.append(abs(float(found[0]) - v["tth_rad"]))
    return [len(rows), max(away)]


def hexrd_pixels() -> list[float]:
    """Pixels; largest difference of 2 theta from 50 digits of HEXRD's formulas [rad]."""
    away = []
    rows = _rows("interop/hexrd_mp50")
    for v in rows:
        panel = HexrdPanel(
            "p", (int(v["rows"]), int(v["columns"])), (v["pixel_row_mm"], v["pixel_column_mm"]),
            (v["tilt1"], v["tilt2"], v["tilt3"]), (v["t1_mm"], v["t2_mm"], v["t3_mm"]),
        )  # fmt: skip
        instrument = HexrdInstrument(60.0, v["azimuth_deg"], v["polar_deg"], (panel,))
        pixel = np.array([v["column"] + 0.5]), np.array([v["row"] + 0.5])
        found, _ = detector_from_hexrd(instrument).two_theta_eta(*pixel, 0)
        away.append(abs(float(found[0]) - v["tth_rad"]))
    return [len(rows), max(away)]
