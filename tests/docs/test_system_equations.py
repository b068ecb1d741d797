"""Displayed equations of the other systems and of geometries are what their functions answer.

Each test quotes the equation that it computes as it stands on the page: where the page changes it,
the test asks to be looked at again.
"""

from __future__ import annotations

import numpy as np
import pytest
from doc_equations import on_page

from refimpl.centring.clock import Clock
from refimpl.centring.crops import CropRule, locally_standardised, standardised
from refimpl.centring.fusion import fuse
from refimpl.centring.mesh import grid_mesh
from refimpl.centring.simulate_view import View
from refimpl.crystal.misorientation import misorientation
from refimpl.crystal.symmetry_operators import operators
from refimpl.epu.affine import affine
from refimpl.epu.pairs import disc_overlap
from refimpl.forward.nearfield_projection import projected
from refimpl.forward.nearfield_spots import theory_spots
from refimpl.forward.rotation import predict_rotation
from refimpl.frames import midas_from_lab
from refimpl.interop.hexrd import HexrdInstrument, HexrdPanel, detector_from_hexrd
from refimpl.interop.imaged11 import panel_of_par
from refimpl.interop.midas import tilted_flat_from_midas
from refimpl.interop.pyfai import Poni, tilted_flat_from_poni
from refimpl.objective.truncation import kept_inside
from refimpl.rotations import expmap, matrix_of_euler, multiply_quaternions, rx, ry, rz


def test_a_lattice_point_on_the_sphere() -> None:
    on_page("theory/metrology",
            r"p\cdot m_3 = \frac{-\tfrac12 p^2 - (p_0\cdot e)(s_0\cdot e)}{s_0\cdot m_3}",
            r"p\cdot m_1 = \pm\sqrt{\rho^2 - (p\cdot m_3)^2}",
            r"\rho^2 = p^2 - (p_0\cdot e)^2")  # fmt: skip
    rng = np.random.default_rng(5)
    p0, s0 = rng.normal(scale=0.2, size=(40, 3)), np.array([0.05, 0.02, -1.0])
    e = np.array([1.0, 0.1, 0.05]) / np.linalg.norm([1.0, 0.1, 0.05])
    m1 = np.cross(e, s0) / np.linalg.norm(np.cross(e, s0))
    m3 = np.cross(m1, e)
    for sign, entering in ((1, 1), (-1, 0)):
        _, s1, status = predict_rotation(
            p0, np.zeros(40, np.int32), np.full(40, entering, np.uint8), np.zeros(40), s0, e,
            np.linalg.inv(np.column_stack([m1, e, 200.0 * s0]))[None],
        )  # fmt: skip
        seen = status == 0
        assert seen.sum() > 5
        p = (s1 - s0)[seen]
        along3 = (-0.5 * (p0**2).sum(axis=1) - (p0 @ e) * (s0 @ e))[seen] / (s0 @ m3)
        rho2 = ((p0**2).sum(axis=1) - (p0 @ e) ** 2)[seen]
        np.testing.assert_allclose(p @ m3, along3, atol=1e-14)
        np.testing.assert_allclose(p @ m1, sign * np.sqrt(rho2 - along3**2), atol=1e-12)


def test_what_fences_leave() -> None:
    on_page(
        "theory/metrology",
        r"s_i^2 = 1 - \frac{b_i\,\varphi(b_i) - a_i\,\varphi(a_i)}{\Phi(b_i) - \Phi(a_i)}",
    )
    x = np.linspace(-1.7, 2.6, 200_001)
    density = np.exp(-0.5 * x**2)
    assert kept_inside(np.array(-1.7), np.array(2.6)) == pytest.approx(
        np.trapezoid(x**2 * density, x) / np.trapezoid(density, x), rel=1e-8
    )


def test_orientations_of_the_near_field() -> None:
    on_page("theory/nearfield", r"U = R_z(\varphi_1)\,R_x(\Phi)\,R_z(\varphi_2)")
    np.testing.assert_allclose(
        matrix_of_euler(np.array([0.4, 1.1, 5.0])), rz(0.4) @ rx(1.1) @ rz(5.0)
    )
    on_page("theory/nearfield", r"\omega = \min_S\, 2\arctan\frac{|\mathbf v|}{|w|}",
            r"(w,\mathbf v) = q_1^{-1} q_2 S")  # fmt: skip
    rng = np.random.default_rng(6)
    q1, q2 = (v / np.linalg.norm(v, axis=1)[:, None] for v in rng.normal(size=(2, 30, 4)))
    group = operators("P 6/m m m")
    difference = multiply_quaternions(q1 * [1, -1, -1, -1], q2)
    each = [multiply_quaternions(difference, np.tile(s, (30, 1))) for s in group]
    angles = [2 * np.arctan(np.linalg.norm(d[:, 1:], axis=1) / np.abs(d[:, 0])) for d in each]
    np.testing.assert_allclose(misorientation(q1, q2, group), np.min(angles, axis=0), atol=1e-12)


