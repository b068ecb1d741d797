"""Clusters and duplicates of find_dupl on the real session, and the text of its README."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from refimpl.clustering.beam_shift import cluster, k_of, lattice_edges, levels, spacings
from refimpl.epu.published import as_duplicates, duplicates, first_run, first_run_text
from refimpl.epu.session import Session, read_session
from refimpl.testing.golden import golden

LISTING = golden("published_listings/find_dupl").json()["lines"]
FIGURES = golden("published_figures/epu_afis").json()
SIX = 1e-6  # the centres were printed with six decimals


@pytest.fixture(scope="module")
def folder(real_data) -> Path:
    return real_data("epu-afis")


@pytest.fixture(scope="module")
def session(folder: Path) -> Session:
    return read_session(folder)


# --- the text -----------------------------------------------------------------------------------


def test_the_block_of_the_readme_character_for_character():
    rows = [re.findall(r"\d\.\d+", line) for line in LISTING if line.startswith("[")]
    matrix = np.array(rows, dtype=np.float64)
    assert first_run_text(matrix).split("\n") == LISTING
    # its worked example: 4 um / 0.163 = 24.5, by the rule that is named for it
    assert round(k_of(4.0, spacings(matrix).smallest_median), 1) == 24.5
    # from points, too: the distances are the matrix to its three decimals
    flat = np.array([[0.0, 0.0], [0.3, 0.0], [0.0, 0.4]])
    assert "[ 0.300  0.000  0.500]" in first_run_text(flat).split("\n")


# --- clusters -----------------------------------------------------------------------------------


def test_levels_are_shots_and_holes(session: Session):
    found = levels(session.beam_shift)
    assert [level.n for level in found] == [63, 21]
    assert [round(level.gap, 2) for level in found] == [2.76, 2.43]
    for level, size in zip(found, (3, 9), strict=True):
        assert set(np.bincount(level.labels)) == {size}


@pytest.mark.parametrize("n", ["5", "9", "20", "21", "22", "63"])
def test_k_means_as_published(session: Session, n: str):
    found, expected = first_run(session, int(n)), FIGURES["kmeans"][n]
    # the last bits of a sum of squares follow the processor
    assert found.inertia == pytest.approx(expected["inertia"], rel=1e-9)
    sizes = np.bincount(np.bincount(found.labels)[1:])
    assert {str(k): sizes[k] for k in np.flatnonzero(sizes)} == expected["sizes"]
    upper = np.array(found.centres)[:, None] - found.centres
    apart = np.hypot(*upper.transpose(2, 0, 1))[np.triu_indices(int(n), 1)]
    assert [apart.min(), apart.max()] == pytest.approx([expected["min"], expected["max"]], abs=SIX)
    nearest = spacings(found.centres)
    assert nearest.nn_mean == pytest.approx(expected["nn_mean"], abs=SIX)
    assert nearest.min == pytest.approx(expected["min"], abs=SIX)


@pytest.mark.parametrize("method", ["auto", "kmeans", "hac", "dbscan"])
def test_the_21_centres(session: Session, method: str):
    found = cluster(session.beam_shift, method, eps=0.04)
    place = found.centres[np.lexsort(np.round(found.centres, 2).T)]
    expected = np.array(FIGURES["centres21_sorted_yx"])
    expected = expected[np.lexsort(np.round(expected, 2).T)]
    assert np.abs(place - expected).max() < SIX
    assert set(np.bincount(found.labels)[1:]) == {9}


def test_spacings_of_the_21_centres(session: Session):
    found = spacings(cluster(session.beam_shift).centres)
    expected = FIGURES["kmeans"]["21"]
    assert found.nn_mean == pytest.approx(expected["nn_mean"], abs=SIX)
    assert found.edge_mean == pytest.approx(0.10387, abs=5e-6)  # five decimals stated
    assert len(lattice_edges(cluster(session.beam_shift).centres)) == 32
    assert round(k_of(2.5, found.nn_mean), 2) == 24.50
    assert round(k_of(2.5, found.edge_mean), 2) == 24.07


def test_matrix_of_distances_in_the_order_of_scikit_learn(session: Session, folder: Path):
    centres = np.loadtxt(folder / "golden_centres21_sklearnorder.csv", delimiter=",")
    matrix = np.loadtxt(folder / "golden_distmat21_sklearnorder.csv", delimiter=",")
    found = first_run(session, 21).centres
    order = np.argmin(np.hypot(*(centres[:, None] - found).transpose(2, 0, 1)), axis=1)
    assert sorted(order.tolist()) == list(range(21))
    assert np.abs(found[order] - centres).max() < SIX
    ours = [line for line in first_run_text(found[order]).split("\n") if line.startswith("[")]
    printed = np.array([re.findall(r"\d\.\d+", line) for line in ours], dtype=np.float64)
    assert np.abs(printed - matrix).max() < 0.000501  # three decimals of six


def test_numbers_are_those_of_epu_group_afis(session: Session, folder: Path):
    for name in ("kmeans.star", "hac.star"):
        text = (folder / name).read_text()
        rows = re.findall(r"(FoilHole_\d+_Data_\d+_\d+_\d+_\d+)\S*\s+(\d+)\s*$", text, re.M)
        theirs = {stem: int(group) for stem, group in rows}
        assert len(theirs) == 189
        for method in ("auto", "kmeans", "hac"):
            labels = cluster(session.beam_shift, method).labels
            ours = dict(zip(session.table["name"], labels.tolist(), strict=True))
            assert ours == theirs, (name, method)


# --- duplicates ---------------------------------------------------------------------------------


@pytest.mark.parametrize("row", FIGURES["duplicates"], ids=lambda row: f"k{row[0]:.4g}-{row[1]:g}")
def test_groups_of_the_scalar_model(session: Session, row: list[float]):
    k, radius, groups, listed, bad = row
    found = duplicates(session, k, radius)
    assert [len(found.groups), len(found.listed), int(found.bad.sum())] == [groups, listed, bad]


@pytest.mark.parametrize(
    ("k", "bad"), [(24.4, []), (24.5, ["200030", "200109", "195950"]),
                   (25.0, ["200030", "200109", "195950", "204457", "204857"])]
)  # fmt: skip
def test_files_at_the_default_radius(session: Session, k: float, bad: list[str]):
    found = as_duplicates(session, k, 0.2)
    names = session.table["name"][found.bad].tolist()
    assert sorted(name[-6:] for name in names) == sorted(bad)
    assert found.n_duplicates == len(bad)
