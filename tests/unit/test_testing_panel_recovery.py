"""Unit tests of the recovery of panels: it must be able to fail a refinement."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from refimpl.detector.tilted_flat import GEOMETRY_FIELDS, PANEL_FIELDS
from refimpl.errors import ConvergenceError
from refimpl.forward.information import GEOMETRY
from refimpl.forward.panel_gauge import gauge_rows
from refimpl.forward.panel_information import PanelInformation, panel_information
from refimpl.forward.panel_scenes import PanelScene, panel_scene
from refimpl.forward.simulated_frame import SimulatedFrame
from refimpl.testing.panel_compare import QUANTITIES, common_modes, mahalanobis, to_gauge
from refimpl.testing.panel_recovery import FoundPanels, judge, recover_panels
from refimpl.testing.panel_scores import PanelRow, Recovered, report_panels
from refimpl.testing.recovery import chi_square_interval

STRIDE = 25
FIELDS = ("d_fast_px", "d_slow_px", "d_theta_rad", "d_lsd_mm")


class World:
    """A small scene with one bad panel, and estimates drawn about its truth."""

    def __init__(self) -> None:
        self.scene: PanelScene = panel_scene(1)
        self.frame: SimulatedFrame = self.scene.simulate()
        self.seen = np.ones(len(self.scene.boxes), dtype=bool)
        self.seen[list(self.scene.hidden)] = False
        self.information: PanelInformation = panel_information(
            self.frame, fields=FIELDS, stride=STRIDE
        )
        _, rows = gauge_rows(self.scene.boxes, FIELDS, self.seen)
        names = self.information.names
        known = [n for n in names if n.split(".")[0] in {str(i) for i in self.scene.hidden}]
        self.covariance = self.information.covariance(rows, priors=self.scene.widths)
        held = [n in known for n in names]
        self.covariance[held, :] = self.covariance[:, held] = 0.0  # not found, and not known
        self.free = np.flatnonzero([n not in known for n in names])

    def found(self, error: np.ndarray, **changes: Any) -> FoundPanels:
        """Truth plus an error, with the bound for a covariance."""
        model, g = self.scene.model, len(GEOMETRY)
        geometry, moves = model.geometry, np.array(model.panel_corrections)
        geometry[[GEOMETRY_FIELDS.index(n) for n in GEOMETRY]] += error[:g]
        moves[:, [PANEL_FIELDS.index(f) for f in FIELDS]] += error[g:].reshape(len(moves), -1)
        given: dict[str, Any] = {
            "model": model.with_geometry(geometry).replace(panel_corrections=moves),
            "names": tuple(self.information.names[i] for i in self.free),
            "covariance": self.covariance[np.ix_(self.free, self.free)],
            "priors": self.scene.widths,
            "reasons": tuple(
                f"panel {i}: 0 ring points: all of it held" for i in self.scene.hidden
            ),
            "converged": True,
            **changes,
        }
        return FoundPanels(**given)

    def draw(self, seed: int) -> np.ndarray:
        """Error of the bound's covariance."""
        sigma = np.sqrt(np.diag(self.covariance))
        safe = np.where(sigma > 0.0, sigma, 1.0)
        values, vectors = np.linalg.eigh(self.covariance / np.outer(safe, safe))
        rng = np.random.Generator(np.random.PCG64(seed))
        deviate = np.sqrt(np.maximum(values, 0.0)) * rng.normal(size=len(values))
        return np.asarray(sigma * (vectors @ deviate))

    def judge(self, found: FoundPanels) -> PanelRow:
        return judge(self.scene, self.frame, found, information=self.information)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def many(world: World, scale: float) -> Recovered:
    return Recovered(
        tuple(world.judge(world.found(scale * world.draw(seed))) for seed in range(60))
    )


def test_honest_errors_pass(world: World) -> None:
    recovered = many(world, 1.0)
    chi2, dof = recovered.pooled()
    low, high = chi_square_interval(dof)
    assert low < chi2 < high
    # 5 panels of 4 numbers under 4 + 2 constraints (in one or two columns)
    assert dof == 60 * (20 - len(gauge_rows(world.scene.boxes, FIELDS, world.seen)[1]))
    for name in (*FIELDS, "radial_px", "sideways_px"):
        mean, known = recovered.reduced_chi_square(name)
        assert abs(mean - 1.0) < 4.0 * known, name  # 6 quantities: once in 2,600 runs
        error, sigma = recovered.ratios(name)
        assert sigma == pytest.approx(1.0, abs=1e-6)  # the bound itself, through T
        assert error == pytest.approx(1.0, abs=4.0 * known)
    assert not recovered.failed
    assert not recovered.silent


@pytest.mark.parametrize("scale", [0.7, 1.4])
def test_dishonest_errors_fail(world: World, scale: float) -> None:
    recovered = many(world, scale)
    chi2, dof = recovered.pooled()
    low, high = chi_square_interval(dof)
    assert not low < chi2 < high
    mean, known = recovered.reduced_chi_square("radial_px")
    assert abs(mean - 1.0) > 2.0 * known


