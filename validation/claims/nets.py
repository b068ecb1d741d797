"""Claims of the thesis on centring and of lucid3: our figures."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from refimpl import data
from refimpl.centring.net_sizes import output_size, weights_of
from refimpl.io.distl_log import read_distl_log

LISTING = Path(__file__).with_name("appendix_b.txt")


def output(size: int, kernel: int) -> int:
    """Equation 1.2."""
    return output_size(size, kernel)


def weights(kernel: int, channels: int, filters: int) -> int:
    """Equation 1.3."""
    return weights_of(kernel, channels, filters)


def parameters(net: str, channels: int, padding: str) -> int:
    """Free parameters of a net of Tables 2.2 and 2.4."""
    import torch

    from refimpl.centring.nets import build, parameters_of

    with torch.device("meta"):
        return int(parameters_of(build(net, channels=channels, padding=padding)))


def listing() -> list[float]:
    """What our reader finds in the listing of Appendix B."""
    (r,) = read_distl_log(LISTING)
    found = (
        r.spot_total, r.remove_ice, r.in_resolution, r.good_bragg, r.ice_rings, r.method1_angstrom,
        r.method2_angstrom, r.max_cell_angstrom, r.mean_eccentricity, r.saturation_percent,
        r.overloads, r.total_signal,
    )  # fmt: skip
    return [float("nan") if v is None else float(v) for v in found]


def turned(pictures: int) -> int:
    """Pictures after a mirror image and quarter turns of each: how many differ."""
    picture = np.arange(12.0).reshape(3, 4)[:3, :3] ** 2
    seen = {np.rot90(p, k).tobytes() for p in (picture, picture[:, ::-1]) for k in range(4)}
    return pictures * len(seen)


@cache
def _picture(number: int) -> Any:
    import cv2

    return cv2.imread(str(data.path(f"lucid3-snapshots/snapshot_{number}.jpeg")))


def loop(number: int, way: str) -> str:
    """Answer for a snapshot: by path, as an array, at half the size or mirrored."""
    import cv2

    from refimpl.centring.loop import find_loop

    if way == "path":
        found = find_loop(data.path(f"lucid3-snapshots/snapshot_{number}.jpeg"))
    else:
        rgb = _picture(number)[:, :, ::-1]
        half = cv2.resize(rgb, None, fx=0.5, fy=0.5) if way == "half" else rgb
        found = find_loop(half[:, ::-1] if way == "hflip" else half)
    return " ".join(map(str, found))
