"""Displayed equations of powders and panels are what their functions answer.

Each test quotes the equation that it computes as it stands on the page: where the page changes it,
the test asks to be looked at again.
"""

from __future__ import annotations

import numpy as np
import pytest
from doc_equations import on_page

from refimpl.detector.corrections import corrected_position
from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import GEOMETRY_FIELDS, ring_coordinates, ring_jacobian
from refimpl.forward.panel_gauge import gauge_rows
from refimpl.imaging.ring_peaks import _evaluate
from refimpl.imaging.ring_pixels import ring_pixels
from refimpl.objective.bordered import Bordered
from refimpl.objective.pseudo_strain import pseudo_strain
from refimpl.powder.refine import jackknife
from refimpl.rotations import rx, ry, rz

NO_PANEL = np.full(20, -1, dtype=np.int32)
MODEL = TiltedFlat(
    (900, 1100),
    (0.17, 0.18),
    400.0,
    (530.0, 470.0),
    (0.3, 0.03, -0.05),
    rho_d_mm=150.0,
    p=tuple(1e-3 * np.arange(1.0, 16.0)),
    parallax_mm=0.2,
)


def pixels() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.uniform(0.0, 1100.0, 20), rng.uniform(0.0, 900.0, 20)


def test_a_panel_is_turned_and_shifted() -> None:
    on_page(
        "theory/powder",
        r"f' &= c_f + (f-c_f)\cos\vartheta - (s-c_s)\sin\vartheta + \Delta_f",
        r"s' &= c_s + (f-c_f)\sin\vartheta + (s-c_s)\cos\vartheta + \Delta_s",
    )
    f, s = pixels()
    turn, move = 0.02, (0.3, -0.2)
    box = np.array([100, 200, 500, 800])
    found = corrected_position(f, s, box, np.array([*move, turn, 0, 0, 0, 0]))
    cf, cs = 300.0, 500.0
    np.testing.assert_allclose(
        found[0], cf + (f - cf) * np.cos(turn) - (s - cs) * np.sin(turn) + 0.3
    )
    np.testing.assert_allclose(
        found[1], cs + (f - cf) * np.sin(turn) + (s - cs) * np.cos(turn) - 0.2
    )


def test_from_a_pixel_to_a_ring_radius() -> None:
    on_page(
        "theory/powder",
        r"R = \frac{L}{X}\sqrt{v_y^2 + v_z^2}",
        "X = L + v_x",
        r"\eta = \mathrm{atan2}(-v_y, v_z)",
    )
    on_page(
        "theory/powder",
        r"D = 1 + (p_2+\Delta p_2)\rho^2 + p_5\rho^4 + p_4\rho^6 + "
        r"\sum_{k=1}^{6} A_k\,\rho^{n_k}\cos(k e + \varphi_k), \qquad n_k = (4,2,3,4,5,6)",
    )
    on_page("theory/powder", r"R_c = R\,D\,\frac{L_0}{L} + P\,\sin\arctan\frac RL")
    f, s = pixels()
    y, z = -(f - 530.0) * 0.17, (s - 470.0) * 0.18
    v = rx(0.3) @ ry(0.03) @ rz(-0.05) @ [0.0 * y, y, z]
    big_x = 400.0 + v[0]
    radius = 400.0 / big_x * np.hypot(v[1], v[2])
    eta = np.arctan2(-v[1], v[2])
    p, e, rho = MODEL.p, np.pi / 2 - eta, radius / 150.0
    d = 1 + p[2] * rho**2 + p[5] * rho**4 + p[4] * rho**6
    amplitudes, phases = [p[i] for i in (7, 0, 9, 1, 11, 13)], [p[i] for i in (8, 6, 10, 3, 12, 14)]
    for k, (a, phase, n) in enumerate(zip(amplitudes, phases, (4, 2, 3, 4, 5, 6), strict=True), 1):
        d += a * rho**n * np.cos(k * e + np.radians(phase))
    expected = radius * d + 0.2 * np.sin(np.arctan(radius / 400.0))
    found = ring_coordinates(f, s, NO_PANEL, MODEL.geometry, np.zeros((0, 9)))
    np.testing.assert_allclose(found[0], expected, rtol=1e-13)
    np.testing.assert_allclose(found[1], eta, rtol=1e-12)


