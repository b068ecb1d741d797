"""Misorientation against MIDAS, orix and 50 digits."""

from __future__ import annotations

import runpy

import numpy as np
import pytest

from refimpl.crystal.misorientation import misorientation
from refimpl.crystal.symmetry_operators import laue_operators, operators
from refimpl.dispatch import BACKENDS
from refimpl.frames import F64
from refimpl.testing.golden import Case, golden
from refimpl.units import DEG

CLASSES_OF_ORIX = sorted(p.name[:-7] for p in golden("misorientation/orix").folder.glob("*.gz"))


@pytest.fixture(scope="module")
def orix() -> tuple[Case, F64, F64]:
    case = golden("misorientation/orix")
    return case, *runpy.run_path(str(case.path("make.py")))["pairs"]()


def test_orix_covers_every_class() -> None:
    assert len(CLASSES_OF_ORIX) == 12  # 11, and both settings of -3m


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CLASSES_OF_ORIX)
def test_orix_for_ten_thousand_pairs(name: str, backend: str, orix: tuple) -> None:
    case, q1, q2 = orix
    theirs = np.array([float(v) for v in case.text(f"{name}.txt.gz").split()])
    ours = misorientation(q1, q2, laue_operators(name.replace("_", "/")), backend=backend) / DEG
    assert len(theirs) == 10_000
    assert abs(ours - theirs).max() < 1e-6  # the bound; 5e-8 is the last decimal stored


@pytest.mark.parametrize("backend", BACKENDS)
def test_fifty_digits(backend: str) -> None:
    case = golden("misorientation/mp50")
    t = case.table()
    q1, q2 = (np.stack([t[f"q{i}{c}"] for c in "wxyz"], axis=1) for i in (1, 2))
    angle = np.empty(len(q1))
    for name in np.unique(t["laue_class"]):
        rows = t["laue_class"] == name
        group = laue_operators(str(name))
        angle[rows] = misorientation(q1[rows], q2[rows], group, backend=backend) / DEG
    case.check({"angle_deg": angle})


@pytest.mark.parametrize("backend", BACKENDS)
def test_midas_and_exact_operators(backend: str, real_data) -> None:
    path = real_data("nearfield-golden") / "misorientation_c_vs_exact.csv"
    t = np.loadtxt(path, delimiter=",")
    assert len(t) == 720
    angle = np.empty(len(t))
    for number in np.unique(t[:, 0]):
        rows = t[:, 0] == number
        group = operators(int(number))
        assert len(group) == t[rows, 1][0]
        angle[rows] = misorientation(t[rows, 2:6], t[rows, 6:10], group, backend=backend) / DEG
    assert abs(angle - t[:, 10]).max() < 1e-3  # five decimals in the operators of C
    # 1e-8 degrees, but no better than 2 acos(w) of the golden itself, whose w (two products of
    # quaternions) is right to 8 ulp
    w = np.cos(0.5 * angle * DEG)
    of_acos = 2.0 * 8.0 * np.spacing(w) / np.sin(0.5 * angle * DEG) / DEG
    for column in (11, 12):
        gap = abs(angle - t[:, column])
        assert (gap <= np.maximum(1e-8, of_acos)).all()
        assert (gap > 1e-8).sum() <= 1  # the pair 0.0006 degrees apart, where we have 17 digits
