"""Grains and panels: derivatives of the whole problem, truth recovered, gauge, refusals."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from refimpl.errors import ConfigError, FormatError
from refimpl.interop.hexrd import parse_hexrd
from refimpl.io.hexrd_picks import Picks, read_grain_table, read_picks, stretch_of_mandel
from refimpl.metrology import grain_run
from refimpl.metrology.grain_models import Body
from refimpl.metrology.grain_problem import GrainProblem
from refimpl.metrology.grain_spots import table_basis
from refimpl.metrology.grains import fit_grains, hold_out, near, only_grains
from refimpl.metrology.hexrd_grains import as_tiled, b_of_cell, problem_of_hexrd, read_stage
from refimpl.rotations import expmap, left_jacobian

SIGMA = np.array([0.006, 0.006, 1e-3])
RUBY = b_of_cell(4.7608, 4.7608, 12.99568, np.pi / 2, np.pi / 2, 2 * np.pi / 3)
HOUSINGS = {"left": ("l0", "l1"), "right": ("r0", "r1")}


def instrument():
    panels = {
        name: {
            "rows": 1900, "cols": 1500, "pixel_mm": [0.075, 0.075],
            "tilt_expmap_rad": [0.01, -0.005 * k, 0.002],
            "translation_mm": [x, y, -600.0 - k],
        }
        for k, (name, x, y) in enumerate(
            [("l0", -60, 75), ("l1", -60, -75), ("r0", 60, 75), ("r1", 60, -75)]
        )
    }  # fmt: skip
    return parse_hexrd({"energy_keV": 42.0, "panels": panels})


def table(rng: np.random.Generator, grains: int) -> np.ndarray:
    unstrained = np.tile([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], (grains, 1))
    turns, places = rng.normal(size=(grains, 3)), 0.3 * rng.normal(size=(grains, 3))
    return np.concatenate([turns, places, unstrained], axis=1)


def simulated(rng: np.random.Generator, degree: int = 0) -> tuple[GrainProblem, np.ndarray]:
    """A problem with noisy spots of three grains, and the parameters that made them."""
    indices = np.stack(np.meshgrid(*3 * [np.arange(-5, 6)], indexing="ij"), axis=-1).reshape(-1, 3)
    indices = indices[(-indices[:, 0] + indices[:, 1] + indices[:, 2]) % 3 == 0]
    hkl = np.repeat(indices[np.any(indices, axis=1)], 2, axis=0).astype(float)
    parts = []
    grains = table(rng, 3)
    for g in range(3):
        for panel in range(4):
            xyo = np.zeros((len(hkl), 3))
            xyo[:, 2] = np.tile([0.1, -0.1], len(hkl) // 2)
            one = np.ones(len(hkl))
            parts.append(Picks((g * one).astype(int), (panel * one).astype(np.int32), hkl, xyo, 0))
    all_ = Picks(
        *(np.concatenate([getattr(p, f) for p in parts]) for f in ("grain", "panel", "hkl", "xyo")),
        0,
    )
    problem = problem_of_hexrd(instrument(), all_, grains, RUBY, 1e-3, HOUSINGS, SIGMA).with_degree(
        degree
    )
    spots = replace(problem.spots, entering=np.resize([0, 1], len(all_)).astype(np.uint8))
    x = np.zeros(len(problem.names))
    x[0] = 1e-4
    x[1 : problem.first_grain] = np.tile([0.1, 0.1, 0.3, 2e-3, 2e-3, 1e-3], 2) * rng.normal(size=12)
    scale = np.repeat([1e-3, 0.05, 2e-4], [3, 3, 6])
    x[problem.first_grain : problem.border] = np.tile(scale, 3) * rng.normal(size=36)
    x[problem.names.index("grain1.y_mm")] = 0.0
    problem.own(x)[:] = problem.widths[problem.kinds] * rng.normal(size=(4, len(problem.kinds)))
    flat = replace(problem, spots=spots)
    predicted = flat.residuals(x) + spots.xyo  # NaN where a spot is not
    inside = np.all((predicted[:, :2] > 0) & (predicted[:, :2] < flat.size_mm[spots.panel]), axis=1)
    rows = rng.permutation(np.flatnonzero(inside))[:900]
    spots = spots.select(rows)
    # the table belongs to the measured position: found by repetition
    measured = predicted[rows]
    noise = SIGMA * rng.normal(size=measured.shape)
    for _ in range(4):
        made = replace(flat, spots=replace(spots, xyo=measured + noise))
        measured = measured + (made.residuals(x) + noise)
    return replace(flat, spots=replace(spots, xyo=measured + noise)), x


def test_jacobian_of_the_whole_problem() -> None:
    rng = np.random.default_rng(5)
    problem, x = simulated(rng, degree=2)
    problem = replace(problem, spots=problem.spots.select(np.arange(60)))
    residual, local, seen = problem.jacobian(x)
    assert seen.all()
    np.testing.assert_array_equal(residual, problem.residuals(x))
    g, m = problem.border, len(problem.kinds)
    full = np.zeros((60, 3, len(x)))
    for i, panel in enumerate(problem.spots.panel):
        full[i, :, :g] = local[i, :, :g]
        full[i, :, g + panel * m : g + (panel + 1) * m] = local[i, :, g:]
    for k in range(len(x)):
        step = np.zeros(len(x))
        step[k] = 5e-4
        differences = sum(
            c * (problem.residuals(x + i * step) - problem.residuals(x - i * step))
            for i, c in ((1, 45.0), (2, -9.0), (3, 1.0))
        ) / (60.0 * step[k])
        for part in (np.s_[:, :2], np.s_[:, 2:]):
            largest = max(np.abs(full[..., k][part]).max(), 1.0)
            np.testing.assert_allclose(
                full[..., k][part], differences[part], rtol=0, atol=1e-8 * largest
            )
    normal = problem(x)
    weight = np.tile(1.0 / SIGMA**2, 60)
    flat = full.reshape(-1, len(x))
    gradient = flat.T @ (weight * residual.ravel())
    prior = np.zeros(len(x))
    problem.own(prior)[:] = 1.0 / problem.widths[problem.kinds] ** 2
    np.testing.assert_allclose(normal.gradient, gradient + prior * x, rtol=1e-9, atol=1e-6)
    expected = np.sum(weight * residual.ravel() ** 2) + np.sum(prior * x**2)
    assert normal.cost == pytest.approx(expected, rel=1e-12)


def test_truth_is_recovered_with_honest_uncertainties() -> None:
    """Chi-square of five sets, panels drawn from their priors."""
    errors, gains, count, costs, points = [], 0.0, 0, 0.0, 0
    for seed in range(5):
        problem, x = simulated(np.random.default_rng(seed), degree=1)
        found = fit_grains(problem, held=["grain1.y_mm"], components=False)
        assert found.fit.reason == "converged"
        assert found.fit.undetermined == ()
        free = found.fit.sigma > 0.0
        assert np.count_nonzero(~free) == 1
        errors.append((found.fit.x - x)[free] / found.fit.sigma[free])
        gains += problem(x).cost - found.fit.cost
        count += np.count_nonzero(free)
        costs += found.fit.cost
        points += found.fit.n - np.count_nonzero(free)
    # What the truth costs more than the fit is the chi-square of all parameters jointly, in a form
    # that does not mind how they are written (the quadratic form does: the best determined
    # combinations are known to 1e-6 of the others, less than the curvature of x). Mean k,
    # variance 2 k; 3 sigma of it.
    assert abs(gains / count - 1.0) < 3.0 * np.sqrt(2.0 / count)
    assert abs(costs / points - 1.0) < 3.0 * np.sqrt(2.0 / points)
    # one by one they are correlated: wider
    assert 0.8 < np.mean(np.concatenate(errors) ** 2) < 1.2


def test_spreads_are_found_and_hold_out_sees_no_other_grain() -> None:
    problem, _ = simulated(np.random.default_rng(11), degree=1)
    guess = replace(problem, sigma=np.array([0.02, 0.003, 4e-3]))
    trained, scored = hold_out(guess, 2)
    assert trained.settled
    # 600 spots: 3 sigma are 9 %
    np.testing.assert_allclose(trained.problem.sigma, SIGMA, rtol=0.12)
    np.testing.assert_allclose(scored.rmsd, SIGMA, rtol=0.25)
    geometry = np.r_[0 : problem.first_grain, problem.border : len(problem.names)]
    np.testing.assert_array_equal(scored.fit.x[geometry], trained.fit.x[geometry])
    # the other spots of the one held out change nothing of the panels
    mine = problem.spots.grain == 2
    spoilt = replace(guess.spots, xyo=guess.spots.xyo + np.where(mine, 0.05, 0.0)[:, None])
    again, _ = hold_out(replace(guess, spots=spoilt), 2)
    np.testing.assert_array_equal(again.fit.x, trained.fit.x)


def test_what_is_held_is_held_in_the_cross_validation_too(monkeypatch) -> None:
    problem, _ = simulated(np.random.default_rng(12), degree=0)
    held = ("chi", "grain2.stretch_11", "grain3.stretch_11")
    seen = []
    monkeypatch.setattr(
        grain_run, "hold_out", lambda *a, **k: seen.append(hold_out(*a, **k)) or seen[-1]
    )
    found = grain_run.refine_grains(problem, degree=0, held=held, cross_validate=True)
    start = np.zeros(len(problem.names))
    for name in held:
        k = problem.names.index(name)
        for fit in (found.fit, *(f for pair in seen for f in pair)):
            assert fit.fit.x[k] == start[k], name
    assert found.summary()["converged"]
    assert not replace(found, validated=False).summary()["converged"]
    stopped = replace(found.grains_only, settled=False)
    assert not replace(found, grains_only=stopped).summary()["converged"]


def test_the_gauge_is_a_shift_along_the_axis() -> None:
    problem, x = simulated(np.random.default_rng(2))
    problem, x = replace(problem, chi=0.0), x.copy()
    x[0] = 0.0
    moved = x.copy()
    for g in (1, 2, 3):
        moved[problem.names.index(f"grain{g}.y_mm")] += 0.3
    lifted = replace(
        problem,
        d=problem.d + 0.3 * np.array([0, 1.0, 0])[:, None] * np.array([0, 0, 1.0]),
        housings=tuple(
            replace(b, pivot_mm=b.pivot_mm + np.array([0, 0.3, 0])) for b in problem.housings
        ),
    )
    np.testing.assert_allclose(lifted.residuals(moved), problem.residuals(x), rtol=0, atol=1e-10)
    free = only_grains(problem, [0, 1, 2], x)
    np.testing.assert_array_equal(free.problem.own(free.fit.x), problem.own(x))


def test_small_pieces() -> None:
    w = np.array([0.3, -0.2, 0.5])
    for angle in (1e-4, 1.0):  # both forms
        v = w * angle
        j = left_jacobian(v)
        for k in range(3):
            h = np.zeros(3)
            h[k] = 1e-3
            d = (
                sum(
                    c * (expmap(v + i * h) - expmap(v - i * h))
                    for i, c in ((1, 45.0), (2, -9.0), (3, 1.0))
                )
                / 0.06
            )
            spin = d @ expmap(v).T
            got = [spin[2, 1], spin[0, 2], spin[1, 0]]
            np.testing.assert_allclose(j[:, k], got, rtol=0, atol=1e-12)
    values, degree = table_basis(np.array([0.5]), np.array([-1.0]), 2)
    np.testing.assert_allclose(values, [[0.5, -1.0, -0.125, -0.5, 1.0]])
    assert degree.tolist() == [1, 1, 2, 2, 2]
    six = np.array([1.0, 2.0, 3.0, np.sqrt(2) * 4, np.sqrt(2) * 5, np.sqrt(2) * 6])
    np.testing.assert_allclose(stretch_of_mandel(six), [[1, 6, 5], [6, 2, 4], [5, 4, 3]])


def write(folder, xyo, hkl, name="g") -> None:
    np.savez(folder / f"{name}_picks.npz", **xyo)
    np.savez(folder / f"{name}_pick_hkls.npz", **hkl)


def test_reading_picks(tmp_path) -> None:
    xyo = np.array([[1.0, 2.0, 0.1], [np.nan, np.nan, np.nan]])
    write(tmp_path, {"b": xyo}, {"b": np.array([[1, 0, 2], [1, 1, 0]])})
    picks = read_picks(tmp_path, ["g"], ["a", "b"])
    assert (len(picks), picks.missing, picks.panel.tolist()) == (1, 1, [1])
    assert picks.hkl.tolist() == [[1.0, 0.0, 2.0]]
    with pytest.raises(FormatError, match="panel 'b' is not one of the instrument's: a"):
        read_picks(tmp_path, ["g"], ["a"])
    with pytest.raises(FormatError, match="no picked spots"):
        read_picks(tmp_path, [], ["a"])
    with pytest.raises(FormatError, match="cannot be read as picked spots"):
        read_picks(tmp_path, ["h"], ["a"])
    write(tmp_path, {"b": xyo}, {"b": np.ones((1, 3))})
    with pytest.raises(FormatError, match="panel 'b' has 2 spots and 1 indices"):
        read_picks(tmp_path, ["g"], ["b"])
    write(tmp_path, {"b": xyo[:, :2]}, {})
    with pytest.raises(FormatError, match=r"panel 'b' has an array of shape \(2, 2\)"):
        read_picks(tmp_path, ["g"], ["b"])


def test_reading_grains(tmp_path) -> None:
    rows = np.arange(24.0).reshape(2, 12)
    np.save(tmp_path / "g.npy", rows)
    np.testing.assert_array_equal(read_grain_table(tmp_path / "g.npy"), rows)
    lines = [
        "# ID completeness chi2 ...",
        *(" ".join(map(str, [0, 1.0, 0.5, *r, 9.0])) for r in rows),
    ]
    (tmp_path / "grains.out").write_text("\n".join(lines) + "\n")
    np.testing.assert_array_equal(read_grain_table(tmp_path / "grains.out"), rows)
    (tmp_path / "few.out").write_text("0 1 2 3\n")
    with pytest.raises(FormatError, match="not a table of grains: 1 columns of 12"):
        read_grain_table(tmp_path / "few.out")
    (tmp_path / "json.out").write_text(json.dumps({"a": 1}))
    with pytest.raises(FormatError, match="cannot be read as a table of grains"):
        read_grain_table(tmp_path / "json.out")


def test_refusals() -> None:
    problem, _ = simulated(np.random.default_rng(0))
    with pytest.raises(ConfigError, match=r"cannot hold 'grain9\.'"):
        fit_grains(problem, held=["grain9."])
    with pytest.raises(ConfigError, match="spots of grain number 2: there are 1"):
        replace(problem, grains=problem.grains[:1])
    body = Body.of_panels("x", (0, 1), problem.d, problem.size_mm)
    with pytest.raises(ConfigError, match=r"housings hold panels \[0, 1\]: expected each of the 4"):
        replace(problem, housings=(body,))
    none = Picks(np.zeros(0, int), np.zeros(0, np.int32), np.zeros((0, 3)), np.zeros((0, 3)), 0)
    with pytest.raises(ConfigError, match="housings name l7: the panels are l0, l1, r0, r1"):
        problem_of_hexrd(instrument(), none, np.zeros((0, 12)), RUBY, 0.0, {"left": ("l7",)}, SIGMA)


def test_near() -> None:
    residuals = np.random.default_rng(0).normal(size=(200, 3))
    residuals[3, 1], residuals[4, 2] = 30.0, 300.0
    assert np.flatnonzero(~near(residuals)).tolist() == [3]  # omega is not looked at


def test_reading_the_stage(tmp_path) -> None:
    path = tmp_path / "i.json"
    detectors = {"a": {"group": "x"}, "b": {}, "c": {"group": "x"}}
    path.write_text(json.dumps({"oscillation_stage": {"chi": 0.5}, "detectors": detectors}))
    assert read_stage(path) == (0.5, {"x": ("a", "c"), "b": ("b",)})
    path.write_text(json.dumps({"detectors": detectors}))
    with pytest.raises(FormatError, match="no oscillation stage and detectors: KeyError"):
        read_stage(path)


def test_tiling() -> None:
    problem, _ = simulated(np.random.default_rng(0))
    whole = parse_hexrd(
        {
            "energy_keV": 42.0,
            "panels": {
                name: {
                    "rows": 3800, "cols": 1500, "pixel_mm": [0.075, 0.075],
                    "tilt_expmap_rad": [0, 0, 0], "translation_mm": [x, 0, -600],
                }
                for name, x in (("left", -60), ("right", 60))
            },
        }
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"'l0': expected HOUSING_ROW_COLUMN .* of left, right"):
        as_tiled(problem, whole)
    names = ("left_0_0", "left_1_0", "right_0_0", "right_1_0")
    got = as_tiled(replace(problem, panel_names=names), whole).d
    np.testing.assert_allclose(got[1, :, 2] - got[0, :, 2], [0, -142.5, 0], atol=1e-12)
    np.testing.assert_array_equal(got[:, :, :2], np.broadcast_to(got[0, :, :2], (4, 3, 2)))
