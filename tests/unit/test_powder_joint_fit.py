"""Several frames fitted together on points of known truth: derivatives, errors, determinacy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.crystal.rings import Rings, rings
from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import PANEL_FIELDS
from refimpl.errors import ConfigError
from refimpl.forward.panel_gauge import draw_panel_errors, gauge_rows
from refimpl.forward.scenes import panel_grid
from refimpl.frames import F64
from refimpl.powder.frame_residuals import reach
from refimpl.powder.joint_border import FramePoints, Sharing, joint_problem
from refimpl.powder.joint_fit import LEAST_KNOWN, fit_joint, forecast
from refimpl.powder.joint_passes import at_wavelength
from refimpl.powder.joint_words import shared_values
from refimpl.powder.observations import RingPoints
from refimpl.powder.panel_gauge import common_moves
from refimpl.powder.panel_setup import PanelSetup
from refimpl.powder.parameters import parameters

PIXEL = 0.2
TRAVEL = (0.0, 80.0, 160.0)
BOXES = panel_grid([193, 193], [7], [182, 181], [17])
WIDTHS = {
    "d_fast_px": 0.3, "d_slow_px": 0.3, "d_theta_rad": 2e-3, "d_lsd_mm": 0.3,
    "tilt_fast_rad": 1e-3, "tilt_slow_rad": 1e-3,
}  # fmt: skip
SETUP = PanelSetup(
    learn=False, priors={"shift": 0.3, "rotation": 2e-3, "height": 0.3, "tilt": 1e-3}
)


def on_rings(
    model: TiltedFlat, lines: Rings, noise: float, sigma: float, seed: int, n_eta: int
) -> RingPoints:
    """Points of every ring in every azimuthal bin that falls on a panel, with noise in 2-theta."""
    rng = np.random.default_rng(seed)
    boxes = model.panel_boxes
    whole = np.array([[0, 0, model.shape[1], model.shape[0]]])
    ring, bins = (a.ravel() for a in np.indices((len(lines), n_eta)))
    columns: list[list[Any]] = [[] for _ in range(7)]
    for panel, box in enumerate(whole if boxes is None else boxes):
        own = np.full(len(ring), -1 if boxes is None else panel, np.int32)
        eta = -np.pi + (bins + 0.5) * 2.0 * np.pi / n_eta
        two_theta = lines.two_theta_rad[ring] + rng.normal(0.0, noise, len(ring))
        radius = model.lsd_mm * np.tan(two_theta)
        fast, slow = model.pixel_position(radius, eta, own)
        on = (fast >= box[0]) & (fast < box[2]) & (slow >= box[1]) & (slow < box[3])
        parts = (ring, np.full(len(ring), panel), bins, fast, slow, two_theta, eta)
        for column, part in zip(columns, parts, strict=True):
            column.append(part[on])
    r, p, b, fast, slow, two_theta, eta = (np.concatenate(c) for c in columns)
    one = np.ones(len(r))
    return RingPoints(
        r, p, b, fast, slow, two_theta, eta, sigma * one, one, 1e-3 * one, 0.5 * one, one, one,
        one, np.ones(len(r), dtype=np.int64), np.ones(len(r), dtype=bool),
    )  # fmt: skip


def world(
    seed: int = 0,
    *,
    travel: Sequence[float] = TRAVEL,
    pixel: float = 1e-3,
    wavelengths: Sequence[float] = (0.25, 0.25, 0.25),
    errors: Sequence[float] = (0.0, 0.0, 0.0),
    panels: bool = False,
    noise: float = 2e-5,
    sigma: float | None = None,
    widest: float = 0.45,
    n_eta: int = 48,
    refine: Sequence[str] = ("distance", "beam_centre", "tilt"),
    **changes: Any,
) -> tuple[list[FramePoints], list[TiltedFlat]]:
    """Frames of a detector that travels, with wrong pixel size and wavelengths given; its truth."""
    rng = np.random.default_rng(1000 + seed)
    moves = draw_panel_errors(BOXES, WIDTHS, rng) if panels else None
    frames, truth = [], []
    for i, s in enumerate(travel):
        model = TiltedFlat(
            (380, 393), (PIXEL * (1.0 + pixel),) * 2, 200.0 + s,
            (188.0 + rng.normal(), 190.0 + rng.normal()), (0.0, 0.01, -0.015),
            rho_d_mm=60.0 * (1.0 + pixel), panel_boxes=BOXES if panels else None,
            panel_corrections=moves,
        ).replace(**changes)  # fmt: skip
        model = model.replace(lsd_mm=model.lsd_mm - reach(model.geometry, (188.0, 190.0))[0])
        lines = rings("CeO2", wavelengths[i], widest)
        points = on_rings(
            model, at_wavelength(lines, np.log1p(errors[i])), noise, sigma or noise,
            100 * seed + i, n_eta,
        )  # fmt: skip
        start = model.replace(
            pixel_size_mm=(PIXEL, PIXEL), rho_d_mm=60.0, panel_corrections=None,
            lsd_mm=model.lsd_mm / (1.0 + pixel) / (1.0 + errors[i]),
        )  # fmt: skip
        frames.append(FramePoints(points, lines, parameters(start, refine)))
        truth.append(model)
    return frames, truth


def sharing(*refine: str, **options: Any) -> Sharing:
    return Sharing(refine, **{"travel_mm": TRAVEL, "groups": (0, 0, 0)} | options)


def chi_square(values: Sequence[float]) -> tuple[float, float, float]:
    """Sum of squares, and its 99.8 % interval for independent standard normal numbers."""
    from scipy.stats import chi2

    low, high = chi2.ppf([0.001, 0.999], len(values))
    return float(np.sum(np.square(values))), float(low), float(high)


# ------------------------------------------------------------------------------- derivatives


def sixth_order(call: Any, x: F64, k: int, step: float) -> F64:
    total = 0.0
    for m, weight in ((1, 3.0 / 4.0), (2, -3.0 / 20.0), (3, 1.0 / 60.0)):
        for sign in (1.0, -1.0):
            y = x.copy()
            y[k] += sign * m * step
            total = total + sign * weight * call(y) / step
    return total


@settings(max_examples=12)
@given(st.integers(0, 10_000))
def test_derivatives_of_shared_columns(seed: int) -> None:
    """To 1e-8 of the largest of a column; sixth-order differences are good to some 1e-12."""
    rng = np.random.default_rng(seed)
    p = tuple(rng.normal(0.0, 1e-3, 15) * np.where(np.isin(np.arange(15), [3, 6, 8]), 1e4, 1.0))
    refine = ("distance", "beam_centre", "tilt", "parallax", "p0", "p1", "p2", "p4")
    frames, _ = world(
        seed, panels=True, n_eta=16, refine=refine, p=p, parallax_mm=float(rng.normal(0.0, 0.2))
    )
    setup = PanelSetup(refine=("shift", "rotation", "height", "tilt", "p2"))
    given_ = sharing("pixel_size", "wavelength", share=("tilt",))
    logs = {"pixel_size": rng.normal() * 1e-2, "wavelength[1]": rng.normal() * 1e-2}
    problem, _ = joint_problem(frames, given_, setup, given_.wanted, logs)
    x = problem.first()
    x[problem.g :] += rng.normal(0.0, 1e-3, len(x) - problem.g)
    table = problem.corrections(x)
    for frame in problem.frames:
        _, jacobian = frame.linearised(x[: problem.g], table, problem.fields)
        for column, k in enumerate(frame.columns):
            step = 1e-2 if "px" in problem.names[k] or "mm" in problem.names[k] else 1e-3
            by = sixth_order(lambda y, f=frame: f.strain(y, table), x[: problem.g], int(k), step)
            size = np.max(np.abs(jacobian[:, column]))
            assert np.max(np.abs(by - jacobian[:, column])) < 1e-8 * size, problem.names[k]


def test_gradient_and_normal_matrix_of_all_parameters() -> None:
    """The gradient is that of the cost, floating priors included."""
    frames, _ = world(panels=True, n_eta=12)
    given_ = sharing("pixel_size", "wavelength")
    problem, _ = joint_problem(frames, given_, SETUP, given_.wanted, {})
    rng = np.random.default_rng(0)
    x = problem.first() + rng.normal(0.0, 1e-4, problem.g + 24)
    weights = [np.full(len(f.points), 1e9) for f in frames]
    precision = 1.0 / SETUP.spread(SETUP.stated()) ** 2
    none = np.zeros((0, problem.p, len(problem.fields)))
    here = problem.normal(x, weights, precision, none)

    def cost(y: F64) -> Any:
        return np.array(problem.normal(y, weights, precision, none).cost)

    for k in range(len(x)):
        slope = sixth_order(cost, x, k, 1e-4)
        # cost is about 1e3 with rounding of 1e-13 of it, over steps of 1e-4
        assert 0.5 * slope == pytest.approx(here.gradient[k], rel=1e-6, abs=1e-4)


def test_common_moves_are_moves_of_the_detector() -> None:
    """No ring sees them once the global parameters may follow, to first order."""
    frames, _ = world(panels=True, n_eta=24)
    flat = [replace(f, free=f.free.moved_to(f.free.model.replace(tilts_rad=(0.0, 0.0, 0.0))))
            for f in frames]  # fmt: skip
    problem, _ = joint_problem(flat, sharing("pixel_size"), SETUP, (), {})
    moves = common_moves(problem, SETUP)
    assert len(moves) == 6
    for frame in problem.frames:
        x = problem.first()[: problem.g]
        _, jacobian = frame.linearised(x, problem.moves, problem.fields)
        g = len(frame.globals.names)
        own = jacobian[:, len(frame.columns) :]
        for move in moves:
            seen = np.einsum("nm,nm->n", own, move[frame.points.panel])
            left = seen - jacobian[:, :g] @ np.linalg.lstsq(jacobian[:, :g], seen)[0]
            size = np.max(
                np.abs(np.einsum("nm,nm->n", np.abs(own), np.abs(move[frame.points.panel])))
            )
            assert np.max(np.abs(left)) < 1e-8 * size


# --------------------------------------------------------------------------- honest errors


def test_pixel_size_and_distances_with_known_travel() -> None:
    """Errors over their standard uncertainties are standard normal: 20 sets, 99.8 % interval."""
    pulls: dict[str, list[float]] = {"pixel": [], "lsd": [], "beam": []}
    for seed in range(20):
        frames, truth = world(seed)
        fit = fit_joint(frames, sharing("pixel_size"))
        assert fit.active == ("pixel_size",)
        error = fit.logarithms["pixel_size"] - np.log1p(1e-3)
        pulls["pixel"].append(error / fit.uncertainty("pixel_size"))
        last = fit.frames[2].fit
        pulls["lsd"].append((last.x[0] - truth[2].lsd_mm) / last.sigma[0])
        pulls["beam"].append((last.x[1] - truth[2].beam_centre_px[0]) / last.sigma[1])
    for name, values in pulls.items():
        total, low, high = chi_square(values)
        assert low < total < high, (name, total / 20)
    assert 1e-5 < fit.uncertainty("pixel_size") < 1e-4  # the travel says it to 0.001 to 0.01 %


def test_wavelength_of_one_frame_by_that_of_another() -> None:
    """Two energies at one place: the second follows from the first."""
    pulls, options = [], {"travel_mm": (0.0, 0.0), "groups": (0, 1), "known": frozenset([0])}
    for seed in range(20):
        frames, _ = world(
            seed, travel=(0.0, 0.0), pixel=0.0, wavelengths=(0.25, 0.3), errors=(0.0, 2e-3)
        )
        fit = fit_joint(frames, sharing("pixel_size", "wavelength", **options))
        assert fit.active == ("wavelength[2]",)
        assert fit.dropped == ("pixel_size",)
        error = fit.logarithms["wavelength[2]"] - np.log1p(2e-3)
        pulls.append(error / fit.uncertainty("wavelength[2]"))
    total, low, high = chi_square(pulls)
    assert low < total < high
    words = {v.name: v for v in shared_values(frames, fit, ("a", "b"))}
    assert words["wavelength[1]"].sentence == "Wavelength of a: held at 0.25 angstrom, as known."
    assert words["wavelength[2]"].sentence.startswith("Wavelength of b 0.3006")
    assert "determined by the distance that they share" in words["wavelength[2]"].sentence
    assert words["wavelength[2]"].frames == (2,)


@pytest.mark.parametrize("wanted", ["pixel_size", "wavelength"])
def test_panels_and_what_is_shared(wanted: str) -> None:
    """Panels out of place in every way: what is shared, and where one panel really is."""
    shared, heights = [], []
    for seed in range(10):
        by = {"pixel": 0.0, "errors": (1e-3,) * 3} if wanted == "wavelength" else {}
        frames, truth = world(seed, panels=True, n_eta=36, tilts_rad=(0.0, 0.0, 0.0), **by)
        fit = fit_joint(frames, sharing(wanted, share=("tilt",)), SETUP)
        name = fit.active[0]
        error = fit.logarithms[name] - np.log1p(1e-3)
        shared.append(error / fit.uncertainty(name))
        panels = fit.frames[0].panels
        assert panels is not None
        i = seed % 4
        x = dict(zip(fit.names, fit.x, strict=True))
        x |= {f"{i}.{n}": v for n, v in zip(PANEL_FIELDS, panels.corrections[i], strict=True)}
        pivot = np.mean([f.free.start[1:3] for f in frames], axis=0)
        true = 200.0 + truth[0].panel_corrections[i, 3]
        slope = np.array([_by(partial(_height, panel=i, pivot=pivot), x, n) for n in panels.names])
        sigma = np.sqrt(slope @ panels.covariance @ slope)
        heights.append((_height(x, i, pivot) - true) / sigma)
    for values in (shared, heights):
        total, low, high = chi_square(values)
        assert low < total < high


def _height(x: dict[str, float], panel: int, pivot: F64) -> float:
    """Where a panel's centre is along the beam at travel 0, which no gauge changes."""
    fast, slow = 0.5 * (BOXES[panel, :2] + BOXES[panel, 2:]) - pivot
    fast, slow = fast + x[f"{panel}.d_fast_px"], slow + x[f"{panel}.d_slow_px"]
    size = PIXEL * np.exp(x["pixel_size"])
    lean = np.cos(x["ty_rad"]) * np.sin(x["tz_rad"]) * fast + np.sin(x["ty_rad"]) * slow
    return float(x["lsd_mm"] + x[f"{panel}.d_lsd_mm"] + size * lean)


