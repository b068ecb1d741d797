"""The tilted flat detector against the compiled published program and 50-digit arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.detector.distortion import pairs_from_published
from refimpl.detector.tilted_flat import ring_coordinates
from refimpl.dispatch import available_backends
from refimpl.testing.golden import golden
from refimpl.units import DEG, UM


def _predict(v: dict[str, float], backend: str) -> tuple[float, float, float]:
    """R [px], eta and untilted eta [degrees] for one row, in the published units."""
    p = pairs_from_published(tuple(v[f"p{k}"] for k in range(15)))
    head = [v["Lsd"] * UM, v["Ycen"] + 0.5, v["Zcen"] + 0.5]  # published pixel centres are integers
    tilt = [v["tx"] * DEG, v["ty"] * DEG, v["tz"] * DEG]
    size = v["px"] * UM
    geometry = np.array([*head, *tilt, size, size, v["RhoD"] * UM, v["parallax"] * UM, *p])
    centre = [v.get("cY", 0.0) + 0.5, v.get("cZ", 0.0) + 0.5]
    move = [v.get("dY", 0.0), v.get("dZ", 0.0), v.get("dTheta", 0.0) * DEG]
    corrections = np.array([[*centre, *move, v["dLsd"] * UM, v["dP2"], 0.0, 0.0]])
    here = np.array([v["Y"] + 0.5]), np.array([v["Z"] + 0.5]), np.zeros(1, dtype=np.int32)
    radius, eta, untilted = ring_coordinates(*here, geometry, corrections, backend=backend)
    return radius[0] / size, eta[0] / DEG, untilted[0] / DEG


@pytest.mark.parametrize("backend", available_backends())
@pytest.mark.parametrize("case_id", ["forward_model/dg_head", "forward_model/mp50"])
def test_forward_model(case_id, backend):
    case = golden(case_id)
    table = case.table()
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    assert len(rows) >= 60
    got = np.array([_predict(row, backend) for row in rows]).T
    case.check(dict(zip(("R_px", "Eta_deg", "EtaUntilted_deg"), got, strict=True)))
