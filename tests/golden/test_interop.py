"""Geometries of other codes against those codes, pixel by pixel."""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.interop.hexrd import (
    HexrdInstrument,
    HexrdPanel,
    detector_from_hexrd,
    tilted_flat_from_hexrd,
)
from refimpl.interop.poni_file import Poni
from refimpl.interop.pyfai import poni_from_tilted_flat, tilted_flat_from_poni
from refimpl.testing.compare import assert_close
from refimpl.testing.golden import golden
from refimpl.testing.tolerances import Tolerance


def _rows(table: dict[str, Any]) -> list[dict[str, float]]:
    return [
        dict(zip(table, map(float, row), strict=True)) for row in zip(*table.values(), strict=True)
    ]


def _poni(v: dict[str, float]) -> Poni:
    return Poni(
        *(v[k] for k in ("dist", "poni1", "poni2", "rot1", "rot2", "rot3", "pixel1", "pixel2")),
        shape=(int(v["rows"]), int(v["columns"])),
        orientation=int(v["orientation"]),
    )


def test_pyfai_pixels():
    case = golden("interop/pyfai_poni")
    table = case.table()
    tth, chi, model_tth = [], [], []
    for v in _rows(table):
        model = tilted_flat_from_poni(_poni(v))
        pixel = np.array([v["column"] + 0.5]), np.array([v["row"] + 0.5])
        two_theta, eta = model.detector().two_theta_eta(*pixel, 0)
        tth.append(float(two_theta[0]))
        chi.append(float(0.5 * np.pi - eta[0]))  # chi from the right, eta from the top
        row, column = int(v["row"]), int(v["column"])
        flips = {3: (0, 0), 2: (1, 0), 4: (0, 1), 1: (1, 1)}[int(v["orientation"])]
        slow = v["rows"] - 1 - row if flips[0] else row
        fast = v["columns"] - 1 - column if flips[1] else column
        here = model.two_theta_eta(np.array([fast + 0.5]), np.array([slow + 0.5]))
        model_tth.append(float(here[0][0]))
    turns = np.round((np.array(chi) - table["chi_rad"]) / (2 * np.pi))
    case.check({"tth_rad": tth, "chi_rad": np.array(chi) - 2 * np.pi * turns})
    case.check({"tth_rad": model_tth, "chi_rad": table["chi_rad"]})


def test_pyfai_there_and_back():
    # 1e-11: the beam crosses some of these planes 1e4 px off the image
    bound = Tolerance("ROUNDTRIP", "", atol=1e-11)
    for v in _rows(golden("interop/pyfai_poni").table()):
        poni = _poni(v)
        again = poni_from_tilted_flat(tilted_flat_from_poni(poni))
        assert (again.shape, again.orientation) == (poni.shape, poni.orientation)
        for name in ("dist_m", "poni1_m", "poni2_m", "rot1_rad", "rot2_rad", "rot3_rad"):
            assert_close(getattr(again, name), getattr(poni, name), bound, column=name)


def test_hexrd_pixels():
    case = golden("interop/hexrd_mp50")
    vectors, model = [], []
    for v in _rows(case.table()):
        panel = HexrdPanel(
            "p",
            (int(v["rows"]), int(v["columns"])),
            (v["pixel_row_mm"], v["pixel_column_mm"]),
            (v["tilt1"], v["tilt2"], v["tilt3"]),
            (v["t1_mm"], v["t2_mm"], v["t3_mm"]),
        )
        instrument = HexrdInstrument(60.0, v["azimuth_deg"], v["polar_deg"], (panel,))
        pixel = np.array([v["column"] + 0.5]), np.array([v["row"] + 0.5])
        vectors.append(float(detector_from_hexrd(instrument).two_theta_eta(*pixel, 0)[0][0]))
        flat = tilted_flat_from_hexrd(instrument).detector()
        model.append(float(flat.two_theta_eta(*pixel, 0)[0][0]))
    case.check({"tth_rad": vectors})
    case.check({"tth_rad": model})
