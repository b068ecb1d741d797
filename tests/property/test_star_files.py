"""STAR files by hypothesis: any table comes back, and an independent reader sees the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.errors import FormatError
from refimpl.io.star import StarFile, StarTable, parse_star

CIF_WORDS = ("data_", "loop_", "stop_", "save_", "global_")
words = st.text(
    st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12
)  # every printable character, quotes and # among them
texts = st.one_of(st.just(""), words, st.builds("{} {}".format, words, words)).filter(
    lambda t: not ('"' in t and "'" in t)
)
numbers = st.one_of(st.integers(-(10**9), 10**9), st.floats(-1e6, 1e6, width=32))
labels = st.lists(st.from_regex(r"rln[A-Z][a-z]{1,8}", fullmatch=True), min_size=1, max_size=5,
                  unique=True)  # fmt: skip


@st.composite
def tables(draw: st.DrawFn, name: str = "micrographs") -> StarTable:
    """A table of texts and numbers."""
    columns, n = draw(labels), draw(st.integers(0, 6))
    kinds = [draw(st.sampled_from((texts, numbers))) for _ in columns]
    return StarTable.of(
        name, {c: draw(st.lists(k, min_size=n, max_size=n)) for c, k in zip(columns, kinds,
                                                                            strict=True)}
    )  # fmt: skip


@given(tables("optics"), tables())
def test_what_is_written_is_read(first: StarTable, second: StarTable) -> None:
    text = StarFile((first, second)).text()
    star = parse_star(text)
    assert star.text() == text
    for before, after in zip((first, second), star.tables, strict=True):
        assert (before.columns, before.rows) == (after.columns, after.rows)
        for column in before.columns:
            assert before.column(column) == after.column(column)


@given(tables(), st.data())
def test_a_changed_column_changes_nothing_else(table: StarTable, data: st.DataObject) -> None:
    new = data.draw(st.sampled_from([*table.columns, "rlnNew"]))
    values = data.draw(st.lists(texts, min_size=len(table), max_size=len(table)))
    after = parse_star(StarFile((table.replaced(new, values),)).text()).tables[0]
    for column in table.columns:
        assert after.column(column) == (values if column == new else table.column(column))
    assert after.column(new) == values


@given(tables(), st.data())
def test_taken_rows_are_the_rows(table: StarTable, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(table) - 1))) if len(table) else []
    after = parse_star(StarFile((table.take(rows),)).text()).tables[0]
    assert after.rows == tuple(table.rows[i] for i in rows)


@given(tables())
def test_gemmi_reads_the_same(table: StarTable) -> None:
    cif = pytest.importorskip("gemmi").cif
    if not len(table):
        return  # a table without rows is no CIF
    values = {c: table.column(c) for c in table.columns}
    flat = [v for column in values.values() for v in column]
    # words that mean something to CIF and nothing to RELION
    if any(v.lower().startswith(CIF_WORDS) or v[:1] in ("$", "[", "]", ";") for v in flat):
        return
    block = cif.read_string(StarFile((table,)).text()).sole_block()
    for column, expected in values.items():
        assert [cif.as_string(v) if v not in (".", "?") else v
                for v in block.find_loop(f"_{column}")] == expected  # fmt: skip


@given(st.text(st.sampled_from("data_ loop_\n#_x 1'\"\t"), max_size=80))
def test_any_text_reads_or_is_refused(text: str) -> None:
    try:
        star = parse_star(text)
    except FormatError:
        return
    assert star.text() == text
