"""Two reflection tables side by side: pairs, common shift, axes, scale, uncertainties."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.errors import ConfigError, FormatError
from refimpl.io.reflection_table import INDEXED, USED_IN_REFINEMENT, ReflectionTable
from refimpl.testing.judge import Judgement
from refimpl.testing.judge_reflections import reflection_judgement
from refimpl.testing.judge_spots import match_spots, reindexing

N = 1500
SIGMA = np.array([0.05, 0.08, 0.1])


def table(seed: int = 1, **columns: object) -> ReflectionTable:
    """Spots on three panels, far apart, with indices of one crystal."""
    rng = np.random.default_rng(seed)
    k = np.arange(N)
    xyz = np.stack([10.0 * (k % 25) + 5.0, 10.0 * (k // 25 % 20) + 5.0, 0.1 * (k % 50)], axis=1)
    known = {
        "panel": (k // 500).astype(np.uint64),
        "id": np.zeros(N, dtype=np.int32),
        "xyzobs.px.value": xyz,
        "xyzobs.px.variance": np.tile(SIGMA**2, (N, 1)),
        "xyzcal.px": xyz + 0.01,
        "miller_index": rng.integers(-12, 13, (N, 3)).astype(np.int32),
        "intensity.sum.value": rng.exponential(1000.0, N) + 100.0,
        "flags": np.full(N, INDEXED | USED_IN_REFINEMENT, dtype=np.uint64),
    }
    known["intensity.sum.variance"] = known["intensity.sum.value"].copy()
    return ReflectionTable({**known, **columns})


def value(found: Judgement, name: str) -> float:
    return next(m.value for m in found.measures if m.name == name)


def failed(found: Judgement) -> list[str]:
    return [m.name for m in found.failed]


def test_a_table_agrees_with_itself_in_any_order() -> None:
    rows = np.random.default_rng(3).permutation(N)
    found = reflection_judgement(table(), table().select(rows))
    assert found.met
    assert found.details["pairs"] == N
    assert max(m.value for m in found.measures) < 1e-12


def test_half_a_pixel_and_half_an_image_are_told_as_a_shift() -> None:
    moved = table()["xyzobs.px.value"] + [0.5, -0.5, 0.5]
    found = reflection_judgement(table(), table(**{"xyzobs.px.value": moved}))
    assert failed(found) == ["shift_px", "shift_image"]
    assert found.details["shift"] == pytest.approx([0.5, -0.5, 0.5])
    assert value(found, "place_rms_px") < 1e-9


def test_independent_noise_of_the_stated_size_is_one_sigma() -> None:
    rng = np.random.default_rng(7)
    a, b = (
        table(**{
            "xyzobs.px.value": table()["xyzobs.px.value"] + SIGMA * rng.normal(size=(N, 3)),
            "intensity.sum.value": table()["intensity.sum.value"]
            + np.sqrt(table()["intensity.sum.variance"]) * rng.normal(size=N),
        })
        for _ in range(2)
    )  # fmt: skip
    found = reflection_judgement(a, b)
    assert value(found, "place_sigma") == pytest.approx(1.0, abs=0.04)
    assert value(found, "intensity_sigma") == pytest.approx(1.0, abs=0.05)
    assert value(found, "place_rms_px") == pytest.approx(np.sqrt(2.0) * np.hypot(0.05, 0.08),
                                                         rel=0.05)  # fmt: skip


def test_other_axes_are_found_for_each_experiment() -> None:
    m = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    own = (np.arange(N) % 2).astype(np.int32)
    h = table()["miller_index"].copy()
    turned = h.copy()
    turned[own == 1] = h[own == 1] @ m.T
    turned[:30] += 1  # and 2 % that are wrong
    found = reflection_judgement(table(id=own), table(id=own, miller_index=turned))
    assert found.details["reindexing"] == [{"id": 1, "matrix": m.tolist()}]
    assert value(found, "index_share") == pytest.approx(0.02)
    assert value(found, "index_plain_share") > 0.5
    assert failed(found) == ["index_share"]


def test_matrices_that_are_no_choice_of_axes_are_not_taken() -> None:
    h = table()["miller_index"].astype(np.int64)
    eye = np.eye(3)
    assert np.array_equal(reindexing(h, 2 * h), eye)
    assert np.array_equal(reindexing(h, np.random.default_rng(2).permutation(h)), eye)
    assert np.array_equal(reindexing(h[:2], h[:2]), eye)
    assert np.array_equal(reindexing(h, -h), -eye)


def test_a_scale_is_told_and_taken_out() -> None:
    values = table()["intensity.sum.value"]
    found = reflection_judgement(table(), table(**{"intensity.sum.value": 2.5 * values}))
    assert found.met
    assert found.details["intensity_scale"] == pytest.approx(2.5)
    assert value(found, "intensity_r") < 1e-12
    odd = np.where(np.arange(N) % 2, 1.2, 0.8) * values
    assert "intensity_r" in failed(
        reflection_judgement(table(), table(**{"intensity.sum.value": odd}))
    )


def test_spots_of_one_table_alone_count() -> None:
    found = reflection_judgement(table(), table().select(slice(0, 1400)))
    assert value(found, "unmatched_share") == pytest.approx(100 / 2900)
    assert "unmatched_share" in failed(found)
    nothing = reflection_judgement(table(), table().select(slice(0, 0)))
    assert failed(nothing) == ["unmatched_share"]
    assert value(nothing, "unmatched_share") == 1.0


def test_panels_and_image_sets_keep_spots_apart() -> None:
    other = table(panel=(table()["panel"] + 1).astype(np.uint64))
    rows, column = match_spots(table(), other, 2.0)
    assert column == "xyzobs.px.value"
    assert len(rows) == 1000
    sets = np.zeros(N, dtype=np.int32)
    rows, _ = match_spots(table(imageset_id=sets), table(imageset_id=sets + 1), 2.0)
    assert len(rows) == 0


def test_flags_that_differ_are_counted() -> None:
    flags = table()["flags"].copy()
    flags[:150] &= ~np.uint64(USED_IN_REFINEMENT)
    found = reflection_judgement(table(), table(flags=flags), tolerances={"used_share": 0.05})
    assert value(found, "used_share") == pytest.approx(0.1)
    assert value(found, "indexed_share") == 0.0
    assert failed(found) == ["used_share"]


def test_tables_that_cannot_be_matched_are_refused() -> None:
    with pytest.raises(FormatError, match="missing column panel"):
        reflection_judgement(table(), table().without("panel"))
    with pytest.raises(FormatError, match="no places in common"):
        reflection_judgement(table(), table().without("xyzobs.px.value", "xyzcal.px"))
    for name, wrong in (("panel", np.full(N, "a")), ("xyzobs.px.value", np.ones(N)),
                        ("miller_index", np.ones(N)), ("flags", np.full(N, "x"))):  # fmt: skip
        with pytest.raises(FormatError, match=f"column {name}: .* expected numbers of shape"):
            reflection_judgement(table(**{name: wrong}), table())
    with pytest.raises(ConfigError, match="--match-px 0: expected > 0"):
        match_spots(table(), table(), 0.0)


def test_predictions_alone_are_compared_by_them() -> None:
    a, b = (table().without("xyzobs.px.value", "intensity.sum.value", "flags") for _ in range(2))
    found = reflection_judgement(a, b)
    assert found.met
    assert "by xyzcal.px" in found.text()
