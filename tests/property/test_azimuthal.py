"""What holds for any image and any detector: nothing is lost, nothing depends on the order."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from refimpl.detector.model import TiltedFlat
from refimpl.detector.orientation import DIHEDRAL
from refimpl.dispatch import available_backends
from refimpl.imaging.azimuthal import PixelBins, bin_index, bin_sums
from refimpl.io.transforms import undo_transforms
from refimpl.powder.integrate import integrator

SEEDS = st.integers(0, 2**32 - 1)


def detector(rng: np.random.Generator) -> TiltedFlat:
    """A small detector that the beam may miss, tilted and distorted."""
    n_slow, n_fast = (int(n) for n in rng.integers(20, 60, 2))
    return TiltedFlat(
        (n_slow, n_fast),
        (float(rng.uniform(0.05, 0.2)), float(rng.uniform(0.05, 0.2))),
        float(rng.uniform(5.0, 200.0)),
        (float(rng.uniform(-10.0, 70.0)), float(rng.uniform(-10.0, 70.0))),
        tuple(float(t) for t in rng.uniform(-0.1, 0.1, 3)),  # type: ignore[arg-type]
        p=tuple(float(p) for p in rng.uniform(-1e-3, 1e-3, 15)),
    )


@given(seed=SEEDS, n=st.integers(0, 300), n_bins=st.integers(1, 9))
def test_sums_of_integers_are_exact_in_any_order(seed: int, n: int, n_bins: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(-(2**31), 2**31, n).astype(np.int32)
    bins = rng.integers(-2, n_bins + 2, n).astype(np.int32)
    expected = [int(values[bins == b].sum(dtype=np.int64)) for b in range(n_bins)]
    for backend in available_backends():
        for blocks, lanes in ((1, 1), (7, 4), (16, 1)):
            found = bin_sums(values, bins, n_bins, blocks, lanes, backend=backend)  # type: ignore[call-arg]
            assert found.tolist() == expected


@given(seed=SEEDS, n=st.integers(1, 40))
def test_bins_are_those_of_a_histogram(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    edges = np.linspace(*np.sort(rng.normal(0.0, 10.0 ** rng.uniform(-6.0, 6.0), 2)), n + 1)
    x = rng.uniform(edges[0] - 1e-9, edges[-1] + 1e-9, 200)
    x[:3] = edges[[0, n // 2, -1]]
    index = bin_index(x, edges)
    np.testing.assert_array_equal(
        np.bincount(index[index >= 0], minlength=n), np.histogram(x, bins=edges)[0]
    )


@given(seed=SEEDS, side=st.integers(1, 15))
def test_sub_pixels_share_a_pixel_out(seed: int, side: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [
        (0, rng.integers(0, 5, (side**2, 7)).astype(np.int32)),
        (7, rng.integers(0, 5, (side**2, 4)).astype(np.int32)),
    ]
    plan = PixelBins.split(11, 5, side, parts)
    values = rng.integers(0, 1000, 11)
    # every share is a whole number of parts, so only the last division rounds
    assert plan.sums(values).sum() * side**2 == np.float64(values.sum() * side**2) or np.isclose(
        plan.sums(values).sum(), values.sum(), rtol=1e-15, atol=0.0
    )
    assert plan.share is not None
    assert np.bincount(plan.pixel, plan.share).tolist() == [float(side**2)] * 11


@given(seed=SEEDS, split=st.sampled_from(["no", "sub"]), cake=st.booleans())
def test_no_count_is_lost_or_used_twice(seed: int, split: str, cake: bool) -> None:
    rng = np.random.default_rng(seed)
    model = detector(rng)
    frame = rng.integers(0, 65536, model.file_shape).astype(np.uint16)
    mask = rng.random(frame.shape) < 0.2
    mask[0, 0] = False
    plan = integrator(
        model, n_radial=17, n_azimuth=8 if cake else None, split=split, subpixels=2, mask=mask
    )
    pattern = plan(frame)
    assert pattern.counts.sum() == frame[~mask].sum()  # quarters of integers: exact
    assert pattern.pixels.sum() == np.count_nonzero(~mask)


@given(seed=SEEDS)
def test_however_the_file_lies_the_pattern_is_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = detector(rng).replace(image_transform=())
    frame = rng.integers(0, 1000, model.shape)
    first = None
    for codes in DIHEDRAL:
        turned = model.replace(image_transform=codes)
        pattern = integrator(turned, n_radial=11, n_azimuth=5)(undo_transforms(frame, codes))
        first = pattern if first is None else first
        np.testing.assert_array_equal(pattern.counts, first.counts)
        np.testing.assert_array_equal(pattern.pixels, first.pixels)


@given(seed=SEEDS)
def test_integration_is_linear(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = detector(rng)
    plan = integrator(model, n_radial=13, polarisation=0.9)
    a, b = rng.integers(0, 1000, (2, *model.file_shape))
    np.testing.assert_array_equal(plan(a + 3 * b).counts, plan(a).counts + 3.0 * plan(b).counts)