def test_what_panels_share_with_the_detector_is_no_error(world: World) -> None:
    """All panels moved, turned about the beam or raised, and the detector the other way."""
    error = world.draw(3)
    modes = common_modes(world.information, world.scene.model)
    shifted = error.copy()
    for name, size in (("beam_fast_px", 0.2), ("beam_slow_px", -0.1), ("rotation", 1e-3),
                       ("lsd_mm", 0.15)):  # fmt: skip
        shifted = shifted + size * modes[name]
    plain, common = (world.judge(world.found(e)) for e in (error, shifted))
    compared = np.isfinite(plain.error)
    assert np.sum(compared) > 20
    off = np.abs(common.error - plain.error)[compared] / plain.sigma[compared]
    assert np.max(off) < 1e-4  # linear algebra of condition 1e8 or so
    off = np.abs(common.global_error - plain.global_error) / plain.global_sigma
    assert np.max(off) < 1e-4


def test_modes_move_no_ring(world: World) -> None:
    matrix = world.information.reduced()
    modes = common_modes(world.information, world.scene.model)
    for name in ("beam_fast_px", "beam_slow_px", "rotation", "lsd_mm"):
        parts = modes[name] ** 2 * np.diag(matrix)
        # rounding of the pseudo-inverses
        assert modes[name] @ matrix @ modes[name] < 1e-8 * np.max(parts), name


def test_gauge_leaves_the_truth_alone(world: World) -> None:
    turn = to_gauge(world.information, world.scene.model, world.seen)
    columns = [2 + PANEL_FIELDS.index(f) for f in FIELDS]
    own = world.scene.model.corrections[:, columns]
    own[~world.seen] = 0.0
    x = np.concatenate([np.zeros(len(GEOMETRY)), own.ravel()])
    np.testing.assert_allclose(turn @ x, x, atol=1e-9)  # rounding of the pseudo-inverse
    np.testing.assert_allclose(turn @ turn, turn, atol=1e-9 * np.abs(turn).max())


def test_a_hidden_panel_is_not_compared(world: World) -> None:
    row = world.judge(world.found(world.draw(1)))
    assert np.all(np.isnan(row.error[list(world.scene.hidden)]))
    assert np.all(np.isfinite(row.error[world.seen][:, :4]))
    assert np.all(np.isnan(row.error[:, QUANTITIES.index("tilt_fast_rad")]))


def test_an_invented_panel_is_named(world: World) -> None:
    """Sure numbers for a panel that nothing is known of, and no word about it."""
    hidden = world.scene.hidden[0]
    names = world.information.names
    invented = world.found(
        world.draw(1), names=names, reasons=(),
        covariance=world.covariance + np.diag([1e-12 * ("." in n) for n in names]),
    )  # fmt: skip
    moves = np.array(invented.model.panel_corrections)
    moves[hidden, 0] += 0.5
    invented = dataclasses.replace(invented, model=invented.model.replace(panel_corrections=moves))
    row = world.judge(invented)
    assert row.silent == (hidden,)
    assert f"invented: {world.scene.name}: panel {hidden}" in report_panels(Recovered((row,)))
    wide = np.diag([1.0 if n.startswith(f"{hidden}.") else 0.0 for n in names])
    honest = dataclasses.replace(invented, covariance=invented.covariance + wide)
    assert world.judge(honest).silent == ()


def test_what_is_held_on_a_seen_panel_is_counted(world: World) -> None:
    first = int(np.flatnonzero(world.seen)[0])
    found = world.found(world.draw(1))
    keep = [k for k, n in enumerate(found.names) if n != f"{first}.d_theta_rad"]
    held = dataclasses.replace(
        found,
        names=tuple(found.names[k] for k in keep),
        covariance=found.covariance[np.ix_(keep, keep)],
    )
    row = world.judge(held)
    assert row.held == (f"{first}.d_theta_rad",)
    assert np.isnan(row.error[first, PANEL_FIELDS.index("d_theta_rad")])
    assert np.isfinite(row.error[first, 0])


def test_a_failure_is_counted_with_its_reason() -> None:
    def fails(scene: PanelScene, frame: SimulatedFrame) -> FoundPanels:
        raise ConvergenceError("no rings here")

    lines: list[str] = []
    recovered = recover_panels([panel_scene(0)], fails, progress=lines.append)
    assert recovered.failed == ("panels 0: no rings here",)
    assert report_panels(recovered) == "no scene was recovered\nfailed: panels 0: no rings here"
    assert "FAILED" in lines[0]


def test_run_over_scenes_reports(world: World) -> None:
    def stand_in(scene: PanelScene, frame: SimulatedFrame) -> FoundPanels:
        assert scene.name == world.scene.name
        return world.found(world.draw(2), converged=False)

    lines: list[str] = []
    recovered = recover_panels([world.scene], stand_in, stride=STRIDE, progress=lines.append)
    assert "not converged" in lines[0]
    text = report_panels(recovered)
    assert "0 of 1 scenes converged" in text
    assert "radial_px" in text
    assert "tilt_fast_rad" not in text
    assert recovered.of_detector()["lsd_mm"][2] == pytest.approx(1.0, abs=1e-6)


def test_mahalanobis_counts_what_is_free() -> None:
    c = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 4.0]])
    chi2, rank = mahalanobis(np.array([0.5, -0.5, 2.0]), c)
    assert (chi2, rank) == (pytest.approx(1.25, rel=1e-12), 2)  # 0.5^2 + (2 / 2)^2
    assert mahalanobis(np.zeros(0), np.zeros((0, 0))) == (0.0, 0)
