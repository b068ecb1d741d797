"""What a joint calibration returns: the frames, what they share, and what that determines."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.frames import F64
from refimpl.io.atomic import make_folder, write_json, write_text
from refimpl.io.panel_files import write_corrections
from refimpl.objective.pseudo_strain import StrainSummary, strain_summary
from refimpl.powder.joint_fit import JointFit
from refimpl.powder.joint_words import SharedValue
from refimpl.powder.panel_result import PanelTable
from refimpl.powder.panel_text import panel_lines
from refimpl.powder.result import PowderResult

__all__ = ["JointResult"]


@dataclass(frozen=True, eq=False)
class JointResult:
    """Several frames of one detector, calibrated together.

    Attributes
    ----------
    names
        (f,) of the frames; their folders are called so.
    frames
        (f,) result of each; its uncertainties are those of the joint fit.
    shared
        Pixel size and wavelengths, whether refined or not.
    sentences
        What is determined and what is not.
    travel_mm
        (f,) as given, or None.
    panels
        Those of all frames together, or None.
    fit
        The joint fit, with the covariance of all that is global.
    strain_before
        Strain of all points with the best single surface; None without panels.
    converged, reason
        Whether the passes stood still, and why they ended.
    alone
        (f,) results of each frame calibrated alone.
    timing
        Seconds by stage.
    """

    names: tuple[str, ...]
    frames: tuple[PowderResult, ...]
    shared: tuple[SharedValue, ...]
    sentences: tuple[str, ...]
    travel_mm: tuple[float, ...] | None
    panels: PanelTable | None
    fit: JointFit
    strain_before: StrainSummary | None
    converged: bool
    reason: str
    alone: tuple[PowderResult, ...]
    timing: dict[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> SharedValue:
        """Pixel size or wavelength by its name."""
        for value in self.shared:
            if value.name == name:
                return value
        raise KeyError(f"{name!r}: known are {', '.join(v.name for v in self.shared)}")

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def pixel_size_mm(self) -> tuple[float, float]:
        """(fast, slow) of all frames."""
        return self.frames[0].model.pixel_size_mm

    @property
    def summary(self) -> StrainSummary:
        """Strain of the points of all frames that came into the last fit."""
        return strain_summary(np.concatenate([_used(r) for r in self.frames]))

    def summary_lines(self) -> list[str]:
        """The result in words, for a terminal."""
        lines = [f"{'converged' if self.converged else 'NOT CONVERGED'}: {self.reason}"]
        for name, result in zip(self.names, self.frames, strict=True):
            rows = [f"{p.name} {p.value:.7g} +- {p.sigma:.2g} {p.unit}".rstrip()
                    for p in result.parameters if p.sigma > 0.0]  # fmt: skip
            lines.append(f"{name}: {'; '.join(rows)}")
            lines.append(f"  strain {result.summary}")
        lines.append(f"strain, all frames: {self.summary}")
        if self.strain_before is not None:
            lines.append(f"  the same, one surface: {self.strain_before}")
        if self.panels is not None:
            lines += panel_lines(self.panels)
        return [*lines, *(f"note: {s}" for s in self.sentences)]

    def __repr__(self) -> str:
        return (
            f"<JointResult {len(self)} frames, {', '.join(v.status for v in self.shared[:1])} "
            f"pixel size {self.pixel_size_mm[0]:.7g} mm, "
            f"{'converged' if self.converged else 'not converged'}>"
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready content of ``joint.json``."""
        fit = self.fit
        return {
            "schema": 1,
            "kind": "refimpl.powder.joint",
            "converged": self.converged,
            "reason": self.reason,
            "frames": [_frame_dict(n, r, self._travel(i))
                       for i, (n, r) in enumerate(zip(self.names, self.frames, strict=True))],
            "pixel_size_mm": list(self.pixel_size_mm),
            "shared": [vars(v) for v in self.shared],
            "sentences": list(self.sentences),
            "fit": {
                "names": list(fit.names), "values": fit.x, "sigma": fit.sigma,
                "correlation": _correlation(fit.covariance), "refined": list(fit.active),
                "not_determined": [*fit.dropped, *fit.undetermined],
                "at_bound": list(fit.at_bound), "shared_groups": list(fit.sharing.share),
            },
            "strain_mean": self.summary.clip_mean,
            "timing_s": dict(self.timing),
        }  # fmt: skip

    def _travel(self, i: int) -> float | None:
        return None if self.travel_mm is None else self.travel_mm[i]

    def save(self, folder: str | Path, *, report: bool = True) -> Path:
        """Write a folder for each frame, what all share, and ``joint.json``; return the folder.

        A frame's folder holds what :meth:`PowderResult.save` writes, ``geometry.json`` among it.
        Beside these folders stand ``joint.log``, ``panelshifts.txt`` where panels are refined,
        and ``joint.json``: last, its presence means that everything is there.
        """
        out = make_folder(folder)
        (out / "joint.json").unlink(missing_ok=True)
        for name, result in zip(self.names, self.frames, strict=True):
            result.save(out / name, report=report)
        if self.panels is not None:
            write_corrections(out / "panelshifts.txt", self.panels.corrections)
        write_text(out / "joint.log", "\n".join(self.summary_lines()) + "\n")
        write_json(out / "joint.json", self.as_dict())
        return out


def _used(result: PowderResult) -> F64:
    return result.strain[result.points.used]


def _frame_dict(name: str, result: PowderResult, travel_mm: float | None) -> dict[str, Any]:
    source = result.prepared.source
    return {
        "name": name,
        "input": "array" if source.path is None else str(source.path),
        "calibrant": result.config.calibrant.calibrant,
        "wavelength_angstrom": result.config.beam.wavelength_angstrom,
        "travel_mm": travel_mm,
        "parameters": [vars(p) for p in result.parameters],
        "strain_mean": result.summary.clip_mean,
        "points": int(np.count_nonzero(result.points.used)),
        "folder": name,
    }


def _correlation(covariance: F64) -> F64:
    sigma = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    safe = np.where(sigma > 0.0, sigma, 1.0)
    return np.asarray(covariance / np.outer(safe, safe))
