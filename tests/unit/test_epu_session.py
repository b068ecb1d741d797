"""A folder of EPU becomes a table: one row an exposure, and a line for every file that is none."""

from __future__ import annotations

import math
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from epu_files import BOMB, FRACTIONS, exposure_xml, name_of, write_session, xml_of

from refimpl.epu import Session, read_session, table_of
from refimpl.errors import ConfigError, FormatError


def shifts(session: Session) -> dict[str, float]:
    """Beam shift x by name."""
    return dict(zip(session.table["name"], session.table["beam_shift_x"], strict=True))


def expected(numbers: list[int]) -> dict[str, float]:
    return {name_of(i): 0.001 * i for i in numbers}


def test_a_folder_becomes_a_table(tmp_path: Path) -> None:
    data = write_session(tmp_path, 7)
    session = read_session(tmp_path)
    assert len(session) == session.exposures == 7
    assert session.folder == tmp_path
    assert session.table["name"].tolist() == [name_of(i) for i in range(7)]
    assert session.table["path"].tolist() == [str(data / f"{name_of(i)}.xml") for i in range(7)]
    assert set(session.table["square"]) == {5324661}
    assert session.table["hole"].tolist() == [5330585] * 3 + [5330586] * 3 + [5330587]
    assert session.table["area"].tolist() == [5338216, 5338217, 5338218] * 2 + [5338216]
    np.testing.assert_array_equal(session.beam_shift[:, 0], [0.001 * i for i in range(7)])
    np.testing.assert_array_equal(session.stage_um[:, 0], [0.0] * 3 + [1.0] * 3 + [2.0])
    assert session.errors.empty
    assert session.holes is None
    assert (session.hole_spacing_um, session.hole_size_um) == (None, None)


def test_fault_01_fractions_are_not_exposures(tmp_path: Path) -> None:
    """The published glob takes ``_Fractions.xml``, which have no beam shift: IndexError."""
    data = write_session(tmp_path, 4)
    for suffix in ("_Fractions.xml", "_fractions.xml", "_Fractions.XML"):
        (data / f"{name_of(0)}{suffix}").write_text(FRACTIONS)
    session = read_session(tmp_path)
    assert shifts(session) == expected([0, 1, 2, 3])
    assert session.errors.empty
    (data / f"{name_of(9)}.xml").write_text(FRACTIONS)  # one that was renamed
    session = read_session(tmp_path)
    assert shifts(session) == expected([0, 1, 2, 3])
    reason = "the root is Acquisition, not MicroscopeImage of EPU"
    assert session.errors.to_numpy().tolist() == [[str(data / f"{name_of(9)}.xml"), reason, False]]


@pytest.mark.parametrize("broken", [0, 3, 11])
@pytest.mark.parametrize(
    "content",
    [b"", xml_of(0).encode()[:700], b"\0" * 100, (BOMB + xml_of(0)).encode(), b"<html/>"],
)
def test_fault_08_names_never_shift(tmp_path: Path, broken: int, content: bytes) -> None:
    """The published arrays lose the exposure and the list of names does not: wrong files go."""
    data = write_session(tmp_path, 12)
    (data / f"{name_of(broken)}.xml").write_bytes(content)
    session = read_session(tmp_path)
    assert shifts(session) == expected([i for i in range(12) if i != broken])
    assert session.errors["path"].tolist() == [str(data / f"{name_of(broken)}.xml")]
    assert session.errors["used"].tolist() == [False]


def test_fault_09_what_is_missing_goes_to_the_errors(tmp_path: Path) -> None:
    """The published script stops with an IndexError at the first file that lacks one of these."""
    data = write_session(tmp_path, 6)
    for i, tag in (
        (1, "BeamShift"),
        (2, "Position"),
        (3, "BeamDiameter"),
        (4, "acquisitionDateTime"),
    ):
        (data / f"{name_of(i)}.xml").write_text(xml_of(i).replace(tag, f"No{tag}"))
    session = read_session(tmp_path)
    assert shifts(session) == expected([0, 3, 4, 5])
    errors = [(Path(path).stem, reason, used) for path, reason, used in session.errors.to_numpy()]
    assert errors == [
        (name_of(1), "no BeamShift/_x", False),
        (name_of(2), "no Position/X", False),
        (name_of(3), "no optics/BeamDiameter", True),
        (name_of(4), "no acquisition/acquisitionDateTime", True),
    ]
    diameters = session.table["beam_diameter_um"].to_numpy()
    assert np.isnan(diameters).tolist() == [False, True, False, False]


