"""What several frames share, and the border of their common fit.

Each frame has its own distance, beam centre, tilt and parallax; the distortion, like the panels,
belongs to the detector. Further groups can be shared by name. With known travel all frames have
one distance, from which each is displaced. The pixel size and the wavelengths are candidates:
they take part as logarithms relative to the given values, and what is not refined is held at 0.

It is the detector's body that travels: the one distance is that of the pixel where the beam meets
the detector on average, the pivot (:mod:`refimpl.powder.panel_problem`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.rings import Rings
from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.powder.frame_residuals import FrameProblem, reach
from refimpl.powder.observations import RingPoints
from refimpl.powder.panel_gauge import floated
from refimpl.powder.panel_problem import PanelProblem
from refimpl.powder.panel_setup import PanelSetup
from refimpl.powder.panels import frame_problem
from refimpl.powder.parameters import GROUPS, Parameters

__all__ = ["SHAREABLE", "FramePoints", "Sharing", "joint_problem"]

SHAREABLE = ("beam_centre", "tilt", "parallax")
"""What `share` accepts; the distortion is always shared, the distances by their travel."""

PIXEL = "pixel_size"

MOST = 0.05
"""Search range of the logarithms: rings are not the calibrant's beyond such errors."""


@dataclass(frozen=True)
class Sharing:
    """What the frames have in common.

    Attributes
    ----------
    refine
        ``pixel_size``, ``wavelength``: what is wanted; the last named is given up first.
    share
        Of :data:`SHAREABLE`.
    travel_mm
        (f,) how much farther from the sample each frame's detector is than at 0; None: unknown.
    groups
        (f,) number of each frame's wavelength, from 0 by rising wavelength.
    known
        Numbers of the wavelengths that are not refined.
    """

    refine: tuple[str, ...] = (PIXEL,)
    share: tuple[str, ...] = ()
    travel_mm: tuple[float, ...] | None = None
    groups: tuple[int, ...] = (0,)
    known: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        for key, given, accepted in (
            ("refine_shared", self.refine, (PIXEL, "wavelength")), ("share", self.share, SHAREABLE),
        ):  # fmt: skip
            for name in given:
                if name not in accepted:
                    raise ConfigError(
                        f"{key}: unknown {name!r}{_hint(name, accepted)}",
                        key=key, got=name,
                    )  # fmt: skip

    @property
    def candidates(self) -> tuple[str, ...]:
        """``pixel_size`` and ``wavelength[1]``, ...: what could be refined."""
        return (PIXEL, *(f"wavelength[{k + 1}]" for k in range(max(self.groups) + 1)))

    @property
    def wanted(self) -> tuple[str, ...]:
        """Candidates to refine, the first given up last."""
        out: list[str] = []
        for name in self.refine:
            if name == PIXEL:
                out.append(PIXEL)
            else:
                free = [k for k in range(max(self.groups) + 1) if k not in self.known]
                out += [f"wavelength[{k + 1}]" for k in free[::-1]]
        return tuple(dict.fromkeys(out))


@dataclass(frozen=True, eq=False)
class FramePoints:
    """One frame as the joint fit takes it.

    Attributes
    ----------
    points
        Seen on it.
    rings
        Of its calibrant at the given wavelength.
    free
        Its parameters; the model has the given pixel size.
    emphasis
        (n,) factors on the weights; None for none.
    """

    points: RingPoints
    rings: Rings
    free: Parameters
    emphasis: F64 | None = None

    def at(self, model: TiltedFlat) -> Parameters:
        """Parameters that start where a model is, whose pixel size may be another."""
        given = self.free.model
        return self.free.moved_to(
            model.replace(pixel_size_mm=given.pixel_size_mm, rho_d_mm=given.rho_d_mm)
        )