def _by(call: Any, x: dict[str, float], name: str) -> float:
    if name not in x:
        return 0.0
    ends = [call({**x, name: x[name] + step}) for step in (1e-5, -1e-5)]
    return (ends[0] - ends[1]) / 2e-5


# ------------------------------------------------------------------------------- determinacy


def test_without_travel_the_pixel_size_is_held_and_said() -> None:
    frames, _ = world()
    fit = fit_joint(frames, sharing("pixel_size", travel_mm=None))
    assert fit.active == ()
    assert fit.dropped == ("pixel_size",)
    assert fit.frames[0].parameters.model.pixel_size_mm == (PIXEL, PIXEL)
    assert fit.logarithms["pixel_size"] == 0.0
    value = shared_values(frames, fit, "abc")[0]
    assert value.status == "not determined"
    assert value.possible == np.inf
    assert value.sentence == (
        "Pixel size: not determined: it scales with all distances; held at 0.2 mm. The known "
        "travel between the frames (travel_mm) would determine it."
    )


def test_with_panels_priors_alone_determine_no_pixel_size() -> None:
    """Heights have priors in mm, which know a scale after all: to a third, which is nothing."""
    frames, _ = world(panels=True, n_eta=24)
    fit = fit_joint(frames, sharing("pixel_size", travel_mm=None), SETUP)
    assert fit.dropped == ("pixel_size",)
    assert forecast(frames, fit, ["pixel_size"])["pixel_size"] > 0.1


