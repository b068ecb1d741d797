"""``refimpl validate``: the claims of the checkout are whole, some are run; output, refusals."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from refimpl.cli.main import main
from refimpl.testing.claims import Claim, claims_root, read_claims, read_sources

ROOT = Path(__file__).resolve().parents[2] / "validation"
QUICK = ["epu/readme/*", "midas/rings/Al2O3/*", "midas/chord/*/bias", "centring/formula/*"]


@pytest.fixture(scope="module")
def claims() -> tuple[Claim, ...]:
    return read_claims(claims_root(ROOT))


def test_every_row_names_a_function_that_is_there(claims) -> None:
    """Read, not imported: some need what is not installed."""
    wanted = {c.compute for c in claims if c.compute}
    assert len(claims) > 600
    for name in wanted:
        *path, last = name.split(".")
        text = ROOT.joinpath(*path).with_suffix(".py").read_text(encoding="utf-8")
        assert re.search(rf"^def {last}\(", text, re.MULTILINE), name


def test_every_function_of_the_claims_is_used(claims) -> None:
    wanted = {c.compute for c in claims}
    for path in (ROOT / "claims").glob("*.py"):
        for name in re.findall(r"^def ([a-z]\w*)\(", path.read_text(encoding="utf-8"), re.M):
            assert f"claims.{path.stem}.{name}" in wanted


def test_rows_say_what_a_reader_needs(claims) -> None:
    for c in claims:
        assert c.quantity, c.id
        assert c.place, c.id
        assert not (c.reading and c.cannot), c.id
        assert re.fullmatch(r"[a-z]+/[\w./-]+", c.id), c.id
    assert {c.source for c in claims} == set(read_sources(ROOT))


def test_some_are_met(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    # as an installed package, which has no golden data beside it: those beside the claims are used
    monkeypatch.delenv("REFIMPL_FIXTURES", raising=False)
    monkeypatch.setattr("refimpl.testing.golden.__file__", str(tmp_path / "a" / "b" / "golden.py"))
    options = [word for name in QUICK for word in ("--only", name)]
    files = ["-o", "page.html", "--json", "all.json", "--junit", "all.xml", "--claims", str(ROOT)]
    assert main(["validate", *options, *files]) == 0
    captured = capsys.readouterr()
    assert re.search(r"^\d+ claims: \d+ met, 1 not met, \d+ cannot be", captured.out, re.MULTILINE)
    assert "met                epu/readme/block" in captured.out
    assert "not met            midas/rings/Al2O3/count " in captured.out
    assert re.search(r"(\d+) of \1 claims", captured.err)
    content = json.loads(Path("all.json").read_text())
    assert content["as_recorded"] is True
    assert {c["status"] for c in content["claims"]} == {"met", "not met", "cannot be checked"}
    assert Path("all.xml").read_text().startswith("<?xml")
    page = Path("page.html").read_text()
    assert "<script" not in page
    assert "http" not in re.sub(r"http-equiv", "", page)
    assert "what we think of it" in page
    assert "REFIMPL_FIXTURES" not in os.environ


def test_json_to_stdout_and_a_list(capsys) -> None:
    base = ["validate", "--only", "centring/formula/*", "--claims", str(ROOT)]
    assert main([*base, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["met"] == 3
    assert main([*base, "--list"]) == 0
    assert "centring/formula/output  size of the output of a filter of 5" in capsys.readouterr().out


def test_a_new_difference_is_exit_1(capsys, tmp_path) -> None:
    folder = tmp_path / "validation" / "claims"
    folder.mkdir(parents=True)
    (folder / "sources.toml").write_text((ROOT / "claims" / "sources.toml").read_text())
    (folder / "one.toml").write_text(
        '[[claim]]\nid = "a/b"\nsource = "nist"\nplace = "p"\nquantity = "q"\nvalue = 2\n'
        'compute = "claims.one.one"\nbasis = "b"\n'
    )
    (folder / "one.py").write_text('"""One."""\n\n\ndef one() -> int:\n    return 1\n')
    assert main(["validate", "--claims", str(tmp_path / "validation")]) == 1
    assert "NEW: the row knows of no difference" in capsys.readouterr().out
    (folder / "one.toml").write_text("")
    assert main(["validate", "--claims", str(tmp_path / "validation")]) == 2
    assert "holds no claims" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "epu/readme/blocks"], "near it are epu/readme/block"),
        (["-o", "nowhere/page.html"], "the folder nowhere does not exist"),
        (["--claims", "nowhere"], "no folder claims in nowhere"),
    ],
)
def test_refusals(capsys, options, message) -> None:
    start = [] if "--claims" in options else ["--claims", str(ROOT)]
    assert main(["validate", *start, *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err
