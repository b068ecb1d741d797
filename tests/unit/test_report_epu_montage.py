"""Montage of duplicates: streamed, four pictures a row, nothing missing without a word."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from refimpl import hooks
from refimpl.epu.affine import affine
from refimpl.epu.duplicates import find_duplicates
from refimpl.epu.session import Session, table_of
from refimpl.errors import ConfigError
from refimpl.report import montage
from refimpl.report.epu_montage import Montage, stamp_of, write_montage
from refimpl.report.png_stream import GreyPng, grey_png


def names_of(n: int) -> list[str]:
    return [
        f"FoilHole_{100 + i}_Data_7_9_20240131_{i // 3600:02d}{i // 60 % 60:02d}{i % 60:02d}"
        for i in range(n)
    ]


def a_session(
    folder: Path, n: int, *, foil: bool = True, sides: tuple[int, int] = (64, 48)
) -> Session:
    """Exposures at one place, each with a picture of one grey of its own, and one of its hole."""
    names = names_of(n)
    for i, name in enumerate(names):
        Image.new("L", sides, 20 + i % 200).save(folder / f"{name}.jpg")
    table = table_of(
        name=names, path=[str(folder / f"{name}.xml") for name in names], hole=np.arange(n) + 100,
        square=1, time_s=1.7e9 + np.arange(n), stage_x_um=np.zeros(n), stage_y_um=0.0,
        beam_shift_x=np.zeros(n), beam_shift_y=0.0, beam_diameter_um=0.5,
    )  # fmt: skip
    session = Session(table)
    if not foil:
        return session
    holes = [folder / f"FoilHole_{100 + i}_20240130_235959.jpg" for i in range(n)]
    for path in holes:
        Image.new("L", sides, 240).save(path)
    images = pd.DataFrame({"path": [str(p) for p in holes], "square": 1,
                           "hole": np.arange(n) + 100, "time_s": 1.6e9})  # fmt: skip
    return replace(session, foil_images=images)


def pairs_of(n: int) -> np.ndarray:
    return np.stack([np.zeros(n, dtype=np.int64), np.arange(1, n + 1)], axis=1)


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.mode == "L"
        return np.asarray(picture)


def test_a_row_has_both_exposures_and_both_holes(tmp_path: Path) -> None:
    session = a_session(tmp_path, 3)
    found = find_duplicates(session, affine(24.0))
    done: Montage = hooks.call("epu.montage", session, found, tmp_path / "m.png")
    assert (done.cases, done.left_out, done.missing, done.has_foil_holes) == (2, 0, (), True)
    shown = opened(tmp_path / "m.png")
    wide, tall, margin = 256, 192, montage.MARGIN_PX  # four times the 64 x 48 of the files
    assert shown.shape[1] == 4 * (wide + margin) + margin
    top = 24  # the title, of letters of 12 px
    assert shown.shape[0] == top + 2 * (24 + tall + margin)
    for row, second in enumerate((1, 2)):
        y = top + row * (24 + tall + margin) + 24 + tall // 2
        greys = [int(shown[y, margin + k * (wide + margin) + 100]) for k in range(4)]
        np.testing.assert_allclose(greys, [20, 20 + second, 240, 240], atol=2)  # JPEG rounds


def test_fault_13_limit_counts_cases_and_rows_are_streamed(tmp_path: Path) -> None:
    """Published: 99 *images* of 100 cases, and a canvas as tall as all pictures together."""
    session = a_session(tmp_path, 31, sides=(448, 448))
    tracemalloc.start()
    done = write_montage(session, pairs_of(30), tmp_path / "m.png", limit=25)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (done.cases, done.left_out) == (25, 5)
    assert "5 more are over the limit and left out" in done.sentences()
    with Image.open(tmp_path / "m.png") as picture:
        whole = picture.size[0] * picture.size[1]
        assert picture.size == (4 * 451 + 3, 30 + 25 * (30 + 451))
    # a few copies of a row at a time, never the picture: it would be 22 MB
    assert peak < 0.6 * whole
    assert write_montage(session, pairs_of(2), tmp_path / "m.png", limit=0).cases == 2


def test_memory_does_not_grow_with_the_cases(tmp_path: Path) -> None:
    session = a_session(tmp_path, 3, sides=(300, 300))
    peaks = []
    for n in (4, 40):
        rows = np.tile([[0, 1]], (n, 1))
        tracemalloc.start()
        write_montage(session, rows, tmp_path / "m.png")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_fault_04_no_pictures_of_foil_holes(tmp_path: Path) -> None:
    """Published: ``color.red`` does not exist, so the warning about them is an AttributeError."""
    session = a_session(tmp_path, 5, foil=False)
    done = write_montage(session, pairs_of(3), tmp_path / "m.png")
    assert not done.has_foil_holes
    assert any("no picture of a foil hole" in line for line in done.sentences())
    shown = opened(tmp_path / "m.png")
    assert shown.shape[1] == 2 * (2 * 259 + 3)  # four pictures a row all the same: two cases


def test_missing_and_broken_pictures_are_named_in_grey_tiles(tmp_path: Path) -> None:
    session = a_session(tmp_path, 4, sides=(400, 200))
    names = session.table["name"].tolist()
    (tmp_path / f"{names[1]}.jpg").unlink()
    (tmp_path / f"{names[2]}.jpg").write_bytes((tmp_path / f"{names[3]}.jpg").read_bytes()[:200])
    Path(session.foil_images["path"][3]).unlink()
    done = write_montage(session, pairs_of(3), tmp_path / "m.png")
    assert done.missing == (
        f"{names[1]}: no picture", f"{names[2]}: cannot be read",
        "FoilHole_103_20240130_235959.jpg: no such picture",
    )  # fmt: skip
    assert done.sentences()[-1].startswith("3 pictures missing: ")
    shown = opened(tmp_path / "m.png")
    tile = shown[60 + 30 : 60 + 200, 3 + 403 : 3 + 803]  # the second tile of the first row
    assert (tile == 150).mean() > 0.8
    assert (tile < 60).any()  # the name


def test_a_hole_that_was_never_pictured_is_said(tmp_path: Path) -> None:
    session = a_session(tmp_path, 3)
    late = session.foil_images.assign(time_s=1.8e9)
    done = write_montage(replace(session, foil_images=late), pairs_of(1), tmp_path / "m.png")
    assert [m.partition(": ")[0] for m in done.missing] == [
        f"foil hole of {name}" for name in session.table["name"][:2]
    ]


def test_half_size_more_a_row_and_the_end_of_a_row(tmp_path: Path) -> None:
    session = a_session(tmp_path, 4, sides=(400, 320))
    seen: list[tuple[int, int]] = []
    write_montage(session, pairs_of(3), tmp_path / "m.png", resize=True, per_row=8,
                  progress=lambda k, n: seen.append((k, n)))  # fmt: skip
    assert seen == [(1, 3), (2, 3), (3, 3)]
    shown = opened(tmp_path / "m.png")
    assert shown.shape == (18 + 2 * (18 + 160 + 3), 2 * (4 * 203 + 3))
    assert (shown[-160:, 4 * 203 + 8 :] == 255).all()  # no fourth case


def test_large_pictures_are_made_to_fit_in_their_proportions(tmp_path: Path) -> None:
    session = a_session(tmp_path, 2, sides=(1440, 1024))
    write_montage(session, pairs_of(1), tmp_path / "m.png")
    assert opened(tmp_path / "m.png").shape[1] == 4 * (448 + 3) + 3
    assert opened(tmp_path / "m.png").shape[0] == 30 + 30 + round(1024 * 448 / 1440) + 3


def test_what_is_impossible_is_refused(tmp_path: Path) -> None:
    session = a_session(tmp_path, 2)
    with pytest.raises(ConfigError, match="there is no duplicate to show"):
        write_montage(session, pairs_of(0), tmp_path / "m.png")
    with pytest.raises(ConfigError, match="limit -1: 0"):
        write_montage(session, pairs_of(1), tmp_path / "m.png", limit=-1)
    with pytest.raises(ConfigError, match="6 pictures a row: a multiple of 4"):
        write_montage(session, pairs_of(1), tmp_path / "m.png", per_row=6)
    assert not (tmp_path / "m.png").exists()


def test_pairs_as_a_table(tmp_path: Path) -> None:
    session = a_session(tmp_path, 3)
    table = pd.DataFrame({"first": [0], "second": [2], "distance_um": [0.1], "overlap": [np.nan]})
    assert write_montage(session, table, tmp_path / "m.png").cases == 1


def test_time_stamps_come_from_the_names() -> None:
    assert stamp_of("FoilHole_1_Data_2_3_20200206_170645") == "2020-02-06 17:06:45"
    assert stamp_of("exposure_000001") == ""


@settings(max_examples=20)
@given(st.integers(1, 40), st.lists(st.integers(0, 9), max_size=6), st.integers(0, 9))
def test_streamed_pictures_read_back(
    tmp_path_factory, width: int, bands: list[int], seed: int
) -> None:
    height = sum(bands)
    path = tmp_path_factory.mktemp("png") / "p.png"
    if not height:
        with pytest.raises(ConfigError, match="0 px"), grey_png(path, width, height):
            pass
        return
    values = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    with grey_png(path, width, height) as picture:
        for end, lines in zip(np.cumsum(bands), bands, strict=True):
            picture.write(values[end - lines : end])
    np.testing.assert_array_equal(opened(path), values)


def test_a_picture_that_is_not_filled_does_not_appear(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    band = np.zeros((2, 5), dtype=np.uint8)
    with pytest.raises(ConfigError, match="2 lines for a picture of 3"), grey_png(path, 5, 3) as p:
        p.write(band)
    with pytest.raises(ConfigError, match="4 lines for a picture of 3"), grey_png(path, 5, 3) as p:
        p.write(np.tile(band, (2, 1)))
    with pytest.raises(ConfigError, match=r"expected \(n, 5\) uint8"), grey_png(path, 5, 3) as p:
        p.write(band[:, :4])
    assert not list(tmp_path.iterdir())
    with open(tmp_path / "x", "wb") as file, pytest.raises(ConfigError, match="sides are 1 to"):
        GreyPng(file, 0, 4)