def test_a_short_travel_is_not_enough() -> None:
    frames, _ = world(travel=(0.0, 0.5, 1.0), noise=1e-4)
    fit = fit_joint(frames, sharing("pixel_size", travel_mm=(0.0, 0.5, 1.0)))
    value = shared_values(frames, fit, "abc")[0]
    assert value.status == "not determined"
    assert LEAST_KNOWN < value.possible < 1.0
    assert value.sentence.startswith("Pixel size: not determined: the frames say it to ")
    assert value.sentence.endswith(" only, 0.1 % is the least; held at 0.2 mm.")


@pytest.mark.parametrize("first", ["pixel_size", "wavelength"])
def test_what_is_named_last_is_given_up(first: str) -> None:
    """At small angles the travel determines the one over the other only."""
    second = "wavelength" if first == "pixel_size" else "pixel_size"
    frames, _ = world(widest=0.2, pixel=0.0)
    fit = fit_joint(frames, sharing(first, second))
    assert [n.partition("[")[0] for n in fit.active] == [first]
    assert [n.partition("[")[0] for n in fit.dropped] == [second]
    words = {v.name.partition("[")[0]: v for v in shared_values(frames, fit, "abc")}
    assert "determined by the known travel of 160 mm" in words[first].sentence
    assert "not determined together with" in words[second].sentence


