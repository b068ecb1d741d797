"""Predictions of grains at positions, and derivatives against differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.forward.grain_rotation import GrainSpots, grain_jacobian, predict_grains
from refimpl.forward.rotation import NEVER, OFF_PANEL, SEEN, predict_rotation
from refimpl.rotations import expmap

SEEDS = st.integers(0, 2**32 - 1)


def scene(seed: int, n: int = 30) -> GrainSpots:
    """Two tilted panels around a beam of 0.3 angstrom, grains up to 1 mm off the axis."""
    rng = np.random.default_rng(seed)
    s0 = expmap(rng.normal(size=3) * 0.01) @ np.array([0.0, 0.0, 1.0 / 0.3])
    axis = expmap(rng.normal(size=3) * 0.05) @ np.array([0.0, 1.0, 0.0])
    d = []
    for side in (-1.0, 1.0):
        turn = expmap(rng.normal(size=3) * 0.05)
        corner = np.array([side * 60.0 - 60.0, -100.0, 500.0]) + rng.normal(size=3)
        d.append(turn @ np.stack([[1, 0, 0], [0, 1, 0], corner], axis=1))
    p0 = rng.normal(size=(n, 3))
    p0 *= rng.uniform(0.3, 1.2, size=(n, 1)) / np.linalg.norm(p0, axis=1, keepdims=True)
    spots = GrainSpots(
        p0, rng.uniform(-1, 1, (n, 3)), rng.integers(0, 2, n).astype(np.int32),
        rng.integers(0, 2, n).astype(np.uint8), rng.uniform(-9, 9, n), s0, axis,
        np.linalg.inv(np.array(d)),
    )  # fmt: skip
    # next to the axis a crossing comes and goes: derivatives there are as large as one likes
    xyz, s1, status = predict_grains(spots)
    # nor between two turns
    turns = 2.0 * np.pi * rng.integers(-2, 3, n)
    spots = replace(spots, phi_near=xyz[:, 2] + turns + rng.uniform(-2, 2, n))
    q = np.abs(np.cross(np.broadcast_to(axis, s1.shape), s1 - s0) @ s0)
    good = (status == SEEN) & (q > 0.3 * np.linalg.norm(p0, axis=1) * np.linalg.norm(s0))
    return replace(
        spots,
        **{k: getattr(spots, k)[good] for k in ("p0", "start", "panel", "entering", "phi_near")},
    )


@given(SEEDS)
def test_the_ray_goes_from_the_grain_to_the_panel(seed: int) -> None:
    spots = scene(seed)
    xyz, s1, status = predict_grains(spots)
    assert np.all(status == SEEN)
    for k in range(len(s1)):
        turn = expmap(xyz[k, 2] * spots.axis)
        d = np.linalg.inv(spots.inverse_d[spots.panel[k]])
        on_panel = d @ np.array([xyz[k, 0], xyz[k, 1], 1.0])
        # mm over 500 mm
        np.testing.assert_allclose(
            np.cross(on_panel - turn @ spots.start[k], s1[k] / np.linalg.norm(s1[k])), 0, atol=1e-10
        )
        np.testing.assert_allclose(s1[k], turn @ spots.p0[k] + spots.s0, atol=1e-12)
        assert np.linalg.norm(s1[k]) == pytest.approx(np.linalg.norm(spots.s0), rel=1e-13)
        assert abs(xyz[k, 2] - spots.phi_near[k]) <= np.pi + 1e-9


@given(SEEDS)
def test_on_the_axis_it_is_the_known_prediction(seed: int) -> None:
    s = scene(seed)
    s = replace(s, start=np.zeros_like(s.start))
    known = predict_rotation(
        s.p0, s.panel, s.entering, s.phi_near, s.s0, s.axis, s.inverse_d, backend="python"
    )
    got = predict_grains(s)
    np.testing.assert_allclose(got[0], known[0], rtol=1e-13, atol=1e-11)
    np.testing.assert_array_equal(got[1], known[1])
    # along the axis it is the shift of the panels the other way
    along = replace(s, start=np.broadcast_to(s.axis, s.p0.shape) * 0.7)
    d = np.linalg.inv(s.inverse_d)
    d[:, :, 2] -= 0.7 * s.axis
    moved = predict_grains(replace(s, inverse_d=np.linalg.inv(d)))
    np.testing.assert_allclose(predict_grains(along)[0], moved[0], rtol=0, atol=1e-10)


@given(SEEDS)
def test_derivatives(seed: int) -> None:
    """Against sixth-order differences, to 1e-8 of the largest derivative in mm and in rad."""
    spots = scene(seed)
    rng = np.random.default_rng(seed + 1)
    crystal = rng.normal(size=(len(spots.p0), 2, 3))
    position, beam, setting = (rng.normal(size=(2, 3)) for _ in range(3))
    detector = rng.normal(size=(2, 2, 3, 3)) * [1.0, 1.0, 100.0]
    d = np.linalg.inv(spots.inverse_d)

    def at(x: np.ndarray) -> np.ndarray:
        turn = expmap(setting.T @ x[2:4])
        p0 = spots.p0 + np.einsum("k,nki->ni", x[4:6], crystal)
        return predict_grains(
            replace(
                spots, s0=spots.s0 + x[:2] @ beam, p0=p0 @ turn.T, axis=turn @ spots.axis,
                start=(spots.start + x[6:8] @ position) @ turn.T,
                inverse_d=np.linalg.inv(d + np.einsum("k,pkij->pij", x[8:], detector)),
            )
        )[0]  # fmt: skip

    xyz, jacobian, status = grain_jacobian(spots, crystal, position, beam, setting, detector)
    np.testing.assert_array_equal(xyz, predict_grains(spots)[0])
    assert np.all(status == SEEN)
    assert jacobian.shape == (len(xyz), 3, 10)
    for k in range(10 if len(xyz) else 0):
        step = np.zeros(10)
        step[k] = 1e-4 if k >= 8 else 5e-4  # rounding 1e-14 * 500 mm / h, truncation h**6
        differences = sum(
            c * (at(i * step) - at(-i * step)) for i, c in ((1, 45.0), (2, -9.0), (3, 1.0))
        ) / (60.0 * step[k])
        for part in (np.s_[:, :2], np.s_[:, 2:]):
            largest = max(np.abs(jacobian[..., k][part]).max(), 1.0)
            np.testing.assert_allclose(
                jacobian[..., k][part], differences[part], rtol=0, atol=1e-8 * largest
            )


def test_what_is_not_seen() -> None:
    spots = scene(3)
    far = spots.p0.copy()
    far[0] *= 2.1 * np.linalg.norm(spots.s0) / np.linalg.norm(far[0])
    d = np.linalg.inv(spots.inverse_d)
    d[:, :, 2] *= np.where(np.arange(2) == spots.panel[1], -1.0, 1.0)[:, None]
    changed = replace(spots, p0=far, inverse_d=np.linalg.inv(d))
    xyz, _, status = predict_grains(changed)
    assert status[0] == NEVER
    assert status[1] == OFF_PANEL
    assert np.isnan(xyz[0]).all()
    assert np.isnan(xyz[1, :2]).all()
    none = np.zeros((0, 3))
    _, jacobian, _ = grain_jacobian(
        changed, np.ones((len(far), 1, 3)), np.eye(3), none, none, np.zeros((2, 0, 3, 3))
    )
    assert not jacobian[:2].any()
    assert jacobian[status == SEEN].any(axis=(1, 2)).all()


def test_a_panel_that_is_not_there() -> None:
    spots = scene(3)
    with pytest.raises(IndexError, match="panel index 7: there are 2 panels"):
        predict_grains(replace(spots, panel=np.full_like(spots.panel, 7)))
