"""New STAR files of optics groups, the names in them, and groups read from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from refimpl.epu.optics_groups import OpticsGroups
from refimpl.epu.optics_names import exposure_groups_csv, find_names, made_names
from refimpl.epu.optics_star import OpticsSettings, groups_of_star, new_star, used_groups
from refimpl.errors import ConfigError, FormatError
from refimpl.io.star import parse_star

A = "FoilHole_1_Data_5_7_20200206_170645"
B = "FoilHole_2_Data_5_7_20200206_170745"
C = "FoilHole_3_Data_5_7_20200206_170845"


def groups(**changes: object) -> OpticsGroups:
    """Three exposures in two groups."""
    values = {
        "stems": (A, B, C), "labels": np.array([2, 1, 2]),
        "names": ("opticsGroup1", "opticsGroup2"),
        "centres": np.array([[0.01, 0.02], [-0.125, 0.5]]),
        "pixel_size_angstrom": np.array([0.8707678, 1.05]), "voltage_kv": np.array([300.0, 200.0]),
        "method": "by hand", "uids": ("ua", "ub", "uc"),
    }  # fmt: skip
    return OpticsGroups(**(values | changes))


def test_a_new_file_of_movies_is_what_relion_imports() -> None:
    names = [f"Movies/{stem}_EER.eer" for stem in (A, B, C)]
    text = new_star(groups(), names, OpticsSettings(cs_mm=0.01, mtf="mtf.star")).text()
    assert (
        text
        == f"""
# version 30001

data_optics

loop_ ~
_rlnOpticsGroupName #1 ~
_rlnOpticsGroup #2 ~
_rlnMtfFileName #3 ~
_rlnMicrographOriginalPixelSize #4 ~
_rlnVoltage #5 ~
_rlnSphericalAberration #6 ~
_rlnAmplitudeContrast #7 ~
opticsGroup1            1 mtf.star     0.870768   300.000000     0.010000     0.100000 ~
opticsGroup2            2 mtf.star     1.050000   200.000000     0.010000     0.100000 ~

# version 30001

data_movies

loop_ ~
_rlnMicrographMovieName #1 ~
_rlnOpticsGroup #2 ~
Movies/{A}_EER.eer            2 ~
Movies/{B}_EER.eer            1 ~
Movies/{C}_EER.eer            2 ~
 ~
