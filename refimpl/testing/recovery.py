"""Whether a calibration finds the truth of simulated frames, and knows how well.

Each scene of :mod:`refimpl.forward.scenes` is simulated, calibrated from no guess, and compared
with its truth and with the Cramér-Rao bound. Three questions are asked of each parameter: do the
errors spread as the reported uncertainties say (the sum of squared normalised errors is chi
square), are the reported uncertainties near the bound, and are the errors? Any code can be judged:
give :func:`recover` a function that calibrates.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import GEOMETRY_FIELDS
from refimpl.errors import RefimplError
from refimpl.forward.information import GEOMETRY, fisher_information
from refimpl.forward.scenes import Scene
from refimpl.forward.simulated_frame import SimulatedFrame
from refimpl.frames import F64

__all__ = ["CONFIDENCE", "Found", "Recovery", "calibrate_scene", "chi_square_interval"]
__all__ += ["recover", "report"]

CONFIDENCE = 0.999
"""Of the two-sided interval in which the sum of squared normalised errors must lie."""


@dataclass(frozen=True)
class Found:
    """What a calibration says of one scene.

    Attributes
    ----------
    model
        The detector found.
    sigma
        Standard uncertainty by the names of :data:`~refimpl.forward.information.GEOMETRY`.
    converged
        Whether it says that it converged.
    """

    model: TiltedFlat
    sigma: dict[str, float]
    converged: bool


@dataclass(frozen=True, eq=False)
class Recovery:
    """Outcome of a run over n scenes; rows of the arrays are scenes, columns parameters.

    Attributes
    ----------
    names
        (k,) parameters.
    scenes
        (n,) names of the scenes.
    error, sigma, bound
        (n, k) found minus true, reported standard uncertainty, Cramér-Rao bound; error and sigma
        are NaN where nothing was found.
    converged
        (n,) bool.
    seconds
        (n,) CPU seconds of each calibration.
    notes
        (n,) why it failed; empty if it did not.
    """

    names: tuple[str, ...]
    scenes: tuple[str, ...]
    error: F64
    sigma: F64
    bound: F64
    converged: tuple[bool, ...]
    seconds: F64
    notes: tuple[str, ...]

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the scenes that did not converge, with the reason."""
        rows = zip(self.scenes, self.converged, self.notes, strict=True)
        return tuple(f"{name}: {note or 'not converged'}" for name, good, note in rows if not good)

    def chi_square(self) -> dict[str, float]:
        """Sum of squared normalised errors of each parameter."""
        return self._by_name(np.nansum((self.error / self.sigma) ** 2, axis=0))

    def error_over_bound(self) -> dict[str, float]:
        """Root mean square of error over bound."""
        return self._by_name(np.sqrt(np.nanmean((self.error / self.bound) ** 2, axis=0)))

    def sigma_over_bound(self) -> dict[str, float]:
        """Root mean square of reported uncertainty over bound."""
        return self._by_name(np.sqrt(np.nanmean((self.sigma / self.bound) ** 2, axis=0)))

    @property
    def n_found(self) -> int:
        """Scenes with a result: the degrees of freedom of :meth:`chi_square`."""
        return int(np.sum(np.all(np.isfinite(self.error / self.sigma), axis=1)))

    def _by_name(self, values: F64) -> dict[str, float]:
        return dict(zip(self.names, values.tolist(), strict=True))


