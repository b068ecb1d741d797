"""The result of a near-field reconstruction: one row per voxel of the grid, always.

A voxel without a solution keeps its row, its position and its numbers of what was tried; its angles
are NaN and its confidence is 0. So the rows of two maps of one grid belong together by index, and
nothing can be lost on the way (the published programs leave holes, section 6.2 of the near-field
specification, faults 1 and 2). Files come from :mod:`refimpl.nearfield.outputs`.
Angles are Bunge's (crystal to sample, :mod:`refimpl.rotations`) in the MIDAS near-field frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.symmetry_operators import operators
from refimpl.errors import ConfigError, GeometryError
from refimpl.forward.nearfield_setup import Setup, Voxels
from refimpl.frames import F64, I64
from refimpl.rotations import matrix_of_euler, quaternion_of_euler

if TYPE_CHECKING:
    from refimpl.nearfield.outputs import Written

__all__ = ["NO_SEED", "NearfieldMap", "provenance_of"]

NO_SEED = -1
"""Seed of a voxel that kept none."""

_PER_VOXEL = (
    "euler_rad", "confidence", "by_distance", "seed", "n_kept", "evaluations", "seconds",
    "solutions_euler_rad", "solutions_confidence", "disputed",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class NearfieldMap:
    """Orientations of v voxels, measured at d distances, s solutions each.

    Attributes
    ----------
    voxels
        The grid: positions [mm], edges, up or down.
    euler_rad
        (v, 3) phi1, Phi, phi2 of the best solution, in the published range where we made them;
        NaN without one.
    confidence
        (v,) fraction of its pixels that are lit at all distances, 0 to 1; 0 without a solution.
    by_distance
        (v, d) the same of each distance alone; NaN where it is not known. (v, 0) of files.
    space_group
        Number, 1 to 230; what misorientations and colours go by.
    seed
        (v,) row in the list of seeds that the best solution came from; -1 without one.
    n_kept, evaluations
        (v,) seeds that passed the screen; evaluations of the confidence in screen and fit.
    seconds
        (v,) time that the fit took, NaN where it was not measured: files of equal runs are equal.
    solutions_euler_rad, solutions_confidence
        (v, s, 3), (v, s) the best solutions (SaveNSolutions), best first; NaN and 0 beyond the
        last.
    disputed
        (v,) bool: all nearest neighbours disagreed (NearestMisorientation) and it was fitted again
        from theirs.
    phase
        Number of the phase (PhaseNr).
    position_um
        Height of the layer (GlobalPosition).
    setup
        What it was reconstructed with; None of a map that was read from a file.
    cell
        a, b, c [angstrom], alpha, beta, gamma [degrees], by default the setup's; None if unknown.
    provenance
        Inputs, versions, backend, threads, seed; see :func:`provenance_of`.
    """

    voxels: Voxels
    euler_rad: F64
    confidence: F64
    by_distance: F64
    space_group: int
    seed: I64
    n_kept: I64
    evaluations: I64
    seconds: F64
    solutions_euler_rad: F64
    solutions_confidence: F64
    disputed: NDArray[np.bool_]
    phase: int = 1
    position_um: float = 0.0
    setup: Setup | None = None
    cell: tuple[float, ...] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        v = len(self.voxels)
        if not 1 <= self.space_group <= 230:
            raise ConfigError(
                f"space group {self.space_group}: expected 1 to 230", got=self.space_group
            )
        d = np.shape(self.by_distance)[-1] if np.ndim(self.by_distance) == 2 else 0
        s = np.shape(self.solutions_confidence)[-1] if np.ndim(self.solutions_confidence) else 0
        shapes: dict[str, tuple[tuple[int, ...], type]] = {
            "euler_rad": ((v, 3), np.float64),
            "confidence": ((v,), np.float64),
            "by_distance": ((v, d), np.float64),
            "seed": ((v,), np.int64),
            "n_kept": ((v,), np.int64),
            "evaluations": ((v,), np.int64),
            "seconds": ((v,), np.float64),
            "solutions_euler_rad": ((v, s, 3), np.float64),
            "solutions_confidence": ((v, s), np.float64),
            "disputed": ((v,), np.bool_),
        }
        for name, (shape, dtype) in shapes.items():
            array: NDArray[Any] = np.array(getattr(self, name), dtype=dtype, order="C")
            if array.shape != shape:
                raise GeometryError(
                    f"NearfieldMap: {name} of shape {array.shape}: expected {shape}, one row for "
                    f"each of the {v} voxels"
                )
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if not ((self.confidence >= 0.0) & (self.confidence <= 1.0)).all():
            raise GeometryError("NearfieldMap: confidence: expected numbers from 0 to 1")
        if self.cell is None and self.setup is not None:
            object.__setattr__(self, "cell", self.setup.cell)
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))

    @classmethod
    def of(
        cls,
        voxels: Voxels,
        euler_rad: F64,
        confidence: F64,
        space_group: int,
        **others: Any,
    ) -> NearfieldMap:
        """Make a map of what is known; the other arrays say that they know nothing.

        Parameters
        ----------
        voxels, euler_rad, confidence, space_group
            See the class. A row with NaN in its angles has no solution, whatever its confidence.
        others
            Any other attribute, by name.

        Raises
        ------
        GeometryError
            An array has not one row for each voxel.
        """
        v = len(voxels)
        euler = np.array(euler_rad, dtype=np.float64).reshape(-1, 3)
        found = _finite(euler)
        if len(found) == np.shape(confidence)[0]:
            confidence = np.where(found, confidence, 0.0)
            euler = np.where(found[:, None], euler, np.nan)
        nothing: dict[str, Any] = {
            "by_distance": np.zeros((v, 0)),
            "seed": np.full(v, NO_SEED),
            "n_kept": np.zeros(v, dtype=np.int64),
            "evaluations": np.zeros(v, dtype=np.int64),
            "seconds": np.full(v, np.nan),
            "disputed": np.zeros(v, dtype=bool),
        }
        if "solutions_confidence" not in others:
            nothing["solutions_euler_rad"] = euler[:, None, :]
            nothing["solutions_confidence"] = np.asarray(confidence)[:, None]
        return cls(
            voxels=voxels, euler_rad=euler, confidence=confidence, space_group=space_group,
            **(nothing | others),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.voxels)

    @property
    def solved(self) -> NDArray[np.bool_]:
        """(v,) whether a voxel has a solution."""
        return _finite(self.euler_rad)

    @property
    def quaternions(self) -> F64:
        """(v, 4) w, x, y, z with w >= 0, crystal to sample; NaN without a solution."""
        return quaternion_of_euler(self.euler_rad)

    @property
    def matrices(self) -> F64:
        """(v, 3, 3) crystal to sample; NaN without a solution."""
        return matrix_of_euler(self.euler_rad)

    @property
    def operators(self) -> F64:
        """(m, 4) operators of the space group, which misorientations go by."""
        return operators(self.space_group, self.cell)

    @property
    def n_solutions(self) -> int:
        """Solutions that each voxel has room for."""
        return int(self.solutions_confidence.shape[1])

    def changed(self, **values: Any) -> NearfieldMap:
        """Same map with other values of some attributes."""
        return replace(self, **values)

    def with_rows(self, rows: I64, other: NearfieldMap, own: I64 | None = None) -> NearfieldMap:
        """Same map, with what another one found at some points.

        Parameters
        ----------
        rows
            (n,) rows of this map.
        other
            Map that has them.
        own
            (n,) its rows, where they are not all of its rows in order.
        """
        new: dict[str, Any] = {}
        for name in _PER_VOXEL:
            new[name] = getattr(self, name).copy()
            new[name][rows] = getattr(other, name) if own is None else getattr(other, name)[own]
        return replace(self, **new)

    def summary(self) -> dict[str, Any]:
        """Numbers that everybody asks for first."""
        solved, c = self.solved, self.confidence
        some = bool(solved.any())
        return {
            "voxels": len(self),
            "solved": int(solved.sum()),
            "mean_confidence": float(c[solved].mean()) if some else None,
            "median_confidence": float(np.median(c[solved])) if some else None,
            "full_confidence": int((c >= 1.0).sum()),
            "by_distance": [
                float(np.nanmean(column)) if np.isfinite(column).any() else None
                for column in self.by_distance[solved].T
            ],
            "seeds_kept": int(self.n_kept.sum()),
            "evaluations": int(self.evaluations.sum()),
            "disputed": int(self.disputed.sum()),
            "space_group": self.space_group,
        }

    def save(self, folder: str | Path, **options: Any) -> Written:
        """Write the files of :func:`refimpl.nearfield.outputs.save`, which see."""
        from refimpl.nearfield.outputs import save

        return save(self, folder, **options)

    def report(self, folder: str | Path, **options: Any) -> Path:
        """Write ``report.html`` and its figures into a folder; return the page's path."""
        from refimpl import hooks

        path: Path = hooks.call("nearfield.report", self, folder, **options)
        return path


def _finite(euler_rad: F64) -> NDArray[np.bool_]:
    """(v,) rows without a NaN."""
    return np.asarray(np.isfinite(euler_rad).all(axis=-1))


def provenance_of(
    inputs: Mapping[str, Any], *, threads: int | None, seed: int | None, command: str = ""
) -> dict[str, Any]:
    """Where a result comes from: inputs, versions, backend, threads, seed.

    Parameters
    ----------
    inputs
        Names of what was read, by what it is.
    threads, seed
        As they were asked for; None where there was no choice.
    command
        Command line, of those who have one.
    """
    import platform

    import refimpl
    from refimpl.dispatch import current_backend

    return {
        "inputs": {name: str(value) for name, value in inputs.items()},
        "version": refimpl.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "backend": current_backend(),
        "threads": threads,
        "seed": seed,
        "command": command,
    }
