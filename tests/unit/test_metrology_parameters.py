"""Parameters of detector, beam and crystal: values, derivatives, symmetry, what is held."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.crystal.crystal_model import Crystal
from refimpl.detector.hierarchy import Group, Hierarchy, Module
from refimpl.errors import ConfigError, GeometryError
from refimpl.forward.experiment import Beam, Experiment, Goniometer, Scan
from refimpl.metrology.crystal_parameters import (
    b_matrix,
    beam_parameters,
    cell_parameters,
    orientation_parameters,
)
from refimpl.metrology.detector_parameters import DETECTOR_NAMES, detector_parameters
from refimpl.metrology.parameters import FixSettings, model_set
from refimpl.rotations import expmap

SIXTH_ORDER = {-3: -1 / 60, -2: 3 / 20, -1: -3 / 4, 1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
seeds = st.integers(0, 2**32 - 1)


def module(name: str, origin) -> Module:
    return Module(
        name=name, fast_axis=(1.0, 0.0, 0.0), slow_axis=(0.0, 1.0, 0.0), origin_mm=origin,
        size_px=(100, 80), pixel_size_mm=(0.2, 0.2),
    )  # fmt: skip


def detector(tree: bool = True) -> Hierarchy:
    """Four panels, two and two on groups of a root at 120 mm, somewhat turned."""
    if not tree:
        return Hierarchy((module("a", (-10.0, -8.0, -120.0)), module("b", (15.0, -8.0, -121.0))))
    panels = tuple(module(f"p{i}", (25.0 * (i % 2), 0.0, 0.3 * i)) for i in range(4))
    turned = expmap(np.array([0.02, -0.03, 0.01]))
    groups = tuple(
        Group(
            name=f"g{k}", fast_axis=(1.0, 0.0, 0.0), slow_axis=(0.0, 1.0, 0.0),
            origin_mm=(0.0, 20.0 * k, 0.1 * k), children=(2 * k, 2 * k + 1),
        )
        for k in range(2)
    )  # fmt: skip
    root = Group(
        name="root", fast_axis=tuple(turned[:, 0]), slow_axis=tuple(turned[:, 1]),
        origin_mm=(-20.0, -18.0, -120.0), children=groups,
    )  # fmt: skip
    return Hierarchy(panels, root)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_at_the_start_the_detector_is_where_it_is(level) -> None:
    d = detector()
    p = detector_parameters(d, level)
    np.testing.assert_allclose(p.d(p.initial), d.d, rtol=0, atol=1e-13)
    np.testing.assert_allclose(p.moved(p.initial).d, d.d, rtol=0, atol=1e-13)
    assert len(p.names) == 6 * (1, 2, 4)[level] == p.initial.size
    assert p.names[:6] == tuple(f"Detector1Group1{n}" for n in DETECTOR_NAMES)


@settings(max_examples=20)
@given(seeds, st.sampled_from([0, 1, 2]))
def test_panels_move_as_rigid_bodies_with_their_group(seed: int, level: int) -> None:
    rng = np.random.default_rng(seed)
    d = detector()
    p = detector_parameters(d, level)
    values = p.initial + rng.normal(size=p.initial.shape) * [1.0, 1.0, 1.0, 20.0, 20.0, 20.0]
    columns = p.d(values)
    np.testing.assert_allclose(p.moved(values).d, columns, rtol=0, atol=1e-11)
    for members in p.members:
        for a in members:
            for b in members:
                old, new = (c[a].T @ (c[b][:, 2] - c[a][:, 2]) for c in (d.d, columns))
                np.testing.assert_allclose(old[:2], new[:2], atol=1e-11)
                np.testing.assert_allclose(
                    d.d[a][:, :2].T @ d.d[b][:, :2], columns[a][:, :2].T @ columns[b][:, :2],
                    atol=1e-12,
                )  # fmt: skip


@settings(max_examples=20)
@given(seeds, st.sampled_from([0, 1, 2]))
def test_derivatives_of_the_detector(seed: int, level: int) -> None:
    rng = np.random.default_rng(seed)
    p = detector_parameters(detector(), level)
    values = p.initial + rng.normal(size=p.initial.shape) * [1.0, 1.0, 1.0, 20.0, 20.0, 20.0]
    by = p.derivatives(values)
    for k in range(6):
        step = 1.0 if k < 3 else 10.0  # mm, mrad
        unit = np.eye(6)[k] * step
        difference = sum(w / step * p.d(values + i * unit) for i, w in SIXTH_ORDER.items())
        scale = np.abs(by[:, k]).max()
        np.testing.assert_allclose(by[:, k], difference, rtol=0, atol=1e-8 * scale + 1e-12)


def test_a_detector_without_a_tree_moves_as_one_by_its_nearest_panel() -> None:
    d = detector(tree=False)
    p = detector_parameters(d, 0, s0=np.array([0.0, 0.0, -1.0]))
    assert p.members == ((0, 1),)
    np.testing.assert_allclose(p.initial[0, 0], -120.0)  # along the nearest panel's own normal
    np.testing.assert_allclose(p.d(p.initial), d.d, atol=1e-13)
    moved = p.moved(p.initial + np.eye(6)[:1])
    np.testing.assert_allclose(moved.d[:, 2, 2] - d.d[:, 2, 2], 1.0)
    flat = Hierarchy((module("a", (0.0, 0.0, 0.0)),))
    with pytest.raises(GeometryError, match="Detector1: the sample lies in the plane of group 1"):
        detector_parameters(flat)


@settings(max_examples=20)
@given(seeds)
def test_derivatives_of_beam_orientation_and_cell(seed: int) -> None:
    rng = np.random.default_rng(seed)
    beam = beam_parameters(np.array([0.01, 0.02, -1.0]), np.array([1.0, 0.0, 0.0]))
    turn = orientation_parameters(expmap(rng.normal(size=3)))
    cell, u = cell_parameters(random_setting(rng), " P 1")
    assert np.allclose(u @ u.T, np.eye(3), atol=1e-12)
    for values, value, by in (
        (beam.initial + rng.normal(size=3) * [5.0, 5.0, 0.01], beam.s0, beam.derivatives),
        (rng.normal(size=3) * 50.0, turn.u, turn.derivatives),
        (cell.initial, cell.b, cell.derivatives),
    ):
        slopes = by(values)
        for k in range(len(values)):
            step = 1e-3 * max(abs(values[k]), 1.0)
            unit = np.eye(len(values))[k] * step
            difference = sum(w / step * value(values + i * unit) for i, w in SIXTH_ORDER.items())
            scale = np.abs(slopes[k]).max()
            np.testing.assert_allclose(slopes[k], difference, rtol=0, atol=1e-8 * scale + 1e-15)


def random_setting(rng) -> np.ndarray:
    rows = np.diag(rng.uniform(20.0, 60.0, 3)) + rng.normal(size=(3, 3))
    return np.linalg.inv(rows @ expmap(rng.normal(size=3)))


def test_b_is_lower_triangular_with_its_metric() -> None:
    metric = np.array([4.0, 5.0, 6.0, 0.5, -0.3, 0.7])
    b, _ = b_matrix(metric)
    assert np.all(np.triu(b, 1) == 0.0)
    g = b.T @ b
    np.testing.assert_allclose(
        [g[0, 0], g[1, 1], g[2, 2], g[0, 1], g[0, 2], g[1, 2]], metric, rtol=1e-14
    )


@pytest.mark.parametrize(
    ("hall", "free"),
    [
        (" P 1", 6), (" P 2y", 4), (" P 2 2", 3), (" P 4", 2), (" P 6", 2), (' R 3 -2"', 2),
        (" F 4 2 3", 1),
    ],
)  # fmt: skip
def test_symmetry_leaves_the_published_number_free(hall, free) -> None:
    length = {1: (40.0, 40.0, 40.0), 2: (40.0, 40.0, 70.0)}.get(free, (40.0, 50.0, 70.0))
    gamma = 120.0 if " 6" in hall or "R 3" in hall else 90.0
    c, s = np.cos(np.radians(gamma)), np.sin(np.radians(gamma))
    rows = np.array([[length[0], 0, 0], [length[1] * c, length[1] * s, 0], [0, 0, length[2]]])
    setting = np.linalg.inv(rows)
    cell, u = cell_parameters(setting, hall)
    assert len(cell.initial) == free
    np.testing.assert_allclose(u @ cell.b(cell.initial), setting, atol=1e-16)


def experiment(**changes) -> Experiment:
    values = dict(
        beam=Beam(np.array([0.0, 0.0, 1.0]), 1.0), detector=detector(),
        goniometer=Goniometer(np.array([1.0, 0.0, 0.0])), scan=Scan((1, 100), (0.0, 0.5)),
        crystal=Crystal(np.diag([30.0, 40.0, 50.0]), " P 2 2"),
    )  # fmt: skip
    return Experiment(**(values | changes))


def test_order_names_and_what_is_held_by_default() -> None:
    models = model_set((experiment(),), FixSettings(hierarchy_level=1))
    assert models.names[12:] == (
        "Beam1Mu1", "Beam1Mu2", "Beam1nu", "Crystal1Phi1", "Crystal1Phi2", "Crystal1Phi3",
        "Crystal1g_param_0", "Crystal1g_param_1", "Crystal1g_param_2",
    )  # fmt: skip
    held = {n for n, f in zip(models.names, models.free, strict=True) if not f}
    assert held == {"Beam1Mu1", "Beam1nu"}
    more = FixSettings(
        detector=("distance",), crystal=("cell",), fix_list=("Group2Tau1",), hierarchy_level=1
    )
    held = {n for n, f in zip(models.names, model_set((experiment(),), more).free, strict=True)
            if not f}  # fmt: skip
    assert {"Detector1Group1Dist", "Detector1Group2Dist", "Detector1Group2Tau1"} < held
    assert "Crystal1g_param_2" in held
    assert "Crystal1Phi1" not in held


def test_models_that_are_shared_are_one() -> None:
    first = experiment()
    second = experiment(beam=first.beam, detector=first.detector)
    models = model_set((first, second))
    assert (len(models.detectors), len(models.beams), len(models.cells)) == (1, 1, 2)
    x = models.initial.copy()
    x[models.beam_at(0)] += [0.0, 1.0, 0.0]
    moved = models.moved(x)
    assert moved[0].beam is moved[1].beam
    assert moved[0].detector is moved[1].detector
    assert moved[0].crystal is not moved[1].crystal


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: FixSettings(detector=("shape",)),
            r"detector\.fix: unknown 'shape'",
        ),
        (lambda: FixSettings(beam=("mu1",)), r"beam\.fix: unknown 'mu1'"),
        (lambda: model_set((experiment(crystal=None),)), "experiment 0 has no crystal"),
        (
            lambda: model_set(
                (experiment(),), FixSettings(detector=("all",), beam=("all",), crystal=("all",))
            ),
            "every parameter is fixed: nothing to refine",
        ),
        (
            lambda: model_set((experiment(),), FixSettings(hierarchy_level=5)),
            "hierarchy level 5: this detector has levels 0 to 2",
        ),
        (lambda: cell_parameters(np.eye(3), " Q 9"), "space group: unknown Hall symbol ' Q 9'"),
    ],
)
def test_what_cannot_be_is_refused(make, text) -> None:
    with pytest.raises(ConfigError, match=text):
        make()