def test_spots_of_the_near_field() -> None:
    on_page(
        "theory/nearfield",
        r"\omega = \pm\arccos\frac{-|G|\sin\theta}{\rho} - \mathrm{atan2}(G_y, G_x)",
    )
    g, theta = np.array([[0.3, -0.2, 0.25]]), np.array([0.1])
    wide = np.array([[-4.0, 4.0]]), np.array([[-1e9, 1e9, -1e9, 1e9]])
    found = theory_spots(np.eye(3)[None], g, theta, *wide, 0.0, 0.0, False, 3.0)[2]
    size, rho = np.linalg.norm(g), np.hypot(*g[0, :2])
    roots = np.array([1, -1]) * np.arccos(-size * np.sin(0.1) / rho) - np.arctan2(-0.2, 0.3)
    np.testing.assert_allclose(np.sort(np.cos(found)), np.sort(np.cos(roots)), atol=1e-12)
    np.testing.assert_allclose(np.sort(np.sin(found)), np.sort(np.sin(roots)), atol=1e-12)


def test_from_a_voxel_to_pixels() -> None:
    on_page("theory/nearfield", r"y' = y_a + y_l\,t,\quad z' = z_l\,t,\quad t = 1 - x_a/L_0")
    on_page("theory/nearfield", r"q = R(0,y',z')^T - P_0",
            r"Y = \frac{P_{0y} - q_y P_{0x}/q_x}{p} + B_Y",
            r"Z = \frac{P_{0z} - q_z P_{0x}/q_x}{p} + B_Z")  # fmt: skip
    r = rz(0.03) @ ry(-0.02) @ rx(0.05)
    xa, ya, yl, zl, l0, p, by, bz = 0.1, -0.2, 0.7, 1.1, 5.0, 0.002, 1000.0, 30.0
    t = 1 - xa / l0
    p0 = r @ [-l0, 0, 0]
    q = r @ [0, ya + yl * t, zl * t] - p0
    expected = (p0[1] - q[1] * p0[0] / q[0]) / p + by, (p0[2] - q[2] * p0[0] / q[0]) / p + bz
    found = projected(yl, zl, np.array([xa, ya, 0.0]), r, l0, np.array([by, bz]), 1 / p)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_beam_shifts() -> None:
    on_page("theory/epu", r"p = s + b\,M")
    on_page("theory/epu", r"k = \sqrt{|\det M|}", r"\text{anisotropy} = \sigma_1/\sigma_2")
    way = affine(24.4, 0.4, mirror=True)
    s, b = np.array([[1.0, 2.0]]), np.array([[0.03, -0.01]])
    np.testing.assert_allclose(way.positions_um(s, b), s + b @ way.matrix_um)
    assert way.k_um == pytest.approx(np.sqrt(abs(np.linalg.det(way.matrix_um))))
    assert (way.is_mirrored, way.anisotropy) == (True, pytest.approx(1.0))


def test_overlap_of_two_discs() -> None:
    on_page("theory/epu", r"A = r_1^2\arccos\frac{d^2+r_1^2-r_2^2}{2dr_1} + r_2^2\arccos",
            r"- \tfrac12\sqrt{(-d+r_1+r_2)(d+r_1-r_2)(d-r_1+r_2)(d+r_1+r_2)}")  # fmt: skip
    r1, r2, d = 0.7, 0.5, 0.6
    x = np.linspace(d - r2, r1, 400_001)
    height = 2 * np.minimum(
        *(np.sqrt(np.clip(r**2 - (x - c) ** 2, 0, None)) for r, c in ((r1, 0), (r2, d)))
    )
    found = disc_overlap(np.array([d]), np.array([2 * r1]), np.array([2 * r2]))
    assert found[0] == pytest.approx(np.trapezoid(height, x) / (np.pi * r2**2), rel=1e-6)


def test_clocks_and_crops() -> None:
    on_page("theory/centring", r"t_\text{detector} = t + a + d\,(t - t_0)")
    clock = Clock(0.35, 2e-5, 100.0, 0.01, True, 3, 0)
    assert clock.detector_time(np.array([5100.0])) == pytest.approx(5100.0 + 0.35 + 2e-5 * 5000.0)
    on_page("theory/centring", r"e = o + c\,z,\qquad u = \frac{v - \bar v}{\sigma_v}")
    assert CropRule(30.0, 12.0).edge_px(4.0) == 78.0
    v = np.random.default_rng(7).uniform(0, 255, (40, 50))
    np.testing.assert_allclose(standardised(v), (v - v.mean()) / v.std())
    on_page("theory/centring", r"u(x) = \frac{v(x) - m(x)}{s(x)}", r"s^2 = v^2 * \square - m^2")
    square = v[15:22, 20:27]
    found = locally_standardised(v, 7)[18, 23]
    assert found == pytest.approx((v[18, 23] - square.mean()) / square.std())


