"""Copies of a file are one exposure; the same id or name alone makes no copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from epu_files import name_of, write_session, xml_of

from refimpl.epu import read_session


def test_copies_are_one_exposure(tmp_path: Path) -> None:
    data = write_session(tmp_path, 4)
    for folder in ("A copy", "copy", "Images-Disc2"):
        (tmp_path / folder).mkdir()
    shutil.copy(data / f"{name_of(1)}.xml", tmp_path / "A copy")
    shutil.copy(data / f"{name_of(1)}.xml", tmp_path / "copy" / f"{name_of(20)}.xml")  # renamed too
    (tmp_path / "Images-Disc2" / f"{name_of(2)}.xml").write_text(xml_of(2, uid="another"))
    session = read_session(tmp_path)
    assert session.table["name"].tolist() == [name_of(i) for i in range(4)]
    assert session.table["path"].str.contains("GridSquare").all()
    same = {name_of(i): f"copy of {data / name_of(i)}.xml (same" for i in (1, 2)}
    assert session.errors.to_numpy().tolist() == [
        [str(tmp_path / place / f"{name}.xml"), f"{reason} same exposure)", False]
        for place, name, reason in (
            ("A copy", name_of(1), f"{same[name_of(1)]} uniqueID,"),
            ("Images-Disc2", name_of(2), f"{same[name_of(2)]} name,"),
            ("copy", name_of(20), f"{same[name_of(1)]} uniqueID,"),
        )
    ]


@pytest.mark.parametrize("elsewhere", ["Copy", "A/B/C", "Images-Disc1/old"])
def test_of_copies_the_one_in_the_layout_stays(tmp_path: Path, elsewhere: str) -> None:
    """The bad lists name the pictures beside the file that is kept."""
    data = write_session(tmp_path, 3)
    other = tmp_path / elsewhere / "GridSquare_5324661" / "Data"
    shutil.copytree(data, other)
    session = read_session(tmp_path)
    assert {Path(path).parent for path in session.table["path"]} == {data}
    assert {Path(path).parent for path in session.errors["path"]} == {other}


def test_the_same_id_or_name_is_not_yet_a_copy(tmp_path: Path) -> None:
    data = write_session(tmp_path, 4)
    other = tmp_path / "Images-Disc2"
    other.mkdir()
    uid = "00000000-1111-2222-3333-000000000003"
    (other / f"{name_of(9)}.xml").write_text(xml_of(9, uid=uid))
    (other / f"{name_of(2)}.xml").write_text(xml_of(2, uid="x", bsx="0.5"))
    session = read_session(tmp_path)
    assert len(session) == 6
    reasons = dict(zip(session.errors["path"], session.errors["reason"], strict=True))
    assert session.errors["used"].all()
    first, second = str(data / f"{name_of(3)}.xml"), str(other / f"{name_of(9)}.xml")
    assert reasons[first] == f"another exposure has the same uniqueID: {second}"
    assert reasons[second] == f"another exposure has the same uniqueID: {first}"
    assert reasons[str(other / f"{name_of(2)}.xml")].startswith(
        "another exposure has the same name"
    )


def test_ids_that_were_never_set_are_no_copies(tmp_path: Path) -> None:
    data = write_session(tmp_path, 0)
    nil = "00000000-0000-0000-0000-000000000000"
    for i in range(4):
        (data / f"{name_of(i)}.xml").write_text(xml_of(i, uid=nil if i < 2 else ""))
    session = read_session(tmp_path)
    assert len(session) == 4
    assert session.errors.empty