def joint_problem(
    frames: Sequence[FramePoints],
    sharing: Sharing,
    setup: PanelSetup | None,
    active: Sequence[str],
    logarithms: Mapping[str, float],
    held: NDArray[np.bool_] | None = None,
) -> tuple[PanelProblem, list[I64]]:
    """Problem of all frames, and the order of each frame's points in it.

    Parameters
    ----------
    frames
        At least one.
    sharing
        What they have in common.
    setup
        What the panels may do; None: one surface.
    active
        Candidates that are refined.
    logarithms
        Candidate to where it starts; not named: at 0.
    held
        (p, m) what is held of the panels.
    """
    border = _Border(frames, sharing, active, logarithms)
    parts, orders = [], []
    for i, frame in enumerate(frames):
        at, offset = border.places(i)
        shared = border.index["pixel_size"], border.index[f"wavelength[{sharing.groups[i] + 1}]"]
        if setup is None:
            n, order = len(frame.points), np.arange(len(frame.points))
            part = FrameProblem(
                frame.points,
                frame.rings,
                frame.free,
                np.array([0, n]),
                at,
                offset,
                *shared,
                border.pivot,
            )
        else:
            part, order = frame_problem(
                frame.points, frame.rings, frame.free, at, offset, *shared, border.pivot
            )
        parts.append(part)
        orders.append(order)
    moves = np.zeros((0, 9)) if setup is None else frames[0].free.model.corrections
    free = np.ones((len(moves), 0 if setup is None else len(setup.fields)), dtype=bool)
    problem = PanelProblem(
        tuple(parts), tuple(border.index), np.array(border.start), np.array(border.lower),
        np.array(border.upper), setup, moves, free if held is None else ~held,
    )  # fmt: skip
    return problem if setup is None else floated(problem, setup), orders


def _hint(name: str, accepted: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, accepted, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    known = f": expected some of {', '.join(accepted)}"
    return f": distances are shared by travel_mm{known}" if name == "distance" else known


class _Border:
    """Names and start values of the border, collected frame by frame."""

    def __init__(
        self,
        frames: Sequence[FramePoints],
        sharing: Sharing,
        active: Sequence[str],
        logarithms: Mapping[str, float],
    ) -> None:
        self.sharing = sharing
        self.index: dict[str, int] = {}
        self.start: list[float] = []
        self.lower: list[float] = []
        self.upper: list[float] = []
        centres = np.array([f.free.geometry(f.free.start)[1:3] for f in frames])
        middle = centres.mean(axis=0)
        self.pivot = None if sharing.travel_mm is None else (float(middle[0]), float(middle[1]))
        self._own = [self._names(i, frame.free.names) for i, frame in enumerate(frames)]
        readings: dict[str, list[tuple[float, float, float]]] = {}
        for frame, own in zip(frames, self._own, strict=True):
            p, far = frame.free, 0.0
            if self.pivot is not None:
                far = reach(p.geometry(p.start), self.pivot)[0]
            for j, (name, offset) in enumerate(own):
                if name == "lsd_mm" and self.pivot is not None:
                    offset -= far
                reading = (p.start[j] - offset, p.lower[j] - offset, p.upper[j] - offset)
                readings.setdefault(name, []).append(reading)
        for name, all_of in readings.items():
            start, lower, upper = (float(np.mean(column)) for column in zip(*all_of, strict=True))
            self._add(name, start, lower, upper)
        for name in sharing.candidates:
            start, most = logarithms.get(name, 0.0), MOST if name in active else 0.0
            start = start if name in active else 0.0
            self._add(name, start, -most, most)

    def _add(self, name: str, start: float, lower: float, upper: float) -> None:
        self.index[name] = len(self.index)
        self.start.append(start)
        self.lower.append(lower)
        self.upper.append(upper)

    def _names(self, frame: int, names: Sequence[str]) -> list[tuple[str, float]]:
        """Name in the border of each of a frame's parameters, and its displacement."""
        travel, several = self.sharing.travel_mm, len(self.sharing.groups) > 1
        own = {*GROUPS["distance"], *GROUPS["beam_centre"], *GROUPS["tilt"], *GROUPS["parallax"]}
        own -= {field for group in self.sharing.share for field in GROUPS[group]}
        out = []
        for name in names:
            if name == "lsd_mm" and travel is not None:
                out.append((name, travel[frame]))
            else:
                out.append((f"{name}[{frame + 1}]" if name in own and several else name, 0.0))
        return out

    def places(self, frame: int) -> tuple[I64, F64]:
        """(k,), (k,) where a frame's parameters stand, and their displacements."""
        at = np.array([self.index[name] for name, _ in self._own[frame]], dtype=np.int64)
        return at, np.array([offset for _, offset in self._own[frame]])
