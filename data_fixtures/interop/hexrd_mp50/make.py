"""HEXRD panel geometry with 50 digits: write, or check."""

import random
import sys
from pathlib import Path

from mpmath import atan2, cos, matrix, mp, mpf, nstr, pi, sin, sqrt

INPUTS = ("random.Random(20261122)",)
ROWS = 40
NAMES = [
    *("rows", "columns", "pixel_row_mm", "pixel_column_mm", "tilt1", "tilt2", "tilt3"),
    *("t1_mm", "t2_mm", "t3_mm", "azimuth_deg", "polar_deg", "row", "column"),
]


def draw(rng: random.Random, straight: bool) -> dict[str, float]:
    v: dict[str, float] = {"rows": rng.randint(300, 3000), "columns": rng.randint(300, 3000)}
    v |= {f"pixel_{axis}_mm": rng.uniform(0.04, 0.25) for axis in ("row", "column")}
    v |= {f"tilt{i}": rng.choice((-1, 1)) * rng.uniform(0.001, 0.3) for i in (1, 2, 3)}
    v |= {f"t{i}_mm": rng.choice((-1, 1)) * rng.uniform(1.0, 150.0) for i in (1, 2)}
    v |= {"t3_mm": rng.uniform(-1500.0, -150.0)}
    v |= {
        name: 90.0 if straight else 90.0 + rng.uniform(-2, 2)
        for name in ("azimuth_deg", "polar_deg")
    }
    return v | {"row": rng.randrange(int(v["rows"])), "column": rng.randrange(int(v["columns"]))}


def rodrigues(vector: list[mpf], x: matrix) -> matrix:
    angle = sqrt(sum(c * c for c in vector))
    k = matrix([c / angle for c in vector])
    cross = matrix(
        [k[1] * x[2] - k[2] * x[1], k[2] * x[0] - k[0] * x[2], k[0] * x[1] - k[1] * x[0]]
    )
    dot = sum(k[i] * x[i] for i in range(3))
    return x * cos(angle) + cross * sin(angle) + k * (dot * (1 - cos(angle)))


def answer(values: dict[str, float]) -> mpf:
    v = {name: mpf(value) for name, value in values.items()}
    x = v["pixel_column_mm"] * (v["column"] + mpf("0.5") - v["columns"] / 2)
    y = v["pixel_row_mm"] * (v["rows"] / 2 - v["row"] - mpf("0.5"))
    p = rodrigues([v["tilt1"], v["tilt2"], v["tilt3"]], matrix([x, y, 0]))
    p += matrix([v["t1_mm"], v["t2_mm"], v["t3_mm"]])
    azimuth, polar = v["azimuth_deg"] * pi / 180, v["polar_deg"] * pi / 180
    b = -matrix([sin(polar) * cos(azimuth), cos(polar), sin(polar) * sin(azimuth)])
    along = sum(b[i] * p[i] for i in range(3))
    return atan2(sqrt(sum(p[i] ** 2 for i in range(3)) - along**2), along)


def table() -> str:
    mp.dps = 50
    rng = random.Random(20261122)
    lines = [",".join([*NAMES, "tth_rad"])]
    for i in range(ROWS):
        values = draw(rng, straight=i < ROWS // 2)
        lines.append(",".join([*(repr(values[n]) for n in NAMES), nstr(answer(values), 17)]))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    path = Path(__file__).with_name("data.csv")
    if "--write" in sys.argv:
        path.write_text(table())
    sys.exit(path.read_text() != table())
