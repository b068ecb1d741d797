"""STAR files: what RELION writes comes back byte for byte; what it would misread is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from refimpl.errors import ConfigError, FormatError
from refimpl.io.star import StarFile, StarTable, parse_star, read_star, write_star

CTF = """
# version 30001

data_optics

loop_ ~
_rlnOpticsGroupName #1 ~
_rlnOpticsGroup #2 ~
_rlnMtfFileName #3 ~
_rlnMicrographOriginalPixelSize #4 ~
opticsGroup1            1 mtf_k2_300kV.star     0.885000 ~
 ~

# version 30001

data_micrographs

loop_ ~
_rlnMicrographName #1 ~
_rlnOpticsGroup #2 ~
_rlnCtfImage #3 ~
_rlnDefocusU #4 ~
MotionCorr/job002/Movies/a_1.mrc            1 CtfFind/job003/a_1_PS.ctf:mrc 10863.857422 ~
"MotionCorr/job002/my movies/a_2.mrc"            1 "" 10863.857422 ~
MotionCorr/job002/Movies/a_3.mrc            1 'x"y' 10863.857422   # by hand
 ~
""".replace("~", "")
"""Layout of RELION 3.1's own files, with a path with a blank, an empty value and a comment."""


def test_a_file_comes_back_byte_for_byte() -> None:
    star = parse_star(CTF)
    assert star.text() == CTF
    assert star.names == ("optics", "micrographs")
    assert star.table("micrographs").columns[2] == "rlnCtfImage"


def test_values_are_read_without_quotes_and_comments() -> None:
    table = parse_star(CTF).table("micrographs")
    assert table.column("rlnMicrographName")[1] == "MotionCorr/job002/my movies/a_2.mrc"
    assert table.column("rlnCtfImage") == ["CtfFind/job003/a_1_PS.ctf:mrc", "", 'x"y']
    assert table.integers("rlnOpticsGroup").tolist() == [1, 1, 1]
    assert len(table) == 3


def test_a_replaced_column_leaves_the_other_cells_alone() -> None:
    star = parse_star(CTF)
    table = star.table("micrographs").replaced("rlnOpticsGroup", [21, 3, 100000])
    assert table.rows == (
        "MotionCorr/job002/Movies/a_1.mrc           21 CtfFind/job003/a_1_PS.ctf:mrc 10863.857422 ",
        '"MotionCorr/job002/my movies/a_2.mrc"            3 "" 10863.857422 ',
        "MotionCorr/job002/Movies/a_3.mrc       100000 'x\"y' 10863.857422   # by hand",
    )
    again = parse_star(star.with_table(table).text()).table("micrographs")
    assert again.integers("rlnOpticsGroup").tolist() == [21, 3, 100000]
    assert again.column("rlnCtfImage") == star.table("micrographs").column("rlnCtfImage")


def test_an_appended_column_gets_its_label_and_stays_out_of_comments() -> None:
    star = parse_star(CTF)
    table = star.table("micrographs").replaced("rlnGroupName", ["a", "b c", ""])
    again = parse_star(star.with_table(table).text()).table("micrographs")
    assert again.columns[-1] == "rlnGroupName"
    assert "_rlnGroupName #5 " in again.head
    assert again.column("rlnGroupName") == ["a", "b c", ""]
    assert again.rows[2].endswith("# by hand")


def test_rows_are_taken_in_order() -> None:
    table = parse_star(CTF).table("micrographs")
    assert table.take([2, 0]).rows == (table.rows[2], table.rows[0])
    assert len(table.take([])) == 0


def test_a_column_is_renamed_in_its_label_only() -> None:
    table = parse_star(CTF).table("micrographs").renamed("rlnMicrographName", "rlnMovie")
    assert table.columns[0] == "rlnMovie"
    assert "_rlnMovie #1 " in table.head
    assert table.column("rlnMovie")[0].startswith("MotionCorr/")


def test_a_list_reads_as_one_row_and_becomes_a_table_when_changed() -> None:
    text = "# version 50001\n\ndata_optics\n\n_rlnOpticsGroup   1\n_rlnName  'a b'\n"
    star = parse_star(text)
    assert star.text() == text
    table = star.table("optics")
    assert (len(table), table.column("rlnName")) == (1, ["a b"])
    changed = star.with_table(table.replaced("rlnOpticsGroup", [2]))
    again = parse_star(changed.text()).table("optics")
    assert again.is_loop
    assert (again.column("rlnOpticsGroup"), again.column("rlnName")) == (["2"], ["a b"])
    assert "# version 50001" in changed.text()
    assert "30001" not in changed.text()


def test_new_tables_have_the_layout_of_relion() -> None:
    columns = {"rlnOpticsGroupName": ["opticsGroup1", "o 2"], "rlnOpticsGroup": [1, 2]}
    table = StarTable.of("optics", {**columns, "rlnVoltage": [300.0, 200.0]})
    assert StarFile((table,)).text() == (
        "\n# version 30001\n\ndata_optics\n\nloop_ \n_rlnOpticsGroupName #1 \n_rlnOpticsGroup #2 \n"
        "_rlnVoltage #3 \n"
        "opticsGroup1            1   300.000000 \n"
        '"o 2"                   2   200.000000 \n \n'
    )


