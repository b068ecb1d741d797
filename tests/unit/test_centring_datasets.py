"""Pictures with counts from tables, HDF5, npz and the simulator, and what is wrong with some."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from refimpl.centring.crops import CropRule, prepared
from refimpl.centring.datasets import open_samples, rule_of, simulated, write_hdf5, write_npz
from refimpl.centring.samples import Samples
from refimpl.centring.simulate_view import crop_rule
from refimpl.errors import ConfigError, FormatError

RULE = CropRule(16.0, 8.0)
WRITE = {"h5": write_hdf5, "npz": write_npz}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures of two crystals, one in colour, and their table."""
    place = tmp_path_factory.mktemp("collection")
    rng = np.random.default_rng(4)
    (place / "pictures").mkdir()
    for k in range(3):
        picture = rng.integers(0, 255, (60, 80), dtype=np.uint8)
        Image.fromarray(picture).save(place / f"pictures/{k}.png")
    colour = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(colour).save(place / "pictures/3.png")
    (place / "table.csv").write_text(
        "image,rc,crystal,zoom,omega_deg,time_s,x_px,y_px,note\n"
        "pictures/0.png,12,c1,1,90,1544806800.5,,,\n"
        "pictures/1.png,0,c1,2.5,,,40,30,the middle\n"
        "\n"
        "pictures/2.png,345.5,c2,1,,,20,50,\n"
        "pictures/3.png,7,c2,1,,,,,\n"
        "pictures/3.png,8,c2,1,,,10,10,\n"
    )
    (place / "counts.csv").write_text("frame,rc\n1,2\n")
    return place


def picture(folder: Path, number: int) -> Any:
    return np.asarray(Image.open(folder / f"pictures/{number}.png"))


