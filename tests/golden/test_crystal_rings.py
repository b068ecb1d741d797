"""Rings against the published program, pyFAI, NIST and a closed form."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.crystal import calibrant, rings, two_theta_of_d
from refimpl.crystal.cell import d_spacing
from refimpl.crystal.hkls_csv import HklTable, format_hkls, parse_hkls, published_hkls
from refimpl.testing.compare import assert_columns, assert_same_rows
from refimpl.testing.golden import Case, golden
from refimpl.units import DEG, UM


def _published(case: Case, published_limits: bool) -> tuple[HklTable, HklTable]:
    """Our table for the case's parameter file, and the golden one."""
    keys = dict(line.split(maxsplit=1) for line in case.text("p.txt").splitlines())
    numbers = [float(w) for w in keys["LatticeConstant"].split()]
    powder = calibrant(case.id.split("_")[1], numbers)
    assert powder.space_group_number == int(keys["SpaceGroup"])
    ours = published_hkls(
        powder,
        float(keys["Wavelength"]),
        float(keys["Lsd"]) * UM,
        float(keys["MaxRingRad"]) * UM,
        published_limits=published_limits,
    )
    return ours, parse_hkls(case.text())


def _columns(table: HklTable) -> dict[str, np.ndarray]:
    """Columns under their published names, rows in one order: ring, then h, k, l."""
    order = np.lexsort((*table.hkl.T[::-1], table.ring))
    out = dict(zip("hkl", table.hkl[order].T, strict=True))
    out |= {"D-spacing": table.d_angstrom[order], "RingNr": table.ring[order]}
    out |= dict(zip(("g1", "g2", "g3"), table.g[order].T, strict=True))
    theta = table.theta_rad[order] / DEG
    return out | {"Theta": theta, "2Theta": 2 * theta, "Radius": table.radius_mm[order] / UM}


@pytest.mark.parametrize("published_limits", [True, False])
@pytest.mark.parametrize(
    "case_id",
    ["rings/hkls_CeO2", "rings/hkls_CeO2_manual", "rings/hkls_LaB6", "rings/hkls_Si"],
)
def test_published_table(case_id, published_limits):
    case = golden(case_id)
    ours, theirs = _published(case, published_limits)
    assert_same_rows(
        np.column_stack([ours.ring, ours.hkl]),
        np.column_stack([theirs.ring, theirs.hkl]),
        case=case_id,
    )
    bounds = {n: (c.tolerance, c.unit) for n, c in case.columns.items() if c.role == "expected"}
    assert_columns(_columns(ours), _columns(theirs), bounds, case=case_id)


def test_published_text_is_reproduced():
    # the same numbers printed the same way: lines as a set, for the order inside a ring is free
    # and the sign of a zero component of g is not told apart
    case = golden("rings/hkls_CeO2")
    ours, _ = _published(case, True)

    def lines(text: str) -> list[tuple[str, ...]]:
        return [
            tuple(w.replace("-0.000000", "0.000000") for w in x.split()) for x in text.splitlines()
        ]

    got, expected = lines(format_hkls(ours)), lines(case.text())
    assert got[0] == expected[0]
    assert_same_rows([r[:10] for r in got], [r[:10] for r in expected], case=case.id)


def test_al2o3_loses_twelve_rings_to_the_published_limits():
    case = golden("rings/hkls_Al2O3")
    ours, theirs = _published(case, True)
    whole, _ = _published(case, False)
    assert (ours.ring.max(), theirs.ring.max(), whole.ring.max()) == (52, 52, 64)
    assert_same_rows(ours.hkl, theirs.hkl, case=case.id)
    lost = set(map(tuple, whole.hkl)) - set(map(tuple, theirs.hkl))
    assert max(h[2] for h in lost) > 10
    assert all(max(map(abs, h)) > 10 for h in lost)
    first = max(
        d for h, d in zip(map(tuple, whole.hkl), whole.d_angstrom, strict=True) if h in lost
    )
    assert first == pytest.approx(1.0827, abs=5e-5)  # (0 0 12), four decimals known
    _, two_theta = whole.ring_two_theta_rad()
    assert (np.diff(two_theta) > 0).all()
    _, published = theirs.ring_two_theta_rad()
    assert not (np.diff(published) > 0).all()  # the sort to 1e-3 Å swaps two rings


@pytest.mark.parametrize(
    ("case_id", "count"),
    [
        ("rings/hkls_CeO2", 17),
        ("rings/hkls_LaB6", 25),
        ("rings/hkls_Si", 15),
        ("rings/hkls_Al2O3", 64),
    ],
)
def test_rings_agree_with_the_table(case_id, count):
    table, _ = _published(golden(case_id), False)
    powder = calibrant(
        case_id.split("_")[1],
        [float(w) for w in golden(case_id).text("p.txt").split("LatticeConstant")[1].split()[:6]],
    )
    found = rings(powder, 0.20215155543, float(np.arctan(200500 / 740000)))
    number, two_theta = table.ring_two_theta_rad()
    assert found.number.tolist() == number.tolist() == list(range(1, count + 1))
    # 1e-12 rad: members of a ring have one d
    np.testing.assert_allclose(found.two_theta_rad, two_theta, rtol=0, atol=1e-12)
    assert found.multiplicity.tolist() == np.bincount(table.ring)[1:].tolist()


def test_eskolaite_of_pyfai():
    case = golden("rings/pyfai_Cr2O3")
    table = case.table()
    found = rings("Cr2O3", 0.5, float(two_theta_of_d(np.array(1.13), 0.5)))
    listed = np.abs(found.d_angstrom[:, None] - table["d_angstrom"]).min(axis=1) < 1e-4
    # the list leaves out two faint rings that the space group allows
    assert found.hkl[~listed].tolist() == [[2, 1, 7], [1, 3, 1]]
    assert found.intensity[~listed].max() < 0.01
    case.check({"d_angstrom": found.d_angstrom[listed]})


def test_certificate_of_srm640f():
    case = golden("rings/srm640f")
    table = case.table()
    found = rings("Si", 1.5405929, 140 * DEG)
    bright = found.select(found.intensity > 1e-6)
    assert_same_rows(
        np.sort(bright.hkl, axis=1),
        np.sort(np.column_stack([table[k] for k in "hkl"]), axis=1),
        case=case.id,
    )
    case.check({"two_theta_deg": bright.two_theta_rad / DEG})


def test_general_cells_in_closed_form():
    case = golden("rings/closed_form")
    t = case.table()
    cells = np.column_stack([t[n] for n in ("a", "b", "c", "alpha", "beta", "gamma")])
    hkl = np.column_stack([t["h"], t["k"], t["l"]])
    pairs = zip(hkl, cells, strict=True)
    d = np.array([d_spacing(h[None].astype(int), tuple(c))[0] for h, c in pairs])
    waves = zip(d, t["wavelength_angstrom"], strict=True)
    two_theta = np.array([float(two_theta_of_d(x, w)) for x, w in waves])
    case.check({"d_angstrom": d, "two_theta_rad": two_theta})
