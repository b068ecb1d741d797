"""Seeded faults: the kit catches every one, and blames the quantities that are wrong by it only."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from refimpl.testing.conform_records import quantities


def _module() -> ModuleType:
    path = Path(__file__).parents[2] / "validation" / "conformance" / "faults.py"
    spec = importlib.util.spec_from_file_location("conform_seeded_faults", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


seeded = _module()
CHEAP = [
    "pixel_to_lab", "two_theta_eta", "two_theta_eta_distorted", "two_theta_eta_parallax",
    "ring_to_pixel", "two_theta_eta_panels", "d_spacing", "euler_to_matrix", "pseudo_strain",
    "rotation_spots", "outliers_tukey", "beam_shift_positions", "centring_targets",
]  # fmt: skip
QUICK = [
    "lab-half-pixel", "tilt-degrees", "phase-radians", "parallax-tangent", "panel-shift-swap",
    "euler-swapped", "clip-one-fewer", "goniometer-order", "fence-rejected", "matrix-transposed",
    "not-cut-at-the-least",
]  # fmt: skip


def test_table_is_whole() -> None:
    """60 and more, none void, and no quantity without one."""
    faults = seeded.faults()
    assert len(faults) >= 60
    assert all(f.what and f.wrong and f.old != f.new for f in faults.values())
    assert {name for f in faults.values() for name in f.wrong} == set(quantities())


@pytest.mark.parametrize("name", QUICK)
def test_fault_of_a_cheap_quantity_is_caught(name: str) -> None:
    fault = seeded.faults()[name]
    with seeded.injected(fault):
        assert seeded.failing(CHEAP) == fault.wrong


def test_nothing_fails_before_and_after_a_fault() -> None:
    fault = seeded.faults()["eta-sense"]
    assert seeded.failing(["two_theta_eta"]) == ()
    with seeded.injected(fault):
        assert seeded.failing(["two_theta_eta"]) == ("two_theta_eta",)
    assert seeded.failing(["two_theta_eta"]) == ()


def test_faults_that_do_not_fit_the_source_are_refused() -> None:
    at = "refimpl.detector.tilted_flat"
    twice = seeded.Fault("a", "", f"{at}:_tilt", "cx", "sx", ("two_theta_eta",))
    with pytest.raises(ValueError, match="_tilt holds"), seeded.injected(twice):
        pass
    other = seeded.Fault("b", "", f"{at}:HARMONIC_POWERS", "(4, 2)", "(1, 2)", ("two_theta_eta",))
    with pytest.raises(ValueError, match="HARMONIC_POWERS is"), seeded.injected(other):
        pass


@pytest.mark.slow
def test_definitions_meet_the_vectors_without_a_fault() -> None:
    assert seeded.failing(list(quantities())) == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(seeded.faults()))
def test_every_fault_is_caught_and_blamed(name: str) -> None:
    fault = seeded.faults()[name]
    assert seeded.wrong_by(fault, list(quantities())) == fault.wrong