def test_wide_angles_determine_the_wavelength_without_travel() -> None:
    frames, _ = world(pixel=0.0, errors=(2e-3,) * 3, noise=1e-5, widest=0.6)
    fit = fit_joint(frames, sharing("wavelength", travel_mm=None))
    assert fit.active == ("wavelength[1]",)
    error = fit.logarithms["wavelength[1]"] - np.log1p(2e-3)
    assert abs(error) < 4.0 * fit.uncertainty("wavelength[1]")
    value = shared_values(frames, fit, "abc")[1]
    assert "determined by the angles of the rings" in value.sentence
    assert "lattice parameter" in value.sentence


def test_what_is_not_asked_for_is_forecast() -> None:
    frames, _ = world(pixel=0.0)
    fit = fit_joint(frames, sharing())
    assert fit.active == fit.dropped == ()
    pixel, wavelength = shared_values(frames, fit, "abc")
    assert pixel.status == wavelength.status == "held"
    assert "the known travel of 160 mm would determine it to 0.00" in pixel.sentence
    refined = fit_joint(frames, sharing("pixel_size"))
    assert pixel.possible == pytest.approx(refined.uncertainty("pixel_size"), rel=0.1)
    assert "(refine_shared wavelength)" in wavelength.sentence


def test_points_that_err_with_their_panel_widen_the_errors() -> None:
    """Panels out of place and not refined: the same panel errs in all frames alike."""
    frames, _ = world(panels=True)
    fit = fit_joint(frames, sharing("pixel_size"))
    assert fit.clusters == 24  # four panels are too few: sectors stand in for them
    assert fit.frames[0].tau > 1e-4