def test_places_and_meshes() -> None:
    on_page("theory/centring", r"s_i = s,\qquad t_i = a + y\cos\omega_i + z\sin\omega_i")
    omega = np.array([0.0, 0.7, 1.5])
    points = np.column_stack([np.full(3, 12.0), 5.0 + 30.0 * np.cos(omega) - 20.0 * np.sin(omega)])
    np.testing.assert_allclose(fuse(points, omega, axis_um=5.0).centre_um, [12.0, 30.0, -20.0])
    on_page("theory/centring", r"(s, t) = (x,\; y\cos\omega + z\sin\omega)")
    view = View(4.0, 0.7)
    np.testing.assert_allclose(
        view.across([3.0, 30.0, -20.0]), [3.0, 30.0 * np.cos(0.7) - 20.0 * np.sin(0.7)]
    )
    on_page("theory/centring", r"\bar s = \frac{\sum_i w_i s_i}{\sum_i w_i}",
            r"\frac{\sum_i N_i (s_i - \bar s)^2}{\left(\sum_i w_i\right)^2}")  # fmt: skip
    count = np.zeros((5, 7))
    count[2, 2:5] = [200.0, 500.0, 100.0]
    (island,) = grid_mesh(count.ravel(), (5, 7), (10.0, 10.0)).islands()
    n, s = count[2, 2:5], np.array([-10.0, 0.0, 10.0])
    mean = (n * s).sum() / n.sum()
    assert island.s_um == pytest.approx(mean)
    assert island.s_deviation_um == pytest.approx(np.sqrt((n * (s - mean) ** 2).sum()) / n.sum())


def test_geometries_of_others() -> None:
    page = "geometry_conversion"
    on_page(page, r"f = Y + \tfrac12, \qquad s = Z + \tfrac12, \qquad L_0 = \mathrm{Lsd}/1000")
    midas = tilted_flat_from_midas({"Lsd": 5e5, "BC": (10.0, 20.0), "px": 200.0}, (60, 50))
    assert (midas.beam_centre_px, midas.lsd_mm) == ((10.5, 20.5), 500.0)
    on_page(
        page, r"f_0 = \mathrm{poni}_2/\mathrm{pixel}_2", r"s_0 = \mathrm{poni}_1/\mathrm{pixel}_1"
    )
    poni = tilted_flat_from_poni(Poni(0.5, 0.004, 0.003, 0, 0, 0, 2e-4, 1e-4, shape=(60, 50)))
    np.testing.assert_allclose([*poni.beam_centre_px, poni.lsd_mm], [30.0, 20.0, 500.0])
    on_page(page, r"\mathbf P = \exp([\mathrm{tilt}]_\times)\,(x, y, 0)^T + \mathbf t",
            r"x = (j - \tfrac{\mathrm{columns}-1}{2})\,a, \quad "
            r"y = (\tfrac{\mathrm{rows}-1}{2} - i)\,a")  # fmt: skip
    tilt, shift, a, (rows, columns) = (0.1, -0.05, 0.02), (1.0, 2.0, -300.0), 0.2, (60, 50)
    own = HexrdPanel("p", (rows, columns), (a, a), tilt, shift)
    panel = detector_from_hexrd(HexrdInstrument(80.0, 90.0, 90.0, (own,))).panels[0]
    i, j = 7, 31
    x, y = (j - (columns - 1) / 2) * a, ((rows - 1) / 2 - i) * a
    place = expmap(np.array(tilt)) @ [x, y, 0.0] + shift
    found = panel.lab_mm(np.array(j + 0.5), np.array(i + 0.5))
    np.testing.assert_allclose(found, place * [-1.0, 1.0, -1.0], atol=1e-12)
    on_page(page, r"\begin{pmatrix} (s - z_c)\,z_s \\ (f - y_c)\,y_s \end{pmatrix}",
            r"\mathbf x = (D, 0, 0)^T + R_x R_y R_z\,(0, y', z')^T")  # fmt: skip
    values = {"distance": 3e5, "y_center": 20.0, "z_center": 15.0, "y_size": 200.0, "z_size": 100.0,
              "tilt_x": 0.1, "tilt_y": 0.02, "tilt_z": -0.03,
              "o11": 0, "o12": 1, "o21": -1, "o22": 0}  # fmt: skip
    z_, y_ = np.array([[0, 1], [-1, 0]]) @ [(7 - 15.0) * 0.1, (31 - 20.0) * 0.2]
    place = np.array([300.0, 0, 0]) + rx(0.1) @ ry(0.02) @ rz(-0.03) @ [0, y_, z_]
    found = panel_of_par(values, (60, 50)).lab_mm(np.array(31.5), np.array(7.5))
    np.testing.assert_allclose(midas_from_lab(found), place, atol=1e-12)


def test_an_equation_that_is_not_there_is_seen() -> None:
    with pytest.raises(AssertionError):
        on_page("theory/epu", r"p = s - b\,M")
