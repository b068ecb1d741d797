"""Movies by the exposure's name, whatever stands before and behind it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from refimpl.epu.movies import index_movies, movie_stem
from refimpl.errors import ConfigError

A = "FoilHole_5330703_Data_5338216_5338218_20200206_200030"
B = "FoilHole_25330704_Data_20200206_200109"


@pytest.mark.parametrize(
    ("name", "stem", "is_movie"),
    [
        (f"{A}_fractions.tiff", A, True),
        (f"{A}_Fractions.tiff", A, True),
        (f"{A}_Fractions.mrc", A, True),
        (f"{A}_FRACTIONS.TIF", A, True),
        (f"{B}_EER.eer", B, True),
        (f"{B}.eer", B, True),
        (f"{A}_fractions.tiff.bz2", A, True),
        (f"GridSquare_5324661_Data_{A}_fractions.tiff", A, True),
        (f"000012_{A}_Fractions_aligned.mrcs", A, True),
        (f"{A}.mrc", A, False),
        (f"{A}_aligned_mic_DW.mrc", A, False),
        ("grid_0007_fractions.tiff", "grid_0007", True),
        ("grid_0007.mrc", "grid_0007", False),
    ],
)
def test_names(name: str, stem: str, is_movie: bool) -> None:
    assert movie_stem(name) == (stem, is_movie)


@pytest.mark.parametrize(
    "name", [f"{A}.xml", f"{A}_Fractions.xml", f"{A}.jpg", f"{A}_fractions.tiff.part", "notes.txt",
             ".tiff", f"{A}", f"{A}_fractions.tiff~"],
)  # fmt: skip
def test_other_files(name: str) -> None:
    assert movie_stem(name) is None


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_fault_14_all_suffixes_in_any_case_by_one_walk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A substring test over all paths for each bad file; one suffix, lower case."""
    touch(tmp_path, f"a/{A}_Fractions.mrc", f"a/{A}.mrc", f"b/c/{B}_EER.eer", "gain.tiff",
          f"{A[:-1]}1_fractions.tiff", f"{A}_fractions/readme.txt")  # fmt: skip
    scanned: list[str] = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scanned.append(str(path)) or real(path))
    index = index_movies(tmp_path)
    folders = len(scanned)
    assert index.find(A) == (str(tmp_path / f"a/{A}_Fractions.mrc"),)  # not the average beside it
    assert index.find(B.upper()) == (str(tmp_path / f"b/c/{B}_EER.eer"),)
    assert index.find("FoilHole_1_Data_20200206_200109") == ()
    assert len(scanned) == folders == 5
    assert len(index) == 4


def test_a_single_image_where_there_is_no_movie_and_copies_sorted(tmp_path: Path) -> None:
    touch(tmp_path, f"b/{A}.mrc", f"a/{A}.mrc")
    assert index_movies(tmp_path).find(A) == (
        str(tmp_path / f"a/{A}.mrc"), str(tmp_path / f"b/{A}.mrc"),
    )  # fmt: skip


def test_links_are_followed_once_and_their_own_folder_counts(tmp_path: Path) -> None:
    touch(tmp_path, f"raw/{A}_fractions.tiff")
    (tmp_path / "again").symlink_to(tmp_path / "raw")
    (tmp_path / "raw/up").symlink_to(tmp_path)
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert index_movies(tmp_path).find(A) == (str(tmp_path / f"raw/{A}_fractions.tiff"),)
    # a folder of links to files elsewhere, as imports make
    (tmp_path / "job").mkdir()
    (tmp_path / f"job/7_{B}_EER.eer").symlink_to(tmp_path / "elsewhere.eer")
    assert index_movies(tmp_path / "job").find(B) == (str(tmp_path / f"job/7_{B}_EER.eer"),)


def test_a_subfolder_that_cannot_be_read_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, f"{A}_fractions.tiff", f"closed/{B}_EER.eer")
    real = os.scandir

    def closed(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert len(index_movies(tmp_path)) == 1
    with pytest.raises(ConfigError, match="closed: cannot read: Permission denied"):
        index_movies(tmp_path / "closed")


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="raw: no such folder of movies"):
        index_movies(tmp_path / "raw")


def test_progress_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "a.mrc")
    told: list[tuple[int, int]] = []
    index_movies(tmp_path, progress=lambda done, of: told.append((done, of)))
    assert told == [(0, 0)]
