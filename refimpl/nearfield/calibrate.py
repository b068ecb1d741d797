"""Calibration of near-field detectors from known crystals: distances, beam centres, tilts, wedge.

The published objective, 1 - C, is a staircase with plateaus on which geometries degrees apart score
the same (spec 6.3). Here the distance between predicted spots and the centroids of the blobs that
they light is minimised instead: smooth, with a covariance that names what the data do not
determine. Blobs are looked for within a wide ellipsoid first, which shrinks as the fit gets better.
The published confidence is a check on the result, not the objective. Not determined by any crystal
in a sample plane: the height of that plane, which moves all beam centres and distances as one; it
is z = 0 by definition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from refimpl.errors import ConvergenceError
from refimpl.forward.nearfield_setup import Setup
from refimpl.frames import F64
from refimpl.nearfield.calibrate_blobs import Blobs
from refimpl.nearfield.calibrate_fit import PositionFit, Problem, fit_positions
from refimpl.nearfield.calibrate_match import Matches, match_blobs
from refimpl.nearfield.calibrate_model import Crystal, Geometry, spots_of
from refimpl.nearfield.calibrate_parameters import CalibrateSettings, Parameters

__all__ = ["Calibration", "Round", "calibrate"]


@dataclass(frozen=True)
class Round:
    """One round of matching and fitting: radius [px], spots with blobs, rms Y, Z [px], omega."""

    radius_px: float
    matched: int
    predicted: int
    rms: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Result of :func:`calibrate`.

    Attributes
    ----------
    geometry, crystals
        Calibrated.
    start, start_crystals
        What it began with.
    position
        The last fit: parameters as changes from the start, covariance, standard deviations.
    matches
        Spots used and their blobs.
    rejected
        Matched spots left out of the last fit.
    rounds
        What happened on the way.
    """

    geometry: Geometry
    crystals: list[Crystal]
    start: Geometry
    start_crystals: list[Crystal]
    position: PositionFit
    matches: Matches
    rejected: int
    rounds: tuple[Round, ...]

    def correlated(self, least: float = 0.95) -> list[tuple[str, str, float]]:
        """Pairs of parameters whose correlation is at least this, the strongest first."""
        c, names = self.position.fit.correlation, self.position.fit.names
        pairs = [
            (names[i], names[j], float(c[i, j]))
            for i in range(len(names)) for j in range(i) if abs(c[i, j]) >= least
        ]  # fmt: skip
        return sorted(pairs, key=lambda pair: -abs(pair[2]))


def calibrate(
    setup: Setup,
    blobs: Blobs,
    crystals: Sequence[Crystal],
    settings: CalibrateSettings | None = None,
    *,
    start: Geometry | None = None,
    progress: Callable[[Round], None] | None = None,
) -> Calibration:
    """Refine geometry and crystals together.

    Parameters
    ----------
    setup
        Scan, reflections, wavelength, and the geometry to start from.
    blobs
        Of lit pixels, :func:`~refimpl.nearfield.calibrate_blobs.find_blobs`.
    crystals
        Known crystals: orientation and rough centre. Several points of one grain are one crystal.
    settings
        What is refined, bounds, capture.
    start
        Geometry to start from instead of the setup's, where detectors have tilts of their own.
    progress
        Called after every round.

    Raises
    ------
    ConvergenceError
        Too few spots find a blob at every distance.
    ConfigError
        A parameter to hold that does not exist.
    """
    s = settings or CalibrateSettings()
    begin = start or Geometry.of(setup)
    parameters = Parameters.of(begin, list(crystals), s)
    x, rounds = np.zeros(len(parameters.names)), []
    radius, frames = s.capture_px, s.capture_frames
    seen: bytes = b""
    for _ in range(s.rounds):
        matches = _matches(parameters, x, setup, blobs, radius, frames)
        found = fit_positions(Problem(parameters, setup, matches), x, robust=True)
        x = found.fit.x
        spread = _spread(parameters, x, setup, matches)
        rounds.append(Round(radius, len(matches), matches.n_predicted, spread))
        if progress is not None:
            progress(rounds[-1])
        now = matches.blob.tobytes()
        smaller = max(min(radius, s.reject * max(spread[:2])), s.least_px)
        if now == seen and smaller > 0.9 * radius:
            break
        seen, radius = now, smaller
        frames = max(min(frames, s.reject * spread[2]), 1.0)
    return _finish(parameters, x, setup, matches, s, tuple(rounds))


def _matches(
    parameters: Parameters, x: F64, setup: Setup, blobs: Blobs, radius: float, frames: float
) -> Matches:
    geometry = parameters.geometry(x)
    spots = spots_of(geometry, setup, parameters.moved(x))
    if not len(spots):
        raise ConvergenceError("no spot of the crystals reaches every detector within the scan")
    return match_blobs(spots, blobs, len(geometry.lsd_mm), radius, frames)


def _spread(
    parameters: Parameters, x: F64, setup: Setup, matches: Matches
) -> tuple[float, float, float]:
    """Standard deviations of Y, Z [px] and omega [frames] from medians, deaf to wrong matches."""
    yz, frames = Problem(parameters, setup, matches).apart(x)
    y, z = (1.4826 * np.median(np.abs(yz[:, :, i])) for i in (0, 1))
    return float(y), float(z), float(1.4826 * np.median(np.abs(frames)))


def _finish(
    parameters: Parameters,
    x: F64,
    setup: Setup,
    matches: Matches,
    s: CalibrateSettings,
    rounds: tuple[Round, ...],
) -> Calibration:
    """Plain weighted fits without the spots that miss, until none does."""
    n, first = len(matches), True
    while True:
        found = fit_positions(Problem(parameters, setup, matches), x, robust=first)
        keep = np.asarray((np.abs(found.normalised) <= s.reject).all(axis=1))
        x = found.fit.x
        if keep.all() and not first:
            break
        matches, first = matches[keep], False
    return Calibration(
        parameters.geometry(x), parameters.moved(x), parameters.start, list(parameters.crystals),
        found, matches, n - len(matches), rounds,
    )  # fmt: skip
