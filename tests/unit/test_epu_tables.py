"""Tables of exposures: made of arrays, kept as CSV, and remembered from one reading to the next."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from epu_files import exposure_xml, name_of, write_session, xml_of
from hypothesis import given
from hypothesis import strategies as st

from refimpl.epu import Session, read_session, table_of, write_csv
from refimpl.epu.clock import utc_of_stamps
from refimpl.epu.exposures import COLUMNS
from refimpl.epu.file_cache import FileCache
from refimpl.errors import ConfigError, FormatError
from refimpl.io import epu_templates

PLACE = {"beam_shift_x": 0.1, "beam_shift_y": 0.2, "stage_x_um": 1.0, "stage_y_um": 2.0}
COLUMN_DTYPES = {"text": object, "id": np.int64, "number": np.float64}


def test_columns_and_their_types() -> None:
    for n in (0, 3):
        table = table_of(**{name: [value] * n for name, value in PLACE.items()})
        assert list(table.columns) == list(COLUMNS)
        assert {name: table[name].dtype for name in COLUMNS} == {
            name: COLUMN_DTYPES[kind] for name, kind in COLUMNS.items()
        }
        assert len(table) == n
    assert table["name"].tolist() == ["exposure_000000", "exposure_000001", "exposure_000002"]
    assert table["path"].iloc[1] == "exposure_000001.xml"
    assert table["time_s"].tolist() == [0.0, 1.0, 2.0]
    assert table["time"].iloc[2] == "1970-01-01T00:00:02+00:00"
    assert table["hole"].tolist() == [-1] * 3
    assert table["phase_plate"].tolist() == [-1] * 3
    assert np.isnan(table["beam_diameter_um"]).all()
    assert table["camera"].tolist() == [""] * 3


def test_rows_are_sorted_by_time_then_name() -> None:
    table = table_of(**PLACE, time_s=[3.0, np.nan, 1.0, 1.0], name=["d", "a", "c", "b"])
    assert table["name"].tolist() == ["b", "c", "d", "a"]
    assert table.index.tolist() == [0, 1, 2, 3]
    table = table_of(**PLACE, time=["2021-03-28T03:00:00+02:00", "2021-03-28T01:59:59+01:00"])
    assert table["time_s"].tolist() == [1616893199.0, 1616893200.0]


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"stage_x_um": None}, "needs the columns"),
        ({"stage_x": 1}, r"unknown columns \['stage_x'\]; known: name, path"),
        ({"hole": [1, 2], "area": [1, 2, 3]}, "columns of different lengths"),
        ({"stage_x_um": [1.0, np.nan]}, "column stage_x_um: a value is missing or not finite"),
        ({"stage_x_um": "far"}, "column stage_x_um: could not convert"),
        ({"stage_x_um": [[1.0]]}, r"column stage_x_um has the shape \(1, 1\)"),
        ({"name": [1]}, "column name: a value is not text"),
    ],
)
def test_no_valid_table(changed: dict, text: str) -> None:
    columns = {name: value for name, value in (PLACE | changed).items() if value is not None}
    with pytest.raises(ConfigError, match=text):
        table_of(**columns)


def test_csv_gives_back_every_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    columns = {
        name: rng.normal(size=9) * 10.0 ** rng.integers(-300, 300, 9)
        if kind == "number"
        else rng.integers(-1, 1 << 40, 9)
        if kind == "id"
        else [f'{name}, "{i}"\n é' for i in range(9)]
        for name, kind in COLUMNS.items()
    }
    columns["beam_diameter_um"][3] = np.nan
    columns = {
        name: [text.replace("\n", "") for text in values] if COLUMNS[name] == "text" else values
        for name, values in columns.items()
    }
    session = Session(table_of(**columns))
    path = write_csv(session, tmp_path / "exposures.csv")
    again = read_session(path, source="csv")
    pd.testing.assert_frame_equal(again.table, session.table, check_exact=True)
    assert again.errors.empty
    assert again.folder == tmp_path
    first = path.read_bytes()
    assert write_csv(again, path).read_bytes() == first


def test_csv_of_other_software(tmp_path: Path) -> None:
    path = tmp_path / "serial.csv"
    path.write_text(
        "\ufeffname, stage_y_um,stage_x_um,beam_shift_x,beam_shift_y,hole\r\n"
        "b,2,1,0.1,0.2,7\r\n\r\na,,1,0.1,0.2,7\r\nc,2,1,0.1\r\nd,2,x,0.1,0.2,7\r\n"
        "e,2,1,inf,0.2,7\r\nf,2,1,0.1,0.2,1.5\r\ng,2,1,0.1,0.2,\r\nh,2,1,0.1,0.2,99999999999999999999\r\n",
        encoding="utf-8",
    )
    session = read_session(path, source="csv")
    assert session.table["name"].tolist() == ["b", "g"]
    assert session.table["hole"].tolist() == [7, -1]
    assert session.errors["reason"].tolist() == [
        "hole is out of range: '99999999999999999999'",
        "no stage_y_um",
        "4 cells, the header has 6",
        "stage_x_um is not a number: 'x'",
        "beam_shift_x is out of range: 'inf'",
        "hole is not a number: '1.5'",
    ]
    assert session.errors["path"].iloc[1] == f"{path}:4"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "no column 'beam_shift_x'"),
        (b"beam_shift_x,beam_shift_y,stage_x_um\n", "no column 'stage_y_um'"),
        (b"beam_shift_x,stage_x\n", "unknown column 'stage_x'; did you mean stage_x_um"),
        (b"zzz\n", "unknown column 'zzz'; known: name"),
        (b"hole,hole\n", "column 'hole' stands there twice"),
        (b"hole\xff\n", "not a CSV table"),
    ],
)
def test_no_such_csv(tmp_path: Path, data: bytes, text: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=text):
        read_session(path, source="csv")


def test_csv_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the table of exposures is a folder"):
        read_session(tmp_path, source="csv")
    with pytest.raises(ConfigError, match="the table of exposures does not exist"):
        read_session(tmp_path / "x.csv", source="csv")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the files that the reader opens."""
    paths: list[str] = []
    real = epu_templates.EpuReader.read_file

    def read_file(self, path):
        paths.append(Path(path).stem)
        return real(self, path)

    monkeypatch.setattr(epu_templates.EpuReader, "read_file", read_file)
    return paths