def test_derivatives_of_the_radius() -> None:
    on_page(
        "theory/powder", r"\frac{L_0}{L}\bigl(D + \rho D_\rho\bigr) + \frac{P}{L}(1+\tau^2)^{-3/2}"
    )
    f, s = pixels()
    g, none = MODEL.geometry, np.zeros((0, 9))
    jacobian = ring_jacobian(f, s, NO_PANEL, g, none)[2]
    for column, name in enumerate(("lsd_mm", "beam_fast_px", "beam_slow_px", "tx_rad", "ty_rad")):
        step = np.zeros(25)
        step[GEOMETRY_FIELDS.index(name)] = h = 1e-5
        more, less = (ring_coordinates(f, s, NO_PANEL, g + k * step, none)[0] for k in (1, -1))
        np.testing.assert_allclose(jacobian[:, column], (more - less) / (2 * h), atol=1e-6)


def test_what_a_pixel_measures() -> None:
    on_page("theory/powder", r"\frac{a^2}{24}", r"= \frac{a^2}{24R} - \frac{a^2 R}{3(L^2+R^2)}")
    model = TiltedFlat((40, 60), (0.2, 0.2), 50.0, (20.0, 15.0))
    windows = np.array([[0.5, 20.0]])
    _, _, index, two_theta, _, _ = ring_pixels(
        np.ones((40, 60), np.uint8),
        np.zeros((40, 60), np.int16),
        model.geometry,
        np.zeros((0, 9)),
        windows,
        1,
        1,
        2.0,
    )
    r = 0.2 * np.hypot(index % 60 + 0.5 - 20.0, index // 60 + 0.5 - 15.0)
    a, big_l = 0.2, 50.0
    shift = a**2 / 24 * (1 / r - 2 * r / (big_l**2 + r**2) - 6 * r / (big_l**2 + r**2))
    np.testing.assert_allclose(shift, a**2 / (24 * r) - a**2 * r / (3 * (big_l**2 + r**2)))
    np.testing.assert_allclose(big_l * np.tan(two_theta), r + shift, rtol=1e-13)


def test_line_of_a_bin() -> None:
    on_page(
        "theory/powder",
        r"m = c\Bigl(b_0 + b_1(x-x_0) + \sum_k A_k\bigl[\mu\,\mathcal L(x-x_k)"
        r" + (1-\mu)\,\mathcal G(x-x_k)\bigr]\Bigr)",
        r"\mathcal L = \frac{1}{1+4x^2/\Gamma^2}",
        r"\mathcal G = 2^{-4x^2/\Gamma^2}",
    )
    x, width, mu = np.linspace(-3.0, 3.0, 31), 0.9, 0.3
    p = np.array([0.4, 50.0, width, mu, 7.0, 0.5, -1.1, 20.0])
    m = 7.0 + 0.5 * (x - 0.1)
    for centre, height in ((0.4, 50.0), (-1.1, 20.0)):
        u2 = 4 * (x - centre) ** 2 / width**2
        m += height * (mu / (1 + u2) + (1 - mu) * 2.0**-u2)
    found = _evaluate(x, np.full(31, 0.8), np.zeros(31), p, 0.1, 8)[0]
    np.testing.assert_allclose(found, 0.8 * m, rtol=1e-13)


def test_pseudo_strain_and_jackknife() -> None:
    on_page("theory/powder", r"\varepsilon_i = 1 - \frac{R_{c,i}}{L_0\tan 2\theta_{k(i)}}")
    assert pseudo_strain(np.array([99.0]), np.array([400.0 * np.tan(0.25)])) == pytest.approx(
        1 - 99.0 / (400.0 * np.tan(0.25))
    )
    on_page(
        "theory/powder",
        r"\frac{G-1}{G}\sum_g \delta_g\delta_g^T",
        r"\delta_g = (H - H_g)^{-1}\sum_{i\in g} w_i\,\varepsilon_i J_i",
    )
    rng = np.random.default_rng(2)
    strain, j, w, group = (
        rng.normal(size=30),
        rng.normal(size=(30, 3)),
        rng.uniform(1, 2, 30),
        np.arange(30) % 5,
    )
    expected = np.zeros((3, 3))
    for g in range(5):
        mine = group == g
        h = (j[~mine] * w[~mine, None]).T @ j[~mine]
        delta = np.linalg.solve(h, j[mine].T @ (w[mine] * strain[mine]))
        expected += 4 / 5 * np.outer(delta, delta)
    found = jackknife(strain, j, w, group, np.ones(3, dtype=bool))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_tilt_of_a_panel() -> None:
    on_page(
        "theory/panels", r"R_y(\alpha)\,R_z(\beta) \begin{pmatrix} 0 \\ u_y \\ u_z \end{pmatrix}"
    )
    f, s = pixels()
    alpha, beta, centre = 0.02, -0.03, (550.0, 450.0)
    row = np.array([[*centre, 0, 0, 0, 0, 0, alpha, beta]])
    g = TiltedFlat((900, 1100), (0.17, 0.18), 400.0, (530.0, 470.0)).geometry
    found = ring_coordinates(f, s, np.zeros(20, dtype=np.int32), g, row)[0]
    y, z = -(f - 530.0) * 0.17, (s - 470.0) * 0.18
    u = np.array([0.0 * y, -(f - 550.0) * 0.17, (s - 450.0) * 0.18])
    v = np.array([0.0 * y, y - u[1], z - u[2]]) + ry(alpha) @ rz(beta) @ u
    np.testing.assert_allclose(found, 400.0 / (400.0 + v[0]) * np.hypot(v[1], v[2]), rtol=1e-13)


def test_gauge_in_the_plane() -> None:
    on_page(
        "theory/panels",
        r"\sum_i \Delta_i = 0",
        r"\sum_i \bigl(c_i \times \Delta_i + \langle u^2\rangle_i\,\vartheta_i\bigr) = 0",
        r"\sum_i c_i\cdot\Delta_i = 0",
    )
    boxes = np.array([[0, 0, 40, 20], [50, 0, 90, 30], [0, 40, 30, 60]])
    names, rows = gauge_rows(boxes, ("d_fast_px", "d_slow_px", "d_theta_rad"))
    x = np.random.default_rng(3).normal(size=(3, 3))
    by_name = dict(zip(names, rows @ x.ravel(), strict=True))
    c = 0.5 * (boxes[:, :2] + boxes[:, 2:])
    c = c - c.mean(axis=0)
    u2 = ((boxes[:, 2:] - boxes[:, :2]) ** 2).sum(axis=1) / 12
    assert by_name["sum of d_fast_px"] == pytest.approx(x[:, 0].sum())
    assert by_name["rotation"] == pytest.approx(
        np.sum(c[:, 0] * x[:, 1] - c[:, 1] * x[:, 0] + u2 * x[:, 2])
    )
    assert by_name["expansion"] == pytest.approx(np.sum(c * x[:, :2]))


def test_arrow_is_eliminated_block_by_block() -> None:
    on_page(
        "theory/panels",
        r"S = \begin{pmatrix} A & 0 \\ 0 & 0 \end{pmatrix} - \sum_i "
        r"\begin{pmatrix} F_i \\ C_i \end{pmatrix} B_i^{-1} "
        r"\begin{pmatrix} F_i^T & C_i^T \end{pmatrix}",
    )
    rng = np.random.default_rng(4)
    g, m, p, q = 3, 2, 4, 2
    half = rng.normal(size=(30, g + p * m))
    full = half.T @ half
    blocks = np.array(
        [full[g + i * m : g + (i + 1) * m, g + i * m : g + (i + 1) * m] for i in range(p)]
    )
    cross = np.array([full[:g, g + i * m : g + (i + 1) * m] for i in range(p)])
    rows = rng.normal(size=(q, p, m))
    arrow = Bordered(1.0, np.zeros(g + p * m), 30, full[:g, :g], cross, blocks, rows)
    found, _, kept = arrow._reduced(np.ones(g + p * m, dtype=bool), 0.0)
    expected = np.zeros((g + q, g + q))
    expected[:g, :g] = full[:g, :g]
    for i in range(p):
        arm = np.vstack([cross[i], kept[:, i]])
        expected -= arm @ np.linalg.inv(blocks[i]) @ arm.T
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
