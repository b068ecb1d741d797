"""The order in which a simulated session is taken, and what goes wrong on the way.

A visit is one stage position with the holes that are reached from it. Everything is in lattice
steps of the foil; what the optics and the stage make of it is in :mod:`refimpl.epu.simulate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from refimpl.epu.simulate_layout import Square, groups_of, squares_of
from refimpl.epu.simulate_settings import SimulationSettings
from refimpl.errors import ConfigError
from refimpl.frames import I64

__all__ = ["Visit", "plan"]

_STEPS = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])


@dataclass(frozen=True)
class Visit:
    """One stage position.

    Attributes
    ----------
    square
        Index of the square.
    origin
        (2,) site that the stage is sent to.
    sites
        (h, 2) sites that are exposed, in order.
    planned
        (h, 2) sites that EPU takes them for: others where the stage did not move.
    kind
        "normal", "revisit", "overlap", "missed".
    copy_of
        Visit whose holes it takes again; -1 where it has its own.
    same_ids
        Whether the holes keep their numbers then.
    """

    square: int
    origin: I64
    sites: I64
    planned: I64
    kind: str = "normal"
    copy_of: int = -1
    same_ids: bool = False


def plan(
    settings: SimulationSettings, rng: np.random.Generator
) -> tuple[list[Square], list[Visit]]:
    """Lay out squares and visits, in the order in which they are taken.

    Raises
    ------
    ConfigError
        More overlaps, missed moves or revisits than the layout has room for.
    """
    squares = squares_of(settings, rng)
    visits = [
        Visit(i, origin, sites, sites)
        for i, square in enumerate(squares)
        for origin, sites in groups_of(square, settings, rng)
    ]
    if not visits:
        raise ConfigError("no group of holes is in the squares: a larger radius, a smaller pattern")
    if not settings.lacey:
        visits = _misplaced(visits, settings, rng)
    return squares, _with_revisits(visits, settings, rng)


def _misplaced(
    visits: Sequence[Visit], settings: SimulationSettings, rng: np.random.Generator
) -> list[Visit]:
    """Put some groups one column short, and take some without a move."""
    out = list(visits)
    wanted = {"overlap": settings.overlaps, "missed": settings.missed}
    for i in rng.permutation(len(out)).tolist():
        if i == 0 or out[i - 1].square != out[i].square:
            continue
        untouched = out[i - 1].kind == "normal" and (
            i + 1 == len(out) or out[i + 1].kind == "normal"
        )
        if not untouched:
            continue
        if wanted["missed"] > 0:
            step = out[i - 1].origin - out[i].origin
            out[i] = replace(out[i], origin=out[i - 1].origin, sites=out[i].sites + step,
                             kind="missed")  # fmt: skip
            wanted["missed"] -= 1
        elif wanted["overlap"] > 0:
            before = {tuple(s) for v in out[:i] if v.square == out[i].square
                      for s in v.sites.tolist()}  # fmt: skip
            shared = [sum(tuple(s) in before for s in (out[i].sites + u).tolist()) for u in _STEPS]
            best = int(np.argmax(shared))
            if shared[best] == 0:
                continue
            u = _STEPS[best]
            moved = out[i].sites + u
            out[i] = replace(out[i], origin=out[i].origin + u, sites=moved, planned=moved,
                             kind="overlap")  # fmt: skip
            wanted["overlap"] -= 1
    for name, key in (("missed", "missed"), ("overlap", "overlaps")):
        if wanted[name]:
            got = getattr(settings, key)
            raise ConfigError(
                f"{key} = {got}: the {len(out)} stage positions of this layout have room for "
                f"{got - wanted[name]}", key=key, got=got,
            )  # fmt: skip
    return out


def _with_revisits(
    visits: Sequence[Visit], settings: SimulationSettings, rng: np.random.Generator
) -> list[Visit]:
    """Repeat some groups at the end of their square or later in it."""
    normal = [i for i, v in enumerate(visits) if v.kind == "normal"]
    if settings.revisits > len(normal):
        raise ConfigError(
            f"revisits = {settings.revisits}: there are {len(normal)} groups", key="revisits",
            got=settings.revisits,
        )  # fmt: skip
    again = sorted(rng.permutation(normal)[: settings.revisits].tolist())
    keyed = [(float(i), i, v) for i, v in enumerate(visits)]
    last = {v.square: i for i, v in enumerate(visits)}
    fresh = rng.permutation(len(again)) < round(settings.revisit_new_ids * len(again))
    for n, i in enumerate(again):
        v = visits[i]
        # A move that is missed needs the visit just before it: nothing is put between the two.
        later = [j for j in range(i + 1, last[v.square] + 1)
                 if j + 1 == len(visits) or visits[j + 1].kind != "missed"]  # fmt: skip
        after = later[int(rng.integers(len(later)))] if later else last[v.square]
        copy = replace(v, kind="revisit", copy_of=i, same_ids=not bool(fresh[n]))
        keyed.append((after + 0.5, i, copy))
    ordered = sorted(keyed, key=lambda entry: entry[:2])
    where = {i: n for n, (key, i, _) in enumerate(ordered) if key == i}
    return [replace(v, copy_of=where[v.copy_of]) if v.copy_of >= 0 else v for _, _, v in ordered]