def test_strict_raises_at_the_first(tmp_path: Path) -> None:
    data = write_session(tmp_path, 6)
    shutil.copy(data / f"{name_of(5)}.xml", tmp_path / f"{name_of(5)}.xml")
    (data / f"{name_of(4)}.xml").write_text(xml_of(4, diameter=""))
    assert len(read_session(tmp_path, strict=True)) == 6  # a copy and what is not needed
    for i in (3, 2):
        (data / f"{name_of(i)}.xml").write_text(xml_of(i)[:900])
    with pytest.raises(FormatError, match=r"not well-formed XML: .*\(2 such files\)") as caught:
        read_session(tmp_path, strict=True)
    assert caught.value.path == data / f"{name_of(2)}.xml"


def test_time_from_the_name_where_the_xml_has_none(tmp_path: Path) -> None:
    """The clock of the names is the microscope's: its zone is the neighbours', summer or winter."""
    write_session(tmp_path, 3)
    data = tmp_path / "late"
    data.mkdir()
    summer = "FoilHole_1_Data_2_3_20210328_1200"
    (data / f"{summer}00.xml").write_text(xml_of(90, time="2021-03-28T12:00:00.7+02:00"))
    (data / f"{summer}10.xml").write_text(xml_of(91, time=""))
    (tmp_path / f"{name_of(5)}.xml").write_text(xml_of(5, time=""))
    (tmp_path / "FoilHole_1_Data_2_3_20219999_999999.xml").write_text(xml_of(99, time=""))
    table = read_session(tmp_path).table
    noon = 1616842800.0  # 12:00:00+01:00 on 27 March
    by_name = dict(zip(table["name"], table["time_s"], strict=True))
    assert by_name[name_of(2)] == noon + 2.5
    assert by_name[name_of(5)] == noon + 5.0
    assert by_name[f"{summer}10"] == noon + 23 * 3600 + 10.0
    assert math.isnan(table["time_s"].iloc[-1])
    assert table["name"].iloc[-1].endswith("20219999_999999")
    assert table["time"].iloc[-1] == ""


def test_the_order_of_the_files_plays_no_part(tmp_path: Path, monkeypatch) -> None:
    """Neither does the one in which the disk lists them, nor what was broken before."""
    data = write_session(tmp_path, 12)
    shutil.copytree(data, tmp_path / "copy")
    (data / f"{name_of(4)}.xml").write_text("<a>")
    first = read_session(tmp_path)
    assert len(first) == 12  # the broken one has a copy

    real = os.scandir

    class Shuffled:
        def __init__(self, place: str) -> None:
            self.entries = list(real(place))
            random.Random(5).shuffle(self.entries)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr("os.scandir", Shuffled)
    second = read_session(tmp_path)
    pd.testing.assert_frame_equal(first.table, second.table)
    pd.testing.assert_frame_equal(first.errors, second.errors)


def test_ids_of_any_length_and_none(tmp_path: Path) -> None:
    for name in (
        "FoilHole_25330585_Data_25338216_25338218_20210327_120001",
        "FoilHole_5330585_Data_20210327_120002",
        "FoilHole_5330585_Data_5338216_9_20210327_120003",
    ):
        i = int(name[-1])
        (tmp_path / f"{name}.xml").write_text(xml_of(i))
    table = read_session(tmp_path).table
    assert table[["square", "hole", "area", "area2"]].to_numpy().tolist() == [
        [-1, 25330585, 25338216, 25338218],
        [-1, 5330585, -1, -1],
        [-1, 5330585, 5338216, 9],
    ]


