"""Our figures beside the published ones: compute, compare, judge."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refimpl import data
from refimpl.errors import ConfigError, RefimplError
from refimpl.testing.claims import Claim

__all__ = ["STATUSES", "Verdict", "count", "judge", "run_claims"]

STATUSES = ("met", "not met", "cannot be checked", "failed", "left out")
"""``failed``: our computation did not come to an end; ``left out``: asked for only the quick."""

_ROUNDING = 1e-9
"""Part of a tolerance that binary rounding may add: 0.1 + 0.2 is not 0.3."""


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Attributes
    ----------
    claim
        The row.
    status
        One of `STATUSES`.
    ours
        Our figure, as plain numbers or text; None if there is none.
    difference
        Ours minus the stated value where it is worst, in the claim's unit; None for text.
    multiple
        The same in multiples of the tolerance; None if that is 0.
    remark
        Why it cannot be checked, or what failed.
    seconds
        Wall time that it took.
    """

    claim: Claim
    status: str
    ours: Any = None
    difference: float | None = None
    multiple: float | None = None
    remark: str = ""
    seconds: float = 0.0

    @property
    def is_expected(self) -> bool:
        """Whether the verdict is the one that the row records: met, or missed with a reading."""
        if self.status in ("met", "not met"):
            return (self.status == "not met") == bool(self.claim.reading)
        return self.status != "failed"


def judge(claim: Claim, ours: Any, seconds: float = 0.0) -> Verdict:
    """Compare our figure with the stated one.

    Parameters
    ----------
    claim
        The row.
    ours
        What its function returned.
    seconds
        What it took.
    """
    plain = _plain(ours)
    if isinstance(claim.value, (str, bool)) or isinstance(plain, (str, bool)):
        return Verdict(claim, "met" if plain == claim.value else "not met", plain, seconds=seconds)
    stated, found = np.asarray(claim.value, dtype=float), np.asarray(plain, dtype=float)
    if stated.shape != found.shape:
        words = f"ours has the shape {found.shape}, the stated figure {stated.shape}"
        return Verdict(claim, "failed", plain, remark=words, seconds=seconds)
    away = found - stated
    beyond = {"equal": np.abs(away), "at most": away, "at least": -away}[claim.relation]
    tolerance = np.broadcast_to(np.asarray(claim.tolerance, dtype=float), stated.shape)
    allowed = tolerance + _ROUNDING * tolerance
    met = bool(np.all(beyond <= allowed))  # NaN is not
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(tolerance > 0, beyond / tolerance, np.where(beyond > 0, np.inf, 0.0))
    parts = np.where(np.isnan(found), np.inf, parts)
    worst = int(np.argmax(parts.ravel())) if stated.size else 0
    part = float(parts.ravel()[worst]) if stated.size else 0.0
    return Verdict(
        claim, "met" if met else "not met", plain,
        float(away.ravel()[worst]) if stated.size else 0.0,
        part if np.isfinite(part) and np.any(tolerance > 0) else None, seconds=seconds,
    )  # fmt: skip


def run_claims(
    claims: Sequence[Claim],
    root: Path,
    *,
    at_most_s: float | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[Verdict, ...]:
    """Check rows one after the other.

    Parameters
    ----------
    claims
        Rows (`refimpl.testing.claims.read_claims`).
    root
        Folder ``validation``, where their functions are.
    at_most_s
        Leave out what is marked as longer [s].
    progress
        Called with the number done and of all.
    """
    out: list[Verdict] = []
    functions = _Functions(root)
    with _importable(root):
        for claim in claims:
            out.append(_check(claim, functions, at_most_s))
            if progress is not None:
                progress(len(out), len(claims))
    return tuple(out)


def count(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """How many there are of each status."""
    return {s: sum(v.status == s for v in verdicts) for s in STATUSES}


def _check(claim: Claim, functions: _Functions, at_most_s: float | None) -> Verdict:
    if claim.cannot:
        return Verdict(claim, "cannot be checked", remark=claim.cannot)
    try:
        missing = [f"the data {name}" for name in claim.needs if not data.is_here(name)]
    except ConfigError as exc:
        raise ConfigError(f"claim {claim.id!r}: {exc}", key="needs") from exc
    missing += [f"the module {m}" for m in claim.modules if importlib.util.find_spec(m) is None]
    if missing:
        return Verdict(claim, "cannot be checked", remark=f"not here: {', '.join(missing)}")
    if at_most_s is not None and claim.seconds > at_most_s:
        words = f"takes about {claim.seconds:.0f} s"
        return Verdict(claim, "left out", remark=words)
    start = time.perf_counter()
    try:
        ours = functions.find(claim.compute)(**claim.arguments)
    except ConfigError as exc:
        if exc.key == claim.compute:  # the row names a function that is not there
            raise
        return _failed(claim, exc, time.perf_counter() - start)
    except Exception as exc:  # whatever it was, it must not hide the verdicts on the other rows
        return _failed(claim, exc, time.perf_counter() - start)
    return judge(claim, ours, time.perf_counter() - start)


def _failed(claim: Claim, exc: Exception, seconds: float) -> Verdict:
    name = "" if isinstance(exc, RefimplError) else f"{type(exc).__name__}: "
    return Verdict(claim, "failed", remark=f"{name}{' '.join(str(exc).split())}", seconds=seconds)


class _Functions:
    """Functions below a folder by dotted name, each file loaded once."""

    def __init__(self, root: Path) -> None:
        self.root, self.modules = root, dict[Path, Any]()

    def find(self, name: str) -> Callable[..., Any]:
        *parts, last = name.split(".")
        path = self.root.joinpath(*parts).with_suffix(".py")
        if path not in self.modules:
            spec = importlib.util.spec_from_file_location("_validation_" + "_".join(parts), path)
            if not path.is_file() or spec is None or spec.loader is None:
                raise ConfigError(f"{name}: there is no file {path}", key=name)
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module  # dataclasses look their module up
            spec.loader.exec_module(module)
            self.modules[path] = module
        found = getattr(self.modules[path], last, None)
        if not callable(found):
            raise ConfigError(f"{name}: there is no function {last} in {path}", key=name)
        return found


@contextmanager
def _importable(root: Path) -> Iterator[None]:
    """Let the scripts of the folder import each other, as they do when they are run."""
    sys.path.insert(0, str(root))
    try:
        yield
    finally:
        sys.path.remove(str(root))


def _plain(value: Any) -> Any:
    """Plain numbers, texts and lists of them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
