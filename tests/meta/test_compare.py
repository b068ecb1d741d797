"""The comparers themselves: what is wrong by 10 tolerances must fail, and say where."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from refimpl.errors import ConfigError, FormatError
from refimpl.testing.compare import (
    Mismatch,
    assert_close,
    assert_columns,
    assert_same_rows,
    assert_same_text,
    canonical_labels,
    ulp_difference,
)
from refimpl.testing.golden import (
    MANIFEST,
    case_ids,
    copy_or_check,
    fixtures_root,
    golden,
    manifest_problems,
    manifest_text,
    provenance_problems,
)
from refimpl.testing.tolerances import (
    EXACT,
    ORACLE,
    PX,
    TWIN_ARITHMETIC,
    TWIN_LIBM,
    Tolerance,
    roundtrip,
)

BOUNDS = {
    "absolute": Tolerance("PHYSICAL", "", atol=0.01 * PX),
    "relative": ORACLE,
    "ulp": TWIN_LIBM,
    "round trip": roundtrip("mm"),
}


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_ten_tolerances_fail_and_a_tenth_passes(name, sign):
    bound = BOUNDS[name]
    expected = np.array([1.25, -733.5, 41.0, 6.02e4])
    allowed = bound.allowed(expected)
    for i in range(len(expected)):
        wrong, right = expected.copy(), expected.copy()
        wrong[i] += sign * 10.0 * allowed[i]
        right[i] += sign * 0.1 * allowed[i]
        assert_close(right, expected, bound)
        with pytest.raises(Mismatch, match=rf"1 of 4 values outside .*\n  worst at \[{i}\]"):
            assert_close(wrong, expected, bound)


@pytest.mark.parametrize("case_id", [c for c in case_ids() if golden(c).columns])
def test_every_golden_column_can_fail(case_id):
    case = golden(case_id)
    expected = {n: c for n, c in case.columns.items() if c.role == "expected"}
    table = case.table() if (case.folder / "data.csv").exists() else {}
    for name, column in expected.items():
        wrong = {n: table[n].copy() for n in expected}
        row = len(table[name]) // 2
        step = 10.0 * float(column.tolerance.allowed(table[name][row])) or 1.0
        wrong[name][row] += step
        with pytest.raises(Mismatch, match=f"{case.id}: {name} ") as raised:
            case.check(wrong)
        assert f"[{column.unit}]" in str(raised.value)
        del wrong[name]
        with pytest.raises(Mismatch, match=f"column '{name}' is missing in got"):
            case.check(wrong)
    if expected:
        case.check(table)


def test_message_names_everything():
    bound = Tolerance("PHYSICAL", "", atol=0.01)
    with pytest.raises(Mismatch) as raised:
        assert_close([1.0, 2.5, 3.0], [1.0, 2.0, 3.02], bound, case="q/c", column="x", unit="px")
    assert str(raised.value) == (
        "q/c: x [px]: 2 of 3 values outside PHYSICAL (atol 0.01 px, rtol 0, 0 ulp)\n"
        "  worst at [1]: got 2.5, expected 2\n"
        "  difference 0.5 px = 1.13e+15 ulp, allowed 0.01 px"
    )


def test_exact_is_exact():
    assert_close([1.0, np.nan, np.inf], [1.0, np.nan, np.inf], EXACT)
    with pytest.raises(Mismatch, match="= 1 ulp"):
        assert_close([np.nextafter(1.5, 2.0)], [1.5], TWIN_ARITHMETIC)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        ([np.nan], [1.0]),
        ([1.0], [np.nan]),
        ([np.inf], [1.0]),
        ([1.0], [np.inf]),
        ([-np.inf], [np.inf]),
    ],
)
def test_nan_and_infinity_match_only_themselves(got, expected):
    with pytest.raises(Mismatch, match="1 of 1 values"):
        assert_close(got, expected, Tolerance("PHYSICAL", "", atol=1e9, rtol=1.0, ulp=1000))


def test_shapes_are_not_broadcast():
    with pytest.raises(Mismatch, match=r"shape \(1,\), expected \(2,\)"):
        assert_close([1.0], [1.0, 1.0])
    with pytest.raises(Mismatch, match="worst at \\[1, 0\\]"):
        assert_close([[1.0, 1.0], [2.0, 1.0]], np.ones((2, 2)))


def test_columns_report_every_fault():
    bounds = {"x": (EXACT, "mm"), "y": (EXACT, "rad"), "z": (EXACT, "1")}
    table = {"x": [1.0], "y": [2.0], "z": [3.0]}
    with pytest.raises(Mismatch, match=r"(?s)t: x \[mm\].*t: y \[rad\].*'z' is missing in got"):
        assert_columns({"x": [1.5], "y": [2.5]}, table, bounds, case="t")
    with pytest.raises(Mismatch, match="no column to compare"):
        assert_columns(table, table, {}, case="t")


def test_rows_count():
    assert_same_rows([(1, 2), (3, 4)], [(3, 4), (1, 2)])
    with pytest.raises(Mismatch, match=r"1 missing \[\(1, 2\)\], 1 not expected \[\(5, 6\)\]"):
        assert_same_rows([(1, 2), (5, 6)], [(1, 2), (1, 2)])


def test_text_is_compared_by_line():
    assert_same_text("a\nb\n", "a\nb\n")
    with pytest.raises(Mismatch, match=r"line 2\n  got      'c'\n  expected 'b'"):
        assert_same_text("a\nc\n", "a\nb\n")
    with pytest.raises(Mismatch, match="1 lines, expected 2"):
        assert_same_text("a\n", "a\nb\n")
    with pytest.raises(Mismatch, match="line ends differ"):
        assert_same_text("a\r\n", "a\n")


def test_ulp_difference_by_hand():
    got = ulp_difference(
        [1.0, 1.0 + 2**-52, -1.0, np.nan, np.inf, 0.0], [1.0, 1.0, 1.0, 1.0, 1.0, -0.0]
    )
    assert got[[0, 1, 2, 5]].tolist() == [0.0, 1.0, 2.0**53, 0.0]
    assert np.isnan(got[3])
    assert np.isinf(got[4])


def test_labels_are_renumbered_by_first_appearance():
    assert canonical_labels([5, 2, 5, -1, 9]).tolist() == [0, 1, 0, -1, 2]
    assert canonical_labels([]).tolist() == []


@pytest.fixture
def copy_of_fixtures(tmp_path, monkeypatch):
    root = tmp_path / "data_fixtures"
    shutil.copytree(fixtures_root() / "rings", root / "rings")
    (root / MANIFEST).write_text(manifest_text(root))
    monkeypatch.setenv("REFIMPL_FIXTURES", str(root))
    return root


def test_manifest_notices_every_change(copy_of_fixtures):
    root = copy_of_fixtures
    assert manifest_problems() == []
    (root / "rings/srm640f/data.csv").write_text("h,k,l,two_theta_deg\n")
    (root / "rings/srm640f/new.csv").write_text("x\n")
    (root / "rings/hkls_Si/p.txt").unlink()
    assert manifest_problems() == [
        "rings/hkls_Si/p.txt: listed and missing",
        "rings/srm640f/new.csv: not listed",
        "rings/srm640f/data.csv: changed",
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('why         = "another', 'whx         = "another', "provenance lacks 'why'"),
        ('id          = "rings/', 'id          = "rungs/', "provenance has id"),
        ('quantity    = "rings"', 'quantity    = "rungs"', "provenance has quantity"),
        ('"published"', '"rumour"', "source_kind 'rumour'"),
        ('"published"', '"self"', "belongs in _snapshots"),
        ('unit = "deg", role', "role", "needs a unit and a role"),
        ('role = "expected"', 'role = "expected", class = "LAX"', "has class 'LAX'"),
        (', why = "printed', ', whx = "printed', "a tolerance without a reason"),
    ],
)
def test_provenance_faults_are_named(copy_of_fixtures, old, new, problem):
    path = copy_of_fixtures / "rings/srm640f/provenance.toml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    case = golden("rings/srm640f")
    assert any(problem in p for p in provenance_problems(case))


def test_make_py_is_demanded(copy_of_fixtures):
    make = copy_of_fixtures / "rings/srm640f/make.py"
    make.write_text("")
    assert any(
        "does not name its INPUTS" in p for p in provenance_problems(golden("rings/srm640f"))
    )
    make.unlink()
    assert any("no make.py" in p for p in provenance_problems(golden("rings/srm640f")))


def test_copies_are_written_and_checked(tmp_path):
    origin, case = tmp_path / "origin", tmp_path / "case"
    origin.mkdir()
    case.mkdir()
    (origin / "a.txt").write_text("one\n")
    files = {"a.txt": "a.txt.gz"}
    assert copy_or_check(case, origin, files) == ["a.txt.gz"]
    assert copy_or_check(case, origin, files, write=True) == []
    assert copy_or_check(case, origin, files) == []
    (origin / "a.txt").write_text("two\n")
    assert copy_or_check(case, origin, files) == ["a.txt.gz"]


def test_missing_goldens_are_named(copy_of_fixtures):
    with pytest.raises(
        ConfigError, match=r"no golden case 'rings/none': known are rings/closed_form"
    ):
        golden("rings/none")
    with pytest.raises(
        FormatError, match=r"rings/srm640f: no file 'x.csv'; it holds data.csv, make"
    ):
        golden("rings/srm640f").path("x.csv")
    (copy_of_fixtures / "rings/srm640f/data.csv").write_text("a,b\n1\n")
    with pytest.raises(FormatError, match=r"data.csv:2: 1 cells, expected 2"):
        golden("rings/srm640f").table()
