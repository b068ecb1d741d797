"""Two near-field maps side by side: one sample frame, and what is left in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import Voxels
from refimpl.nearfield.maps import NearfieldMap
from refimpl.rotations import (
    conjugate_quaternion,
    euler_of_quaternion,
    expmap,
    multiply_quaternions,
    quaternion_of_matrix,
    rz,
)
from refimpl.testing.judge import Judgement
from refimpl.testing.judge_maps import map_judgement
from refimpl.units import DEG

N = 20


def grains(space_group: int = 225) -> NearfieldMap:
    """Twenty by twenty squares of 2 um in 25 blocks, each of another orientation."""
    y, x = np.divmod(np.arange(N * N), N)
    voxels = Voxels(2e-3 * np.stack([x, y], axis=1), np.full(N * N, 2e-3),
                    np.ones(N * N, dtype=bool), "square")  # fmt: skip
    euler = np.random.default_rng(4).uniform(0.1, 1.4, (25, 3))
    return NearfieldMap.of(voxels, euler[5 * (y // 4) + x // 4], np.full(N * N, 0.9), space_group)


def turned(m: NearfieldMap, q: np.ndarray) -> NearfieldMap:
    q = multiply_quaternions(np.broadcast_to(q, (len(m), 4)), m.quaternions)
    return m.changed(euler_rad=euler_of_quaternion(q))


def value(found: Judgement, name: str) -> float:
    return next(m.value for m in found.measures if m.name == name)


def test_a_map_agrees_with_itself() -> None:
    found = map_judgement(grains(), grains())
    assert found.met
    assert value(found, "off_share") == 0.0
    assert value(found, "turn_deg") < 1e-10


def test_a_common_turn_is_told_and_taken_out() -> None:
    a = grains()
    by = np.array([0.3, -0.2, 0.5])
    noise = np.random.default_rng(1).normal(0.0, 0.05 * DEG, (len(a), 3))
    each = np.array([quaternion_of_matrix(expmap(v)) for v in noise])
    b = turned(a, quaternion_of_matrix(expmap(by * DEG)))
    b = b.changed(euler_rad=euler_of_quaternion(multiply_quaternions(b.quaternions, each)))
    found = map_judgement(a, b)
    assert [m.name for m in found.failed] == ["turn_deg"]
    sigma = np.array(found.details["sigma_deg"])
    # 400 voxels of 0.05 degrees about each axis, some of the farthest left out
    assert np.allclose(sigma, 0.05 / 20.0, rtol=0.15)
    assert np.all(np.abs(np.array(found.details["turn_deg"]) - by) < 4.0 * sigma)
    assert value(found, "plain_median_deg") == pytest.approx(0.616, abs=0.02)
    # the length of three normal numbers has the median 1.538
    assert value(found, "misorientation_median_deg") == pytest.approx(1.538 * 0.05, rel=0.1)


def test_a_shift_is_found_to_a_step_of_the_grid() -> None:
    a = grains()
    b = a.changed(voxels=replace(a.voxels, xy_mm=a.voxels.xy_mm + np.array([4e-3, -2e-3])))
    found = map_judgement(a, b)
    assert found.details["shift_um"] == pytest.approx([4.0, -2.0])
    assert [m.name for m in found.failed] == ["shift_um"]
    assert value(found, "missing_share") == 0.0
    assert value(found, "misorientation_median_deg") < 1e-10


def test_missing_and_wrong_voxels_count_together() -> None:
    a = grains()
    euler = a.euler_rad.copy()
    euler[:8] = np.nan
    euler[8:20, 0] += 3.0 * DEG
    found = map_judgement(a, a.changed(euler_rad=euler))
    assert value(found, "missing_share") == pytest.approx(8 / 400)
    assert value(found, "off_share") == pytest.approx(20 / 400)
    assert {m.name for m in found.failed} == {"missing_share", "off_share"}


def test_voxels_of_little_confidence_do_not_count() -> None:
    a = grains()
    sure = np.full(len(a), 0.9)
    sure[:100] = 0.2
    euler = a.euler_rad.copy()
    euler[:100, 0] += 0.2
    b = a.changed(euler_rad=euler)
    a = a.changed(confidence=sure)
    assert not map_judgement(a, b).met
    assert map_judgement(a, b, min_confidence=0.5).met


@pytest.mark.parametrize("inverse", [False, True])
def test_another_frame_is_named(inverse: bool) -> None:
    a = grains()
    b = turned(a, quaternion_of_matrix(rz(-0.5 * np.pi)))
    if inverse:
        b = b.changed(euler_rad=euler_of_quaternion(conjugate_quaternion(a.quaternions)))
    found = map_judgement(a, b)
    assert not found.met
    (hint,) = [n for n in found.notes if n.startswith("B's")]
    assert ("inverse" in hint) == inverse
    assert inverse or "turned by 90° about (0, 0, 1)" in hint
    assert any("no common turn" in n for n in found.notes)


def test_a_turn_of_a_few_grains_is_no_common_turn() -> None:
    a = grains()
    euler = a.euler_rad + np.array([0.5, 0.0, 0.0])  # nowhere near
    euler[: N * N // 3] = a.euler_rad[: N * N // 3] + np.array([2.0 * DEG, 0.0, 0.0])
    found = map_judgement(a, a.changed(euler_rad=euler))
    assert found.details["turn_voxels"] == 0
    assert value(found, "turn_deg") == 0.0
    assert not found.met


def test_another_crystal_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected two of one Laue class"):
        map_judgement(grains(), grains(194))