# -------------------------------------------------------------------------------- invariance


@settings(max_examples=6)
@given(st.permutations([0, 1, 2]), st.booleans())
def test_the_order_of_frames_does_not_matter(order: list[int], panels: bool) -> None:
    frames, _ = world(3, panels=panels, n_eta=24)
    setup = SETUP if panels else None
    one = fit_joint(frames, sharing("pixel_size"), setup)
    travel = tuple(TRAVEL[i] for i in order)
    other = fit_joint([frames[i] for i in order], sharing("pixel_size", travel_mm=travel), setup)
    sigma = one.uncertainty("pixel_size")
    # where turns stop, parameters may still move by 1e-5 of weights that move by 1e-5
    assert abs(other.logarithms["pixel_size"] - one.logarithms["pixel_size"]) < 1e-3 * sigma
    assert other.uncertainty("pixel_size") == pytest.approx(sigma, rel=1e-3)
    for i, k in enumerate(order):
        move = other.frames[i].fit.x - one.frames[k].fit.x
        assert np.all(np.abs(move) < 1e-3 * one.frames[k].fit.sigma)


@settings(max_examples=4)
@given(st.integers(0, 100))
def test_a_frame_given_twice_halves_the_variances(seed: int) -> None:
    """Everything shared, and no spread beyond the stated errors, which would be estimated anew."""
    frames, _ = world(seed, travel=(0.0,), pixel=0.0, noise=1e-5, sigma=3e-5)
    once = fit_joint(frames, Sharing((), (), (0.0,), (0,)))
    both = Sharing((), ("beam_centre", "tilt"), (0.0, 0.0), (0, 0))
    twice = fit_joint([frames[0], frames[0]], both)
    assert once.frames[0].tau == twice.frames[0].tau == 0.0
    assert np.allclose(twice.frames[0].fit.x, once.frames[0].fit.x, rtol=1e-9)
    ratio = np.diag(twice.frames[1].fit.covariance) / np.diag(once.frames[0].fit.covariance)
    assert ratio == pytest.approx(0.5, rel=1e-6)


def test_distortion_is_shared_and_groups_by_name() -> None:
    refine = ("distance", "beam_centre", "tilt", "p2")
    frames, _ = world(refine=refine, n_eta=16)
    fit = fit_joint(frames, sharing("pixel_size", share=("tilt",)))
    assert {"lsd_mm", "iso_r2", "ty_rad", "tz_rad", "beam_fast_px[3]"} <= set(fit.names)
    values = [f.fit.x[f.fit.names.index("iso_r2")] for f in fit.frames]
    assert values[0] == values[1] == values[2]
    alone = fit_joint(frames, sharing(travel_mm=None))
    assert {"lsd_mm[1]", "lsd_mm[2]", "ty_rad[3]"} <= set(alone.names)


