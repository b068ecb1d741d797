"""What the page of conventions says of the near field is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from refimpl.crystal.cell import b_matrix
from refimpl.forward.nearfield_projection import met, projected
from refimpl.forward.nearfield_setup import NearfieldDetector, OmegaScan, Voxels
from refimpl.forward.nearfield_spots import theory_spots
from refimpl.forward.nearfield_stack import model_image
from refimpl.io.mic import MIC_COLUMNS
from refimpl.rotations import euler_of_matrix, matrix_of_euler, rx, ry, rz
from refimpl.units import DEG

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "conventions.md").read_text()
TILTS = np.array([0.03, -0.05, 0.07])
DETECTOR = NearfieldDetector([3.0, 4.5], [[40.0, 10.0], [41.0, 11.0]], TILTS, 0.002, (90, 70))
EVERYTHING = np.array([[-4.0, 4.0]]), np.full((1, 4), 1e9) * [-1.0, 1.0, -1.0, 1.0]


def test_columns_of_a_map_are_those_of_the_page() -> None:
    table = PAGE.split("| column | here |")[1].split("\n## ")[0]
    named = [name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
             for name in re.findall(r"`(\w+)`", row)]  # fmt: skip
    assert tuple(named) == MIC_COLUMNS


def test_a_sample_turns_right_handed_and_a_wedge_leans_its_axis_against_the_beam() -> None:
    wedge, theta = 0.02, np.array([0.1])
    g = np.array([[0.3, -0.2, 0.25]])
    for lean in (0.0, wedge):
        found = theory_spots(np.eye(3)[None], g, theta, *EVERYTHING, 0.0, lean, False, 3.0)
        assert len(found[2]) == 2
        for omega in found[2]:
            lab = ry(-lean) @ rz(omega) @ g[0]
            assert lab[0] == pytest.approx(-np.linalg.norm(g) * np.sin(theta[0]))
            assert -np.pi < omega <= np.pi
    np.testing.assert_allclose(ry(-wedge) @ [0, 0, 1], [-np.sin(wedge), 0.0, np.cos(wedge)])


@pytest.mark.parametrize("step", [0.5, -0.25])
def test_omega_start_is_the_leading_edge(step: float) -> None:
    scan = OmegaScan(3.0, step, 5, *EVERYTHING)
    f = np.arange(5)
    np.testing.assert_array_equal(scan.frames(3.0 + f * step), f)
    np.testing.assert_array_equal(scan.frames(3.0 + (f + 0.999) * step), f)


def test_limits_of_ranges_do_not_belong_to_them() -> None:
    g, theta = np.array([[0.3, -0.2, 0.25]]), np.array([0.1])
    at = theory_spots(np.eye(3)[None], g, theta, *EVERYTHING, 0.0, 0.0, False, 3.0)[2][0]
    for low, n in ((at, 0), (np.nextafter(at, -4.0), 1)):
        ranges = np.array([[low, at + 1e-3]])
        assert len(theory_spots(np.eye(3)[None], g, theta, ranges, EVERYTHING[1], 0.0, 0.0, False,
                                3.0)[2]) == n  # fmt: skip


def test_the_tilt_takes_the_lab_to_the_detector() -> None:
    r = DETECTOR.rotation
    np.testing.assert_allclose(r, rz(TILTS[2]) @ ry(TILTS[1]) @ rx(TILTS[0]), atol=1e-15)
    y, z = 17.0, 23.0  # px from the beam centre, along the detector's axes in the lab
    at = np.array([3.0, 0.0, 0.0]) + 0.002 * (y * r.T @ [0, 1, 0] + z * r.T @ [0, 0, 1])
    ray = float(at[1] / at[0]), float(at[2] / at[0])
    centre = DETECTOR.beam_centre_px[0]
    pixel = np.add(centre, [y, z])
    found = met(ray, np.zeros((1, 3)), r, 3.0, centre, 500.0)
    np.testing.assert_allclose(np.ravel(found), pixel, atol=1e-9)
    found = projected(ray[0] * 3.0, ray[1] * 3.0, np.zeros(3), r, 3.0, centre, 500.0)
    np.testing.assert_allclose(np.ravel(found), pixel, atol=1e-9)


def test_a_pixel_of_the_raw_image() -> None:
    fast, slow = 60.4, 20.7  # of the direct beam in the raw image, from its outer corner
    raw = np.zeros((70, 90))  # rows, columns: NZ, NY
    raw[int(slow), int(fast)] = 1.0
    ((y, z),) = np.argwhere(model_image(raw))
    assert (y, z) == (90 - 1 - int(fast), 70 - 1 - int(slow))
    centre = 90 - fast, 70 - slow  # BC
    assert (y, z) == tuple(np.floor(centre))  # y = z = 0 is at the beam


def test_an_orientation_takes_the_crystal_to_the_sample() -> None:
    euler = np.array([0.4, 1.1, 5.0])
    u = matrix_of_euler(euler)
    np.testing.assert_allclose(u, rz(0.4) @ rx(1.1) @ rz(5.0), atol=1e-15)
    np.testing.assert_allclose(euler_of_matrix(u), euler)
    # g of the crystal's z is at U e_z of the sample: its spot says so
    theta = np.array([3.0 * DEG])
    g = np.array([[0.0, 0.0, 0.4]])
    _, zl, omega, _, _ = theory_spots(u[None], g, theta, *EVERYTHING, 0.0, 0.0, False, 3.0)
    lab = rz(omega[0]) @ u @ g[0]
    assert zl[0] == pytest.approx(3.0 * np.tan(2 * theta[0]) * lab[2] / np.hypot(*lab[1:]))


def test_the_crystal_has_x_along_a_star_and_z_along_c() -> None:
    b = b_matrix((4.0, 5.0, 7.0, 85.0, 95.0, 110.0))
    np.testing.assert_allclose(b[1:, 0], 0.0, atol=1e-15)  # a*
    c = np.linalg.inv(b)[2]
    np.testing.assert_allclose(c, [0.0, 0.0, 7.0], atol=1e-12)


def test_up_is_plus_y() -> None:
    voxels = Voxels([[1.0, 2.0]] * 2, [0.6] * 2, [True, False])
    up, down = voxels.vertices() - [1.0, 2.0]
    far, near = 0.6 / np.sqrt(3.0), 0.3 / np.sqrt(3.0)
    np.testing.assert_allclose(up, [[0.0, far], [-0.3, -near], [0.3, -near]], atol=1e-15)
    np.testing.assert_allclose(down, up * [1.0, -1.0], atol=1e-15)


def test_terms_stand_in_the_order_of_the_alphabet() -> None:
    text = (DOCS / "glossary.md").read_text()
    terms = re.findall(r"^(?![ #`])(\S.*)$", text, re.MULTILINE)
    assert terms == sorted(terms, key=str.lower)
    for term in re.findall(r"\{term\}`(?:[^`<]*<)?([^`>]+)>?`", text):
        assert term in terms, term
