"""What a powder calibration returns: frozen, complete, and able to write and show itself."""

from __future__ import annotations

import html
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import refimpl
from refimpl import hooks
from refimpl.crystal.rings import Rings
from refimpl.detector.model import TiltedFlat
from refimpl.frames import F64
from refimpl.objective.pseudo_strain import StrainSummary, strain_summary
from refimpl.powder.config import PowderConfig
from refimpl.powder.observations import RingPoints
from refimpl.powder.panel_result import PanelTable
from refimpl.powder.panel_text import panel_lines
from refimpl.powder.prepare import Prepared
from refimpl.powder.refine import GeometryFit, strain_sigma
from refimpl.units import DEG, MICROSTRAIN

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Iteration", "Parameter", "PowderResult"]

ONE_FRAME = (
    "One frame at one distance cannot separate wavelength and distance: Lsd is right only if the "
    "wavelength is (a relative error of one is an equal and opposite error of the other)."
)

SAID_OF_ALL = (
    ONE_FRAME,
    "Rings do not tell a picture from its mirror image, nor a turn about the beam: the "
    "image transform and tx are as given.",
)
"""Warnings that hold for every calibration from one frame."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of the result.

    Attributes
    ----------
    name
        As published, in the unit given.
    value, sigma
        Value and standard uncertainty; sigma 0 if it was not refined, NaN if it has none.
    unit
        mm, px, deg or empty.
    status
        ``refined``, ``fixed``, ``at bound`` or ``not determined``.
    """

    name: str
    value: float
    sigma: float
    unit: str
    status: str


@dataclass(frozen=True, eq=False)
class Iteration:
    """One pass of extraction and fit.

    Attributes
    ----------
    number
        From 1.
    parameters
        Name of the fit's parameter to its value.
    summary
        Of the strain of all points that came into the pass.
    ring_two_theta_rad, ring_strain, ring_mean
        (h,) each: mean |strain| and mean signed strain of the ring's used points; NaN where a
        ring has none.
    tau
        Spread that the fit errors do not explain [strain].
    """

    number: int
    parameters: dict[str, float]
    summary: StrainSummary
    ring_two_theta_rad: F64
    ring_strain: F64
    ring_mean: F64
    tau: float

    @classmethod
    def of(
        cls, number: int, fit: GeometryFit, points: RingPoints, rings: Rings, summary: StrainSummary
    ) -> Iteration:
        """Iteration from a fit."""
        size, mean = np.full(len(rings), np.nan), np.full(len(rings), np.nan)
        for k in np.unique(points.ring[fit.used]):
            mine = fit.strain[fit.used & (points.ring == k)]
            size[k], mean[k] = np.mean(np.abs(mine)), np.mean(mine)
        values = dict(zip(fit.fit.names, (float(v) for v in fit.fit.x), strict=True))
        return cls(number, values, summary, rings.two_theta_rad, size, mean, fit.tau)


