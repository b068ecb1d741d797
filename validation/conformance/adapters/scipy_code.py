"""Held to the kit: scipy and scikit-learn, for what they have of it.

    PYTHONPATH=validation/conformance/adapters refimpl conform --object scipy_code

Each function is a call of the library with the least around it, and shares no line with refimpl.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from scipy import linalg, ndimage, optimize, spatial, special
from scipy.sparse.csgraph import connected_components
from scipy.spatial.transform import Rotation

GROUPS = {
    "-1": ("C1", "Z"), "2/m": ("C2", "Y"), "mmm": ("D2", "Z"), "4/m": ("C4", "Z"),
    "4/mmm": ("D4", "Z"), "-3": ("C3", "Z"), "-31m": ("D3", "Z"), "6/m": ("C6", "Z"),
    "6/mmm": ("D6", "Z"), "m-3": ("T", "Z"), "m-3m": ("O", "Z"), "-3m1": ("D3", "Z"),
}  # fmt: skip
"""Group and axis in scipy; its D3 has a two-fold along x, as -31m of the kit."""


def _operators(laue_class: str) -> Rotation:
    name, axis = GROUPS[laue_class]
    group = Rotation.create_group(name, axis=axis)
    turn = Rotation.from_euler("z", 30.0 if laue_class == "-3m1" else 0.0, degrees=True)
    return turn * group * turn.inv()


def misorientation(laue_class: str, q1: np.ndarray, q2: np.ndarray) -> np.ndarray:
    """Least magnitude over the group."""
    between = Rotation.from_quat(q1, scalar_first=True).inv() * Rotation.from_quat(
        q2, scalar_first=True
    )
    return np.min([(between * s).magnitude() for s in _operators(laue_class)], axis=0)


def euler_to_matrix(euler_rad: np.ndarray) -> dict[str, Any]:
    """Intrinsic z, x', z''."""
    rotation = Rotation.from_euler("ZXZ", euler_rad)
    q = rotation.as_quat(scalar_first=True)
    return {"matrix": rotation.as_matrix(), "quaternion": np.where(q[:, :1] < 0.0, -q, q)}


def grain_labels(
    quaternion: np.ndarray, pairs: np.ndarray, laue_class: str, limit_rad: Any
) -> np.ndarray:
    """Connected components of the pairs within the limit."""
    n, known = len(quaternion), np.isfinite(quaternion).all(axis=1)
    both = pairs[known[pairs].all(axis=1)]
    angle = misorientation(laue_class, quaternion[both[:, 0]], quaternion[both[:, 1]])
    a, b = both[angle <= limit_rad].T
    graph = np.zeros((n, n), dtype=bool)
    graph[a, b] = True
    return np.where(known, connected_components(graph, directed=False)[1], -1)


def grain_means(
    quaternion: np.ndarray, label: np.ndarray, laue_class: str, position_mm: np.ndarray
) -> dict[str, Any]:
    """Rotation.mean of the images nearest to it, from one point on until no image changes."""
    group = _operators(laue_class)
    rows = [np.flatnonzero(label == g) for g in range(int(label.max(initial=-1)) + 1)]
    means, spreads = [], []
    for mine in rows:
        points = Rotation.from_quat(quaternion[mine], scalar_first=True)
        mean, before = points[0], None
        for _ in range(100):
            angle = np.array([(mean.inv() * points * s).magnitude() for s in group])
            best = angle.argmin(axis=0)
            if before is not None and np.array_equal(best, before):
                break
            mean, before = (points * group[best]).mean(), best
        images = [mean * s for s in group]
        q = min(images, key=lambda r: r.magnitude()).as_quat(scalar_first=True)
        means.append(q if q[0] >= 0.0 else -q)
        spreads.append(angle.min(axis=0).mean())
    return {
        "mean_quaternion": np.array(means).reshape(-1, 4), "n_points": [len(r) for r in rows],
        "centre_mm": np.array([position_mm[r].mean(axis=0) for r in rows]).reshape(-1, 2),
        "spread_rad": np.array(spreads),
    }  # fmt: skip


