"""What a powder calibration refines: names, start values, bounds, and the chain rule.

The user names parameters as published: ``distance``, ``beam_centre``, ``tilt``, p0..p14,
``parallax``. Where an amplitude and its phase are both refined, the fit works on their cosine and
sine parts, which are not singular at amplitude 0; the published pair follows afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from refimpl.detector.distortion import (
    AMPLITUDES,
    ISOTROPIC,
    PHASES,
    PUBLISHED,
    published_from_pairs,
)
from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import GEOMETRY_FIELDS, JACOBIAN_FIELDS
from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.units import DEG

__all__ = ["GROUPS", "Parameters", "parameters", "refinable"]

GROUPS: Mapping[str, tuple[str, ...]] = {
    "distance": ("lsd_mm",),
    "beam_centre": ("beam_fast_px", "beam_slow_px"),
    "tilt": ("ty_rad", "tz_rad"),
    "parallax": ("parallax_mm",),
}
"""Names of groups and the fields that they free; tx turns rings into themselves and is carried."""

REFUSED = {
    "tx": "a turn about the beam leaves rings unchanged: give it, it is carried",
    "wavelength": "one frame at one distance cannot separate wavelength and distance",
}

PHASE_TOLERANCE_DEG = 45.0
"""Published search range of p3 (tolP3)."""


def refinable() -> tuple[str, ...]:
    """Every name that `refine` accepts."""
    return (*GROUPS, *PUBLISHED)


@dataclass(frozen=True, eq=False)
class Parameters:
    """Free parameters of one fit.

    Attributes
    ----------
    names
        (k,) of the fit: geometry fields, or ``p3`` for a phase refined at fixed amplitude.
    start, lower, upper
        (k,).
    model
        Values of everything that is not refined.
    """

    names: tuple[str, ...]
    start: F64
    lower: F64
    upper: F64
    model: TiltedFlat

    def __len__(self) -> int:
        return len(self.names)

    def geometry(self, x: F64) -> F64:
        """(25,) geometry vector at the parameters (k,)."""
        g = self.model.geometry
        for name, value in zip(self.names, x, strict=True):
            if name in GEOMETRY_FIELDS:
                g[GEOMETRY_FIELDS.index(name)] = value
        p = np.array(self.model.p)
        for name, value in zip(self.names, x, strict=True):
            for harmonic, k in _polar(name):
                amplitude_name, phase_name = _names_of(k)
                amplitude = value if name == amplitude_name else p[int(amplitude_name[1:])]
                phase = value if name == phase_name else p[int(phase_name[1:])]
                g[harmonic] = amplitude * np.cos(phase * DEG)
                g[harmonic + 1] = amplitude * np.sin(phase * DEG)
        return g

    def chain(self, x: F64, jacobian: F64) -> F64:
        """(n, k) derivative by the parameters from that by :data:`JACOBIAN_FIELDS`, (n, 27)."""
        out = np.empty((len(jacobian), len(self.names)))
        p = np.array(self.model.p)
        for column, (name, value) in enumerate(zip(self.names, x, strict=True)):
            if name in JACOBIAN_FIELDS:
                out[:, column] = jacobian[:, JACOBIAN_FIELDS.index(name)]
                continue
            ((harmonic, k),) = _polar(name)
            amplitude_name, phase_name = _names_of(k)
            at = JACOBIAN_FIELDS.index(GEOMETRY_FIELDS[harmonic])
            phase = (value if name == phase_name else p[int(phase_name[1:])]) * DEG
            by_c, by_s = np.cos(phase), np.sin(phase)
            if name == phase_name:
                amplitude = p[int(amplitude_name[1:])] * DEG
                by_c, by_s = -amplitude * by_s, amplitude * by_c
            out[:, column] = by_c * jacobian[:, at] + by_s * jacobian[:, at + 1]
        return out

    def at(self, x: F64) -> TiltedFlat:
        """Model at the parameters (k,)."""
        return self.model.with_geometry(self.geometry(x))

    def moved_to(self, model: TiltedFlat) -> Parameters:
        """Same parameters and bounds, started from another model."""
        start = np.array([_value(model, name) for name in self.names])
        start = np.minimum(np.maximum(start, self.lower), self.upper)
        return Parameters(self.names, start, self.lower, self.upper, model)

    def published(self, x: F64, covariance: F64) -> dict[str, tuple[float, float]]:
        """Refined distortion as published: name to (value, standard uncertainty).

        A phase's uncertainty is that of its angle, by linear propagation; NaN at amplitude 0.
        """
        values = dict(
            zip(PUBLISHED, published_from_pairs(self.geometry(x)[10:], self.model.p), strict=True)
        )
        out: dict[str, tuple[float, float]] = {}
        sigma = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        index = {name: i for i, name in enumerate(self.names)}
        for name, field in ISOTROPIC.items():
            if field in index:
                out[name] = (values[name], float(sigma[index[field]]))
        for name in self.names:
            if name in PUBLISHED:
                # not x itself: a phase beyond +-90 degrees of its start flips the amplitude
                out[name] = (values[name], float(sigma[index[name]]))
        for amplitude, k in AMPLITUDES.items():
            if f"a{k}c" not in index:
                continue
            i, j = index[f"a{k}c"], index[f"a{k}s"]
            c, s = x[i], x[j]
            size = np.hypot(c, s)
            block = covariance[np.ix_([i, j], [i, j])]
            with np.errstate(divide="ignore", invalid="ignore"):
                along, across = np.array([c, s]) / size, np.array([-s, c]) / size
                var_a = along @ block @ along
                var_phase = across @ block @ across / size**2
            phase = _names_of(k)[1]
            out[amplitude] = (values[amplitude], float(np.sqrt(var_a)))
            out[phase] = (values[phase], float(np.sqrt(var_phase) / DEG))
        return out


def _names_of(k: int) -> tuple[str, str]:
    """Published amplitude and phase of harmonic k."""
    amplitude = next(name for name, harmonic in AMPLITUDES.items() if harmonic == k)
    phase = next(name for name, harmonic in PHASES.items() if harmonic == k)
    return amplitude, phase


def _polar(name: str) -> list[tuple[int, int]]:
    """[(position of the cosine part in a geometry vector, k)] of an amplitude or phase."""
    k = {**AMPLITUDES, **PHASES}.get(name)
    return [] if k is None else [(GEOMETRY_FIELDS.index(f"a{k}c"), k)]


def _value(model: TiltedFlat, name: str) -> float:
    if name in GEOMETRY_FIELDS:
        return float(model.geometry[GEOMETRY_FIELDS.index(name)])
    return float(model.p[int(name[1:])])


def _fields(refine: Sequence[str]) -> list[str]:
    """Names of the fit for the user's names."""
    fields: list[str] = []
    for name in refine:
        if name in GROUPS:
            fields += GROUPS[name]
        elif name in ISOTROPIC:
            fields.append(ISOTROPIC[name])
        elif name in AMPLITUDES or name in PHASES:
            k = {**AMPLITUDES, **PHASES}[name]
            both = all(other in refine for other in _names_of(k))
            fields += [f"a{k}c", f"a{k}s"] if both else [name]
        else:
            raise ConfigError(
                f"refine: {name!r} cannot be refined: {REFUSED[name]}"
                if name in REFUSED
                else f"refine: unknown parameter {name!r}: "
                f"expected some of {', '.join(refinable())}",
                key="refine",
                got=name,
            )
    return list(dict.fromkeys(fields))


