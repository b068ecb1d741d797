"""Properties of ring windows for any list of rings."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from refimpl.powder.windows import BLEND_FWHM, ring_groups

lists = st.lists(st.floats(0.5, 30.0), min_size=1, max_size=30)


@given(lists, st.floats(2.0, 20.0), st.integers(0, 2**32 - 1))
def test_windows_rise_do_not_overlap_and_hold_their_rings(gaps, half, seed) -> None:
    rng = np.random.default_rng(seed)
    two_theta = 100.0 + np.cumsum(gaps)
    fwhm = rng.uniform(0.5, 2.0, len(gaps))
    g = ring_groups(two_theta, fwhm, np.full(len(gaps), half), rng.random(len(gaps)) < 0.8)
    w = g.windows_rad
    assert np.all(w[:, 0] < w[:, 1])
    assert np.all(w[1:, 0] >= w[:-1, 1] - 1e-12)  # rounding of half a gap
    used = []
    for (first, second), (low, high), expected in zip(g.members, w, g.expected_rad, strict=True):
        inside = np.flatnonzero((two_theta > low + 1e-9) & (two_theta < high - 1e-9))
        members = [m for m in (first, second) if m >= 0]
        assert inside.tolist() == members  # its own rings and no other
        assert expected[0] == two_theta[first]
        last = members[-1]
        # symmetric about the ring, or about the pair
        assert abs((two_theta[first] - low) - (high - two_theta[last])) < 1e-9
        assert two_theta[first] - low <= half + 1e-9
        used += members
    assert len(used) == len(set(used))
    close = np.diff(two_theta) < BLEND_FWHM * np.maximum(fwhm[1:], fwhm[:-1])
    blended = set(np.flatnonzero(close)) | set(np.flatnonzero(close) + 1)
    assert not blended & set(used)
