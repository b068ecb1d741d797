"""Names of exposures inside the names that other programs give."""

from __future__ import annotations

from pathlib import Path

import pytest

from refimpl.epu.stems import StemIndex, read_name_list, stem_of
from refimpl.errors import ConfigError, FormatError

A = "FoilHole_5330585_Data_5338216_5338218_20200206_170645"
B = "FoilHole_5330585_Data_5338284_5338286_20200206_170725"
SCREEN = "FoilHole_12345678_Data_20210210_154050"


@pytest.mark.parametrize(
    "name",
    [
        f"{A}.xml",
        f"Images-Disc1/GridSquare_1/Data/{A}.jpg",
        f"MotionCorr/job002/Movies/{A}_Fractions.mrc",
        f"Movies/{A}_fractions.tiff",
        f"Movies/{A}_EER.eer",
        f"D:\\raw\\{A}_Fractions.mrc.bz2",
        f"Runs/000157_ProtGctf/extra/GridSquare_9456927_Data_{A}-0009_aligned_mic_DW_ctf.mrc",
        f"000123@Extract/job007/Movies/{A}_Fractions.mrcs",
        f"J1/imported/001234567890_{A}_fractions.tiff",
        A,
    ],
)
def test_an_exposure_is_found_whatever_is_around_its_name(name: str) -> None:
    assert stem_of(name) == A
    assert StemIndex([B, A]).find(name) == 1


def test_names_without_area_ids_and_names_of_other_programs() -> None:
    assert stem_of(f"x/{SCREEN}_Fractions.mrc") == SCREEN
    assert stem_of("Movies/20170629_00021_frameImage.mrc") == "20170629_00021_frameImage"
    assert stem_of("a_fractions.tiff") == "a"
    assert stem_of("a.b.tif.gz") == "a.b"
    assert stem_of(".mrc") == ".mrc"


def test_what_is_found_is_whole() -> None:
    index = StemIndex(["mic_1", "mic_10", "mic_1_b", "tilt"])
    assert index.find("MotionCorr/mic_1.mrc") == 0
    assert index.find("mic_10_DW.mrc") == 1
    assert index.find("mic_1_b_aligned.mrc") == 2  # the longest counts
    assert index.find("mic_11.mrc") == -1
    assert index.find("atomic_1.mrc") == -1
    assert index.find("tilts.mrc") == -1
    assert index.find("mic_1/other.mrc") == -1  # a folder is no name
    assert index.find(f"{A}.mrc") == -1


def test_case_and_dots_count_as_little_as_they_do_elsewhere() -> None:
    index = StemIndex(["grid1.Pos2"])
    assert index.find("MotionCorr/job002/grid1_Pos2.mrc") == 0
    assert index.find("GRID1.POS2_EER.eer") == 0


def test_names_that_do_not_tell_exposures_apart_are_refused() -> None:
    with pytest.raises(ConfigError, match="two exposures are called 'A'"):
        StemIndex(["a", "A"])
    with pytest.raises(ConfigError, match="an exposure has no name"):
        StemIndex([""])


def test_lists_of_bad_files_read_as_names(tmp_path: Path) -> None:
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text(f"/data/{A}.jpg\n\n# by hand\n/data/{B}.jpg\r\n")
    second.write_text(f"{A}_fractions.tiff\nother_EER.eer\n")
    assert read_name_list([first, second]) == [A, B, "other"]
    with pytest.raises(FormatError, match="cannot read: No such file"):
        read_name_list([tmp_path / "c.txt"])
    (tmp_path / "d.jpg").write_bytes(b"\xff\0")
    with pytest.raises(FormatError, match="binary"):
        read_name_list([tmp_path / "d.jpg"])