def parameters(
    model: TiltedFlat, refine: Sequence[str], tolerances: Mapping[str, float] | None = None
) -> Parameters:
    """Free parameters around a model.

    Parameters
    ----------
    model
        Start values, and the values of what is not refined.
    refine
        Names of groups (:data:`GROUPS`) and of published distortion terms.
    tolerances
        Half width of the search range by the same names: ``distance`` [mm], ``beam_centre`` [px],
        ``tilt`` [rad], ``parallax`` [mm], p0.. (amplitudes and isotropic terms), phases
        [degrees]. Not named: unbounded. An amplitude refined with its phase is bounded through
        its cosine and sine parts, each by the amplitude's tolerance about the start.

    Raises
    ------
    ConfigError
        Unknown or refused name; a tolerance of something that is not refined or not positive; a
        phase alone at amplitude 0.
    """
    fields = _fields(refine)
    wanted = dict(tolerances or {})
    for name, tolerance in wanted.items():
        if name not in refine:
            raise ConfigError(f"tolerance of {name!r}: it is not refined", key=name)
        if not tolerance > 0.0:
            raise ConfigError(f"tolerance of {name!r}: got {tolerance!r}: expected > 0", key=name)
    start = np.array([_value(model, name) for name in fields])
    half = np.full(len(fields), np.inf)
    for i, name in enumerate(fields):
        owner = _owner(name)
        if name in PHASES:
            if model.p[int(_names_of(PHASES[name])[0][1:])] == 0.0:
                raise ConfigError(
                    f"refine: phase {name} needs its amplitude to be refined or not 0"
                )
            half[i] = wanted.get(name, PHASE_TOLERANCE_DEG)
        else:
            half[i] = wanted.get(owner, np.inf)
    return Parameters(tuple(fields), start, start - half, start + half, model)


def _owner(field: str) -> str:
    """User's name that a field of the fit belongs to."""
    for group, members in GROUPS.items():
        if field in members:
            return group
    for name, member in ISOTROPIC.items():
        if field == member:
            return name
    if field[0] == "a" and field[1:2].isdecimal():
        return _names_of(int(field[1]))[0]
    return field
