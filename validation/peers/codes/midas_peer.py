"""What midas-calibrate does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

Task = tuple[Callable[[], Any], Callable[[Any], dict[str, Any]]]

PASSES = 10


def calibrate(given: dict[str, Any]) -> Task:
    """From a near start, with its defaults; distance, beam centre and two tilts, no distortion."""
    from midas_calibrate import CalibrationParams, autocalibrate

    rows, columns = given["image"].shape
    size_um = 1e3 * float(given["pixel_mm"])
    start = CalibrationParams(
        NrPixelsY=columns, NrPixelsZ=rows, pxY=size_um, pxZ=size_um, Lsd=float(given["lsd_um"]),
        BC_y=float(given["bc"][0]), BC_z=float(given["bc"][1]), ty=float(given["tilts_deg"][1]),
        tz=float(given["tilts_deg"][2]), RhoD=float(given["rho_um"]), Device="cpu",
        Wavelength=float(given["wavelength_angstrom"]), SpaceGroup=int(given["space_group"]),
        LatticeConstant=tuple(given["cell"].tolist()), MaxRingRad=float(given["reach_px"]),
        nIterations=PASSES,
    ).freeze_distortion()  # fmt: skip
    image = given["image"].astype(float)
    image[given["mask"]] = 0.0
    mask = given["mask"].astype(int)

    def run() -> Any:
        return autocalibrate(copy.deepcopy(start), image, mask=mask, verbose=False)

    def unpack(found: Any) -> dict[str, Any]:
        p, last = found.params, found.history[-1]
        return {
            "Lsd": p.Lsd, "BC": (p.BC_y, p.BC_z), "tx": p.tx, "ty": p.ty, "tz": p.tz,
            "own": last.mean_strain_uE, "points": last.n_fitted,
        }  # fmt: skip

    return run, unpack