def test_tables_of_different_files_stand_apart() -> None:
    first = StarTable.of("optics", {"rlnOpticsGroup": [1]})
    second = parse_star("data_movies\nloop_\n_rlnMicrographMovieName #1\na.mrc\n").tables[0]
    assert parse_star(StarFile((first, second)).text()).names == ("optics", "movies")


def test_windows_line_ends_become_what_relion_reads(tmp_path: Path) -> None:
    path = tmp_path / "w.star"
    path.write_bytes(CTF.replace("\n", "\r\n").encode())
    assert read_star(path).text() == CTF


def test_names_that_are_not_utf8_come_through(tmp_path: Path) -> None:
    path = tmp_path / "latin.star"
    data = CTF.encode().replace(b"a_1.mrc", b"\xe9_1.mrc")
    path.write_bytes(data)
    write_star(tmp_path / "out.star", read_star(path))
    assert (tmp_path / "out.star").read_bytes() == data


def test_a_table_without_rows_reads() -> None:
    star = parse_star("data_a\nloop_\n_x #1\n\ndata_b\n\n")
    assert [len(t) for t in (star.table("a"),)] == [0]
    assert star.table("b").columns == ()
    assert star.text() == "data_a\nloop_\n_x #1\n\ndata_b\n\n"


REFUSED = {
    "a row too short": ("data_a\n\nloop_\n_x #1\n_y #2\n1 2\n3\n", 7, "a row of 1 values for 2"),
    "a row too long": ("data_a\nloop_\n_x #1\n1\n2 3\n", 5, "a row of 2 values for 1 columns"),
    "rows after a blank line": ("data_a\nloop_\n_x #1\n1\n\n2\n", 6, "where RELION stops reading"),
    "no blank line": ("data_a\nloop_\n_x #1\n1\ndata_b\n", 5, "no blank line ends data_a"),
    "a comment among the rows": ("data_a\nloop_\n_x #1\n1\n# no\n2\n", 5, "comment among the rows"),
    "a column twice": ("data_a\nloop_\n_x #1\n_x #2\n1 1\n", 4, "column _x is there twice"),
    "a table twice": ("data_a\n\ndata_a\n", 3, "data_a is there twice"),
    "an open quote": ("data_a\nloop_\n_x #1\n'1\n", 4, "a quote is not closed"),
    "text before the data": ("hello\ndata_a\n", 1, "'hello' stands before data_"),
    "neither loop nor list": ("data_a\nhello\n", 2, "expected loop_ or '_label value'"),
    "a list without a value": ("data_a\n_x\n", 2, "a row of 1 values for 2 columns"),
    "no table": ("# version 30001\n", None, "no line begins with data_"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_relion_would_misread_is_refused(case: str) -> None:
    text, line, message = REFUSED[case]
    with pytest.raises(FormatError, match=message) as error:
        parse_star(text, path="x.star")
    assert error.value.line == line
    assert str(error.value).startswith("x.star")


def test_a_binary_file_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    (tmp_path / "a.mrc").write_bytes(bytes(5000))
    with pytest.raises(FormatError, match="binary"):
        read_star(tmp_path / "a.mrc")
    with pytest.raises(FormatError, match="cannot read: No such file"):
        read_star(tmp_path / "b.star")


def test_missing_tables_and_columns_are_named() -> None:
    star = parse_star(CTF, path="ctf.star")
    with pytest.raises(FormatError, match="no data_movies: the tables are data_optics, data_micr"):
        star.table("movies")
    with pytest.raises(FormatError, match="data_optics has no column _rlnVoltage"):
        star.table("optics").column("rlnVoltage")
    with pytest.raises(FormatError, match="_rlnMtfFileName: invalid literal"):
        star.table("optics").integers("rlnMtfFileName")
    with pytest.raises(FormatError, match="has no column _a"):
        star.table("optics").renamed("a", "b")


@pytest.mark.parametrize("value", ["two  blanks", "a\tb", "a\n", "'\" both", float("nan")])
def test_what_relion_cannot_read_is_not_written(value: str | float) -> None:
    with pytest.raises(ConfigError, match="cannot stand in a STAR file"):
        StarTable.of("a", {"x": [value]})


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ConfigError, match="differ in length"):
        StarTable.of("a", {"x": [1], "y": [1, 2]})
    with pytest.raises(ConfigError, match="2 values for 1 rows"):
        StarTable.of("a", {"x": [1]}).replaced("x", [1, 2])


@pytest.mark.parametrize("name", ["kmeans.star", "hac.star"])
def test_real_files_come_back_byte_for_byte(name: str, real_data: Callable[[str], Path]) -> None:
    path = real_data("epu-afis") / name
    star = read_star(path)
    assert star.text() == path.read_text()
    assert (len(star.table("optics")), len(star.table("movies"))) == (21, 189)
