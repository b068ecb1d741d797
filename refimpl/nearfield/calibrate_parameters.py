"""The parameters of a calibration: names, bounds from the published tolerances, and what they move.

Every parameter is a change from the start, 0 there. Lengths in mm, angles in rad, beam centres in
pixels. The published keys of FitOrientationParameters (spec 1.10) are the bounds: OrientTol,
TiltsTol, LsdTol of the first distance, LsdRelativeTol of each further one to the first, BCTol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.nearfield.calibrate_model import Crystal, Geometry
from refimpl.rotations import expmap

__all__ = ["CalibrateSettings", "Parameters"]


@dataclass(frozen=True)
class CalibrateSettings:
    """What is refined, within which bounds, and how spots are found.

    Attributes
    ----------
    tilts
        "shared": one change of the tilts for all distances; "each": each distance has its own.
    wedge
        Whether the wedge is refined.
    fix
        Parameters held, by name or first part of it: "tx", "Lsd", "BC_Z", "position"...
    orient_tol_rad, position_tol_mm, tilts_tol_rad, lsd_tol_mm, lsd_relative_tol_mm, bc_tol_px
        Half widths of the bounds (OrientTol, TiltsTol, LsdTol, LsdRelativeTol, BCTol [Y, Z]).
    wedge_tol_rad
        Of the wedge.
    capture_px, capture_frames
        Half axes of the ellipsoid in which the first round looks for blobs.
    least_px
        The ellipsoid never gets smaller than this.
    rounds
        Rounds of matching and fitting at most (NumIterations).
    reject
        Spots that miss by more standard deviations are left out.
    """

    tilts: Literal["shared", "each"] = "shared"
    wedge: bool = False
    fix: tuple[str, ...] = ()
    orient_tol_rad: float = float(np.radians(2.0))
    position_tol_mm: float = 0.1
    tilts_tol_rad: float = float(np.radians(2.0))
    lsd_tol_mm: float = 0.3
    lsd_relative_tol_mm: float = 0.3
    bc_tol_px: tuple[float, float] = (20.0, 20.0)
    wedge_tol_rad: float = float(np.radians(1.0))
    capture_px: float = 60.0
    capture_frames: float = 3.0
    least_px: float = 5.0
    rounds: int = 20
    reject: float = 4.0

    def __post_init__(self) -> None:
        if self.tilts not in ("shared", "each"):
            raise ConfigError(f"tilts {self.tilts!r}: expected 'shared' or 'each'", key="tilts")
        for name in ("capture_px", "capture_frames", "least_px", "reject"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(f"{name} {getattr(self, name)}: expected > 0", key=name)
        if self.rounds < 1:
            raise ConfigError(f"rounds {self.rounds}: expected 1 or more", key="rounds")
        tolerances = [
            self.orient_tol_rad, self.position_tol_mm, self.tilts_tol_rad, self.lsd_tol_mm,
            self.lsd_relative_tol_mm, *self.bc_tol_px, self.wedge_tol_rad,
        ]  # fmt: skip
        if not all(t >= 0.0 for t in tolerances):
            raise ConfigError(f"tolerances {tolerances}: expected 0 (held) or more")


@dataclass(frozen=True, eq=False)
class Parameters:
    """Names, bounds and steps (k,) of the parameters, and the start that they change.

    Attributes
    ----------
    names, lower, upper
        (k,).
    step
        (k,) for central differences: some 1e-3 px at the detector.
    start, crystals
        What 0 stands for.
    shared
        Whether the tilts of all distances change together.
    """

    names: tuple[str, ...]
    lower: F64
    upper: F64
    step: F64
    start: Geometry
    crystals: tuple[Crystal, ...]
    shared: bool

    @classmethod
    def of(cls, start: Geometry, crystals: list[Crystal], s: CalibrateSettings) -> Parameters:
        """Parameters of a start.

        Raises
        ------
        ConfigError
            A name in ``fix`` that no parameter begins with.
        """
        d, px = len(start.lsd_mm), start.pixel_size_mm
        angle = 1e-3 * px / float(start.lsd_mm.max())
        table = [("Lsd", s.lsd_tol_mm, px * 1e-2)]
        table += [(f"dLsd[{i}]", s.lsd_relative_tol_mm, px * 1e-2) for i in range(1, d)]
        for axis, tolerance in zip("YZ", s.bc_tol_px, strict=True):
            table += [(f"BC_{axis}[{i}]", tolerance, 1e-3) for i in range(d)]
        suffixes = [""] if s.tilts == "shared" else [f"[{i}]" for i in range(d)]
        table += [
            (f"t{axis}{suffix}", s.tilts_tol_rad, angle) for axis in "xyz" for suffix in suffixes
        ]
        table += [("wedge", s.wedge_tol_rad if s.wedge else 0.0, angle)]
        for i in range(len(crystals)):
            table += [(f"orientation_{axis}[{i}]", s.orient_tol_rad, angle) for axis in "xyz"]
            table += [(f"position_{axis}[{i}]", s.position_tol_mm, px * 1e-3) for axis in "xy"]
        names = tuple(name for name, *_ in table)
        for held in s.fix:
            if not any(name.startswith(held) for name in names):
                raise ConfigError(f"fix {held!r}: parameters are {', '.join(names)}", key="fix")
        half = np.array([0.0 if n.startswith(s.fix) else t for n, t, _ in table])
        steps = np.array([step for *_, step in table])
        return cls(names, -half, half, steps, start, tuple(crystals), s.tilts == "shared")

    def geometry(self, x: F64) -> Geometry:
        """Geometry at (k,) changes."""
        d = len(self.start.lsd_mm)
        lsd = self.start.lsd_mm + x[0]
        lsd[1:] += x[1:d]
        bc = self.start.beam_centre_px + x[d : 3 * d].reshape(2, d).T
        n = 3 if self.shared else 3 * d
        tilts = self.start.tilts_rad + x[3 * d : 3 * d + n].reshape(3, -1).T
        wedge = self.start.wedge_rad + float(x[3 * d + n])
        return self.start.changed(lsd_mm=lsd, beam_centre_px=bc, tilts_rad=tilts, wedge_rad=wedge)

    def moved(self, x: F64) -> list[Crystal]:
        """Crystals at (k,) changes; rotation vectors act in the sample frame."""
        own = x[len(x) - 5 * len(self.crystals) :].reshape(-1, 5)
        return [
            Crystal(expmap(change[:3]) @ crystal.u_matrix, crystal.position_mm + change[3:])
            for crystal, change in zip(self.crystals, own, strict=True)
        ]