def test_the_body_travels_and_not_the_point_where_the_beam_meets_it() -> None:
    """A beam centre that wanders over a tilted detector changes its distance."""
    frames, truth = world(noise=1e-6)
    fit = fit_joint(frames, sharing())
    given_ = fit_joint(frames, sharing("pixel_size"))
    assert given_.logarithms["pixel_size"] == pytest.approx(np.log1p(1e-3), abs=2e-5)
    gaps = np.diff([m.lsd_mm for m in truth]) - np.diff(TRAVEL)
    assert np.max(np.abs(gaps)) > 1e-3  # mm: the test would not see it otherwise
    found = np.diff([f.fit.x[0] for f in given_.frames])
    assert found == pytest.approx(np.diff([m.lsd_mm for m in truth]), abs=1e-4)
    assert fit.names.count("lsd_mm") == 1


def test_uncertainty_of_a_distance_knows_where_the_beam_meets_the_detector() -> None:
    """Distance of a frame from that of the pivot, beam centre, tilts and pixel size."""
    frames, _ = world(n_eta=16, noise=3e-4)
    problem, _ = joint_problem(frames, sharing("pixel_size"), None, ("pixel_size",), {})
    fit = fit_joint(frames, sharing("pixel_size"))
    frame = problem.frames[2]
    far = replace(frame, pivot=(frame.pivot[0] + 300.0, frame.pivot[1]))  # an arm that matters
    by = np.array([
        sixth_order(lambda y: np.array(far.geometry(y)[0]), fit.x, k, 1e-4)
        for k in range(len(fit.x))
    ])  # fmt: skip
    row = far.globals.names.index("lsd_mm")
    assert far.spread(fit.x)[row] == pytest.approx(by, rel=1e-8, abs=1e-8)
    by = np.array([
        sixth_order(lambda y: np.array(frame.geometry(y)[0]), fit.x, k, 1e-4)
        for k in range(len(fit.x))
    ])  # fmt: skip
    own = fit.frames[2].fit
    assert own.sigma[row] ** 2 == pytest.approx(by @ fit.covariance @ by, rel=1e-6)
    assert own.sigma[row] != pytest.approx(fit.sigma[fit.names.index("lsd_mm")], rel=1e-6)


def test_the_gauge_is_a_way_of_speaking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other constraints on the panels: the same rings, the same pixel size, the same error."""

    def other(problem: Any, setup: PanelSetup, cross: F64) -> tuple[F64, tuple[str, ...]]:
        names, rows = gauge_rows(problem.boxes, setup.fields)
        return rows.reshape(len(rows), problem.p, -1), names

    frames, _ = world(5, panels=True, n_eta=24, tilts_rad=(0.0, 0.0, 0.0))
    one = fit_joint(frames, sharing("pixel_size"), SETUP)
    monkeypatch.setattr("refimpl.powder.panel_turns.gauge", other)
    monkeypatch.setattr("refimpl.powder.joint_fit.gauge", other)
    two = fit_joint(frames, sharing("pixel_size"), SETUP)
    heights = [f.frames[0].panels.corrections[:, 3] for f in (one, two)]
    assert np.max(np.abs(heights[0] - heights[1])) > 0.01  # mm: they do speak differently
    sigma = one.uncertainty("pixel_size")
    # second order in heights of 0.3 mm leaves 0.1; priors with an opinion on the mean make it 0.9
    assert abs(one.logarithms["pixel_size"] - two.logarithms["pixel_size"]) < 0.2 * sigma
    assert two.uncertainty("pixel_size") == pytest.approx(sigma, rel=0.03)
    for a, b in zip(one.frames, two.frames, strict=True):
        assert np.max(np.abs(a.strain - b.strain) * np.sqrt(a.weight)) < 0.1


def test_wavelengths_move_rings_by_braggs_law() -> None:
    lines = rings("LaB6", 0.4, 0.8)
    moved, direct = at_wavelength(lines, np.log(1.01)), rings("LaB6", 0.404, 0.9)
    assert moved.wavelength_angstrom == pytest.approx(0.404)
    assert moved.two_theta_rad == pytest.approx(direct.two_theta_rad[: len(lines)], rel=1e-13)
    assert at_wavelength(lines, 0.0) is lines


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"refine": ("pixel",)}, "refine_shared: unknown 'pixel'; did you mean 'pixel_size'?"),
        ({"refine": ("gain",)},
         "refine_shared: unknown 'gain': expected some of pixel_size, wavelength"),
        ({"share": ("distance",)}, "share: unknown 'distance': distances are shared by travel_mm: "
         "expected some of beam_centre, tilt, parallax"),
        ({"share": ("tilts",)}, "share: unknown 'tilts'; did you mean 'tilt'?"),
    ],
)  # fmt: skip
def test_names_that_cannot_be_shared(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        Sharing(**options)
    assert str(error.value) == message