def spot_centroids(counts: np.ndarray, strong: np.ndarray) -> dict[str, Any]:
    """Labels of ndimage, whose neighbours share a side, and its sums."""
    label, n = ndimage.label(strong)
    index = np.arange(1, n + 1)
    box = np.array([
        [v for axis in reversed(part) for v in (axis.start, axis.stop)]
        for part in ndimage.find_objects(label)
    ])  # fmt: skip
    total = ndimage.sum(counts, label, index)
    centre = np.array(ndimage.center_of_mass(counts, label, index))[:, ::-1] + 0.5
    variance = np.empty_like(centre)
    squares = ndimage.sum(counts.astype(float) ** 2, label, index)
    for axis in range(3):
        place = np.indices(counts.shape)[2 - axis] + 0.5
        away = (place - np.concatenate([[0.0], centre[:, axis]])[label]) ** 2
        moment = ndimage.sum(counts * away, label, index)
        free = total**2 - squares
        variance[:, axis] = np.where(free > 0.0, moment / np.where(free > 0.0, free, 1.0), 0.0)
    order = np.lexsort(box[:, [5, 3, 1, 0, 2, 4]].T)
    return {
        "box": box[order], "total": total[order], "centroid_px": centre[order],
        "variance_px2": variance[order] + 1.0 / 12.0,
    }  # fmt: skip


