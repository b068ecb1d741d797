"""Unit tests of the recovery runner: it must be able to fail a calibration."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.errors import ConvergenceError
from refimpl.forward.information import GEOMETRY
from refimpl.forward.scenes import Scene, scene
from refimpl.forward.simulated_frame import SimulatedFrame
from refimpl.testing.recovery import Found, Recovery, chi_square_interval, recover, report

CHEAP = 3  # a small frame


def near_truth(scale: float) -> Recovery:
    """Recovery of a made-up calibration: normal errors, ``scale`` times the claimed sigma."""
    rng = np.random.Generator(np.random.PCG64(1))
    n, k = 100, len(GEOMETRY)
    sigma = np.full((n, k), 0.1)
    return Recovery(
        GEOMETRY,
        tuple(f"scene {i}" for i in range(n)),
        rng.normal(0.0, 0.1 * scale, (n, k)),
        sigma,
        np.full((n, k), 0.08),
        (True,) * n,
        np.ones(n),
        ("",) * n,
    )


def test_honest_errors_pass_and_others_fail() -> None:
    low, high = chi_square_interval(100)
    assert all(low < v < high for v in near_truth(1.0).chi_square().values())
    assert all(v > high for v in near_truth(2.0).chi_square().values())
    assert all(v < low for v in near_truth(0.6).chi_square().values())
    assert "OUTSIDE" in report(near_truth(2.0))
    assert "OUTSIDE" not in report(near_truth(1.0))


def test_ratios_to_the_bound() -> None:
    r = near_truth(1.0)
    assert r.sigma_over_bound()["lsd_mm"] == pytest.approx(1.25, rel=1e-12)  # mean of equal numbers
    assert r.error_over_bound()["lsd_mm"] == pytest.approx(1.25, rel=0.25)  # 3.5 sigma of 100 draws


def test_interval_is_that_of_chi_square() -> None:
    low, high = chi_square_interval(100)
    assert (low, high) == (pytest.approx(59.9, abs=0.05), pytest.approx(153.2, abs=0.05))  # tables


def test_recover_measures_the_difference_to_the_truth() -> None:
    def shifted(s: Scene, frame: SimulatedFrame) -> Found:
        assert frame.image.shape == s.model.file_shape
        model = s.model.replace(lsd_mm=s.model.lsd_mm + 0.25)
        return Found(model, dict.fromkeys(GEOMETRY, 0.5), True)

    lines: list[str] = []
    r = recover([scene(CHEAP)], shifted, progress=lines.append)
    np.testing.assert_allclose(r.error[0], [0.25, 0.0, 0.0, 0.0, 0.0], atol=1e-12)  # mm, rounding
    assert r.chi_square()["lsd_mm"] == pytest.approx(0.25, rel=1e-10)  # rounding of 193.5 + 0.25
    assert r.n_found == 1
    assert not r.failed
    assert np.all(r.bound > 0.0)
    assert lines[0].startswith("   scene 3")


def test_a_failure_is_counted_with_its_reason() -> None:
    def fails(s: Scene, frame: SimulatedFrame) -> Found:
        raise ConvergenceError("no rings here")

    r = recover([scene(CHEAP)], fails)
    assert r.failed == ("scene 3: no rings here",)
    assert r.n_found == 0
    assert report(r) == "no scene was recovered\nfailed: scene 3: no rings here"


def test_what_did_not_converge_is_counted_too() -> None:
    r = recover([scene(CHEAP)], lambda s, f: Found(s.model, dict.fromkeys(GEOMETRY, 1.0), False))
    assert r.failed == ("scene 3: not converged",)
    assert "0 of 1 scenes converged" in report(r)