def test_a_folder_with_a_table(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    got = open_samples(
        folder, size=24, rule=RULE, progress=lambda done, of: told.append((done, of))
    )
    assert told == [(k, 5) for k in range(1, 6)]
    assert got.images.shape == (5, 1, 24, 24)
    assert got.count.tolist() == [12.0, 0.0, 345.5, 7.0, 8.0]
    assert got.crystal.tolist() == ["c1", "c1", "c2", "c2", "c2"]
    assert got.name[0] == "pictures/0.png"
    assert got.omega_rad[0] == pytest.approx(np.pi / 2.0)
    assert np.isnan(got.omega_rad[1:]).all()
    for row, number, zoom, at in (
        (0, 0, 1.0, None), (1, 1, 2.5, None), (2, 2, 1.0, (20.0, 50.0)), (3, 3, 1.0, None),
        (4, 3, 1.0, (10.0, 10.0)),
    ):  # fmt: skip
        want = prepared(picture(folder, number), zoom, RULE, size=24, centre_px=at)
        np.testing.assert_allclose(got.images[row, 0], want, atol=1e-5)
    again = open_samples(folder / "table.csv", size=24, rule=RULE)
    np.testing.assert_array_equal(again.images, got.images)


def test_without_a_rule_the_largest_square(folder: Path) -> None:
    got = open_samples(folder, size=60)
    want = prepared(picture(folder, 0)[:, 10:70], 0.0, CropRule(60.0, 0.0), size=60)
    np.testing.assert_allclose(got.images[0, 0], want, atol=1e-5)


def test_colour(folder: Path) -> None:
    got = open_samples(folder, size=24, rule=RULE, channels=3)
    assert got.channels == 3
    for k in range(3):
        want = prepared(picture(folder, 3)[..., k], 1.0, RULE, size=24)
        np.testing.assert_allclose(got.images[3, k], want, atol=1e-5)
        np.testing.assert_array_equal(got.images[0, k], got.images[0, 0])


@pytest.mark.parametrize("suffix", WRITE)
def test_files_give_back_what_was_written(folder: Path, tmp_path: Path, suffix: str) -> None:
    made = open_samples(folder, size=24, rule=RULE)
    path = WRITE[suffix](made, tmp_path / f"a.{suffix}", rule=RULE)
    got = open_samples(path, size=24)
    for name in ("images", "count", "crystal", "zoom", "omega_rad", "name"):
        np.testing.assert_array_equal(getattr(got, name), getattr(made, name))
    assert rule_of(path) == RULE
    assert rule_of(WRITE[suffix](made, tmp_path / f"b.{suffix}")) is None
    with pytest.raises(ConfigError, match=r"\(1, 24, 24\): expected \(1, 32, 32\)"):
        open_samples(path, size=32)
    with pytest.raises(ConfigError, match="cropped already: give no rule"):
        open_samples(path, size=24, rule=RULE)


def test_arrays_of_others(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 4000, (4, 40, 50), dtype=np.uint16)
    columns = {"rc": np.arange(4), "crystal_id": np.array([b"x", b"x", b"y", b"y"])}
    with h5py.File(tmp_path / "o.h5", "w") as file:
        file["images"], file["zoom"] = pictures, np.ones(4)
        for name, values in columns.items():
            file[name] = values
    got = open_samples(tmp_path / "o.h5", size=16, rule=RULE)
    np.testing.assert_allclose(
        got.images[2, 0], prepared(pictures[2], 1.0, RULE, size=16), atol=1e-5
    )
    assert got.crystal.tolist() == ["x", "x", "y", "y"]
    np.savez(tmp_path / "o.npz", image=pictures, count=np.arange(4), crystal=["x", "x", "y", "z"])
    assert open_samples(tmp_path / "o.npz", size=40).crystal[3] == "z"


def test_simulated() -> None:
    got = open_samples("simulated:3x1x4", size=20, seed=5)
    assert len(got) == 12
    assert sorted(set(got.crystal)) == ["5-00000", "5-00001", "5-00002"]
    np.testing.assert_array_equal(got.images, simulated(3, 1, 4, 20, seed=5).images)
    assert not np.array_equal(got.images, simulated(3, 1, 4, 20, seed=6).images)
    assert open_samples("simulated:2x1x1", size=8, channels=3).channels == 3
    assert rule_of("simulated:3") == crop_rule()
    with pytest.raises(ConfigError, match="'simulated:many': expected simulated:N or"):
        open_samples("simulated:many")
    with pytest.raises(ConfigError, match="cropped to 240 um: give no rule"):
        open_samples("simulated:1", rule=RULE)
    with pytest.raises(ConfigError, match="0 crystals"):
        open_samples("simulated:0")


@pytest.mark.parametrize(
    ("row", "line", "key", "words"),
    [
        ("gone.png,1,c", 3, "image", r"gone\.png: cannot read the picture: No such file"),
        ("nan.tif,1,c", 3, "image", "the picture has values that are not finite"),
        ("text.png,1,c", 3, "image", r"text\.png: not a picture"),
        ("0.png,,c", 3, "rc", "reflection count nan: expected a number of 0 or more"),
        ("0.png,nan,c", 3, "rc", "reflection count nan"),
        ("0.png,-1,c", 3, "rc", "reflection count -1"),
        ("0.png,many,c", 3, "rc", "rc 'many': expected a number"),
        ("0.png,3,", 3, "crystal", "an empty cell"),
        ("ok.png,3,c", 3, "image", "picture ok.png comes twice, first in line 2"),
        ("0.png,3", 3, None, "2 cells: the header has 3"),
    ],
)
def test_rows_that_are_wrong(
    tmp_path: Path, row: str, line: int, key: str | None, words: str
) -> None:
    for name in ("ok.png", "0.png"):
        Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / name)
    Image.fromarray(np.full((8, 8), np.nan, dtype=np.float32)).save(tmp_path / "nan.tif")
    (tmp_path / "text.png").write_text("no picture")
    table = tmp_path / "pairs.csv"
    table.write_text(f"image,rc,crystal\nok.png,3,c\n{row}\n")
    with pytest.raises(FormatError, match=words) as caught:
        open_samples(table, size=8)
    assert (caught.value.path, caught.value.line, caught.value.key) == (table, line, key)


