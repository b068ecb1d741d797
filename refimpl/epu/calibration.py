"""From beam shift to stage: the 2 x 2 matrix, what it rests on, and its file.

Rows are vectors: ``position_um = stage_um + beam_shift @ matrix_um``. A pure scaling is the scalar
k of the published script; the matrix of a real microscope also turns, mirrors and stretches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from refimpl.epu.matrix import BeamShiftMatrix
from refimpl.errors import ConfigError, FormatError
from refimpl.frames import F64
from refimpl.io.atomic import write_json
from refimpl.reading import parse_json, read_text
from refimpl.units import DEG

__all__ = ["METHODS", "Alternative", "Calibration", "load_calibration", "save_calibration"]

METHODS = ("scalar", "affine", "metadata", "lattice")
_KIND, _SCHEMA = "refimpl.epu_calibration", 1


@dataclass(frozen=True, eq=False)
class Alternative(BeamShiftMatrix):
    """Another answer that fits nearly as well.

    Attributes
    ----------
    matrix_um
        (2, 2) as of :class:`Calibration`.
    pitch_um
        Lengths of the two shortest vectors of its hole lattice.
    rms_um
        Distance of holes from that lattice, root mean square.
    misfit_ratio
        rms / pitch over that of the answer that was taken; above 1.
    coincidences
        Holes that it puts onto holes visited before.
    """

    matrix_um: F64
    pitch_um: tuple[float, float]
    rms_um: float
    misfit_ratio: float
    coincidences: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self.words() | {
            "pitch_um": list(self.pitch_um),
            "rms_um": self.rms_um,
            "misfit_ratio": self.misfit_ratio,
            "coincidences": self.coincidences,
        }


@dataclass(frozen=True, eq=False)
class Calibration(BeamShiftMatrix):
    """How far, and where to, a beam shift moves the beam on the specimen.

    Attributes
    ----------
    method
        ``scalar``, ``affine``, ``metadata`` or ``lattice``.
    matrix_um
        (2, 2) [um for a beam shift of one]: ``position = stage + beam_shift @ matrix``.
    rms_um
        Root mean square distance of the holes from where the model has them; None: nothing to
        compare with.
    n
        Holes (each visit counts) that it rests on; 0 for one that was given.
    sigma_um
        (2, 2) standard uncertainties of the matrix; None for one that was given.
    lattice_um
        (2, 2) rows: the two shortest vectors of the hole lattice on the stage.
    alternatives
        Other answers, best first.
    margin
        rms / pitch of the first alternative over that of this one; None: there is no other.
    coincidences
        Visits of holes that were visited before.
    is_decided
        False where another answer may as well be the right one; a note says so, too.
    notes
        Which method, why, and what to know, in sentences.
    magnification, voltage_kv, instrument
        What it holds for; NaN and "" if unknown.
    """

    method: str
    matrix_um: F64
    rms_um: float | None = None
    n: int = 0
    sigma_um: F64 | None = None
    lattice_um: F64 | None = None
    alternatives: tuple[Alternative, ...] = ()
    margin: float | None = None
    coincidences: int | None = None
    is_decided: bool = True
    notes: tuple[str, ...] = ()
    magnification: float = math.nan
    voltage_kv: float = math.nan
    instrument: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(
                f"calibration: method {self.method!r}: expected one of {', '.join(METHODS)}",
                key="method", got=self.method,
            )  # fmt: skip
        m = np.asarray(self.matrix_um, dtype=np.float64)
        if m.shape != (2, 2) or not np.isfinite(m).all() or np.linalg.det(m) == 0.0:
            raise ConfigError(
                f"calibration: matrix {m.tolist()}: expected 2 x 2 finite numbers with a "
                "determinant other than 0", key="matrix", got=m.tolist(),
            )  # fmt: skip
        object.__setattr__(self, "matrix_um", m)

    @property
    def pitch_um(self) -> tuple[float, float] | None:
        """Distances of neighbouring holes along the two shortest lattice vectors."""
        if self.lattice_um is None:
            return None
        a, b = np.hypot(*self.lattice_um.T)
        return float(a), float(b)

    def positions_um(self, stage_um: ArrayLike, beam_shift: ArrayLike) -> F64:
        """(n, 2) [um] where the beam was on the specimen, in stage coordinates."""
        shift = np.asarray(beam_shift, dtype=np.float64)
        # element by element: a BLAS product of many rows depends on how many there are
        (a, b), (c, d) = self.matrix_um
        x, y = shift[:, 0], shift[:, 1]
        moved = np.stack([x * a + y * c, x * b + y * d], axis=1)
        return np.asarray(stage_um, dtype=np.float64) + moved

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "kind": _KIND,
            "schema": _SCHEMA,
            "method": self.method,
            **self.words(),
            "sigma": None if self.sigma_um is None else self.sigma_um.tolist(),
            "rms_um": self.rms_um,
            "holes": self.n,
            "pitch_um": None if self.pitch_um is None else list(self.pitch_um),
            "lattice_um": None if self.lattice_um is None else self.lattice_um.tolist(),
            "coincidences": self.coincidences,
            "margin": self.margin,
            "decided": self.is_decided,
            "alternatives": [other.as_dict() for other in self.alternatives],
            "notes": list(self.notes),
            "magnification": self.magnification,
            "voltage_kv": self.voltage_kv,
            "instrument": self.instrument,
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Calibration:
        """What :meth:`as_dict` said; k, rotation and the like follow from the matrix.

        Raises
        ------
        FormatError
            It is no calibration, or a newer one than this version knows.
        ConfigError
            A value is impossible.
        """
        if content.get("kind") != _KIND:
            raise FormatError(f'not a calibration of beam shifts: expected "kind": "{_KIND}"')
        if content.get("schema") != _SCHEMA:
            raise FormatError(
                f"schema {content.get('schema')}: this refimpl reads {_SCHEMA}: upgrade"
            )
        try:
            others = tuple(
                Alternative(
                    np.array(a["matrix"], dtype=np.float64), _pair(a["pitch_um"]),
                    float(a["rms_um"]), float(a["misfit_ratio"]), int(a["coincidences"]),
                )
                for a in content.get("alternatives", ())
            )  # fmt: skip
            rms, margin = content.get("rms_um"), content.get("margin")
            seen = content.get("coincidences")
            return cls(
                str(content["method"]), np.array(content["matrix"], dtype=np.float64),
                None if rms is None else float(rms), int(content.get("holes", 0)),
                _array(content.get("sigma")), _array(content.get("lattice_um")), others,
                None if margin is None else float(margin), None if seen is None else int(seen),
                bool(content.get("decided", True)),
                tuple(str(note) for note in content.get("notes", ())),
                _number(content.get("magnification")), _number(content.get("voltage_kv")),
                str(content.get("instrument", "")), dict(content.get("provenance", {})),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            if isinstance(error, ConfigError):
                raise
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise FormatError(f"not a calibration of beam shifts: {what}") from error

    def sentences(self) -> list[str]:
        """The result for people."""
        hand = "mirrored, then turned" if self.is_mirrored else "turned"
        angle = self.rotation_rad / DEG
        lines = [
            f"{self.method}: k = {self.k_um:.3f} um for a beam shift of 1, {hand} by "
            f"{angle:.2f} deg, anisotropy {self.anisotropy:.4f}"
        ]
        if self.pitch_um is not None:
            lines.append(f"holes {self.pitch_um[0]:.3f} and {self.pitch_um[1]:.3f} um apart")
        if self.rms_um is not None:
            lines.append(
                f"{self.n} hole visits, rms {1e3 * self.rms_um:.0f} nm from the model"
                + ("" if self.coincidences is None else f", {self.coincidences} visited before")
            )
        if self.alternatives and self.margin is not None:
            other = self.alternatives[0]
            lines.append(
                f"next best: k = {other.k_um:.3f}, rms {1e3 * other.rms_um:.0f} nm, "
                f"rms / pitch {self.margin:.2f} times as large"
            )
        return [*lines, *self.notes]


def save_calibration(calibration: Calibration, path: str | Path) -> Path:
    """Write a calibration as JSON, to be used for other sessions."""
    return write_json(path, calibration.as_dict())


def load_calibration(path: str | Path) -> Calibration:
    """Read what :func:`save_calibration` wrote.

    Raises
    ------
    FormatError
        The file is missing, not JSON, or no calibration.
    """
    try:
        content = parse_json(read_text(path))
    except OSError as error:
        raise FormatError(f"cannot read: {error.strerror}", path=path) from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not JSON: {error}", path=path) from error
    if not isinstance(content, dict):
        raise FormatError("not a calibration of beam shifts: expected a JSON object", path=path)
    try:
        return Calibration.from_dict(content)
    except (FormatError, ConfigError) as error:
        raise type(error)(str(error), path=path) from error


def _pair(values: Any) -> tuple[float, float]:
    a, b = values
    return float(a), float(b)


def _array(values: Any) -> F64 | None:
    return None if values is None else np.array(values, dtype=np.float64)


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
