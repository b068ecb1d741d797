"""Pairs of the real session against the values that the published way and the affine model gave."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from refimpl.epu.calibration import Calibration
from refimpl.epu.duplicates import find_duplicates
from refimpl.epu.session import Session, read_session
from refimpl.epu.stage_groups import stage_groups


@pytest.fixture(scope="module")
def folder(real_data) -> Path:
    return real_data("epu-afis")


@pytest.fixture(scope="module")
def session(folder: Path) -> Session:
    return read_session(folder)


@pytest.fixture(scope="module")
def golden(folder: Path) -> dict[str, object]:
    content = json.loads((folder / "golden_affine.json").read_text())
    return content[0] if isinstance(content, list) else content


@pytest.fixture(scope="module")
def affine(golden) -> Calibration:
    return Calibration("affine", np.array(golden["M_row_um"]))


RADII = ("0.1", "0.2", "0.3", "0.4", "0.45", "0.5", "0.8", "1.0")


def counts(session: Session, calibration: Calibration, radius: str) -> dict[str, int]:
    """As the golden file counts: pairs, of one hole, of different holes."""
    pairs = find_duplicates(session, calibration, radius).pairs
    hole = session.table["hole"].to_numpy()
    same = int((hole[pairs["first"]] == hole[pairs["second"]]).sum())
    return {"pairs": len(pairs), "same_foil": same, "distinct_foil": len(pairs) - same}


@pytest.mark.parametrize("radius", RADII)
def test_pairs_of_the_affine_model(session, affine, golden, radius: str) -> None:
    """None up to 0.5 um, and the 189 of one hole from 0.8 um on."""
    assert counts(session, affine, radius) == golden["dup_affine"][radius]


@pytest.mark.parametrize("k", [24.5, 25.0])
@pytest.mark.parametrize("radius", RADII)
def test_pairs_of_the_scalar_model(session, golden, k: float, radius: str) -> None:
    scalar = Calibration("scalar", k * np.eye(2))
    assert counts(session, scalar, radius) == golden[f"dup_scalar_{k:g}"][radius]


@pytest.mark.parametrize(("k", "n"), [(24.4, 0), (24.5, 3), (25.0, 5)])
def test_bad_files_of_isolated_pairs_are_the_published_ones(session, k: float, n: int) -> None:
    found = find_duplicates(session, Calibration("scalar", k * np.eye(2)))
    assert found.n_duplicates == n
    bad = set(session.table["name"][found.bad].str[-15:])
    published = {"20200206_200030", "20200206_200109", "20200206_195950"}
    more = {"20200206_204457", "20200206_204857"}
    assert bad == (published if n == 3 else published | more if n == 5 else set())


def test_a_chain_of_the_published_way_is_counted_once(session) -> None:
    """k = 24.5, 0.5 um: "28 (14.81 %)" as published, for 18 unique files."""
    found = find_duplicates(session, Calibration("scalar", 24.5 * np.eye(2)), "0.5")
    assert len(set(found.as_dict()["bad"])) == found.n_duplicates <= 18


def test_positions(session, affine, golden, folder: Path) -> None:
    table = pd.read_csv(folder / "golden_exposures_189.csv")
    order = table["file"].str.removesuffix(".xml")
    ours = pd.DataFrame(affine.positions_um(session.stage_um, session.beam_shift),
                        index=session.table["name"]).loc[order]  # fmt: skip
    # four decimals in the file
    np.testing.assert_allclose(ours, table[["pos_affine_x", "pos_affine_y"]], atol=5.1e-5)


def test_places_of_the_stage(session) -> None:
    """114 read-backs of 18 places."""
    assert len(np.unique(session.stage_um, axis=0)) == 114
    assert stage_groups(session.stage_um).max() + 1 == 18
