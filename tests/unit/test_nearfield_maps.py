"""The result of a near-field reconstruction has one row for each voxel, whatever was found."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.errors import ConfigError, GeometryError
from refimpl.forward.nearfield_setup import Voxels
from refimpl.nearfield.maps import NO_SEED, NearfieldMap, provenance_of
from refimpl.rotations import matrix_of_euler, matrix_of_quaternion


def row_of(n: int) -> Voxels:
    """Voxels side by side."""
    x = 0.001 * np.arange(n)
    return Voxels(np.stack([x, 0.0 * x], axis=1), np.full(n, 0.001), np.arange(n) % 2 == 0)


EULER = np.array([[0.1, 0.2, 0.3], [np.nan, np.nan, np.nan], [4.0, 2.0, 6.0]])


def test_a_voxel_without_a_solution_keeps_its_row() -> None:
    m = NearfieldMap.of(row_of(3), EULER, np.array([0.5, 0.7, 1.0]), 225)
    assert len(m) == 3
    assert m.solved.tolist() == [True, False, True]
    assert m.confidence.tolist() == [0.5, 0.0, 1.0]
    assert m.seed.tolist() == [NO_SEED] * 3
    assert np.isnan(m.quaternions[1]).all()
    assert np.isnan(m.euler_rad[1]).all()
    assert m.n_solutions == 1
    assert m.solutions_confidence.tolist() == [[0.5], [0.0], [1.0]]


def test_angles_quaternions_and_matrices_are_one_rotation() -> None:
    m = NearfieldMap.of(row_of(3), EULER, np.array([0.5, 0.0, 1.0]), 225)
    found = m.solved
    np.testing.assert_allclose(
        matrix_of_quaternion(m.quaternions[found]), matrix_of_euler(EULER[found]), atol=1e-15
    )  # a few ulp of 1
    np.testing.assert_array_equal(m.matrices[found], matrix_of_euler(EULER[found]))
    assert (m.quaternions[found][:, 0] >= 0.0).all()


def test_the_summary_counts() -> None:
    by_distance = np.array([[0.5, 1.0], [np.nan, np.nan], [1.0, 1.0]])
    m = NearfieldMap.of(
        row_of(3), EULER, np.array([0.5, 0.0, 1.0]), 225, by_distance=by_distance,
        evaluations=np.array([3, 4, 5]),
    )  # fmt: skip
    s = m.summary()
    assert (s["voxels"], s["solved"], s["full_confidence"], s["evaluations"]) == (3, 2, 1, 12)
    assert s["mean_confidence"] == 0.75
    assert s["by_distance"] == [0.75, 1.0]
    nothing = NearfieldMap.of(row_of(2), np.full((2, 3), np.nan), np.zeros(2), 1).summary()
    assert nothing["mean_confidence"] is None
    assert nothing["by_distance"] == []


def test_arrays_are_not_the_callers() -> None:
    mine = EULER.copy()
    m = NearfieldMap.of(row_of(3), mine, np.array([0.5, 0.0, 1.0]), 225)
    mine[:] = 7.0
    assert m.euler_rad[0, 0] == 0.1
    with pytest.raises(ValueError, match="read-only"):
        m.euler_rad[0, 0] = 1.0
    assert m.changed(position_um=5.0).position_um == 5.0


def test_bad_arrays_are_refused() -> None:
    c = np.array([0.5, 0.0, 1.0])
    with pytest.raises(GeometryError, match=r"seed of shape \(2,\): expected \(3,\), one row for"):
        NearfieldMap.of(row_of(3), EULER, c, 225, seed=np.zeros(2))
    with pytest.raises(GeometryError, match=r"euler_rad of shape \(2, 3\)"):
        NearfieldMap.of(row_of(3), EULER[:2], c, 225)
    with pytest.raises(GeometryError, match="confidence: expected numbers from 0 to 1"):
        NearfieldMap.of(row_of(3), EULER, 2.0 * c, 225)
    with pytest.raises(ConfigError, match="space group 231: expected 1 to 230"):
        NearfieldMap.of(row_of(3), EULER, c, 231)


def test_provenance_names_inputs_and_versions() -> None:
    p = provenance_of({"parameters": "ps.txt"}, threads=2, seed=None)
    assert p["inputs"] == {"parameters": "ps.txt"}
    assert (p["threads"], p["seed"]) == (2, None)
    assert p["backend"] in ("python", "cython")
    assert p["version"]