""".replace("~", "")
    )


def test_micrographs_carry_the_pixel_size_that_relion_asks_of_them() -> None:
    star = new_star(groups(), ["b.mrc", None, "a.mrc"], table="micrographs")
    optics, data = star.table("optics"), star.table("micrographs")
    assert optics.column("rlnMicrographPixelSize") == ["0.870768", "1.050000"]
    assert "rlnMtfFileName" not in optics
    assert data.column("rlnMicrographName") == ["a.mrc", "b.mrc"]
    assert len(optics) == 2  # group 1 lost its only micrograph and keeps its number
    assert data.integers("rlnOpticsGroup").tolist() == [2, 2]


def test_given_optics_stand_above_those_of_the_files() -> None:
    settings = OpticsSettings(pixel_size_angstrom=0.43, voltage_kv=300.0)
    unknown = groups(pixel_size_angstrom=np.array([np.nan, 1.0]))
    optics = new_star(unknown, ["a.tif"] * 3, settings).table("optics")
    assert optics.column("rlnMicrographOriginalPixelSize") == ["0.430000"] * 2
    with pytest.raises(ConfigError, match="do not tell the pixel size: state it"):
        new_star(unknown, ["a.tif"] * 3)
    with pytest.raises(ConfigError, match="do not tell the voltage"):
        new_star(groups(voltage_kv=np.full(2, np.nan)), ["a.tif"] * 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [("cs_mm", -1.0), ("amplitude_contrast", 1.5), ("pixel_size_angstrom", 0.0),
     ("voltage_kv", 300000.0), ("cs_mm", float("nan"))],
)  # fmt: skip
def test_optics_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} .*: expected"):
        OpticsSettings(**{name: value})


def test_new_file_refusals() -> None:
    with pytest.raises(ConfigError, match="none of 3 exposures has a file"):
        new_star(groups(), [None] * 3)
    with pytest.raises(ConfigError, match="expected movies or micrographs"):
        new_star(groups(), ["a"] * 3, table="particles")
    with pytest.raises(ConfigError, match="2 names for 3 exposures"):
        new_star(groups(), ["a", "b"])


def test_groups_come_back_from_a_file() -> None:
    star = new_star(groups(), [f"Movies/{stem}_EER.eer" for stem in (A, B, C)])
    again = groups_of_star(star)
    assert dict(zip(again.stems, again.labels.tolist(), strict=True)) == {A: 2, B: 1, C: 2}
    assert again.names == ("opticsGroup1", "opticsGroup2")
    np.testing.assert_allclose(again.pixel_size_angstrom, [0.870768, 1.05])
    assert np.isnan(again.centres).all()
    assert again.uids == ()


OPTICS = "data_optics\nloop_\n_rlnOpticsGroup #1\n_rlnOpticsGroupName #2\n{}\n\n"


def star_of(optics: str, rows: str) -> str:
    """Text of micrographs with a group each."""
    labels = "_rlnMicrographName #1\n_rlnOpticsGroup #2\n"
    return OPTICS.format(optics) + f"data_micrographs\nloop_\n{labels}{rows}\n"


def test_groups_that_relion_would_number_anew_are_numbered_by_their_place() -> None:
    star = parse_star(star_of("7 b\n3 a", "x_1.mrc 3\nx_2.mrc 7\nx_3.mrc 3"))
    found = groups_of_star(star)
    assert found.names == ("b", "a")
    assert found.labels.tolist() == [2, 1, 2]


@pytest.mark.parametrize(
    ("optics", "rows", "message"),
    [
        ("1 a", "x.mrc 2", "data_micrographs has optics group 2, which data_optics lacks"),
        ("1 a\n1 b", "x.mrc 1", "data_optics has a group twice"),
        ("1 a\n2 b", "d/x.mrc 1\ne/x.mrc 2", "x is in optics groups 1 and 2"),
    ],
)
def test_groups_that_contradict_each_other_are_refused(
    optics: str, rows: str, message: str
) -> None:
    with pytest.raises(FormatError, match=message):
        groups_of_star(parse_star(star_of(optics, rows)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data_\nloop_\n_rlnMicrographName #1\na.mrc\n", "no data_optics: convert this file of"),
        (OPTICS.format("1 a") + "data_global\n_x 1\n", "expected one of data_movies"),
        (OPTICS.format("1 a") + "data_particles\nloop_\n_rlnX #1\n1\n", "names no micrographs"),
        ("data_optics\nloop_\n_rlnOpticsGroup #1\n\ndata_movies\nloop_\n_rlnMicrographMovieName "
         "#1\na.mrc\n", "data_optics has no rows"),
    ],
)  # fmt: skip
def test_files_without_groups_are_refused(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        groups_of_star(parse_star(text))


def test_one_group_need_not_be_stated() -> None:
    text = "data_movies\nloop_\n_rlnMicrographMovieName #1\na.mrc\nb.mrc\n"
    assert used_groups(parse_star(OPTICS.format("4 a") + text)).tolist() == [4, 4]
    bare = "data_optics\nloop_\n_rlnVoltage #1\n300.0\n\n"
    assert groups_of_star(parse_star(bare + text)).names == ("opticsGroup1",)


def touch(folder: Path, *names: str) -> None:
    """Empty files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def test_movies_are_found_by_name_and_the_average_never_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "Movies", f"sq1/{A}_Fractions.mrc", f"sq1/{A}.mrc", f"sq2/{B}.mrc",
          f"GridSquare_1_Data_{C}_EER.eer", "FoilHole_9_Data_1_2_20200206_170645_EER.eer",
          f"{A}_gain.txt")  # fmt: skip
    monkeypatch.chdir(tmp_path)
    found = find_names((A, B, C), "./Movies")
    assert found.names == (f"Movies/sq1/{A}_Fractions.mrc", None,
                           f"Movies/GridSquare_1_Data_{C}_EER.eer")  # fmt: skip
    assert found.missing == (B,)
    assert found.strangers == ("Movies/FoilHole_9_Data_1_2_20200206_170645_EER.eer",)
    assert found.notes == ()
    outside = find_names((A,), tmp_path / "Movies")
    assert "RELION wants them relative" in outside.notes[0]


def test_plain_names_are_movies_where_nothing_else_is(tmp_path: Path) -> None:
    touch(tmp_path, f"{A}.tiff", f"{B}.mrc")
    found = find_names((A, B), tmp_path)
    assert found.names == (f"{tmp_path}/{A}.tiff", f"{tmp_path}/{B}.mrc")
    assert "plain images are taken for the movies" in found.notes[0]


def test_micrographs_of_motion_correction_are_the_plain_ones(tmp_path: Path) -> None:
    touch(tmp_path, f"{A}_Fractions.mrc", f"PS/{A}_Fractions_PS.mrc", f"{A}_Fractions.tiff",
          f"{B}.mrc")  # fmt: skip
    found = find_names((A, B, C), tmp_path, table="micrographs")
    assert found.names == (f"{tmp_path}/{A}_Fractions.mrc", f"{tmp_path}/{B}.mrc", None)
    assert found.several == (A,)


def test_nothing_to_be_found_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"no movies of 1 exposures, {A} for instance"):
        find_names((A,), tmp_path)
    with pytest.raises(ConfigError, match="no such folder"):
        find_names((A,), tmp_path / "nowhere")


def test_names_are_made_without_looking() -> None:
    expected = f"/nonexistent/{A}_Fractions.mrc"
    assert made_names((A,), "/nonexistent", "_Fractions.mrc").names == (expected,)
    assert made_names((A,), "/nonexistent/", "_Fractions.mrc").names == (expected,)
    assert made_names((A,), "", "_EER.eer").names == (f"{A}_EER.eer",)
    with pytest.raises(ConfigError, match="expected an end such as"):
        made_names((A,), "", "_EER")


def test_groups_for_cryosparc_state_their_numbers() -> None:
    assert exposure_groups_csv(groups()) == (
        "stem,exp_group_id,epu_uid,group_beam_shift_x,group_beam_shift_y\n"
        f"{A},2,ua,-0.125,0.5\n{B},1,ub,0.01,0.02\n{C},2,uc,-0.125,0.5\n"
    )
    bare = groups(uids=(), centres=np.full((2, 2), np.nan))
    assert exposure_groups_csv(bare) == f"stem,exp_group_id\n{A},2\n{B},1\n{C},2\n"