def test_pictures_of_foil_holes(tmp_path: Path) -> None:
    data = write_session(tmp_path, 3)
    holes = data.parent / "FoilHoles"
    holes.mkdir()
    for name in ("FoilHole_5330585_20210327_115955.jpg", "FoilHole_5330585_20210327_115950.JPG"):
        (holes / name).touch()
    (holes / "FoilHole_5330585_20210327_115955.xml").write_text(xml_of(7))
    (data / f"{name_of(0)}.jpg").touch()
    session = read_session(tmp_path)
    assert len(session) == 3
    images = session.foil_images
    assert [Path(path).name for path in images["path"]] == [
        "FoilHole_5330585_20210327_115950.JPG", "FoilHole_5330585_20210327_115955.jpg",
    ]  # fmt: skip
    assert images["square"].tolist() == [5324661] * 2
    assert images["hole"].tolist() == [5330585] * 2
    # on the clock of the exposures: UTC
    assert images["time_s"].tolist() == [session.table["time_s"].iloc[0] - s for s in (10.5, 5.5)]


def test_links_are_followed_once(tmp_path: Path) -> None:
    write_session(tmp_path / "disk", 3)
    folder = tmp_path / "session"
    folder.mkdir()
    (folder / "a").symlink_to(tmp_path / "disk", target_is_directory=True)
    (folder / "b").symlink_to(tmp_path / "disk", target_is_directory=True)
    (folder / "again").symlink_to(folder, target_is_directory=True)
    (folder / "nowhere").symlink_to(tmp_path / "gone")
    (folder / "self").symlink_to(folder / "self")
    session = read_session(folder)
    assert len(session) == 3
    assert session.errors.empty


def test_files_that_cannot_be_opened(tmp_path: Path, monkeypatch) -> None:
    data = write_session(tmp_path, 3)
    path = data / f"{name_of(1)}.xml"
    path.unlink()
    path.symlink_to(tmp_path / "gone")
    session = read_session(tmp_path)
    assert shifts(session) == expected([0, 2])
    assert session.errors.to_numpy().tolist() == [
        [str(path), "cannot be read: No such file or directory", False]
    ]
    real = os.scandir

    def refuse(place: str):
        if place.endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return real(place)

    (tmp_path / "locked").mkdir()
    monkeypatch.setattr("os.scandir", refuse)
    errors = read_session(tmp_path).errors.to_numpy().tolist()
    assert errors[-1] == [str(tmp_path / "locked"), "cannot be listed: Permission denied", False]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none: the session folder does not exist"):
        read_session(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="the session folder is a file, a folder is needed"):
        read_session(tmp_path / "file")
    with pytest.raises(
        ConfigError, match=r"no exposure \(FoilHole_\*_Data_\*\.xml\) in this folder"
    ):
        read_session(tmp_path)
    assert len(read_session(tmp_path, allow_empty=True)) == 0
    (tmp_path / f"{name_of(0)}.xml").write_text(exposure_xml()[:50])
    with pytest.raises(FormatError, match="none of the 1 files can be used; the first: not well"):
        read_session(tmp_path)
    session = read_session(tmp_path, allow_empty=True)
    assert (len(session), len(session.errors)) == (0, 1)
    assert session.table["beam_shift_x"].dtype == np.float64


def test_progress_and_sources(tmp_path: Path, monkeypatch) -> None:
    write_session(tmp_path, 10)
    monkeypatch.setattr("refimpl.epu.sources._BLOCK", 4)
    told: list[tuple[int, int]] = []
    session = read_session(tmp_path, progress=lambda done, of: told.append((done, of)))
    assert told == [(4, 10), (8, 10), (10, 10)]
    assert shifts(session) == expected(list(range(10)))
    assert len(read_session(tmp_path, source=lambda folder: session)) == 10
    columns = {name: [1.0, 2.0] for name in ("beam_shift_x", "beam_shift_y", "stage_x_um")}
    made = read_session(tmp_path, source=lambda folder: columns | {"stage_y_um": 0.0})
    assert made.stage_um.tolist() == [[1.0, 0.0], [2.0, 0.0]]
    assert len(read_session(tmp_path, source=lambda folder: session.table)) == 10
    with pytest.raises(ConfigError, match="unknown source 'mdoc'; known: epu, csv, or a function"):
        read_session(tmp_path, source="mdoc")


def test_a_session_needs_a_table() -> None:
    with pytest.raises(ConfigError, match=r"not a table of exposures, use table_of: it lacks"):
        Session(pd.DataFrame({"name": []}))
    table = table_of(beam_shift_x=[1], beam_shift_y=[2], stage_x_um=[3], stage_y_um=[4])
    session = Session(table)
    assert session.errors.empty
    assert list(session.foil_images) == ["path", "square", "hole", "time_s"]
