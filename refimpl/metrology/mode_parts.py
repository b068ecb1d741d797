r"""A combination of parameters in physical terms: what of it is detector, beam, crystal, cell.

A change s of the parameters is split into moves of a detector as a whole, turns of the beam and the
wavelength, turns that all crystals share and a scale that all cells share, and what is left of
each. With N the normal matrix and C the changes that such moves are, the amounts of one model are
:math:`a = (C^T N C)^{-1} C^T N s`: what explains most of what s does to the predictions. Each part
p would by itself raise the weighted sum of squares by :math:`p^T N p`. In a weak mode these are
large, and cancel: the parts with the largest are what stands against each other.

Directions are those of the first beam: along it, the spindle across it (any direction across it for
stills), and across both. A detector turns about the beam itself; across it about its middle or
about the sample, whichever says the mode in fewer parts. Turns of crystals are in the lab at
rotation angle 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from refimpl.frames import F64, I64
from refimpl.metrology.detector_parameters import MRAD
from refimpl.metrology.group_moves import group_moves
from refimpl.metrology.parameters import ModelSet

__all__ = ["ModePart", "parts_of", "unit_of"]

_SAID = 0.01
"""Parts that raise chi-square by less than this share of the largest are not said."""
_HELD = 1e-9
"""Change of a held parameter [its unit], by a unit move, that makes the move impossible."""

_ALONE = 0.8
"""Share of one group or crystal in what models do among themselves above which it is named."""
_OWNER = re.compile(r"[A-Z][a-z]+\d+(Group\d+)?")


@dataclass(frozen=True)
class ModePart:
    """One part of a combination.

    Attributes
    ----------
    name
        What changes, such as ``Detector1 along the beam``.
    amount, unit
        How much.
    alone
        By how much the weighted sum of squares would rise if nothing else changed.
    """

    name: str
    amount: float
    unit: str
    alone: float

    def __str__(self) -> str:
        return f"{self.name} {self.amount:+.3g} {self.unit}"


@dataclass(frozen=True, eq=False)
class _Block:
    """Parameters of one kind of model: positions (m,), moves (name, unit, (m,) change by 1)."""

    rest: str
    at: I64
    moves: Sequence[tuple[str, str, F64]]


def unit_of(name: str) -> str:
    """Unit of a published parameter, or of several that are tied."""
    name = name.split(" of ")[0]
    if name.endswith(("Dist", "Shift1", "Shift2")):
        return "mm"
    if "g_param" in name:
        return "1e-5/Å²"
    return "1/Å" if name.endswith("nu") else "mrad"


def parts_of(models: ModelSet, full: F64, hessian: F64, shift: F64) -> tuple[ModePart, ...]:
    """Parts of a change, that which matters most first and with a positive amount.

    Parameters
    ----------
    models
        Of the refinement.
    full
        (k,) all values.
    hessian, shift
        (f, f) normal matrix and (f,) change, of the free parameters.
    """
    axes, third = _directions(models)
    found = []
    for middle in (True, False):
        blocks = [*_detectors(models, full, axes, third, middle), *_beams(models, full, third)]
        blocks += _crystals(models, full, axes, third)
        parts = [part for block in blocks for part in _split(models, block, hessian, shift)]
        parts.sort(key=lambda part: -part.alone)
        said = [part for part in parts if part.alone >= _SAID * parts[0].alone]
        found.append((len(said), sum(part.alone for part in parts[len(said) :]), said))
    _, _, best = min(found, key=lambda of: of[:2])  # few words, then little unsaid
    sign = -1.0 if best[0].amount < 0.0 else 1.0
    return tuple(ModePart(p.name, sign * p.amount, p.unit, p.alone) for p in best)


def _split(models: ModelSet, block: _Block, hessian: F64, shift: F64) -> Iterator[ModePart]:
    """Parts of one model."""
    position = np.cumsum(models.free) - 1
    own = models.free[block.at]
    mine = position[block.at[own]]
    if not len(mine):
        return
    normal, change = hessian[np.ix_(mine, mine)], shift[mine]
    possible = [m for m in block.moves if np.max(np.abs(m[2][~own]), initial=0.0) < _HELD]
    if possible:
        columns = np.array([move for _, _, move in possible])[:, own].T
        size = np.sqrt(np.maximum(np.einsum("mi,mn,ni->i", columns, normal, columns), 1e-300))
        scaled = columns / size
        amounts = np.linalg.lstsq(
            scaled.T @ normal @ scaled, scaled.T @ normal @ change, rcond=1e-13
        )[0]
        for (name, unit, _), amount, one in zip(possible, amounts, size, strict=True):
            yield ModePart(name, float(amount / one), unit, float(amount**2))
        change = change - scaled @ amounts
    size = change**2 * np.diag(normal)
    most, names = int(np.argmax(size)), [models.names[k] for k in block.at[own]]
    owners = np.array([_OWNER.match(name)[0] for name in names])  # type: ignore[index]
    mine = owners == owners[most]
    alone = float(size[mine].sum()) > _ALONE * float(size.sum()) and not mine.all()
    said = f"{block.rest}, most {names[most]}"
    if alone:
        said = f"{owners[most]} by itself, most its {names[most].removeprefix(owners[most])}"
    rise = max(float(change @ normal @ change), 0.0)
    yield ModePart(said, float(change[most]), unit_of(names[most]), rise)


def _directions(models: ModelSet) -> tuple[F64, str]:
    """(3, 3) rows along the beam, along the spindle across it, across both; name of the second."""
    beam, first = models.beams[0], models.experiments[0]
    name = "a direction across the beam" if first.is_still else "the spindle"
    return np.array([beam.unit, *beam.axes]), name


def _detectors(
    models: ModelSet, full: F64, axes: F64, spindle: str, middle: bool
) -> Iterator[_Block]:
    """Moves of each detector as a whole, which its held groups do not take part in."""
    said = ("the beam", spindle, "the direction across both")
    where = ("", *("" if middle else " with the sample as centre",) * 2)
    for k, own in enumerate(models.detectors):
        at = models.detector_at(k)
        values = models.detector_values(full, k)
        inverse = np.linalg.inv(group_moves(own, values))
        points = np.array([own.pose(g, v)[1] for g, v in enumerate(values)])
        centre = own.detector.centres(own.d(values)).mean(axis=0) if middle else np.zeros(3)
        taking = np.any(models.free[at].reshape(-1, 6), axis=1, keepdims=True)
        moves = []
        for direction, name in zip(axes, said, strict=True):
            twist = np.concatenate([np.tile(direction, (len(points), 1)), 0.0 * points], axis=1)
            moves.append((f"{own.prefix} along {name}", "mm", twist))
        pivots = (0.0 * centre, centre, centre)  # the beam goes through the sample
        for direction, name, pivot, at_what in zip(axes, said, pivots, where, strict=True):
            arms = np.cross(direction, points - pivot)
            twist = np.concatenate([arms, np.tile(direction, (len(points), 1))], axis=1) * MRAD
            moves.append((f"{own.prefix} turn about {name}{at_what}", "mrad", twist))
        by_value = [
            (name, unit, (taking * np.einsum("gij,gj->gi", inverse, twist)).ravel())
            for name, unit, twist in moves
        ]
        yield _Block(
            f"{own.prefix} groups among themselves", np.arange(at.start, at.stop), by_value
        )


def _beams(models: ModelSet, full: F64, spindle: str) -> Iterator[_Block]:
    for k, own in enumerate(models.beams):
        at = models.beam_at(k)
        eye = np.eye(3)
        moves = [
            (f"{own.prefix} turn about {spindle}", "mrad", eye[0]),
            (f"{own.prefix} turn about the direction across both", "mrad", eye[1]),
            (f"{own.prefix} wavelength", "%", -0.01 * full[at][2] * eye[2]),
        ]
        yield _Block(own.prefix, np.arange(at.start, at.stop), moves)


def _crystals(models: ModelSet, full: F64, axes: F64, spindle: str) -> Iterator[_Block]:
    """Turn that all crystals share, and a scale of all cells; and what is left."""
    n = len(models.cells)
    who = models.orientations[0].prefix if n == 1 else "all crystals"
    start, turns, scale = models.orientation_at(0).start, [], []
    for k, own in enumerate(models.orientations):
        g = models.experiments[int(np.flatnonzero(models.of_crystal == k)[0])].goniometer
        before = np.eye(3) if g is None else g.setting @ g.fixed
        spins = own.spins(full[models.orientation_at(k)])
        turns.append(np.linalg.solve(spins, before.T @ axes.T * MRAD))
        # the reciprocal metric of a cell that is larger by 1 %
        scale.append(-0.02 * full[models.cell_at(k)])
    said = ("the beam", spindle, "the direction across both")
    moves = [
        (f"{who} turn about {name}", "mrad", column)
        for name, column in zip(said, np.concatenate(turns).T, strict=True)
    ]
    end = models.orientation_at(n - 1).stop
    yield _Block("crystals among themselves", np.arange(start, end), moves)
    at = np.arange(models.cell_at(0).start, models.cell_at(n - 1).stop)
    name = f"{who} cell edges"
    yield _Block("cells otherwise", at, [(name, "%", np.concatenate(scale))])
