"""Every golden test stands for claims, or says why what it asserts is no published figure.

golden_claims.toml is kept by hand: a test that is new, or gone, has to be entered, and a claim
that is renamed is missed here. Whether a claim and a test are of the same figures only a reader
can tell.
"""

from __future__ import annotations

import ast
import fnmatch
import tomllib
from pathlib import Path

import pytest

from refimpl.testing.claims import claims_root, read_claims
from refimpl.testing.golden import fixtures_root

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"

TABLE = tomllib.loads((Path(__file__).parent / "golden_claims.toml").read_text())
OF_TEST: dict[str, str] = {
    f"{file}.{name}": claims
    for file, rows in TABLE["tests"].items()
    for name, claims in rows.items()
}
OF_CASE: dict[str, str] = TABLE["cases"]


@pytest.fixture(scope="module")
def ids() -> list[str]:
    return [claim.id for claim in read_claims(claims_root(ROOT / "validation"))]


def _tests() -> list[str]:
    return [
        f"{path.stem}.{node.name}"
        for path in sorted(GOLDEN.glob("test_*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def _entry(table: dict[str, str], name: str) -> str | None:
    """The first entry that is of a name; whole names stand before wildcards."""
    return next((key for key in table if fnmatch.fnmatchcase(name, key)), None)


def test_every_golden_test_is_entered() -> None:
    assert [name for name in _tests() if _entry(OF_TEST, name) is None] == []


def test_no_entry_is_of_nothing() -> None:
    used = {_entry(OF_TEST, name) for name in _tests()}
    assert [key for key in OF_TEST if key not in used] == []


def test_cases_that_others_made_are_claimed() -> None:
    root = fixtures_root()
    kinds = ('source_kind = "published"', 'source_kind = "external"', 'source_kind = "measured"')
    cases = [
        str(path.parent.relative_to(root))
        for path in root.rglob("provenance.toml")
        if any(kind in " ".join(path.read_text().split()) for kind in kinds)
    ]
    assert len(cases) > 20
    assert [case for case in cases if _entry(OF_CASE, case) is None] == []


@pytest.mark.parametrize("table", [OF_TEST, OF_CASE], ids=["tests", "cases"])
def test_every_claim_that_is_named_is_there(table: dict[str, str], ids: list[str]) -> None:
    named = {value for value in table.values() if not value.startswith("no: ")}
    assert [value for value in named if not fnmatch.filter(ids, value)] == []
