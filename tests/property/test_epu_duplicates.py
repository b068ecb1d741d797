"""What must not change which exposures are duplicates: where the stage's axes lie, units, order."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.epu.calibration import Calibration
from refimpl.epu.duplicates import Duplicates, find_duplicates
from refimpl.epu.session import Session, table_of
from refimpl.frames import F64

MATRIX = np.array([[21.9, 10.9], [11.0, -21.7]])
RADIUS = 0.2


def columns(seed: int, n: int = 120) -> dict[str, object]:
    """Exposures at few places of the stage and few beam shifts, so that many coincide."""
    rng = np.random.default_rng(seed)
    stage = rng.uniform(-40.0, 40.0, (4, 2))[np.sort(rng.integers(0, 4, n))]
    shift = rng.uniform(-0.2, 0.2, (9, 2))[rng.integers(0, 9, n)]
    stage = stage + rng.normal(0.0, 0.002, (n, 2))
    shift = shift + rng.normal(0.0, 0.002, (n, 2))
    return {
        "stage_x_um": stage[:, 0], "stage_y_um": stage[:, 1],
        "beam_shift_x": shift[:, 0], "beam_shift_y": shift[:, 1],
        "hole": rng.integers(0, 40, n), "area": rng.integers(0, 3, n),
        "square": rng.integers(1, 3, n), "time_s": np.arange(n, dtype=np.float64),
        "name": [f"m{k:04d}" for k in range(n)], "beam_diameter_um": 0.95,
    }  # fmt: skip


def moved(given: dict[str, object], turn: F64, shift: F64) -> dict[str, object]:
    """The same exposures with the axes of the stage turned (or mirrored) and moved."""
    stage = np.stack([given["stage_x_um"], given["stage_y_um"]], axis=1) @ turn + shift
    return given | {"stage_x_um": stage[:, 0], "stage_y_um": stage[:, 1]}


def search(given: dict[str, object], matrix: F64 = MATRIX, radius: float = RADIUS) -> Duplicates:
    return find_duplicates(Session(table_of(**given)), Calibration("affine", matrix), repr(radius))


def is_sharp(found: Duplicates) -> bool:
    """Whether no two exposures lie so near to the radius that rounding decides."""
    wider = find_duplicates(found.session, found.calibration, repr(found.radius_um * (1 + 1e-6)))
    less = find_duplicates(found.session, found.calibration, repr(found.radius_um * (1 - 1e-6)))
    return len(wider.pairs) == len(less.pairs)


def same(a: Duplicates, b: Duplicates) -> None:
    assert a.kept.tolist() == b.kept.tolist()
    assert a.component.tolist() == b.component.tolist()
    for name in ("first", "second"):
        assert a.pairs[name].tolist() == b.pairs[name].tolist()
    assert a.pairs["cause"].tolist() == b.pairs["cause"].tolist()
    np.testing.assert_allclose(a.pairs["overlap"], b.pairs["overlap"], atol=1e-8)


@given(seed=st.integers(0, 999), angle=st.floats(-math.pi, math.pi), mirror=st.booleans(),
       x=st.floats(-2000.0, 2000.0), y=st.floats(-2000.0, 2000.0))  # fmt: skip
@settings(max_examples=20)
def test_turning_mirroring_and_moving_the_stage(
    seed: int, angle: float, mirror: bool, x: float, y: float
) -> None:
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    if mirror:
        turn = turn @ np.diag([1.0, -1.0])
    given_ = columns(seed)
    first = search(given_)
    if is_sharp(first):
        other = search(moved(given_, turn, np.array([x, y])), MATRIX @ turn)
        same(first, other)
        assert first.n_duplicates > 0


@given(seed=st.integers(0, 999), order=st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_the_order_of_the_files(seed: int, order) -> None:
    given_ = columns(seed)
    rows = list(range(120))
    order.shuffle(rows)
    shuffled = {
        name: np.asarray(values)[rows] if np.ndim(values) else values
        for name, values in given_.items()
    }
    first, other = search(given_), search(shuffled)
    same(first, other)
    assert first.as_dict()["bad"] == other.as_dict()["bad"]


@given(seed=st.integers(0, 999), factor=st.floats(0.01, 100.0))
@settings(max_examples=20)
def test_scaling_the_unit_of_the_beam_shift(seed: int, factor: float) -> None:
    """A log unit twice as large goes with a matrix half as large."""
    given_ = columns(seed)
    scaled = given_ | {n: np.asarray(given_[n]) * factor for n in ("beam_shift_x", "beam_shift_y")}
    first = search(given_)
    if is_sharp(first):
        same(first, search(scaled, MATRIX / factor))


@given(seed=st.integers(0, 999), factor=st.sampled_from([0.25, 0.5, 2.0, 8.0]))
@settings(max_examples=20)
def test_scaling_all_lengths(seed: int, factor: float) -> None:
    """Powers of two are exact, so that nothing at all may change but the lengths."""
    given_ = columns(seed)
    lengths = ("stage_x_um", "stage_y_um", "beam_diameter_um")
    scaled = given_ | {n: np.asarray(given_[n]) * factor for n in lengths}
    first = search(given_)
    other = search(scaled, MATRIX * factor, RADIUS * factor)
    assert first.kept.tolist() == other.kept.tolist()
    assert (first.pairs["distance_um"] * factor).tolist() == other.pairs["distance_um"].tolist()


@given(seed=st.integers(0, 999), radius=st.floats(0.05, 3.0))
@settings(max_examples=30)
def test_the_policy(seed: int, radius: float) -> None:
    """Kept exposures are apart; each bad one repeats an earlier kept one."""
    found = search(columns(seed), radius=radius)
    points = found.positions_um
    kept = np.flatnonzero(~found.bad)
    apart = np.hypot(*(points[kept][:, None] - points[kept][None]).transpose(2, 0, 1))
    assert (apart[np.triu_indices(len(kept), 1)] > radius).all()
    bad = np.flatnonzero(found.bad)
    partner = found.kept[bad]
    assert (partner < bad).all()
    assert not found.bad[partner].any()
    assert (np.hypot(*(points[bad] - points[partner]).T) <= radius).all()
    assert (found.component[bad] == found.component[partner]).all()


@given(seed=st.integers(0, 999))
@settings(max_examples=20)
def test_exposures_far_away_change_nothing(seed: int) -> None:
    given_ = columns(seed)
    more = {
        name: np.concatenate([np.asarray(values), np.asarray(values)[:1]])
        if np.ndim(values) else values
        for name, values in given_.items()
    }  # fmt: skip
    more["stage_x_um"][-1] += 5000.0
    more["time_s"][-1] = 1e6
    assert search(more).kept[:-1].tolist() == search(given_).kept.tolist()
