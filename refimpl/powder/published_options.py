"""Options of the published calibration, with its defaults and its names in the descriptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from refimpl.errors import ConfigError
from refimpl.units import UM

__all__ = ["PublishedOptions"]


@dataclass(frozen=True)
class PublishedOptions:
    """What a published run is told, beyond image, geometry and rings.

    Attributes
    ----------
    tol_lsd_mm, tol_bc_px, tol_tilt_deg
        Half-widths of the search: tolLsd, tolBC, tolTilts.
    tol_p0, tol_p1, tol_p2, tol_p3_deg, tol_p4
        Half-widths of the distortion terms; 0 freezes one. p4 is refined from
        ``distortion_order`` 6 on.
    width_mm
        Width; the radial window is about four times as wide.
    eta_bin_deg, r_bin_divisions
        EtaBinSize and RBinDivisions.
    mult_factor, outlier_iterations
        MultFactor (0: off) and OutlierIterations; they affect the figures, never the fit.
    n_iterations
        nIterations of extraction and fit; the one with the lowest MeanStrain is kept.
    doublet_separation_px
        DoubletSeparation; 0 fits every ring alone.
    normalize_ring_weights, weight_by_radius, distortion_order
        NormalizeRingWeights, WeightByRadius, DistortionOrder.
    max_evaluations
        Limit of the simplex. The published limit of 30 s is not kept: it would make the answer
        depend on the load of the machine.
    restarts
        Fresh simplexes from the best point; published: 0.
    published_chords
        Bin on straight chords, which puts 635 ppm on the distance at EtaBinSize 5, and give pixels
        that an axis cuts the area that the published polygons have there. Off: arcs.
    published_frame
        Pad the frame to a square of zeros and take these for data. Off: the frame as it is.
    published_rho_d
        Cut RhoD to whole µm in the objective. Off: as given.
    """

    tol_lsd_mm: float = 15.0
    tol_bc_px: float = 20.0
    tol_tilt_deg: float = 3.0
    tol_p0: float = 2e-3
    tol_p1: float = 2e-3
    tol_p2: float = 2e-3
    tol_p3_deg: float = 45.0
    tol_p4: float = 0.0
    width_mm: float = 1.0
    eta_bin_deg: float = 5.0
    r_bin_divisions: int = 4
    mult_factor: float = 0.0
    outlier_iterations: int = 1
    n_iterations: int = 1
    doublet_separation_px: float = 0.0
    normalize_ring_weights: bool = False
    weight_by_radius: bool = False
    distortion_order: int = 4
    max_evaluations: int = 5000
    restarts: int = 0
    published_chords: bool = False
    published_frame: bool = False
    published_rho_d: bool = False

    def __post_init__(self) -> None:
        for name in ("n_iterations", "max_evaluations", "r_bin_divisions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}: expected at least 1", key=name)
        for field in fields(self):
            value = getattr(self, field.name)
            if not value >= 0:
                raise ConfigError(f"{field.name} = {value}: expected 0 or more", key=field.name)
        if self.width_mm == 0.0:
            raise ConfigError("width_mm = 0.0: expected more than 0", key="width_mm")

    @staticmethod
    def from_params(params: Mapping[str, Any], **changes: Any) -> PublishedOptions:
        """Read from parameters by published key (:mod:`refimpl.io.midas_params`).

        `changes` override them, for instance the switches that have no key.
        """
        here = {k: params[k] for k in _KEYS if k in params and params[k] is not None}
        tol_p = here.pop("tolP", None)
        values: dict[str, Any] = {}
        if tol_p is not None:
            values.update(tol_p0=tol_p, tol_p1=tol_p, tol_p2=tol_p)
        for key, value in here.items():
            name, factor = _KEYS[key]
            values[name] = bool(value) if factor is bool else factor(value)
        return PublishedOptions(**(values | changes))


def _um(value: float) -> float:
    return float(value) * UM


_KEYS: dict[str, tuple[str, Any]] = {
    "tolP": ("", float),
    "tolLsd": ("tol_lsd_mm", _um),
    "tolBC": ("tol_bc_px", float),
    "tolTilts": ("tol_tilt_deg", float),
    "tolP0": ("tol_p0", float),
    "tolP1": ("tol_p1", float),
    "tolP2": ("tol_p2", float),
    "tolP3": ("tol_p3_deg", float),
    "tolP4": ("tol_p4", float),
    "Width": ("width_mm", _um),
    "EtaBinSize": ("eta_bin_deg", float),
    "RBinDivisions": ("r_bin_divisions", int),
    "MultFactor": ("mult_factor", float),
    "OutlierIterations": ("outlier_iterations", int),
    "nIterations": ("n_iterations", int),
    "DoubletSeparation": ("doublet_separation_px", float),
    "NormalizeRingWeights": ("normalize_ring_weights", bool),
    "WeightByRadius": ("weight_by_radius", bool),
    "DistortionOrder": ("distortion_order", int),
}
