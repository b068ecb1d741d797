"""Targets and the way back, crops, and splits by crystal."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.centring.crops import CropRule, crop, grey, prepared, standardised, turned
from refimpl.centring.splits import PARTS, Split, load_split, split_crystals
from refimpl.centring.targets import TARGETS, Target, fit_target
from refimpl.errors import ConfigError, FormatError

COUNTS = np.array([0.0, 0.0, 3.0, 40.0, 120.0, 700.0, 2500.0])
counts = st.lists(st.floats(0.0, 1e5), min_size=2, max_size=30).filter(
    lambda v: np.std(v) > 1e-3 * (1.0 + np.max(v))
)


@pytest.mark.parametrize("name", [n for n in TARGETS if n != "log_literal"])
@given(values=counts)
def test_the_way_back(name: str, values: list[float]) -> None:
    rc = np.array(values)
    target = fit_target(name, rc)
    y = target.apply(rc)
    # tanh saturates: where 1 - |y| is lost in the last digits the count is, too
    safe = np.abs(y) < 0.999 if name == "tanh" else np.ones(len(rc), dtype=bool)
    scale = target.deviation if name != "log_first" else 1.0 + rc[safe]
    np.testing.assert_allclose(
        target.invert(y)[safe] / scale, rc[safe] / scale, atol=1e-9 * (1.0 + np.max(rc))
    )
    order = np.argsort(rc, kind="stable")
    assert (np.diff(y[order]) >= 0.0).all()
    assert np.isfinite(target.invert(np.array([-3.0, 3.0]))).all()


def test_the_thesis_targets_by_hand() -> None:
    mean, sigma = COUNTS.mean(), COUNTS.std()
    z = (COUNTS - mean) / sigma
    np.testing.assert_allclose(fit_target("vanilla", COUNTS).apply(COUNTS), z)
    np.testing.assert_allclose(fit_target("tanh", COUNTS).apply(COUNTS), np.tanh(z))
    # the least count is 0: log(1 + RC / sigma)
    np.testing.assert_allclose(fit_target("log", COUNTS).apply(COUNTS), np.log1p(COUNTS / sigma))
    np.testing.assert_allclose(fit_target("log_literal", COUNTS).apply(COUNTS[-2:]), np.log(z[-2:]))


def test_the_literal_logarithm_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ConfigError, match="log_literal: 5 of 7 counts are not above the mean"):
        fit_target("log_literal", COUNTS).apply(COUNTS)


@pytest.mark.parametrize("value", [math.nan, -1.0, math.inf])
def test_counts_that_are_none(value: float) -> None:
    with pytest.raises(ConfigError, match=r"reflection count .*: expected a number of 0 or more"):
        fit_target("tanh", [1.0, 2.0, value])
    with pytest.raises(ConfigError, match=r"reflection count .*: expected a number of 0 or more"):
        fit_target("tanh", COUNTS).apply([1.0, value])


def test_targets_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="target 'cube': expected one of vanilla, log"):
        fit_target("cube", COUNTS)
    with pytest.raises(ConfigError, match="all counts are equal"):
        fit_target("tanh", [3.0, 3.0])
    with pytest.raises(ConfigError, match="no reflection counts"):
        fit_target("tanh", [])
    target = fit_target("log", COUNTS)
    assert Target(**json.loads(json.dumps(target.as_dict()))) == target


def test_the_crop_is_linear_in_the_zoom() -> None:
    rule = CropRule.through((1.0, 600.0), (4.0, 300.0))
    assert rule.edge_px(2.0) == pytest.approx(500.0)
    assert CropRule(**rule.as_dict()) == rule
    with pytest.raises(ConfigError, match="-100 px at zoom 8: expected 2 px or more"):
        rule.edge_px(8.0)
    with pytest.raises(ConfigError, match="both zooms are 2"):
        CropRule.through((2.0, 1.0), (2.0, 3.0))


@settings(max_examples=30)
@given(
    x=st.floats(30.0, 90.0), y=st.floats(30.0, 70.0), edge=st.floats(10.0, 50.0),
    slope=st.tuples(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0)),
)  # fmt: skip
def test_a_crop_of_a_slope_is_the_slope_there(
    x: float, y: float, edge: float, slope: tuple[float, float]
) -> None:
    rows, columns = np.mgrid[0:100, 0:120] + 0.5  # middles of the pixels
    image = slope[0] * columns + slope[1] * rows
    size = 16
    at = (np.arange(size) + 0.5) * edge / size - edge / 2.0
    expected = slope[0] * (x + at)[None, :] + slope[1] * (y + at)[:, None]
    got = crop(image, (x, y), edge, size)
    np.testing.assert_allclose(got, expected, atol=1e-9 if edge <= size else 1e-3)


def test_beyond_the_picture_its_rim_is_repeated() -> None:
    image = np.arange(20.0)[None, :] * np.ones((10, 1))
    np.testing.assert_allclose(crop(image, (-50.0, 5.0), 8.0, 8), 0.0)
    np.testing.assert_allclose(crop(image, (500.0, -90.0), 8.0, 8), 19.0)


def test_standardised_and_turned() -> None:
    rng = np.random.default_rng(1)
    image = rng.normal(3.0, 2.0, (9, 9))
    got = standardised(image)
    assert got.mean() == pytest.approx(0.0, abs=1e-12)
    assert got.std() == pytest.approx(1.0)
    np.testing.assert_array_equal(standardised(np.full((4, 4), 7.0)), 0.0)
    eight = {turned(image, k).tobytes() for k in range(8)}
    assert len(eight) == 8
    np.testing.assert_array_equal(turned(image, 0), image)
    np.testing.assert_array_equal(turned(image, 4), image[:, ::-1])
    with pytest.raises(ConfigError, match="way to turn 8"):
        turned(image, 8)


def test_pictures_that_are_none() -> None:
    with pytest.raises(ConfigError, match=r"picture of shape \(3,\): expected \(h, w\)"):
        grey(np.zeros(3))
    colour = np.zeros((4, 4, 3))
    colour[..., 1] = 100.0
    np.testing.assert_allclose(grey(colour), 58.7)
    seen = prepared(np.random.default_rng(2).random((60, 80)), 1.0, CropRule(40.0, 0.0), size=32)
    assert seen.shape == (32, 32)


@settings(max_examples=60)
@given(n=st.integers(3, 40), seed=st.integers(0, 10**6), data=st.data())
def test_no_crystal_is_in_two_parts(n: int, seed: int, data: st.DataObject) -> None:
    pictures = data.draw(st.lists(st.integers(0, n - 1), min_size=n, max_size=5 * n))
    crystal = [f"c{k}" for k in [*range(n), *pictures]]
    rc = np.random.default_rng(seed).exponential(200.0, len(crystal))
    split = split_crystals(crystal, rc, seed=seed)
    parts = [set(getattr(split, part)) for part in PARTS]
    assert set.union(*parts) == set(crystal)
    assert sum(len(p) for p in parts) == n
    assert abs(len(split.train) - 0.6 * n) <= 1.0
    # the order of the pictures is of no matter
    order = np.random.default_rng(seed + 1).permutation(len(crystal))
    assert split_crystals([crystal[i] for i in order], rc[order], seed=seed) == split
    assert (split.part_of(crystal) == "train").sum() > 0


def test_parts_have_like_counts() -> None:
    rng = np.random.default_rng(5)
    crystal = np.arange(200)
    rc = rng.exponential(300.0, 200)
    whole = np.median(rc)
    for seed in range(20):
        split = split_crystals(crystal, rc, seed=seed)
        for part in PARTS:
            own = rc[[int(c) for c in getattr(split, part)]]
            # of 40 drawn freely the median would vary by 47 (one sigma); of strata by much less
            assert abs(np.median(own) - whole) < 40.0


def test_a_split_is_kept_and_checked(tmp_path: Path) -> None:
    split = Split(("a", "b"), ("c",), ("d",))
    assert load_split(split.save(tmp_path / "split.json")) == split
    with pytest.raises(ConfigError, match=r"crystal 'a' is in two places \(train and test\)"):
        Split(("a", "b"), ("c",), ("a",))
    with pytest.raises(ConfigError, match="no crystal in val"):
        Split(("a",), (), ("b",))
    with pytest.raises(ConfigError, match="crystal 'z' is in no part of the split, nor are 1 oth"):
        split.part_of(["a", "zz", "z"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot read"),
        ("[", "not JSON"),
        ('{"kind": "x"}', "not a split of crystals"),
        ('{"kind": "refimpl.centring_split", "train": [1]}', "train: expected a list of crystals"),
        (
            '{"kind": "refimpl.centring_split", "train": ["a"], "val": ["a"], "test": ["b"]}',
            "crystal 'a' is in two places",
        ),
    ],
)
def test_files_that_are_no_split(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "s.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises((FormatError, ConfigError), match=words):
        load_split(path)


def test_splits_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match=r"2 crystal\(s\), expected 3 or more"):
        split_crystals(["a", "b"], [1.0, 2.0])
    with pytest.raises(ConfigError, match="expected three positive numbers of sum 1"):
        split_crystals(list("abc"), [1, 2, 3], shares=(0.5, 0.5, 0.1))
    with pytest.raises(ConfigError, match="3 crystals for 2 counts"):
        split_crystals(list("abc"), [1, 2])


def test_tanh_ends_at_the_largest_count_that_was_seen() -> None:
    target = fit_target("tanh", COUNTS)
    most = float(np.max(COUNTS))
    np.testing.assert_allclose(target.invert(target.apply(COUNTS)), COUNTS, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(target.invert([1.0, 1.7]), most, rtol=1e-9)
    free = Target("tanh", target.mean, target.deviation, target.least)
    assert free.invert(1.0) > 2.0 * most
