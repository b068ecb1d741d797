"""Transfer of a metrology to another distance: the panels keep their mutual placement."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refimpl.errors import GeometryError
from refimpl.forward.experiment import Beam
from refimpl.io.dials_files import read_expt
from refimpl.metrology.congruence import centres_and_frames, congruence
from refimpl.metrology.transfer import moved_rigidly, transfer
from refimpl.rotations import expmap
from refimpl.testing.rotation_case import panel_grid, rotation_case


def distances(detector) -> np.ndarray:
    """(p, p) between the panels' centres, and the angles between their axes."""
    centres, frames = centres_and_frames(detector)
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    angles = np.einsum("pik,qil->pqkl", frames, frames)
    return np.concatenate([apart.ravel(), angles.ravel()])


def test_th82_at_another_distance(real_data) -> None:
    (refined,) = read_expt(real_data("metrology/refine/th82_60panel_lev1_tukey_refined.expt"))
    (other,) = read_expt(real_data("metrology/index/i04_60_fft3d_known.expt"))
    far = moved_rigidly(
        other.detector, expmap(np.array([0.003, 0.001, 0.02])), np.array([0.4, -0.9, -135.0])
    )
    nominal = (replace(other, detector=far), replace(other, detector=far))
    (got, same) = transfer(nominal, refined.detector)
    assert same.detector is got.detector
    np.testing.assert_allclose(
        distances(got.detector), distances(refined.detector), rtol=0, atol=1e-9
    )  # fmt: skip
    # it lies where the other's header says: what is left is how far the panels are off themselves
    left = congruence(far, got.detector)
    inherent = congruence(other.detector, refined.detector, aligned=True)
    np.testing.assert_allclose(left.in_plane, inherent.in_plane, rtol=0.02)
    np.testing.assert_allclose(left.offset.mean(axis=0), 0.0, atol=0.02)  # mm, of panels alike
    assert got.detector.root is not None
    assert got.beam is other.beam
    (at,) = transfer(nominal[:1], refined.detector, distance=400.0)
    np.testing.assert_allclose(
        distances(at.detector), distances(refined.detector), rtol=0, atol=1e-9
    )  # fmt: skip
    # one panel that holds the beam
    beam = other.beam.s0 / np.linalg.norm(other.beam.s0)
    centres, _ = centres_and_frames(at.detector)
    near = int(np.argmax(centres @ beam / np.linalg.norm(centres, axis=1)))
    d = at.detector.d[near]
    normal = np.cross(d[:, 0], d[:, 1])
    assert d[:, 2] @ normal / (beam @ normal) == pytest.approx(400.0, abs=0.5)


def test_a_detector_laid_onto_itself_stays() -> None:
    case = rotation_case(n=10)
    (same,) = transfer(case.truth, case.truth[0].detector)
    np.testing.assert_allclose(same.detector.d, case.truth[0].detector.d, rtol=0, atol=1e-11)


def test_distance_along_an_oblique_beam() -> None:
    tilted = rotation_case(n=10).start
    oblique = Beam(expmap(np.array([0.05, 0.0, 0.0])) @ [0.0, 0.0, 1.0], 0.9763)
    (got,) = transfer((replace(tilted[0], beam=oblique),), tilted[0].detector, distance=200.0)
    along = -oblique.direction
    d = got.detector.d[0]
    normal = np.cross(d[:, 0], d[:, 1])
    assert d[:, 2] @ normal / (along @ normal) == pytest.approx(200.0, abs=1e-9)


def test_weights_choose_the_panels_that_count() -> None:
    """A panel that was held far off does not draw the rest along."""
    target = rotation_case(n=10).start
    d = target[0].detector.d
    d[0, :, 2] += [5.0, 0.0, 0.0]
    source = target[0].detector.with_d(d)
    weight = np.ones(9)
    weight[0] = 0.0
    (got,) = transfer(target, source, weight=weight)
    np.testing.assert_allclose(got.detector.d[1:], target[0].detector.d[1:], rtol=0, atol=1e-11)
    without_tree = replace(source, modules=source.modules, root=None)
    (got,) = transfer(
        (replace(target[0], detector=replace(target[0].detector, root=None)),), without_tree
    )
    np.testing.assert_allclose(
        distances(got.detector), distances(without_tree), rtol=0, atol=1e-10
    )  # fmt: skip


def test_refused() -> None:
    case = rotation_case(n=10)
    with pytest.raises(GeometryError, match=r"transfer: distance -2\.0 mm: expected a positive"):
        transfer(case.start, case.start[0].detector, -2.0)
    with pytest.raises(GeometryError, match="detectors of 4 and 9 panels"):
        transfer(case.start, panel_grid((2, 2)))
    with pytest.raises(GeometryError, match="experiment 0 has no detector or no beam"):
        transfer((replace(case.start[0], beam=None),), case.start[0].detector)
    with pytest.raises(GeometryError, match=r"transfer: weights of shape \(2,\): expected 9"):
        transfer(case.start, case.start[0].detector, weight=np.ones(2))
    sideways = (replace(case.start[0], beam=Beam(np.array([1.0, 0.0, 0.0]), 1.0)),)
    with pytest.raises(GeometryError, match="the beam runs within the mean plane"):
        transfer(sideways, case.start[0].detector, 100.0)
