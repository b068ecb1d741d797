"""Crystals to training, validation and test: no crystal in two of them.

60, 20 and 20 % of the crystals (Schurmann & Lindhe 2019, section 2.2). Neighbouring pictures of one
crystal are all but equal, so a split by picture would test on what was trained. The thesis blames
uneven histograms for unfair errors: crystals are drawn from strata of equal median count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refimpl.errors import ConfigError, FormatError
from refimpl.io.atomic import write_json
from refimpl.reading import parse_json, read_text

__all__ = ["PARTS", "Split", "load_split", "split_crystals"]

PARTS = ("train", "val", "test")
_KIND = "refimpl.centring_split"


@dataclass(frozen=True)
class Split:
    """Ids of the crystals of each part.

    Attributes
    ----------
    train, val, test
        Crystals, sorted.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for part in PARTS:
            for crystal in getattr(self, part):
                if crystal in seen:
                    where = part if seen[crystal] == part else f"{seen[crystal]} and {part}"
                    raise ConfigError(
                        f"crystal {crystal!r} is in two places ({where}): pictures of one crystal "
                        "must not be split", key=part, got=crystal,
                    )  # fmt: skip
                seen[crystal] = part
        empty = [part for part in PARTS if not getattr(self, part)]
        if empty:
            raise ConfigError(f"split: no crystal in {', '.join(empty)}", key=empty[0])

    def part_of(self, crystals: Sequence[Any]) -> NDArray[np.str_]:
        """(n,) part of each picture, by its crystal.

        Raises
        ------
        ConfigError
            A crystal is in no part.
        """
        place = {name: part for part in PARTS for name in getattr(self, part)}
        missing = sorted({str(c) for c in crystals} - set(place))
        if missing:
            raise ConfigError(
                f"crystal {missing[0]!r} is in no part of the split"
                + (f", nor are {len(missing) - 1} others" if len(missing) > 1 else ""),
                got=missing[0],
            )
        return np.array([place[str(c)] for c in crystals], dtype=np.str_)

    def save(self, path: str | Path) -> Path:
        """Write the ids as JSON."""
        parts = {part: list(getattr(self, part)) for part in PARTS}
        return write_json(path, {"kind": _KIND, "schema": 1, **parts})


def load_split(path: str | Path) -> Split:
    """Read what :meth:`Split.save` wrote.

    Raises
    ------
    FormatError
        The file is missing, not JSON or no split.
    ConfigError
        A crystal is in two parts.
    """
    try:
        content = parse_json(read_text(path))
    except OSError as error:
        raise FormatError(f"cannot read: {error.strerror}", path=path) from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not JSON: {error}", path=path) from error
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        raise FormatError(f'not a split of crystals: expected "kind": "{_KIND}"', path=path)
    parts = {}
    for part in PARTS:
        names = content.get(part)
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise FormatError(f"{part}: expected a list of crystals", path=path, key=part)
        parts[part] = tuple(names)
    try:
        return Split(**parts)
    except ConfigError as error:
        raise ConfigError(str(error), path=path) from error


def split_crystals(
    crystal: Sequence[Any],
    count: ArrayLike,
    *,
    shares: tuple[float, float, float] = (0.6, 0.2, 0.2),
    seed: int = 0,
) -> Split:
    """Draw the parts.

    Crystals are sorted by their median count and cut into strata of about five; each stratum gives
    its share to each part, so that the parts have like histograms.

    Parameters
    ----------
    crystal
        (n,) crystal of each picture.
    count
        (n,) reflections of each.
    shares
        Of the crystals, for training, validation and test; sum 1.
    seed
        Of the draw.

    Raises
    ------
    ConfigError
        Fewer than three crystals, shares that are not positive or do not add up.
    """
    names = np.array([str(c) for c in crystal])
    rc = np.asarray(count, dtype=np.float64)
    if len(names) != len(rc):
        raise ConfigError(f"split: {len(names)} crystals for {len(rc)} counts")
    if min(shares) <= 0.0 or abs(sum(shares) - 1.0) > 1e-9:
        raise ConfigError(
            f"shares {shares}: expected three positive numbers of sum 1", key="shares"
        )
    unique = np.unique(names)
    if len(unique) < 3:
        raise ConfigError(f"split: {len(unique)} crystal(s), expected 3 or more, one for each part")
    median = np.array([np.median(rc[names == name]) for name in unique])
    rng = np.random.default_rng([seed, 20190625])
    # a random order within equal medians, then the places of each part spread evenly over the rank
    order = np.lexsort((rng.random(len(unique)), median))
    part = _spread(len(unique), shares, rng)
    return Split(*(tuple(sorted(unique[order[part == p]].tolist())) for p in range(3)))


def _spread(n: int, shares: tuple[float, float, float], rng: np.random.Generator) -> NDArray[Any]:
    """(n,) part of each rank: exact numbers in all, and in every stratum as near as can be."""
    wanted = np.array(shares) * n
    number = np.floor(wanted).astype(np.int64)
    number = np.maximum(number, 1)
    while number.sum() < n:
        number[np.argmax(wanted - number)] += 1
    while number.sum() > n:
        number[np.argmax(np.where(number > 1, number - wanted, -np.inf))] -= 1
    # systematic sampling: members of a part stand at even distances from a random first place
    place = np.concatenate([(np.arange(m) + rng.random()) / m for m in number])
    part = np.repeat(np.arange(3), number)
    return part[np.lexsort((rng.random(n), place))]
