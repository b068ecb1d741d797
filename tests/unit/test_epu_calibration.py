"""Calibrations as values: what a matrix means, its file, and those that are given."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.epu.affine import affine
from refimpl.epu.affine import given as given_matrix
from refimpl.epu.calibration import (
    Alternative,
    Calibration,
    load_calibration,
    save_calibration,
)
from refimpl.errors import ConfigError, FormatError
from refimpl.units import DEG

MATRIX = np.array([[21.7515, 10.8325], [11.1149, -21.6924]])
"""Of the real session (specification, A8)."""


def whole() -> Calibration:
    other = Alternative(2.0 * MATRIX, (2.5, 2.6), 0.06, 1.3, 4)
    return Calibration(
        "lattice", MATRIX, 0.047, 63, 0.03 * np.ones((2, 2)), np.array([[2.4, 0.6], [-0.6, 2.5]]),
        (other,), 1.3, 0, False, ("a note",), 96000.0, 300.0, "3429", {"folder": "x"},
    )  # fmt: skip


def test_what_the_matrix_of_the_real_session_means() -> None:
    found = whole()
    assert found.is_mirrored
    assert found.k_um == pytest.approx(24.336, abs=5e-4)
    assert found.anisotropy == pytest.approx(24.481 / 24.192, abs=1e-4)
    assert found.rotation_rad == pytest.approx(26.8 * DEG, abs=0.01 * DEG)
    assert found.pitch_um == pytest.approx((math.hypot(2.4, 0.6), math.hypot(0.6, 2.5)))


@given(
    k=st.floats(0.1, 100.0), angle=st.floats(-3.1, 3.1), mirror=st.booleans(),
    shift=st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)),
)  # fmt: skip
def test_k_angle_and_mirror_come_back(
    k: float, angle: float, mirror: bool, shift: tuple[float, float]
) -> None:
    found = affine(k, angle, mirror=mirror)
    assert found.k_um == pytest.approx(k)
    assert found.rotation_rad == pytest.approx(angle, abs=1e-9)
    assert found.is_mirrored == mirror
    assert found.anisotropy == pytest.approx(1.0)
    # by complex numbers: mirror y first, then turn
    z = complex(*shift)
    moved = k * (z.conjugate() if mirror else z) * complex(math.cos(angle), math.sin(angle))
    at = found.positions_um(np.array([[1.0, 2.0]]), np.array([shift]))
    np.testing.assert_allclose(at, [[1.0 + moved.real, 2.0 + moved.imag]], atol=1e-12 * k)


def test_positions_do_not_depend_on_their_number() -> None:
    rng = np.random.default_rng(1)
    stage, shift = rng.normal(size=(1001, 2)), rng.normal(size=(1001, 2))
    found = whole()
    all_at_once = found.positions_um(stage, shift)
    one_by_one = [found.positions_um(stage[i : i + 1], shift[i : i + 1])[0] for i in range(1001)]
    assert all_at_once.tobytes() == np.array(one_by_one).tobytes()
    np.testing.assert_allclose(all_at_once, stage + shift @ MATRIX, atol=1e-12)


def test_a_file_gives_the_same_calibration(tmp_path: Path) -> None:
    found = load_calibration(save_calibration(whole(), tmp_path / "titan.json"))
    assert found.as_dict() == whole().as_dict()
    assert found.sentences() == whole().sentences()
    bare = given_matrix(MATRIX)
    again = load_calibration(save_calibration(bare, tmp_path / "bare.json"))
    assert again.rms_um is None
    assert math.isnan(again.magnification)
    np.testing.assert_array_equal(again.matrix_um, MATRIX)


@settings(max_examples=30)
@given(st.dictionaries(st.sampled_from(list(whole().as_dict())), st.none() | st.text(max_size=3)))
def test_no_file_ends_in_a_traceback(changes: dict[str, object]) -> None:
    content = json.loads(json.dumps(whole().as_dict())) | changes
    with contextlib.suppress(FormatError, ConfigError):
        Calibration.from_dict(content)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot read: No such file"),
        ("{", "not JSON"),
        ("[1]", "expected a JSON object"),
        ('{"kind": "other"}', "not a calibration of beam shifts: expected"),
        ('{"kind": "refimpl.epu_calibration", "schema": 9}', "schema 9: this refimpl reads 1"),
        ('{"kind": "refimpl.epu_calibration", "schema": 1, "method": "lattice"}', "no 'matrix'"),
        (
            '{"kind": "refimpl.epu_calibration", "schema": 1, "method": "x", "matrix": [[1, 0], '
            "[0, 1]]}", "method 'x': expected one of scalar",
        ),
        (
            '{"kind": "refimpl.epu_calibration", "schema": 1, "method": "affine", "matrix": [[1, '
            "0], [1, 0]]}", "determinant other than 0",
        ),
    ],
)  # fmt: skip
def test_a_file_that_is_none(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "cal.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises((FormatError, ConfigError)) as caught:
        load_calibration(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_what_cannot_be_given() -> None:
    with pytest.raises(ConfigError, match="k -1: expected a positive number"):
        affine(-1.0)
    with pytest.raises(ConfigError, match="rotation nan: expected an angle"):
        affine(24.0, math.nan)
    with pytest.raises(ConfigError, match="expected 2 x 2 finite numbers"):
        given_matrix([[1.0, 2.0, 3.0]])
