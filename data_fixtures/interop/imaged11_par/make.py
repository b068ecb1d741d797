"""Scattering angle and azimuth of pixels, and rotation axes, by ImageD11: write, or check."""

import random
import sys
from pathlib import Path

INPUTS = (
    "random.Random(20261122)",
    "ImageD11.transform.compute_tth_eta and .compute_g_from_k",
)
ROWS = 48
NAMES = [
    *("distance", "y_center", "y_size", "z_center", "z_size", "tilt_x", "tilt_y", "tilt_z"),
    *("o11", "o12", "o21", "o22", "wedge", "chi"),
]
ORIENTATIONS = (
    (1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, 1), (-1, 0, 0, -1),
    (0, 1, 1, 0), (0, 1, -1, 0), (0, -1, 1, 0), (0, -1, -1, 0),
)  # fmt: skip


def draw(rng: random.Random, number: int) -> dict[str, float]:
    v = {"distance": rng.uniform(5e4, 9e5)}
    for axis in "yz":
        v[f"{axis}_center"] = rng.uniform(-300.0, 2300.0)
        v[f"{axis}_size"] = rng.uniform(40.0, 250.0)
    v |= {f"tilt_{axis}": rng.choice((-1, 1)) * rng.uniform(0.01, 0.4) for axis in "xyz"}
    v |= dict(zip(("o11", "o12", "o21", "o22"), ORIENTATIONS[number % 8], strict=True))
    return v | {"wedge": rng.uniform(-60.0, 60.0), "chi": rng.uniform(-80.0, 80.0)}


def table() -> str:
    import numpy as np
    from ImageD11.transform import compute_g_from_k, compute_tth_eta

    rng = random.Random(20261122)
    found = ["tth_deg", "eta_deg", "axis_x", "axis_y", "axis_z"]
    lines = [",".join([*NAMES, "slow", "fast", *found])]
    for number in range(ROWS):
        v = draw(rng, number)
        slow, fast = float(rng.randrange(2048)), float(rng.randrange(2048))
        geometry = {name: v[name] for name in NAMES if name not in ("wedge", "chi")}
        tth, eta = compute_tth_eta(np.array([[slow], [fast]]), **geometry)
        g_of_k = compute_g_from_k(np.eye(3), np.zeros(3), v["wedge"], v["chi"])
        values = [v[name] for name in NAMES] + [slow, fast, float(tth[0]), float(eta[0])]
        values += [float(x) for x in np.linalg.inv(g_of_k)[:, 2]]
        lines.append(",".join(map(repr, values)))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    path = Path(__file__).with_name("data.csv")
    if "--write" in sys.argv:
        path.write_text(table())
    sys.exit(path.read_text() != table())
