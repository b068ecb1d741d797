"""What can be refined: names, bounds, the chain rule, refusals, and the published pair."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import ring_coordinates, ring_jacobian
from refimpl.errors import ConfigError
from refimpl.powder.parameters import PHASE_TOLERANCE_DEG, parameters, refinable
from refimpl.units import DEG

P = (1e-3, -5e-4, 8e-4, 44.0, 2e-4, -3e-4, 12.0, 4e-4, -70.0, 3e-4, 20.0, 1e-4, 5.0, -2e-4, 33.0)
MODEL = TiltedFlat(
    (300, 400), (0.1, 0.12), 200.0, (190.0, 160.0), (0.3, 0.02, -0.03), p=P, parallax_mm=0.2
)


def test_every_name_is_known_and_frees_what_it_says() -> None:
    assert refinable() == (
        "distance", "beam_centre", "tilt", "parallax", *(f"p{i}" for i in range(15)),
    )  # fmt: skip
    free = {
        name: parameters(MODEL, [name]).names for name in ("distance", "beam_centre", "tilt", "p2")
    }
    assert free == {
        "distance": ("lsd_mm",),
        "beam_centre": ("beam_fast_px", "beam_slow_px"),
        "tilt": ("ty_rad", "tz_rad"),
        "p2": ("iso_r2",),
    }
    assert parameters(MODEL, ["p0"]).names == ("p0",)
    assert parameters(MODEL, ["p6"]).names == ("p6",)
    assert parameters(MODEL, ["p6", "p0"]).names == ("a2c", "a2s")
    assert parameters(MODEL, ["p0", "p6", "p0"]).names == ("a2c", "a2s")


@pytest.mark.parametrize(
    "refine",
    [
        refinable(),
        ("p0", "p1", "p7", "p9", "p11", "p13"),  # amplitudes alone
        ("p6", "p3", "p8", "p10", "p12", "p14"),  # phases alone
        ("distance", "p0", "p3", "p7", "p8"),  # of each kind one
    ],
)
def test_the_chain_rule_is_the_central_difference(refine) -> None:
    p = parameters(MODEL, refine)
    rng = np.random.default_rng(1)
    fast, slow = rng.uniform(0.0, 400.0, 30), rng.uniform(0.0, 300.0, 30)
    panel = np.full(30, -1, dtype=np.int32)
    none = np.zeros((0, 9))
    full = ring_jacobian(fast, slow, panel, p.geometry(p.start), none)[2]
    chain = p.chain(p.start, full)
    assert chain.shape == (30, len(p))
    for i, name in enumerate(p.names):
        step = 1e-2 if name.endswith(("px", "mm")) or name in ("p6", "p3", "p8", "p10") else 1e-4
        step = 1e-2 if name in ("p12", "p14") else step
        move = np.zeros(len(p))
        move[i] = step
        up, down = (
            ring_coordinates(fast, slow, panel, p.geometry(p.start + s * move), none)[0]
            for s in (1.0, -1.0)
        )
        # rounding of 20 mm over the step; the step's own third-order term
        atol = 1e-14 * 20.0 / step + 1e-6 * np.max(np.abs(chain[:, i]))
        np.testing.assert_allclose(chain[:, i], (up - down) / (2 * step), atol=atol, err_msg=name)
        assert np.any(chain[:, i] != 0.0)


def test_start_values_give_the_model_back() -> None:
    for refine in (refinable(), ("p0",), ("p3",)):
        p = parameters(MODEL, refine)
        np.testing.assert_allclose(p.geometry(p.start), MODEL.geometry, rtol=1e-13, atol=1e-18)
        assert p.at(p.start).p == pytest.approx(P, rel=1e-9)


def test_tolerances_bound_the_search_about_the_start() -> None:
    p = parameters(
        MODEL,
        ["distance", "beam_centre", "p0", "p1", "p3", "p10"],
        {"distance": 2.0, "beam_centre": 5.0, "p0": 1e-4, "p3": 10.0},
    )
    half = dict(zip(p.names, p.upper - p.start, strict=True))
    assert half == pytest.approx(
        {"lsd_mm": 2.0, "beam_fast_px": 5.0, "beam_slow_px": 5.0, "p0": 1e-4, "a4c": np.inf,
         "a4s": np.inf, "p10": PHASE_TOLERANCE_DEG}
    )  # fmt: skip
    bounded = np.isfinite(p.upper)
    np.testing.assert_allclose(
        p.lower[bounded] + p.upper[bounded] - p.start[bounded], p.start[bounded]
    )
    both = parameters(MODEL, ["p1", "p3"], {"p1": 3e-4})
    np.testing.assert_allclose(0.5 * (both.upper - both.lower), [3e-4, 3e-4])


def test_moving_on_keeps_the_bounds() -> None:
    p = parameters(MODEL, ["distance"], {"distance": 1.0})
    there = p.moved_to(MODEL.replace(lsd_mm=200.5))
    assert there.start[0] == 200.5
    assert (there.lower[0], there.upper[0]) == (199.0, 201.0)
    assert p.moved_to(MODEL.replace(lsd_mm=210.0)).start[0] == 201.0


def test_published_pair_and_its_uncertainty_by_simulation() -> None:
    """Linear propagation of the pair's covariance against 200,000 draws."""
    p = parameters(MODEL, ["p0", "p6", "p2"])
    covariance = np.array([[4e-10, 1e-10, 0.0], [1e-10, 9e-10, 0.0], [0.0, 0.0, 1e-8]])
    got = p.published(p.start, covariance)
    assert set(got) == {"p0", "p6", "p2"}
    assert got["p2"] == pytest.approx((8e-4, 1e-4))
    draws = np.random.default_rng(2).multivariate_normal(p.start, covariance, 200_000)
    amplitude = np.hypot(draws[:, 0], draws[:, 1])
    phase = np.arctan2(draws[:, 1], draws[:, 0]) / DEG
    assert got["p0"][0] == pytest.approx(1e-3)
    assert got["p6"][0] == pytest.approx(12.0)
    # 200,000 draws give a spread to 0.2 %; second-order terms are (2 %)^2 of it
    assert got["p0"][1] == pytest.approx(np.std(amplitude), rel=0.02)
    assert got["p6"][1] == pytest.approx(np.std(phase), rel=0.02)