@dataclass(frozen=True, eq=False)
class PowderResult:
    """A calibrated detector, with everything needed to judge it.

    Attributes
    ----------
    model
        The detector; ``model.detector()`` gives vectors.
    parameters
        Values as published with uncertainties.
    covariance, covariance_names
        Of the fit's own parameters (distortion as cosine and sine parts).
    rings
        The calibrant's rings on the image.
    points
        Ring points of the kept pass; ``used`` after all rules.
    strain
        (n,) their signed pseudo-strain.
    summary, cross_validated
        Strain of all points that came in, and the same for points at the geometry of the other
        half of the bins (even on odd, odd on even).
    iterations, converged, reason
        The passes and why they ended.
    warnings
        What the reader must know: what is not determined, on a bound, left out.
    n_eta
        Azimuthal bins in the full circle.
    timing, cpu_timing
        Seconds by stage.
    truth
        Name to true value, in simulations.
    panels
        Refined panels; None for a single surface.
    strain_before, cross_validated_single
        Where there are panels: (n,) signed strain of every point at the best single surface, and
        the held-out strain there.
    """

    model: TiltedFlat
    parameters: tuple[Parameter, ...]
    covariance: F64
    covariance_names: tuple[str, ...]
    rings: Rings
    points: RingPoints
    strain: F64
    fit: GeometryFit
    summary: StrainSummary
    cross_validated: StrainSummary | None
    iterations: tuple[Iteration, ...]
    converged: bool
    reason: str
    warnings: tuple[str, ...]
    excluded_rings: tuple[int, ...]
    config: PowderConfig
    prepared: Prepared
    n_eta: int
    backend: str
    threads: int
    made: str
    command: str = ""
    timing: Mapping[str, float] = field(default_factory=dict)
    cpu_timing: Mapping[str, float] = field(default_factory=dict)
    truth: Mapping[str, float] | None = None
    panels: PanelTable | None = None
    strain_before: F64 | None = None
    cross_validated_single: StrainSummary | None = None

    @classmethod
    def build(
        cls,
        *,
        config: PowderConfig,
        prepared: Prepared,
        rings: Rings,
        points: RingPoints,
        fit: GeometryFit,
        iterations: tuple[Iteration, ...],
        converged: bool,
        reason: str,
        excluded: NDArray[np.bool_],
        n_eta: int,
        halves: F64,
        backend: str,
        threads: int,
    ) -> PowderResult:
        """Put a result together from the kept pass."""
        model = fit.parameters.at(fit.fit.x)
        if len(prepared.frame.boxes) > 1:
            model = model.replace(panel_boxes=prepared.frame.boxes)
        held_out = halves[np.isfinite(halves)]
        return cls(
            model=model,
            parameters=_parameters(model, fit),
            covariance=fit.fit.covariance,
            covariance_names=fit.fit.names,
            rings=rings,
            points=points.with_used(fit.used),
            strain=fit.strain,
            fit=fit,
            summary=strain_summary(fit.strain[points.used]),
            cross_validated=strain_summary(held_out) if len(held_out) else None,
            iterations=iterations,
            converged=converged,
            reason=reason,
            warnings=_warnings(
                prepared, rings, fit, strain_sigma(points)[fit.used], excluded, converged, reason
            ),
            excluded_rings=tuple(int(n) for n in rings.number[excluded]),
            config=config,
            prepared=prepared,
            n_eta=n_eta,
            backend=backend,
            threads=threads,
            made=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def __getitem__(self, name: str) -> Parameter:
        """Parameter by its published name."""
        for p in self.parameters:
            if p.name == name:
                return p
        raise KeyError(f"{name!r}: known are {', '.join(p.name for p in self.parameters)}")

    @property
    def rms_px(self) -> float:
        """Rms radial residual of the used points [px]."""
        used = self.points.used
        radius = self.model.lsd_mm * np.tan(self.points.two_theta_rad[used])
        size = float(np.mean(self.model.pixel_size_mm))
        return float(np.sqrt(np.mean((self.strain[used] * radius) ** 2)) / size)

    def parameter_table(self) -> pd.DataFrame:
        """Parameters, one row each: name, value, sigma, unit, status."""
        import pandas as pd

        return pd.DataFrame([vars(p) for p in self.parameters])

    def point_table(self) -> pd.DataFrame:
        """Ring points, one row each, in the units of the column names."""
        import pandas as pd

        p = self.points
        before = {} if self.strain_before is None else {"strain_before": self.strain_before}
        return pd.DataFrame(
            {
                "ring": self.rings.number[p.ring],
                "panel": p.panel,
                "eta_bin": p.eta_bin,
                "fast_px": p.fast_px,
                "slow_px": p.slow_px,
                "eta_rad": p.eta_rad,
                "two_theta_rad": p.two_theta_rad,
                "sigma_two_theta_rad": p.sigma_rad,
                "strain": self.strain,
                "used": p.used,
                "fwhm_rad": p.fwhm_rad,
                "mixing": p.mixing,
                "amplitude": p.height,
                "background": p.background,
                "coverage": p.coverage,
                "reduced_chi2": p.chi2,
                "pixels": p.pixels,
                **before,
            }
        )

    def ring_table(self) -> pd.DataFrame:
        """One row a ring: points, mean strain signed and absolute, width."""
        import pandas as pd

        rows = []
        for k, number in enumerate(self.rings.number):
            mine = self.points.used & (self.points.ring == k)
            any_ = bool(np.any(mine))
            rows.append(
                {
                    "ring": int(number),
                    "hkl": " ".join(str(int(i)) for i in self.rings.hkl[k]),
                    "two_theta_deg": float(self.rings.two_theta_rad[k] / DEG),
                    "radius_px": float(
                        self.model.lsd_mm
                        * np.tan(self.rings.two_theta_rad[k])
                        / np.mean(self.model.pixel_size_mm)
                    ),
                    "points": int(np.count_nonzero(mine)),
                    "mean_strain": float(np.mean(self.strain[mine])) if any_ else np.nan,
                    "mean_abs_strain": float(np.mean(np.abs(self.strain[mine])))
                    if any_
                    else np.nan,
                    "fwhm_deg": float(np.median(self.points.fwhm_rad[mine]) / DEG)
                    if any_
                    else np.nan,
                    "excluded": int(number) in self.excluded_rings,
                }
            )
        return pd.DataFrame(rows)

    def summary_lines(self) -> list[str]:
        """The result in words, for a terminal."""
        lines = [
            f"{'converged' if self.converged else 'NOT CONVERGED'} after "
            f"{len(self.iterations)} passes: {self.reason}"
        ]
        for p in self.parameters:
            if p.status != "fixed" or p.value != 0.0:
                lines.append(f"  {p.name:<14} {_with_sigma(p)}")
        lines.append(f"strain, all points:      {self.summary}")
        if self.cross_validated is not None:
            lines.append(f"strain, cross-validated: {self.cross_validated}")
        if self.cross_validated_single is not None:
            lines.append(f"  the same, one surface:  {self.cross_validated_single}")
        lines.append(f"rms {self.rms_px:.4f} px over {np.count_nonzero(self.points.used)} points")
        if self.panels is not None:
            lines += panel_lines(self.panels)
        return lines + [f"note: {w}" for w in self.warnings]

    def __repr__(self) -> str:
        p = self.model
        return (
            f"<PowderResult Lsd {_with_sigma(self['Lsd'])}, beam centre "
            f"({p.beam_centre_px[0]:.3f}, {p.beam_centre_px[1]:.3f}) px, "
            f"mean strain {self.summary.clip_mean / MICROSTRAIN:.1f} µε, "
            f"{'converged' if self.converged else 'not converged'}>"
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(p.name)}</td><td>{html.escape(_with_sigma(p))}</td>"
            f"<td>{html.escape(p.status)}</td></tr>"
            for p in self.parameters
            if p.status != "fixed" or p.value != 0.0
        )
        notes = "".join(f"<li>{html.escape(w)}</li>" for w in self.warnings)
        return (
            f"<b>Powder calibration</b>: {html.escape(str(self.summary))}"
            f"<table><tr><th>parameter</th><th>value</th><th>status</th></tr>{rows}</table>"
            f"<ul>{notes}</ul>"
        )

    def view(self) -> Any:
        """Return what the report shows of this result."""
        from refimpl.powder.outputs import view

        return view(self)

    def plot(self) -> Any:
        """Overview figure (matplotlib)."""
        return hooks.call("powder.plot", self.view())

    def report(self, folder: str | Path) -> Path:
        """Write figures and the self-contained HTML report; return its path."""
        return Path(hooks.call("powder.report", self.view(), Path(folder)))

    def save(self, folder: str | Path, *, report: bool = True) -> Path:
        """Write every output file into a folder; return it.

        Files: ``config.toml``, ``result.json``, ``geometry.json``, ``points.csv``,
        ``refined_MIDAS_params.txt``, ``calibrant_screen_out.csv``, ``autocal.log``, and with
        `report` ``report.html`` and ``figures/``.
        """
        from refimpl.powder.outputs import save

        return save(self, Path(folder), report=report)

    def provenance(self) -> dict[str, Any]:
        """Versions, backend, threads, inputs."""
        source = self.prepared.source
        return {
            "version": refimpl.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "backend": self.backend,
            "threads": self.threads,
            "seed": self.config.calibrate.seed,
            "date": self.made,
            "command": self.command,
            "inputs": "array" if source.path is None else str(source.path),
            "dataset": source.dataset,
        }