def test_tables_that_are_wrong(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"0 CSV files and no table\.csv"):
        open_samples(tmp_path)
    (tmp_path / "a.csv").write_text("image,rc\n")
    with pytest.raises(FormatError, match=r"a\.csv:1: no column crystal or crystal_id"):
        open_samples(tmp_path)
    (tmp_path / "b.csv").write_text("x\n")
    with pytest.raises(FormatError, match=r"2 CSV files and no table\.csv"):
        open_samples(tmp_path)
    with pytest.raises(FormatError, match=r"none\.csv: cannot read: No such file"):
        open_samples(tmp_path / "none.csv")
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / "p.png")
    (tmp_path / "table.csv").write_text("image,rc,crystal,x_px,y_px\np.png,1,c,3,\n")
    with pytest.raises(FormatError, match=r"x_px 3 and y_px nan: expected both or none"):
        open_samples(tmp_path)
    (tmp_path / "table.csv").write_text("image,rc,crystal\np.png,1,c\n")
    with pytest.raises(FormatError, match=r"table\.csv:2: no zoom: the crop is linear in it"):
        open_samples(tmp_path, rule=RULE)
    assert len(open_samples(tmp_path, rule=CropRule(8.0, 0.0))) == 1
    with pytest.raises(ConfigError, match="2 channels: expected 1 px or more, 1 or 3 channels"):
        open_samples(tmp_path, channels=2)


def test_files_that_are_wrong(tmp_path: Path) -> None:
    for suffix, words in (("h5", "cannot read as HDF5"), ("npz", "cannot read as npz")):
        with pytest.raises(FormatError, match=words):
            open_samples(tmp_path / f"none.{suffix}")
        (tmp_path / f"bad.{suffix}").write_text("nothing of the kind")
        with pytest.raises(FormatError, match=words):
            open_samples(tmp_path / f"bad.{suffix}")

    def of(**columns: Any) -> Path:
        np.savez(tmp_path / "x.npz", **columns)
        return tmp_path / "x.npz"

    good = {"images": np.zeros((2, 8, 8)), "rc": np.ones(2), "crystal": ["a", "b"]}
    with pytest.raises(FormatError, match="no array crystal or crystal_id"):
        open_samples(of(images=good["images"], rc=good["rc"]))
    with pytest.raises(FormatError, match=r"count of shape \(3,\) for 2 pictures"):
        open_samples(of(**good | {"rc": np.ones(3)}))
    with pytest.raises(FormatError, match="rc and count: two arrays of one meaning"):
        open_samples(of(**good, count=np.ones(2)))
    with pytest.raises(ConfigError, match=r"x\.npz: picture 1: reflection count nan"):
        open_samples(of(**good | {"rc": [1.0, np.nan]}))
    with pytest.raises(FormatError, match="count: expected numbers"):
        open_samples(of(**good | {"rc": ["many", "few"]}))
    with pytest.raises(ConfigError, match=r"pictures of shape \(2, 8\)"):
        open_samples(of(**good | {"images": np.zeros((2, 8))}))
    with pytest.raises(ConfigError, match=r"x\.npz: the picture has values that are not finite"):
        open_samples(of(**good | {"images": np.full((2, 8, 8), np.inf)}))
    newer = {"kind": ["refimpl.centring_samples"], "schema": [9]}
    with pytest.raises(FormatError, match="schema 9 is newer than this refimpl"):
        open_samples(of(**good, **newer))


def test_samples_keep_their_columns() -> None:
    made = Samples.of(np.zeros((3, 4, 4)), [1, 2, 3], list("abc"), zoom=[1, 2, 3], name=list("xyz"))
    part = made.some(np.array([2, 0]))
    assert part.zoom.tolist() == [3.0, 1.0]
    assert part.name.tolist() == ["z", "x"]
    assert np.isnan(part.omega_rad).all()
    with pytest.raises(ConfigError, match="3 pictures, 2 of zoom"):
        Samples.of(np.zeros((3, 4, 4)), [1, 2, 3], list("abc"), zoom=[1, 2])
