"""What a powder report is made of: plain values, so that the report knows no pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.report.panel_view import PanelView

if TYPE_CHECKING:
    import pandas as pd

    from refimpl.detector.model import TiltedFlat

__all__ = ["PARAMETER_COLUMNS", "POINT_COLUMNS", "PanelView", "PowderView", "Quantity"]

POINT_COLUMNS = (
    *("ring", "panel", "fast_px", "slow_px", "eta_rad", "two_theta_rad", "sigma_two_theta_rad"),
    *("strain", "used", "fwhm_rad", "mixing", "amplitude", "background"),
)
PARAMETER_COLUMNS = ("name", "value", "sigma", "unit", "status")


@dataclass(frozen=True)
class Quantity:
    """A number with its standard uncertainty (None: none known) and unit, as a row shows it."""

    value: float
    sigma: float | None = None
    unit: str = ""


@dataclass(frozen=True, eq=False)
class PowderView:
    """One powder calibration as its report shows it.

    Attributes
    ----------
    title
        Heading, for instance the file name; any text, it is escaped.
    image
        (n_slow, n_fast) in the model frame (fast to the right, slow up, seen along the beam); NaN
        where masked.
    model
        The calibrated detector.
    ring_number, ring_two_theta, ring_hkl
        (h,), (h,) [rad] and (h, 3) of the predicted rings.
    points
        One row a fitted point, columns :data:`POINT_COLUMNS`: pixels in the model frame with
        corner origin, angles in rad, signed pseudo-strain ``1 - tan(2θ)/tan(2θ_ring)``. Where
        there are panels, a column ``strain_before`` holds it at the best single surface.
    parameters
        One row a parameter, columns :data:`PARAMETER_COLUMNS`; status is ``refined``, ``fixed``,
        ``at bound`` or ``not determined``.
    correlations
        ((k, k) matrix, k names) of the refined parameters.
    iterations
        One mapping a pass of the loop: ``iteration``, ``n``, ``mean_all``, ``median``,
        ``clip_mean`` [strain], ``two_theta`` (h,) [rad] and ``strain`` (h,), the signed mean
        strain of each ring. Missing keys are left out of the figures.
    summary
        Known keys, strains as plain numbers: ``n``, ``mean_all``, ``median``, ``clip_mean``,
        ``clip_rule``, ``cross_validated``, ``cross_validated_single`` (the same at the best single
        surface), ``converged`` (bool). Any other key is a free row of the table of key numbers:
        text, a number or a :class:`Quantity`.
    cake
        (two_theta (m,) [rad], eta (k,) [rad], intensity (k, m)), bin centres, evenly spaced.
    radial
        (two_theta (m,) [rad], intensity (m,)).
    timing
        Stage to seconds.
    warnings
        Sentences for the reader.
    provenance
        ``version, backend, threads, seed, command, inputs, date, python``, or any other key.
    truth
        Parameter name to its true value, in the unit of ``parameters``; only in simulations.
    panels
        Refined panels; None for a single surface.
    """

    title: str
    image: F64
    model: TiltedFlat
    ring_number: I64
    ring_two_theta: F64
    ring_hkl: I64
    points: pd.DataFrame
    parameters: pd.DataFrame
    correlations: tuple[F64, Sequence[str]] | None = None
    iterations: Sequence[Mapping[str, Any]] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)
    cake: tuple[F64, F64, F64] | None = None
    radial: tuple[F64, F64] | None = None
    timing: Mapping[str, float] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    truth: Mapping[str, float] | None = None
    panels: PanelView | None = None

    def __post_init__(self) -> None:
        for name, table, wanted in (
            ("points", self.points, POINT_COLUMNS),
            ("parameters", self.parameters, PARAMETER_COLUMNS),
        ):
            missing = [column for column in wanted if column not in table.columns]
            if missing:
                raise ConfigError(f"PowderView.{name} lacks the columns {', '.join(missing)}")
        if np.shape(self.image) != tuple(self.model.shape):
            raise ConfigError(
                f"PowderView.image has shape {np.shape(self.image)}: "
                f"expected the model's {tuple(self.model.shape)}"
            )
        h = len(self.ring_number)
        if np.shape(self.ring_two_theta) != (h,) or np.shape(self.ring_hkl) != (h, 3):
            raise ConfigError(
                f"PowderView: ring_number ({h},), ring_two_theta {np.shape(self.ring_two_theta)}, "
                f"ring_hkl {np.shape(self.ring_hkl)}: expected (h,), (h,), (h, 3)"
            )

    @property
    def used(self) -> pd.DataFrame:
        """Rows of ``points`` that were used and have a finite strain."""
        keep = self.points["used"].to_numpy(dtype=bool)
        return self.points[keep & np.isfinite(self.points["strain"].to_numpy(dtype=float))]

    @property
    def left_out(self) -> pd.DataFrame:
        """Rows of ``points`` with a finite strain that were not used."""
        keep = self.points["used"].to_numpy(dtype=bool)
        return self.points[~keep & np.isfinite(self.points["strain"].to_numpy(dtype=float))]

    def sigma_strain(self, points: pd.DataFrame) -> F64:
        """(n,) standard uncertainty of each point's strain, from that of its 2-theta.

        The pseudo-strain is ``1 - tan(2θ)/tan(2θ_ring)``, so its derivative is
        ``1 / (sin 2θ cos 2θ)``.
        """
        angle = points["two_theta_rad"].to_numpy(dtype=float)
        sigma = points["sigma_two_theta_rad"].to_numpy(dtype=float)
        slope = np.abs(np.sin(angle) * np.cos(angle))
        return np.divide(sigma, slope, out=np.full(len(sigma), np.nan), where=slope > 0.0)

    def residual_px(self, points: pd.DataFrame) -> F64:
        """(n,) signed distance of each point from its ring, along the radius [px]."""
        angle = points["two_theta_rad"].to_numpy(dtype=float)
        strain = points["strain"].to_numpy(dtype=float)
        radius = self.model.lsd_mm * np.tan(angle) / float(np.mean(self.model.pixel_size_mm))
        # strain = 1 - r / r_ring, so r - r_ring = -strain r_ring = -strain r / (1 - strain).
        return -strain * radius / (1.0 - strain)

    def hkl_text(self, index: int) -> str:
        """Miller indices of ring ``index`` (0-based row), as ``hkl`` or with blanks if needed."""
        hkl = [int(v) for v in self.ring_hkl[index]]
        return ("" if all(0 <= v < 10 for v in hkl) else " ").join(str(v) for v in hkl)