def _with_sigma(p: Parameter) -> str:
    unit = f" {p.unit}" if p.unit else ""
    if not (np.isfinite(p.sigma) and p.sigma > 0.0):
        return f"{p.value:.8g}{unit} ({p.status})"
    digits = max(0, 1 - int(np.floor(np.log10(p.sigma))))
    return f"{p.value:.{digits}f} +- {p.sigma:.{digits}f}{unit}"


def _parameters(model: TiltedFlat, fit: GeometryFit) -> tuple[Parameter, ...]:
    """Parameters as published, model frame; BC counts from pixel corners (published BC + 0.5)."""
    f = fit.fit
    sigma = dict(zip(f.names, f.sigma, strict=True))
    rows = [
        ("Lsd", "lsd_mm", model.lsd_mm, 1.0, "mm"),
        ("BC_fast", "beam_fast_px", model.beam_centre_px[0], 1.0, "px"),
        ("BC_slow", "beam_slow_px", model.beam_centre_px[1], 1.0, "px"),
        ("tx", "tx_rad", model.tilts_rad[0], 1.0 / DEG, "deg"),
        ("ty", "ty_rad", model.tilts_rad[1], 1.0 / DEG, "deg"),
        ("tz", "tz_rad", model.tilts_rad[2], 1.0 / DEG, "deg"),
    ]
    out = [
        Parameter(name, value * scale, sigma.get(key, 0.0) * scale, unit, _status(fit, key))
        for name, key, value, scale, unit in rows
    ]
    refined = fit.parameters.published(f.x, f.covariance)
    for i, value in enumerate(model.p):
        name = f"p{i}"
        unit = "deg" if i in (3, 6, 8, 10, 12, 14) else ""
        if name in refined:
            out.append(Parameter(name, *refined[name], unit, _published_status(fit, name)))
        else:
            out.append(Parameter(name, value, 0.0, unit, "fixed"))
    out.append(
        Parameter(
            "parallax", model.parallax_mm, sigma.get("parallax_mm", 0.0), "mm",
            _status(fit, "parallax_mm"),
        )
    )  # fmt: skip
    return tuple(out)