def test_only_new_files_are_read_again(tmp_path: Path, opened: list[str]) -> None:
    data = write_session(tmp_path, 5)
    (data / f"{name_of(4)}.xml").write_text(xml_of(4)[:1000])
    cache = FileCache()
    first = read_session(tmp_path, cache=cache)
    assert (len(first), len(opened), len(cache)) == (4, 5, 4)
    opened.clear()
    (data / f"{name_of(4)}.xml").write_text(xml_of(4))  # now it is complete
    (data / f"{name_of(5)}.xml").write_text(xml_of(5, diameter=""))
    (data / f"{name_of(1)}.xml").write_text(xml_of(1, bsx="0.5"))
    os.utime(data / f"{name_of(1)}.xml", ns=(1, 1))
    second = read_session(tmp_path, cache=cache)
    assert sorted(opened) == [name_of(1), name_of(4), name_of(5)]
    pd.testing.assert_frame_equal(second.table, read_session(tmp_path).table)
    assert second.table["beam_shift_x"].iloc[1] == 0.5
    assert second.errors["reason"].tolist() == ["no optics/BeamDiameter"]


def test_cache_on_disk(tmp_path: Path, opened: list[str]) -> None:
    folder, cache = tmp_path / "session", tmp_path / "cache.csv"
    data = write_session(folder, 4)
    odd = xml_of(4, camera='a,"b" é', diameter="x", time="", phase_plate="true")
    (data / f"{name_of(4)}.xml").write_text(odd, encoding="utf-8")
    first = read_session(folder, cache=cache)
    opened.clear()
    second = read_session(f"{folder}/", cache=str(cache))
    assert opened == []
    pd.testing.assert_frame_equal(first.table, second.table, check_exact=True)
    pd.testing.assert_frame_equal(first.errors, second.errors)
    assert len(first.errors) == 2
    written = cache.read_bytes()
    read_session(folder, cache=cache)
    assert cache.read_bytes() == written
    # the session elsewhere is the same session
    folder.rename(tmp_path / "moved")
    assert len(read_session(tmp_path / "moved", cache=cache)) == 5
    assert opened == []


def test_a_file_that_is_no_cache_is_not_overwritten(tmp_path: Path) -> None:
    write_session(tmp_path / "session", 2)
    path = tmp_path / "results.csv"
    path.write_text("my,results\n1,2\n")
    with pytest.raises(FormatError, match="not a cache of refimpl, or of another version"):
        read_session(tmp_path / "session", cache=path)
    assert path.read_text() == "my,results\n1,2\n"
    path.unlink()
    read_session(tmp_path / "session", cache=path)
    path.write_text(path.read_text()[:-30])
    with pytest.raises(FormatError, match=r"results\.csv:3: damaged .*: delete it"):
        read_session(tmp_path / "session", cache=path)


def test_a_file_that_grows_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch) -> None:
    data = write_session(tmp_path, 1)
    path, cache = data / f"{name_of(0)}.xml", FileCache()
    real = epu_templates.EpuReader.read_file

    def read_file(self, name):
        fields = real(self, name)
        path.write_text(exposure_xml(bsx="0.75"))
        os.utime(path, ns=(2, 2))
        return fields

    monkeypatch.setattr(epu_templates.EpuReader, "read_file", read_file)
    assert read_session(tmp_path, cache=cache).beam_shift[0, 0] == 0.0
    assert read_session(tmp_path, cache=cache).beam_shift[0, 0] == 0.75


@given(
    st.lists(st.tuples(st.floats(0, 1e5), st.sampled_from([-3600.0, 0.0, 5400.0])), max_size=6),
    st.floats(-10, 2e5),
)
def test_zone_of_the_nearest(known: list[tuple[float, float]], stamp: float) -> None:
    stamps, zones = np.array(known).reshape(-1, 2).T
    times = stamps - zones + 0.7  # a name is up to a second earlier
    (utc,) = utc_of_stamps(np.array([stamp]), stamps, times)
    if not known:
        assert utc == stamp
        return
    distance = np.abs(stamps - stamp)
    nearest = zones[distance == distance.min()]
    assert np.min(np.abs(stamp - nearest - utc)) <= 1e-9  # s


def test_stamps_that_are_none() -> None:
    known = np.array([np.nan, 100.0]), np.array([5.0, np.nan])
    out = utc_of_stamps(np.array([np.nan, 7.0]), *known)
    assert np.isnan(out[0])
    assert out[1] == 7.0
