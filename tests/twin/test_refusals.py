"""Arguments that would lead a loop out of its arrays are refused before either side runs.

Each row was a read or write out of bounds, a division by zero or an undefined conversion in a twin,
found by tests/sanitize; the definition failed in ways of its own, or gave something else.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from refimpl.dispatch import BACKENDS, REGISTRY, available_backends
from refimpl.testing.strategies import STRATEGIES
from refimpl.testing.twins import import_rooms, wrapped

import_rooms()


def cut(array: Any) -> Any:
    return array[:-1]


def with_first(value: float) -> Any:
    def change(array: Any) -> Any:
        changed = array.copy()
        changed.reshape(-1)[0] = value
        return changed

    return change


def with_last(value: float) -> Any:
    def change(array: Any) -> Any:
        changed = array.copy()
        changed.reshape(-1)[-1] = value
        return changed

    return change


ROWS = [
    ("azimuthal.bin_sums", "values", cut, r"values have shape \(19,\): expected \(20\)"),
    ("azimuthal.bin_sums", "blocks", 0, "blocks = 0: expected 1 to 16"),
    ("azimuthal.bin_sums", "n_bins", -1, "n_bins = -1: expected 0 to"),
    ("azimuthal.bin_sums", "lanes", 2, "lanes = 2: expected 1 or 4"),
    ("azimuthal.split_sums", "blocks", 0, "blocks = 0: expected 1 to 16"),
    ("background.median_of_disk", "size", 0, "size = 0 px: expected an odd number"),
    ("background.median_of_disk", "size", 2, "size = 2 px: expected an odd number"),
    ("chord_bins.bin_lineouts", "offset", with_first(-1), "offset do not rise within the 20 rows"),
    ("chord_bins.bin_lineouts", "offset", with_last(21), "offset do not rise within the 20 rows"),
    ("chord_bins.bin_lineouts", "offset", cut, "offset has 5 elements: expected 6"),
    ("chord_bins.bin_lineouts", "rays", np.zeros_like, "rays: a bin has no direction"),
    ("chord_bins.bin_lineouts", "low_px", with_first(math.nan), "low_px are not finite"),
    ("distl_grow.grow_spots", "margin", 0, "margin = 0: expected 1 to"),
    ("distl_rings.ring_histogram", "margin", -1, "margin = -1: expected 0 to"),
    ("distl_rings.ring_histogram", "width", 0, "width = 0: expected 1 to"),
    ("distl_rings.ring_histogram", "n_rings", -1, "n_rings = -1: expected 0 to"),
    ("distl_rings.ring_histogram", "beam_fast", 2**30, "beam_fast = 1073741824: expected"),
    ("distl_signal.local_signal", "fast1", with_first(-1), "fast1: the boxes do not rise within"),
    ("distl_signal.local_signal", "slow2", with_last(20), "slow2: the boxes do not rise within"),
    ("greedy_grains.greedy_labels", "order", with_first(20), "order = 20: expected 0 to 19"),
    ("greedy_grains.greedy_labels", "order", with_first(-1), "order = -1: expected 0 to 19"),
    ("greedy_grains.greedy_labels", "limit_rad", math.nan, "limit_rad = nan: expected 0 or more"),
    ("greedy_grains.greedy_labels", "operators", with_first(math.inf), "not unit quaternions"),
    ("greedy_grains.greedy_labels", "quaternion", with_first(1e300), "a length is beyond 1e-70"),
    ("least_squares.accumulate_blocks", "first", with_first(-1), "first do not rise within"),
    ("least_squares.accumulate_blocks", "first", with_last(21), "first do not rise within"),
    ("lineout_fit.fit_singlets", "step_um", np.zeros_like, "step_um: expected 1e-06 to 1e[+]12"),
    ("lineout_fit.fit_singlets", "first_um", with_first(math.nan), "first_um: expected finite"),
    ("lineout_fit.fit_doublets", "steps", with_first(2**62), "steps = 4611686018427387904"),
    ("misorientation.misorientation", "operators", with_first(math.nan), "not unit quaternions"),
    ("nearfield_pixels.voxel_pixels", "pixel_size_mm", 0.0, "pixel_size_mm = 0.0: expected above"),
    ("nearfield_pixels.voxel_pixels", "shape_px", with_first(-1), "shape_px = -1: expected 0 to"),
    ("nearfield_pixels.voxel_pixels", "wedge_rad", math.inf, "wedge_rad = inf: expected a finite"),
    ("nearfield_pixels.voxel_pixels", "key", with_first(2**63 - 1), "key of voxel 0"),
    ("nearfield_spots.theory_spots", "wedge_rad", math.nan, "wedge_rad = nan: expected a finite"),
    ("overlap_counts.count_overlap", "scan", with_last(math.nan), "frames = nan: expected 0 to"),
    ("overlap_counts.count_overlap", "scan", with_last(1e5), "coarse has .* words: expected"),
    ("overlap_counts.count_overlap", "rank", lambda a: a + 2**30, "rank points beyond"),
    ("overlap_counts.count_overlap", "rank", with_first(-1), "rank points beyond"),
    ("overlap_climb.climb", "edges_rad", with_first(math.nan), "edges_rad are not finite"),
    ("overlap_climb.climb", "most", 0, "most = 0: expected 1 to"),
    ("overlap_spots.screen_spots", "key", with_first(-1), "count of spots = -1: expected 0 to"),
    ("overlap_spots.screen_spots", "margin_px", -1, "margin_px = -1: expected 0 to"),
    ("ring_peaks.fit_ring_peaks", "offsets", with_first(-1), "offsets do not rise within"),
    ("ring_peaks.fit_ring_peaks", "offsets", cut, "offsets has 12 elements: expected 13"),
    ("ring_peaks.fit_ring_peaks", "counts", with_first(1e300), "their squares overflow"),
    ("ring_pixels.ring_pixels", "n_eta", 0, "n_eta = 0: expected 1 to"),
    ("ring_pixels.ring_pixels", "panel_map", with_first(3), "panel_map = 3: expected -32768 to 2"),
    ("ring_pixels.ring_pixels", "geometry", with_first(math.nan), "geometry: expected finite"),
    ("ring_pixels.ring_pixels", "windows_mm", lambda a: a[::-1].copy(), "windows_mm do not rise"),
    ("rotation.predict_rotation", "panel", with_first(4), "panel index 4: there are 4 panels"),
    ("spot_labels.join_frame", "previous_label", with_first(-1), "previous_label = -1: expected"),
    ("spot_labels.join_frame", "n_fast", 0, "n_fast = 0: expected 1 to"),
    ("spot_labels.join_frame", "index", lambda a: a[::-1].copy(), "index does not rise from 0"),
    ("spot_labels.measure_spots", "offsets", with_last(1000), "offsets do not rise within"),
    ("spot_labels.measure_spots", "offsets", cut, "offsets leave out pixels, or a spot has none"),
    ("powder_image.expected_counts", "mixing", with_first(2.0), "mixing: expected fractions"),
    ("ring_pixels.ring_pixels", "polarisation", math.nan, "polarisation = nan: expected -1 to 1"),
    ("spot_labels.measure_spots", "position", with_first(2**31 - 1), "position = 2147483647"),
    ("spot_threshold.dispersion", "sigma_strong", -1.0, "sigma_strong = -1.0: expected 0 or more"),
    ("tilted_flat.ring_coordinates", "panel", with_first(-2), "panel index -2: there are"),
    ("tilted_flat.pixel_position", "panel", with_first(3), "panel index 3: there are"),
    ("spot_threshold.dispersion", "half_fast", 0, "half_fast = 0: expected 1 to 9"),
    ("spot_threshold.dispersion_extended", "half_slow", 10, "half_slow = 10: expected 1 to 9"),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("key", "name", "spoil", "message"), ROWS)
def test_it_is_refused(key: str, name: str, spoil: Any, message: str, backend: str) -> None:
    if backend not in available_backends():
        pytest.skip("the twins are not compiled here")
    strategy = STRATEGIES[key]
    for seed in range(20):  # until there is something to spoil
        arguments = strategy.make(np.random.default_rng(seed), min(20, max(strategy.most, 1)))
        if np.size(arguments[name]) and np.shape(arguments[name]) != (0, 2):
            break
    arguments[name] = spoil(arguments[name]) if callable(spoil) else spoil
    with pytest.raises((ValueError, IndexError), match=message):
        wrapped(REGISTRY[key])(**arguments, backend=backend)