def _status(fit: GeometryFit, key: str) -> str:
    f = fit.fit
    if key not in f.names:
        return "fixed"
    if key in f.undetermined:
        return "not determined"
    return "at bound" if key in f.at_bound else "refined"


def _published_status(fit: GeometryFit, name: str) -> str:
    from refimpl.detector.distortion import AMPLITUDES, ISOTROPIC, PHASES

    if name in ISOTROPIC:
        return _status(fit, ISOTROPIC[name])
    if name in fit.fit.names:
        return _status(fit, name)
    k = {**AMPLITUDES, **PHASES}[name]
    both = {_status(fit, f"a{k}c"), _status(fit, f"a{k}s")}
    for worst in ("not determined", "at bound"):
        if worst in both:
            return worst
    return "refined"


def _warnings(
    prepared: Prepared,
    rings: Rings,
    fit: GeometryFit,
    strain_sigma: F64,
    excluded: NDArray[np.bool_],
    converged: bool,
    reason: str,
) -> tuple[str, ...]:
    out = []
    if not converged:
        out.append(f"The passes did not converge: {reason}.")
    if fit.fit.undetermined:
        out.append(
            f"The data do not determine {', '.join(fit.fit.undetermined)}: held at the start value."
        )
    if fit.fit.at_bound:
        out.append(f"On the bound of its search range: {', '.join(fit.fit.at_bound)}.")
    if np.any(excluded):
        numbers = ", ".join(str(int(n)) for n in rings.number[excluded])
        out.append(f"Left out: ring {numbers}.")
    if prepared.source.n_saturated:
        out.append(f"{prepared.source.n_saturated} pixels are saturated and were not masked.")
    if prepared.scale != 1.0:
        out.append(
            f"The image does not hold counts: it was multiplied by {prepared.scale:.3g}; "
            "uncertainties rest on the scatter of the points."
        )
    if fit.tau > float(np.median(strain_sigma)):
        shared = (
            f" The uncertainties take the points of each of {fit.fit.clusters} panels or sectors "
            "to err together."
            if fit.fit.clusters
            else ""
        )
        model = "the model (one flat surface)" if fit.panels is None else "the model"
        limit = f"{model} or the sample limits the calibration, not the counts"
        out.append(
            f"Points scatter by {fit.tau / MICROSTRAIN:.0f} µε beyond their fit errors: "
            f"{limit}.{shared}"
        )
    if fit.panels is not None and fit.panels.design_effect > 1.0:
        out.append(
            "The points of a ring on a panel err together and count as "
            f"{fit.panels.design_effect:.1f} times fewer than they are: the panels move in ways "
            "that are not refined."
        )
    return (*out, *SAID_OF_ALL)