def test_at_amplitude_zero_a_phase_has_no_uncertainty() -> None:
    zero = MODEL.replace(p=(0.0,) * 15)
    p = parameters(zero, ["p0", "p6"])
    assert np.isnan(p.published(p.start, 1e-8 * np.eye(2))["p6"][1])


def test_a_phase_that_turns_far_stays_consistent_with_its_amplitude() -> None:
    """(A, phi) and (-A, phi + 180) are one distortion: what is reported must be one of them."""
    model = MODEL.replace(p=(1e-3, *P[1:6], 0.0, *P[7:]))
    p = parameters(model, ["p6"], {"p6": 170.0})
    x = np.array([120.0])
    reported = p.published(x, np.eye(1))["p6"][0]
    amplitude = p.at(x).p[0]
    pair = amplitude * np.cos(reported * DEG), amplitude * np.sin(reported * DEG)
    assert pair == pytest.approx((1e-3 * np.cos(120 * DEG), 1e-3 * np.sin(120 * DEG)))


@pytest.mark.parametrize(
    ("refine", "tolerances", "text"),
    [
        (["tx"], {}, "^refine: 'tx' cannot be refined: a turn about the beam leaves rings unchan"),
        (["wavelength"], {}, "^refine: 'wavelength' cannot be refined: one frame at one distance"),
        (["lsd"], {}, "^refine: unknown parameter 'lsd': expected some of distance, beam_centre, "),
        (["distance"], {"tilt": 1.0}, "^tolerance of 'tilt': it is not refined$"),
        (["tilt"], {"tilt": 0.0}, r"^tolerance of 'tilt': got 0\.0: expected > 0$"),
        (["tilt"], {"tilt": float("nan")}, "^tolerance of 'tilt': got nan: expected > 0$"),
    ],
)
def test_refusals(refine, tolerances, text) -> None:
    with pytest.raises(ConfigError, match=text):
        parameters(MODEL, refine, tolerances)


def test_a_phase_alone_at_amplitude_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^refine: phase p3 needs its amplitude to be refined "):
        parameters(MODEL.replace(p=(0.0,) * 15), ["p3"])