def ring_peak_fit(
    x: np.ndarray, counts: np.ndarray, expected: Any, window: np.ndarray, fwhm_start: Any
) -> dict[str, Any]:
    """Greatest Poisson likelihood: least squares, reweighted until nothing moves."""
    middle = 0.5 * window.sum()

    def model(p: np.ndarray) -> np.ndarray:
        u = (x - p[0]) / p[2]
        shape = p[3] / (1.0 + 4.0 * u * u) + (1.0 - p[3]) * np.exp(-4.0 * np.log(2.0) * u * u)
        return p[4] + p[5] * (x - middle) + p[1] * shape

    def slopes(p: np.ndarray) -> np.ndarray:
        step = 1e-6 * np.maximum(np.abs(p), 0.1)
        return np.array([
            (model(p + h) - model(p - h)) / (2.0 * h.sum()) for h in np.diag(step)
        ]).T  # fmt: skip

    low = np.sort(counts)[: len(x) // 3].mean()
    p = np.array([expected, counts.max() - low, fwhm_start, 0.5, low, 0.0], dtype=float)
    for _ in range(60):
        weight = 1.0 / np.sqrt(np.maximum(model(p), 0.1))
        before = p

        def residual(q: np.ndarray, w: np.ndarray = weight) -> np.ndarray:
            return w * (counts - model(q))

        p = optimize.least_squares(residual, p, x_scale="jac", xtol=1e-15, ftol=1e-15).x
        if np.abs(p - before).max() < 1e-10:
            break
    m = model(p)
    j = slopes(p)
    sigma = np.sqrt(np.linalg.inv(j.T @ (j / m[:, None]))[0, 0])
    names = ("centre", "height", "fwhm", "mixing", "background", "slope")
    more = {"centre_sigma": sigma, "chi2": ((counts - m) ** 2 / m).sum()}
    return dict(zip(names, p, strict=True)) | more


def outliers_mcd(residual: np.ndarray, alpha: Any) -> dict[str, Any]:
    """scikit-learn's estimate: other corrections for a finite sample, another divisor."""
    from sklearn.covariance import MinCovDet

    n, k = residual.shape
    part = (2 * ((n + k + 1) // 2) - n + 2 * (n - (n + k + 1) // 2) * float(alpha)) // 1 / n
    found = MinCovDet(support_fraction=part, random_state=0).fit(residual)
    limit = 2.0 * special.gammaincinv(0.5 * k, 0.975)
    return {
        "rejected": found.mahalanobis(residual) > limit, "centre": found.raw_location_,
        "raw_scatter": found.raw_covariance_, "scatter": found.covariance_,
    }  # fmt: skip


def beam_shift_positions(
    stage_um: np.ndarray, beam_shift: np.ndarray, matrix_um: np.ndarray
) -> dict[str, Any]:
    """Nearest rotation by the polar decomposition."""
    mirrored = linalg.det(matrix_um) < 0.0
    turn, _ = linalg.polar(np.diag([1.0, -1.0 if mirrored else 1.0]) @ matrix_um)
    size = linalg.svdvals(matrix_um)
    return {
        "position_um": stage_um + beam_shift @ matrix_um, "k_um": np.sqrt(size.prod()),
        "rotation_rad": np.arctan2(turn[0, 1], turn[0, 0]), "is_mirrored": int(mirrored),
        "anisotropy": size[0] / size[1],
    }  # fmt: skip


def beam_shift_calibration(
    stage_um: np.ndarray, beam_shift: np.ndarray, hole_um: np.ndarray
) -> dict[str, Any]:
    """Weighted lstsq, its weights again from the distances, until nothing moves."""
    design = np.column_stack([beam_shift, np.ones(len(beam_shift))])
    wanted, weight, before = hole_um - stage_um, np.ones(len(beam_shift)), np.inf
    for _ in range(1000):
        root = np.sqrt(weight)[:, None]
        found = linalg.lstsq(root * design, root * wanted)[0]
        away = np.hypot(*(wanted - design @ found).T)
        if np.abs(found[:2] - before).max() < 1e-13 * np.abs(found[:2]).max():
            break
        scale = np.median(away) / 1.1774
        weight, before = 1.0 / np.maximum(away / (1.345 * scale), 1.0), found[:2]
    variance = (weight * away**2).sum() / (2.0 * (len(away) - 3))
    inverse = linalg.inv(design.T @ (weight[:, None] * design))
    sigma = np.sqrt(variance * np.diag(inverse)[:2])
    return {"matrix_um": found[:2], "sigma_um": np.column_stack([sigma, sigma])}


def duplicates(position_um: np.ndarray, radius_um: Any, diameter_um: np.ndarray) -> dict[str, Any]:
    """Pairs by all distances; the overlap of discs by quadrature of their chords."""
    n = len(position_um)
    distance = spatial.distance.squareform(spatial.distance.pdist(position_um))
    near = np.triu(distance <= radius_um, 1)
    pairs = np.argwhere(near)
    kept = np.full(n, -1)
    for i in range(n):
        before = [j for j in range(i) if near[j, i] and kept[j] < 0]
        kept[i] = before[0] if before else -1
    group = connected_components(near, directed=False)[1]
    alone = ~np.isin(np.arange(n), pairs)
    return {
        "pairs": pairs, "kept_partner": kept, "group": np.where(alone, -1, group),
        "overlap": np.array([
            _overlap(distance[i, j], 0.5 * diameter_um[i], 0.5 * diameter_um[j]) for i, j in pairs
        ]),
    }  # fmt: skip


def _overlap(d: float, r1: float, r2: float) -> float:
    """Part of the second disc: the chord common to both, integrated along the line of centres."""
    from scipy.integrate import quad

    lo, hi = max(-r1, d - r2), min(r1, d + r2)
    if hi <= lo:
        return 0.0

    def chord(x: float) -> float:
        return 2.0 * np.sqrt(max(min(r1**2 - x**2, r2**2 - (x - d) ** 2), 0.0))

    cross = (d * d + r1 * r1 - r2 * r2) / (2.0 * d) if d > 0.0 else lo
    points = [lo, *([cross] if lo < cross < hi else []), hi]
    # x = a + (b - a)(1 - cos t)/2 takes the square roots away at both ends
    area = 0.0
    for a, b in itertools.pairwise(points):
        half = 0.5 * (b - a)
        area += quad(
            lambda t, a=a, half=half: chord(a + half * (1.0 - np.cos(t))) * half * np.sin(t),
            0.0, np.pi, epsabs=1e-13, epsrel=1e-13,
        )[0]  # fmt: skip
    return area / (np.pi * r2 * r2)
