"""Published claims: reading rows, judging figures, and what is refused."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import fromstring

import numpy as np
import pytest

from refimpl.errors import ConfigError
from refimpl.report.claims import claims_page
from refimpl.testing.claims import Claim, choose, claims_root, read_claims, read_sources
from refimpl.testing.claims_output import as_dict, junit, shown, table, totals
from refimpl.testing.claims_run import Verdict, count, judge, run_claims

SOURCES = """
[book]
title = "A book <b>"
locator = "shelf 3"
public = false
data = "nowhere"
"""
DEFAULTS = """
[defaults]
source = "book"
place = "page 1"
compute = "claims.sums.half"
basis = "the same numbers"
"""
ROWS = """
[[claim]]
id = "sums/met"
quantity = "half of 3"
value = 1.49
unit = "mm"
tolerance = 0.02
why = "two digits"
arguments = { of = 3 }

[[claim]]
id = "sums/missed"
quantity = "half of 4"
value = 3
arguments = { of = 4 }
reading = "A misprint."

[[claim]]
id = "sums/unknown"
quantity = "half of a thing"
value = 5.0
cannot = "The thing is lost."

[[claim]]
id = "other/far"
quantity = "half of what is not here"
value = 1
needs = ["epu-afis/SHA256SUMS"]
modules = ["no_such_module"]
"""
FUNCTION = '''
"""Sums."""


def half(of: float = 1.0) -> float:
    """Half."""
    return of / 2
'''


def write(folder: Path, rows: str = ROWS, defaults: str = DEFAULTS) -> Path:
    claims = folder / "validation" / "claims"
    claims.mkdir(parents=True, exist_ok=True)
    (claims / "sources.toml").write_text(SOURCES)
    (claims / "sums.toml").write_text(defaults + rows)
    (claims / "sums.py").write_text(FUNCTION)
    return folder / "validation"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path)


def test_rows_take_defaults_and_the_publicity_of_their_source(root: Path) -> None:
    met, missed, unknown, _ = read_claims(root)
    assert (met.source, met.system, met.arguments, met.public) == ("book", "sums", {"of": 3}, False)
    assert missed.reading == "A misprint."
    assert (unknown.compute, unknown.basis) == ("", "")
    assert read_sources(root)["book"].locator == "shelf 3"


def test_verdicts(root: Path) -> None:
    done = []
    verdicts = run_claims(read_claims(root), root, progress=lambda *at: done.append(at))
    assert [v.status for v in verdicts] == ["met", "not met", *["cannot be checked"] * 2]
    assert done[-1] == (4, 4)
    assert count(verdicts)["met"] == 1
    assert verdicts[0].difference == pytest.approx(0.01)
    assert verdicts[0].multiple == pytest.approx(0.5)
    assert verdicts[1].multiple is None
    assert verdicts[3].remark.endswith("the module no_such_module")
    assert all(v.is_expected for v in verdicts)
    assert totals(verdicts) == "4 claims: 1 met, 1 not met, 2 cannot be checked"


def test_what_is_longer_is_left_out(root: Path) -> None:
    row = read_claims(write(root.parent, ROWS.replace("value = 3\n", "value = 3\nseconds = 9.0\n")))
    verdicts = run_claims(row, root, at_most_s=5.0)
    assert [v.status for v in verdicts][:2] == ["met", "left out"]
    assert verdicts[1].remark == "takes about 9 s"
    assert verdicts[1].is_expected


CLAIM = Claim("a/b", "book", "page", "length", 2.0, tolerance=0.1)


@pytest.mark.parametrize(
    ("changes", "ours", "status"),
    [
        ({}, 2.1, "met"), ({}, 2.11, "not met"), ({}, float("nan"), "not met"),
        ({"relation": "at most"}, 0.0, "met"), ({"relation": "at most"}, 2.2, "not met"),
        ({"relation": "at least"}, 9.0, "met"), ({"relation": "at least"}, 1.8, "not met"),
        ({"value": "x"}, "x", "met"), ({"value": "x"}, "y", "not met"),
        ({"value": True}, np.bool_(True), "met"), ({"value": True}, False, "not met"),
        ({"value": [1.0, 2.0], "tolerance": [0.0, 0.5]}, np.array([1.0, 2.4]), "met"),
        ({"value": [1.0, 2.0], "tolerance": [0.0, 0.5]}, [1.01, 2.0], "not met"),
        ({"value": [1.0, 2.0]}, [1.0], "failed"), ({"value": 3, "tolerance": 0.0}, 3, "met"),
        ({"value": []}, [], "met"), ({"value": 0.1, "tolerance": 0.2}, 0.1 + 0.2, "met"),
    ],
)  # fmt: skip
def test_judging(changes: dict, ours: object, status: str) -> None:
    claim = Claim(**{f: getattr(CLAIM, f) for f in CLAIM.__dataclass_fields__} | changes)
    assert judge(claim, ours).status == status


def test_a_verdict_is_expected_where_the_row_says_so() -> None:
    missed = Claim("a/b", "book", "page", "length", 2.0, reading="known")
    assert not judge(CLAIM, 3.0).is_expected
    assert judge(missed, 3.0).is_expected
    assert not judge(missed, 2.0).is_expected
    assert not Verdict(CLAIM, "failed").is_expected
    assert "NEW: met, while its row explains a difference: known" in table([judge(missed, 2.0)])
    assert "NEW: the row knows of no difference" in table([judge(CLAIM, 3.0)])
    assert totals([judge(CLAIM, 3.0)]).endswith("; 1 other than its row says")


def test_a_computation_that_fails_hides_no_other(root: Path) -> None:
    (root / "claims" / "sums.py").write_text(FUNCTION.replace("of / 2", "of / 0"))
    verdicts = run_claims(read_claims(root), root)
    assert [v.status for v in verdicts[:3]] == ["failed", "failed", "cannot be checked"]
    assert verdicts[0].remark == "ZeroDivisionError: division by zero"


def test_functions_may_import_what_lies_beside_the_claims(root: Path) -> None:
    (root / "thirds_for_claims.py").write_text("THIRD = 1.5\n")
    (root / "claims" / "sums.py").write_text(
        "from thirds_for_claims import THIRD\n\n\ndef half(of: float) -> float:\n    return THIRD\n"
    )
    assert run_claims(read_claims(root)[:1], root)[0].ours == 1.5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('quantity = "half of 3"', 'quantty = "half"', "unknown key 'quantty'; did you mean 'qua"),
        ('quantity = "half of 3"', "", "claim 'sums/met': lacks 'quantity'"),
        ("value = 1.49", 'value = 1\nsource = "film"', "source 'film' is not in sources.toml"),
        ("value = 1.49", 'value = 1\nrelation = "about"', "relation 'about': expected one"),
        ('why = "two digits"', "", "a tolerance needs a reason, 'why'"),
        ("value = 1.49", "value = [1, 2]\nunit = 3", "'unit' has to be text"),
        ('id = "sums/missed"', 'id = "sums/met"', "claim 'sums/met' is there twice"),
        ("tolerance = 0.02", "tolerance = [0.1, 0.2, 0.3]\nvalue = [1, 2]", "not TOML"),
        ("value = 1.49", "value = [1, 2]\nbasis = ''", "needs 'compute' and 'basis', or 'cannot'"),
        ("[[claim]]\nid = \"sums/met\"", "[more]\nx = 1\n[[claim]]\nid = \"sums/met\"",
         "unknown table 'more'"),
    ],
)  # fmt: skip
def test_bad_rows(tmp_path: Path, old: str, new: str, message: str) -> None:
    if old.startswith("value") and "unit" in new:
        rows = ROWS.replace('unit = "mm"\n', "").replace(old, new, 1)
    else:
        rows = ROWS.replace(old, new, 1)
    assert rows != ROWS
    with pytest.raises(ConfigError) as caught:
        read_claims(write(tmp_path, rows))
    assert message in str(caught.value)


def test_lists_of_tolerances_go_with_the_values(tmp_path: Path) -> None:
    rows = ROWS.replace("value = 1.49", "value = [1, 2]").replace("0.02", "[0.1, 0.2, 0.3]")
    with pytest.raises(ConfigError, match="list of tolerances does not go with that of values"):
        read_claims(write(tmp_path, rows))


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        ("claims.sums.third", "there is no function third in"),
        ("claims.no.half", "there is no file"),
    ],
)
def test_functions_that_are_not_there(tmp_path: Path, compute: str, message: str) -> None:
    root = write(tmp_path, defaults=DEFAULTS.replace("claims.sums.half", compute))
    with pytest.raises(ConfigError, match=message):
        run_claims(read_claims(root), root)


def test_data_that_no_set_has(tmp_path: Path) -> None:
    root = write(tmp_path, ROWS.replace("epu-afis/SHA256SUMS", "pilatus2m-ceria-hexrd/nothing"))
    with pytest.raises(ConfigError, match="claim 'other/far': unknown file 'nothing'"):
        run_claims(read_claims(root), root)


def test_folders_and_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="the claims come with the source code"):
        claims_root(tmp_path)
    root = write(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert claims_root() == root == claims_root(root)
    (root / "claims" / "sources.toml").write_text('[book]\ntitle = "x"\n')
    with pytest.raises(ConfigError, match="source 'book': expected the keys data, locator"):
        read_claims(root)
    (root / "claims" / "sources.toml").unlink()
    with pytest.raises(ConfigError, match="no such file"):
        read_claims(root)


def test_choosing(root: Path) -> None:
    rows = read_claims(root)
    assert choose(rows, ()) == rows
    assert len(choose(rows, ["sums/*"])) == 3
    assert len(choose(rows, ["book"])) == 4
    assert [c.id for c in choose(rows, ["other"])] == ["other/far"]
    with pytest.raises(ConfigError, match="no claim is called that; near it are sums/met"):
        choose(rows, ["sums/mett"])


def test_outputs(root: Path) -> None:
    sources, verdicts = read_sources(root), run_claims(read_claims(root), root)
    text = table(verdicts)
    assert "met                sums/met      1.500 for 1.49 mm; +0.01 mm (0.5 of the toler" in text
    assert f"{'':19}A misprint." in text
    content = as_dict(verdicts, sources)
    assert content["counts"]["cannot be checked"] == 2
    assert content["as_recorded"] is True
    assert content["claims"][0]["ours"] == 1.5
    suite = fromstring(junit(verdicts).split("\n", 1)[1]).find("testsuite")
    assert suite is not None
    assert [suite.get(k) for k in ("tests", "failures", "errors", "skipped")] == list("4003")
    page = claims_page(verdicts, sources)
    assert "A book &lt;b&gt;" in page
    assert "<b>" not in page
    assert page.count("A misprint.") == 1
    assert "The thing is lost." in page


def test_junit_tells_failures_from_errors() -> None:
    failed = Verdict(CLAIM, "failed", remark="no end")
    suite = fromstring(junit([judge(CLAIM, 9.0), failed]).split("\n", 1)[1]).find("testsuite")
    assert suite is not None
    assert [suite.get(k) for k in ("failures", "errors")] == ["1", "1"]


@pytest.mark.parametrize(
    ("value", "tolerance", "text"),
    [
        (None, 0.0, ""), (True, 0.0, "yes"), ("", 0.0, "none"), (739.7751234, 0.015, "739.775"),
        (3.2e-7, 1e-9, "3.2e-07"), (float("nan"), 0.1, "nan"), (0.0, 0.0, "0"),
        ([[1.0, 2.0], [3.0, 4.0]], 0.0, "1, 2, 3, 4"),
    ],
)  # fmt: skip
def test_shown(value: object, tolerance: float, text: str) -> None:
    assert shown(value, tolerance) == text
