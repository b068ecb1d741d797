"""Groups into files of RELION that exist, and bad micrographs out of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.epu.optics_groups import OpticsGroups
from refimpl.epu.optics_transfer import drop, prune, regroup
from refimpl.errors import ConfigError, FormatError
from refimpl.io.star import StarFile, StarTable, parse_star

STEMS = tuple(f"FoilHole_{i}_Data_5_7_20200206_17064{i}" for i in range(6))

PARTICLES = (
    """
# version 30001

data_optics

loop_ ~
_rlnOpticsGroupName #1 ~
_rlnOpticsGroup #2 ~
_rlnVoltage #3 ~
_rlnImagePixelSize #4 ~
_rlnOddZernike #5 ~
session7            1   300.000000     1.770000 [0.1,-2.3,0,0,0,0] ~
 ~

# version 30001

data_particles

loop_ ~
_rlnCoordinateX #1 ~
_rlnImageName #2 ~
_rlnMicrographName #3 ~
_rlnOpticsGroup #4 ~
_rlnRandomSubset #5 ~
""".replace("~", "")
    + "".join(
        f"  {100 + k}.500000 {k + 1:06d}@Extract/job007/Movies/{stem}_EER.mrcs "
        f"MotionCorr/job002/Movies/{stem}_EER.mrc            1            {k % 2 + 1} \n"
        for k, stem in enumerate(stem for stem in STEMS for _ in range(2))
    )
    + " \n"
)
"""Particles of RELION 4: two of each of six micrographs, one group with refined aberrations."""


def grouped(
    labels: list[int], stems: tuple[str, ...] = STEMS, n: int | None = None
) -> OpticsGroups:
    """Groups of exposures."""
    n = n or max(labels)
    nan = np.full(n, np.nan)
    return OpticsGroups(stems, np.array(labels), tuple(f"opticsGroup{i + 1}" for i in range(n)),
                        np.full((n, 2), np.nan), nan, nan, "by hand")  # fmt: skip


def test_particles_get_groups_and_keep_all_else() -> None:
    star = parse_star(PARTICLES)
    done = regroup(star, grouped([2, 1, 2, 3, 1, 3]))
    optics, data = done.star.table("optics"), done.star.table("particles")
    assert optics.column("rlnOpticsGroupName") == [f"opticsGroup{i}" for i in (1, 2, 3)]
    assert optics.integers("rlnOpticsGroup").tolist() == [1, 2, 3]
    assert optics.column("rlnOddZernike") == ["[0.1,-2.3,0,0,0,0]"] * 3
    assert optics.column("rlnImagePixelSize") == ["1.770000"] * 3
    assert data.integers("rlnOpticsGroup").tolist() == [2, 2, 1, 1, 2, 2, 3, 3, 1, 1, 3, 3]
    assert (done.n_before, done.n_after, done.unmatched) == (12, 12, ())
    assert done.matched == STEMS
    same = data.replaced("rlnOpticsGroup", [1] * 12)
    assert same.rows == star.table("particles").rows
    assert parse_star(done.star.text()).text() == done.star.text()


def test_a_group_without_particles_keeps_its_number_and_says_so() -> None:
    done = regroup(parse_star(PARTICLES), grouped([1, 1, 3, 3, 4, 4], n=5))
    assert len(done.star.table("optics")) == 5
    assert done.notes == ("2 of 5 optics groups have no micrographs; they stay in the table",)
    pruned = prune(done.star)
    assert pruned.table("optics").column("rlnOpticsGroupName") == [
        f"opticsGroup{i}" for i in (1, 3, 4)
    ]
    assert pruned.table("optics").integers("rlnOpticsGroup").tolist() == [1, 2, 3]
    assert (
        pruned.table("particles").integers("rlnOpticsGroup").tolist() == [1] * 4 + [2] * 4 + [3] * 4
    )
    assert prune(pruned) is pruned


def test_pruned_groups_are_numbered_by_their_place() -> None:
    text = ("data_optics\nloop_\n_rlnOpticsGroup #1\n_rlnOpticsGroupName #2\n7 c\n3 a\n5 b\n\n"
            "data_movies\nloop_\n_rlnMicrographMovieName #1\n_rlnOpticsGroup #2\nx.tif 5\n"
            "y.tif 7\n")  # fmt: skip
    star = prune(parse_star(text))
    assert star.table("optics").column("rlnOpticsGroupName") == ["c", "b"]
    assert star.table("optics").integers("rlnOpticsGroup").tolist() == [1, 2]
    assert star.table("movies").integers("rlnOpticsGroup").tolist() == [2, 1]


def test_several_groups_are_replaced_only_when_asked_for() -> None:
    star = regroup(parse_star(PARTICLES), grouped([1, 1, 2, 2, 3, 3])).star
    with pytest.raises(ConfigError, match="3 optics groups are there already"):
        regroup(star, grouped([1] * 6))
    done = regroup(star, grouped([1] * 6), replace_groups=True)
    assert len(done.star.table("optics")) == 1
    assert set(done.star.table("particles").column("rlnOpticsGroup")) == {"1"}


def test_groups_of_different_optics_never_become_one() -> None:
    star = regroup(parse_star(PARTICLES), grouped([1, 1, 2, 2, 3, 3])).star
    odd = star.table("optics").replaced("rlnVoltage", [300.0, 200.0, 300.0])
    mixed = star.with_table(odd)
    with pytest.raises(ConfigError, match=r"join old groups 1, 2, whose _rlnVoltage differ: 200\."):
        regroup(mixed, grouped([1, 2, 1, 2, 2, 2]), replace_groups=True)
    done = regroup(mixed, grouped([2, 3, 1, 1, 2, 3]), replace_groups=True)
    assert done.star.table("optics").column("rlnVoltage") == ["200.000000"] + ["300.000000"] * 2


def test_micrographs_of_no_exposure_are_refused_dropped_or_kept() -> None:
    star = parse_star(PARTICLES)
    some = grouped([1, 2, 1, 2], STEMS[:4])
    with pytest.raises(ConfigError, match=f"2 of its micrographs .*, 'MotionCorr/.*{STEMS[4]}_EER"):
        regroup(star, some)
    dropped = regroup(star, some, unmatched="drop")
    assert (dropped.n_before, dropped.n_after) == (12, 8)
    assert len(dropped.unmatched) == 2
    kept = regroup(star, some, unmatched="keep")
    assert kept.n_after == 12
    assert kept.star.table("optics").column("rlnOpticsGroupName")[-1] == "session7"
    assert kept.star.table("particles").integers("rlnOpticsGroup").tolist()[-4:] == [3] * 4
    assert "keep their optics: 2, in groups of their own: 1" in kept.notes[-1]
    with pytest.raises(ConfigError, match="6 of its micrographs belong to no exposure"):
        regroup(star, grouped([1], ("FoilHole_9_Data_1_2_20200206_170640",)), unmatched="keep")
    with pytest.raises(ConfigError, match="unmatched 'ask'"):
        regroup(star, some, unmatched="ask")


def test_names_of_kept_groups_do_not_clash() -> None:
    text = PARTICLES.replace("session7", "opticsGroup1")
    kept = regroup(parse_star(text), grouped([1] * 5, STEMS[:5]), unmatched="keep")
    assert kept.star.table("optics").column("rlnOpticsGroupName") == [
        "opticsGroup1", "opticsGroup1_kept1",
    ]  # fmt: skip


def test_movies_get_groups_that_the_table_did_not_have() -> None:
    text = ("data_optics\n\n_rlnVoltage 300.0\n\ndata_movies\nloop_\n_rlnMicrographMovieName #1\n"
            + "".join(f"Movies/{stem}_EER.eer\n" for stem in STEMS))  # fmt: skip
    done = regroup(parse_star(text), grouped([1, 2, 3, 1, 2, 3]))
    again = parse_star(done.star.text())
    assert again.table("movies").integers("rlnOpticsGroup").tolist() == [1, 2, 3, 1, 2, 3]
    assert again.table("optics").columns == ("rlnVoltage", "rlnOpticsGroupName", "rlnOpticsGroup")
    assert len(again.table("optics")) == 3


def test_bad_micrographs_go_and_the_optics_table_stays() -> None:
    star = regroup(parse_star(PARTICLES), grouped([1, 1, 2, 2, 3, 3])).star
    done = drop(star, [STEMS[4], "FoilHole_9_Data_1_2_20200206_170640", STEMS[5]])
    assert (done.n_before, done.n_after) == (12, 8)
    assert done.unmatched == ("FoilHole_9_Data_1_2_20200206_170640",)
    assert done.matched == STEMS[4:]
    assert done.star.table("optics").rows == star.table("optics").rows
    assert done.star.table("particles").rows == star.table("particles").rows[:8]
    assert done.notes == ("1 of 3 optics groups have no micrographs; they stay in the table",)


def test_a_list_that_fits_nothing_changes_nothing() -> None:
    star = parse_star(PARTICLES)
    done = drop(star, ["other"])
    assert done.star.text() == PARTICLES
    assert (done.n_after, done.unmatched, done.notes) == (12, ("other",), ())


def test_picked_coordinates_are_cleaned_too() -> None:
    text = ("data_coordinate_files\nloop_\n_rlnMicrographName #1\n_rlnMicrographCoordinates #2\n"
            f"M/{STEMS[0]}.mrc a.star\nM/{STEMS[1]}.mrc b.star\n")  # fmt: skip
    done = drop(parse_star(text), STEMS[:1])
    assert done.star.table("coordinate_files").column("rlnMicrographCoordinates") == ["b.star"]


def test_drop_refusals() -> None:
    with pytest.raises(ConfigError, match="all 12 rows would go"):
        drop(parse_star(PARTICLES), STEMS)
    with pytest.raises(FormatError, match="no table names micrographs"):
        drop(parse_star("data_general\n_x 1\n"), STEMS)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=30),
    st.lists(st.integers(1, 4), min_size=6, max_size=6),
    st.sets(st.integers(0, 5)),
)
def test_any_file_keeps_rows_and_groups_together(
    micrographs: list[int], labels: list[int], bad: set[int]
) -> None:
    names = [f"d/{STEMS[i]}_EER.mrc" for i in micrographs]
    star = StarFile((
        StarTable.of("optics", {"rlnOpticsGroup": [1], "rlnVoltage": [300.0]}),
        StarTable.of("particles", {"rlnMicrographName": names, "rlnOpticsGroup": [1] * len(names),
                                   "rlnId": list(range(len(names)))}),
    ))  # fmt: skip
    done = regroup(star, grouped(labels)).star
    expected = [(k, labels[i]) for k, i in enumerate(micrographs) if i not in bad]
    if not expected:
        with pytest.raises(ConfigError, match="rows would go"):
            drop(done, [STEMS[i] for i in bad])
        return
    pruned = prune(drop(done, [STEMS[i] for i in bad]).star)
    data, optics = pruned.table("particles"), pruned.table("optics")
    group_names = optics.column("rlnOpticsGroupName")
    assert optics.integers("rlnOpticsGroup").tolist() == list(range(1, len(optics) + 1))
    assert [
        (k, group_names[g - 1])
        for k, g in zip(data.integers("rlnId").tolist(),
                        data.integers("rlnOpticsGroup").tolist(), strict=True)
    ] == [(k, f"opticsGroup{g}") for k, g in expected]  # fmt: skip
