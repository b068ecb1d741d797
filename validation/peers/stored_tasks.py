"""Programs that pip does not install, by what they gave: stored outputs, ours, and the verdict.

Nothing of theirs is copied here: `stored.toml` names rows of the published claims, which hold the
stored figures with source, place and tolerance, and the functions that compute ours.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asking import Asker
from page import Table

from refimpl.testing.claims import choose, claims_root, read_claims, read_sources
from refimpl.testing.claims_run import Verdict, run_claims
from refimpl.testing.golden import fixtures_root

STORED = Path(__file__).with_name("stored.toml")
WORDS, DIGITS = 80, 6


def stored_tables(_asker: Asker, size: float) -> list[Table]:
    """One table a program, and one of the times that were stored."""
    programs = tomllib.loads(STORED.read_text(encoding="utf-8"))["program"]
    return [*(_table(program, size) for program in programs), _times()]


def _table(program: dict[str, Any], size: float) -> Table:
    root = claims_root()
    every = read_claims(root)
    source = read_sources(root)[program["source"]]
    rows = [c for c in choose(every, program["claims"]) if c.source == program["source"]]
    if not rows:
        raise SystemExit(f"{STORED.name}: {program['name']}: no claim of {program['source']}")
    table = Table(f"{program['name']}, stored outputs", "quantity", "stored", "refimpl", "unit",
                  "verdict")  # fmt: skip
    limit = None if size >= 1.0 else 5.0
    for verdict in run_claims(rows, root, at_most_s=limit):
        claim = verdict.claim
        table.add(f"{claim.quantity} (`{claim.id}`)", _shown(claim.value), _ours(verdict),
                  claim.unit, _judged(verdict))  # fmt: skip
    count = sum(c.source == program["source"] for c in every)
    table.note(
        f"Not installed: {program['why']}. Stored: {source.title} ({source.locator}). "
        f"{len(rows)} of {count} figures; `refimpl validate --only {program['source']}` has all."
    )
    return table


def _times() -> Table:
    """Calibrations of the measured ceria frame, as they ran once."""
    table = Table(
        "Measured ceria frame (Pilatus 2M): stored runs of calibrations", "run", "program",
        "points", "mean strain [µε]", "median [µε]", "distance [mm]", "CPU [s]", "memory [MB]",
    )  # fmt: skip
    folder = fixtures_root() / "published_figures" / "powder_runs"
    provenance = tomllib.loads((folder / "provenance.toml").read_text(encoding="utf-8"))
    for row in _rows(folder / "data.csv"):
        table.add(
            row["run"], row["program"], row["points"], row["mean_all_ue"], row["median_ue"],
            f"{1e-3 * float(row['lsd_um']):.3f}" if row["lsd_um"] else "", row["cpu_s"],
            row["rss_mb"],
        )  # fmt: skip
    table.note(f"Stored: {provenance['source']}; {provenance['environment']}.")
    return table


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _judged(verdict: Verdict) -> str:
    """Verdict, and the reading of a difference."""
    reading = verdict.claim.reading if verdict.status == "not met" else ""
    return f"{verdict.status}: {reading}" if reading else verdict.status


def _ours(verdict: Verdict) -> str:
    return verdict.remark[:WORDS] if verdict.ours is None else _shown(verdict.ours)


def _shown(value: Any) -> str:
    """A value in a cell."""
    if isinstance(value, list | tuple):
        return _cut(", ".join(_shown(v) for v in value))
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else _cut(str(value))


def _cut(text: str) -> str:
    return text if len(text) <= WORDS else f"{text[: WORDS - 4]} ..."
