"""Times as logs write them; logs of cameras and detectors, whole and broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from refimpl.errors import ConfigError, FormatError
from refimpl.io.camera_log import read_camera_log
from refimpl.io.eiger_log import read_eiger_log
from refimpl.io.time_stamps import seconds_of, stamp_in

T = 1544807001.125  # 2018-12-14 17:03:21.125 UTC


@pytest.mark.parametrize(
    "text",
    [
        "2018-12-14T17:03:21.125", "2018-12-14 17:03:21,125", "2018-12-14T17:03:21.125Z",
        "2018-12-14T18:03:21.125+01:00", "2018-12-14 15:33:21.125-0130", "20181214_170321_125",
        "20181214T170321.125", "2018-12-14_17-03-21-125", "1544807001.125", "1544807001125",
        "1544807001125000",
    ],
)  # fmt: skip
def test_one_moment_in_many_forms(text: str) -> None:
    assert seconds_of(text) == pytest.approx(T, abs=1e-6)
    assert stamp_in(f"loop_{text}.jpg") == pytest.approx(T, abs=1e-6)


def test_what_is_no_time_is_refused() -> None:
    assert seconds_of("12.5") == 12.5
    with pytest.raises(FormatError, match=r"'noon': expected a time, as 2018-12-14T17:03:21.123"):
        seconds_of("noon")
    with pytest.raises(FormatError, match=r"'2018-13-14T17:03:21': no such time: month"):
        seconds_of("2018-13-14T17:03:21")
    assert stamp_in("out000137.cbf") is None
    assert stamp_in("20189999_999999") is None


def test_a_camera_table_is_sorted_and_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "camera.csv"
    path.write_text(
        "File,Timestamp,Zoom,omega,Crystal,light\n"
        "b.jpg,2018-12-14T17:03:21.250,3,90.5,0042,on\n"
        "a.jpg,1544807001.125,3,90,0042,off\n"
    )
    table = read_camera_log(path)
    assert table.columns.tolist() == ["image", "time_s", "zoom", "omega_deg", "crystal", "light"]
    assert table["image"].tolist() == ["a.jpg", "b.jpg"]
    assert table["time_s"].tolist() == [T, T + 0.125]
    assert table["crystal"].tolist() == ["0042", "0042"]
    assert table["omega_deg"].tolist() == [90.0, 90.5]


def test_a_folder_of_stamped_pictures(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    for name in ("x/s_20181214_170321_250.jpg", "s_20181214_170321_125.PNG", "s.jpg", "n.txt"):
        (tmp_path / name).touch()
    table = read_camera_log(tmp_path)
    assert table["image"].tolist() == ["s_20181214_170321_125.PNG", "x/s_20181214_170321_250.jpg"]
    assert table["time_s"].tolist() == [T, T + 0.125]
    assert table.attrs["n_skipped"] == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match=r"none of 0 pictures has a time in its name"):
        read_camera_log(tmp_path / "empty")


LOG = """\
2018-12-14 17:03:20.000 INFO series 12 armed
2018-12-14 17:03:21.250 INFO series 12: wrote frame 2 to 20180479_1_data_000001.h5
2018-12-14 17:03:21.125 INFO series 12: wrote frame 1 to 20180479_1_data_000001.h5
"""


def test_lines_of_a_detector_log(tmp_path: Path) -> None:
    path = tmp_path / "eiger.log"
    path.write_text(LOG)
    table = read_eiger_log(path)
    assert table.to_dict("list") == {
        "frame": [1, 2],
        "time_s": [T, T + 0.125],
        "series": ["12"] * 2,
    }
    assert table.attrs["n_skipped"] == 1
    path.write_text("1544807001.125 image number: 000137 written\n")
    assert read_eiger_log(path).to_dict("list") == {"frame": [137], "time_s": [T]}
    path.write_text("xtal7 #5 @ 1544807001.125\n")
    own = read_eiger_log(path, r"(?P<crystal>\w+) #(?P<frame>\d+) @ (?P<time>\S+)")
    assert own.to_dict("list") == {"frame": [5], "time_s": [T], "crystal": ["xtal7"]}


def test_a_table_of_frames(tmp_path: Path) -> None:
    path = tmp_path / "detector.csv"
    path.write_text("frame,time_s,series,rc\n1,1544807001.125,a,17\n1,1544807011.125,b,3\n")
    table = read_eiger_log(path)
    assert table["frame"].tolist() == [1, 1]
    assert table["rc"].tolist() == [17.0, 3.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "none of 1 lines has a time and the number of a frame"),
        ("hello\n", "none of 1 lines has a time and the number of a frame"),
        ("frame,when\n1,2\n", r"d.csv:1: no column time_s or time or timestamp"),
        ("frame,time\n", "a table without rows"),
        ("frame,time\n1,2,3\n", r"d.csv:2: 3 cells: the header has 2"),
        ("frame,time\none,2\n", r"d.csv:2: frame 'one': expected a number"),
        ("frame,time\n1,soon\n", r"d.csv:2: time_s 'soon': expected a time"),
        ("frame,time\n1,2\n1,3\n", "frame 1 was written twice: give the log of one run"),
        ("frame,time,time_s\n1,2,3\n", "two columns of one meaning: frame, time_s, time_s"),
    ],
)
def test_broken_logs_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text(text)
    with pytest.raises(FormatError, match=message):
        read_eiger_log(path)


def test_missing_files_patterns_and_copies_are_refused(tmp_path: Path) -> None:
    for read in (read_eiger_log, read_camera_log):
        with pytest.raises(FormatError, match=r"none.log: cannot read: No such file"):
            read(tmp_path / "none.log")
    with pytest.raises(ConfigError, match=r"expected a group \(\?P<frame>...\)"):
        read_eiger_log(tmp_path, r"(?P<time>\d+)")
    with pytest.raises(ConfigError, match="not a regular expression"):
        read_eiger_log(tmp_path, "(")
    path = tmp_path / "c.csv"
    path.write_text("image,time\na.jpg,1\na.jpg,2\n")
    with pytest.raises(FormatError, match=r"picture a.jpg comes twice"):
        read_camera_log(path)
    path.write_text("")
    with pytest.raises(FormatError, match="an empty file: expected a CSV table with a header"):
        read_camera_log(path)
    path.write_bytes(b"image,time\n\xff\xfe,1\n")
    with pytest.raises(FormatError, match="not a CSV table"):
        read_camera_log(path)