def chi_square_interval(n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Two-sided interval of chi square with n degrees of freedom."""
    from scipy.stats import chi2

    tail = 0.5 * (1.0 - confidence)
    return float(chi2.ppf(tail, n)), float(chi2.isf(tail, n))


def calibrate_scene(scene: Scene, frame: SimulatedFrame) -> Found:
    """Calibrate a frame with :func:`refimpl.powder.calibrate.calibrate`, from no guess.

    Told are the calibrant, wavelength, pixel size, mask, and how polarised the beam is.
    """
    from refimpl.powder.calibrate import calibrate

    polarisation = scene.arguments.get("polarisation")
    result = calibrate(
        frame.image,
        mask=frame.mask,
        calibrant=scene.calibrant,
        lattice_parameter_angstrom=scene.lattice_parameter_angstrom,
        wavelength_angstrom=scene.arguments["wavelength_angstrom"],
        pixel_size_mm=scene.model.pixel_size_mm,
        image_transform=scene.model.image_transform,
        polarisation=None if polarisation is None else polarisation[0],
    )
    sigma = np.sqrt(np.diag(result.covariance))
    return Found(
        result.model,
        dict(zip(result.covariance_names, sigma.tolist(), strict=True)),
        result.converged,
    )


def recover(
    scenes: Iterable[Scene],
    calibrate: Callable[[Scene, SimulatedFrame], Found] = calibrate_scene,
    *,
    progress: Callable[[str], None] | None = None,
) -> Recovery:
    """Simulate, calibrate and compare each scene.

    Parameters
    ----------
    scenes
        Frames to make.
    calibrate
        Code under test; a :class:`~refimpl.errors.RefimplError` counts as not converged.
    progress
        Called with a line of text after each scene.
    """
    rows = []
    for scene in scenes:
        row = _row(scene, calibrate)
        rows.append(row)
        if progress is not None:
            progress(_line(row))
    return Recovery(
        names=GEOMETRY,
        scenes=tuple(row.scene for row in rows),
        error=np.array([row.error for row in rows]).reshape(len(rows), len(GEOMETRY)),
        sigma=np.array([row.sigma for row in rows]).reshape(len(rows), len(GEOMETRY)),
        bound=np.array([row.bound for row in rows]).reshape(len(rows), len(GEOMETRY)),
        converged=tuple(row.converged for row in rows),
        seconds=np.array([row.seconds for row in rows]),
        notes=tuple(row.note for row in rows),
    )


@dataclass(frozen=True, eq=False)
class _Row:
    """One row of a :class:`Recovery`."""

    scene: str
    error: F64
    sigma: F64
    bound: F64
    converged: bool
    seconds: float
    note: str


def _row(scene: Scene, calibrate: Callable[[Scene, SimulatedFrame], Found]) -> _Row:
    frame = scene.simulate()
    bound = fisher_information(frame).bound()
    error, sigma = np.full((2, len(GEOMETRY)), np.nan)
    converged, note = False, ""
    start = time.process_time()
    try:
        found = calibrate(scene, frame)
    except RefimplError as exc:
        note = str(exc)
    else:
        columns = [GEOMETRY_FIELDS.index(name) for name in GEOMETRY]
        error = (found.model.geometry - scene.model.geometry)[columns]
        sigma = np.array([found.sigma.get(name, np.nan) for name in GEOMETRY])
        converged = found.converged
    seconds = time.process_time() - start
    limits = np.array([bound[name] for name in GEOMETRY])
    return _Row(scene.name, error, sigma, limits, converged, seconds, note)


def _line(row: _Row) -> str:
    z = " ".join(f"{v:6.2f}" for v in row.error / row.sigma)
    ratio = " ".join(f"{v:5.2f}" for v in row.sigma / row.bound)
    verdict = "" if row.converged else "FAILED"
    return (
        f"{row.scene:>10} {verdict:>6} {row.seconds:6.2f} s  error/sigma {z}  "
        f"sigma/bound {ratio}  {row.note}"
    )


def report(recovery: Recovery) -> str:
    """Table of the three questions, one parameter a line."""
    n = recovery.n_found
    if n == 0:
        return "\n".join(["no scene was recovered", *(f"failed: {f}" for f in recovery.failed)])
    low, high = chi_square_interval(n)
    chi2, error, sigma = (
        recovery.chi_square(),
        recovery.error_over_bound(),
        recovery.sigma_over_bound(),
    )
    lines = [
        f"{sum(recovery.converged)} of {len(recovery.scenes)} scenes converged; "
        f"{float(np.median(recovery.seconds)):.2f} CPU-s a scene (median)",
        f"chi square of {n} scenes, {CONFIDENCE:.1%} interval {low:.1f} to {high:.1f}",
        f"{'parameter':>14} {'chi square':>11} {'':>8} {'error/bound':>12} {'sigma/bound':>12}",
    ]
    for name in recovery.names:
        verdict = "inside" if low <= chi2[name] <= high else "OUTSIDE"
        lines.append(
            f"{name:>14} {chi2[name]:11.1f} {verdict:>8} {error[name]:12.3f} {sigma[name]:12.3f}"
        )
    return "\n".join([*lines, *(f"failed: {line}" for line in recovery.failed)])
