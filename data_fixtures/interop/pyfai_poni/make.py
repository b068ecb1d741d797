"""Scattering angle and azimuth of pixels by pyFAI: write, or check (needs pyFAI)."""

import random
import sys
from pathlib import Path

INPUTS = ("random.Random(20261121)", "pyFAI.geometry.Geometry.tth and .chi")
ROWS = 48
NAMES = [
    *("dist", "poni1", "poni2", "rot1", "rot2", "rot3", "pixel1", "pixel2"),
    *("rows", "columns", "orientation", "row", "column"),
]


def draw(rng: random.Random, orientation: int) -> dict[str, float]:
    pixel = rng.uniform(40e-6, 250e-6), rng.uniform(40e-6, 250e-6)
    shape = rng.randint(400, 2000), rng.randint(400, 2000)
    v = {"dist": rng.uniform(0.05, 1.5)}
    v |= {f"poni{i + 1}": pixel[i] * shape[i] * rng.uniform(-0.3, 1.3) for i in range(2)}
    v |= {f"rot{i}": rng.choice((-1, 1)) * rng.uniform(0.01, 0.6) for i in (1, 2)}
    v |= {"rot3": rng.uniform(-3.1, 3.1), "pixel1": pixel[0], "pixel2": pixel[1]}
    v |= {"rows": shape[0], "columns": shape[1], "orientation": orientation}
    return v | {"row": rng.randrange(shape[0]), "column": rng.randrange(shape[1])}


def table() -> str:
    import numpy as np
    from pyFAI.detectors import Detector
    from pyFAI.geometry import Geometry

    rng = random.Random(20261121)
    lines = [",".join([*NAMES, "tth_rad", "chi_rad"])]
    for i in range(ROWS):
        v = draw(rng, 1 + i % 4)
        shape = int(v["rows"]), int(v["columns"])
        detector = Detector(
            v["pixel1"], v["pixel2"], max_shape=shape, orientation=int(v["orientation"])
        )
        rotations = (v[f"rot{k}"] for k in (1, 2, 3))
        ai = Geometry(v["dist"], v["poni1"], v["poni2"], *rotations, detector=detector)
        d1, d2 = np.array([float(v["row"])]), np.array([float(v["column"])])
        answer = float(ai.tth(d1, d2)[0]), float(ai.chi(d1, d2)[0])
        lines.append(",".join([*(repr(v[name]) for name in NAMES), *map(repr, answer)]))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    path = Path(__file__).with_name("data.csv")
    if "--write" in sys.argv:
        path.write_text(table())
    sys.exit(path.read_text() != table())
