"""Pixel to (R, eta) with 50 digits, everything non-zero: write, or check."""

import random
import sys
from pathlib import Path

from mpmath import atan, atan2, cos, matrix, mp, mpf, nstr, pi, sin, sqrt

INPUTS = ("random.Random(20261121)",)
ROWS = 60
PHASES = (3, 6, 8, 10, 12, 14)
NAMES = [
    *("Y", "Z", "Ycen", "Zcen", "tx", "ty", "tz", "Lsd", "RhoD"),
    *(f"p{i}" for i in range(15)),
    *("px", "dLsd", "dP2", "parallax", "cY", "cZ", "dY", "dZ", "dTheta"),
]


def signed(rng: random.Random, low: float, high: float) -> float:
    return rng.choice((-1.0, 1.0)) * rng.uniform(low, high)


def draw(rng: random.Random) -> dict[str, float]:
    v = {"Y": rng.uniform(10, 2000), "Z": rng.uniform(10, 2000)}
    v |= {"Ycen": rng.uniform(400, 1600), "Zcen": rng.uniform(400, 1600)}
    v |= {name: signed(rng, 0.05, 3.0) for name in ("tx", "ty", "tz")}
    v |= {"Lsd": rng.uniform(2e5, 2e6), "px": rng.uniform(40, 250)}
    v |= {"RhoD": v["px"] * rng.uniform(1500, 2500)}
    v |= {f"p{i}": signed(rng, 1e-4, 1e-2) for i in range(15)}
    v |= {f"p{i}": signed(rng, 5.0, 170.0) for i in PHASES}
    v |= {"dLsd": signed(rng, 10, 900), "dP2": signed(rng, 1e-5, 1e-3)}
    v |= {"parallax": rng.uniform(5, 300)}
    v |= {"cY": v["Y"] + signed(rng, 5, 120), "cZ": v["Z"] + signed(rng, 5, 90)}
    return v | {
        "dY": signed(rng, 0.1, 2),
        "dZ": signed(rng, 0.1, 2),
        "dTheta": signed(rng, 0.01, 0.5),
    }


def turn(axis: int, angle: mpf) -> matrix:
    c, s = cos(angle), sin(angle)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    m = matrix(3, 3)
    m[axis, axis], m[i, i], m[j, j], m[i, j], m[j, i] = 1, c, c, -s, s
    return m


def answer(values: dict[str, float]) -> tuple[mpf, mpf, mpf]:
    v = {name: mpf(value) for name, value in values.items()}
    rad = pi / 180
    t = v["dTheta"] * rad
    y0, z0 = v["Y"] - v["cY"], v["Z"] - v["cZ"]
    y = v["cY"] + y0 * cos(t) - z0 * sin(t) + v["dY"]
    z = v["cZ"] + y0 * sin(t) + z0 * cos(t) + v["dZ"]
    yc, zc = -(y - v["Ycen"]) * v["px"], (z - v["Zcen"]) * v["px"]
    tilt = turn(0, v["tx"] * rad) * turn(1, v["ty"] * rad) * turn(2, v["tz"] * rad)
    w = tilt * matrix([0, yc, zc])
    lsd = v["Lsd"] + v["dLsd"]
    radius = lsd / (lsd + w[0]) * sqrt(w[1] ** 2 + w[2] ** 2)
    eta = atan2(-w[1], w[2])
    e, rho = pi / 2 - eta, radius / v["RhoD"]
    d = 1 + (v["p2"] + v["dP2"]) * rho**2 + v["p5"] * rho**4 + v["p4"] * rho**6
    terms = (
        (0, 6, 2, 2),
        (1, 3, 4, 4),
        (7, 8, 1, 4),
        (9, 10, 3, 3),
        (11, 12, 5, 5),
        (13, 14, 6, 6),
    )
    for amplitude, phase, fold, power in terms:
        d += v[f"p{amplitude}"] * rho**power * cos(fold * e + v[f"p{phase}"] * rad)
    r_px = radius * d / v["px"] * v["Lsd"] / lsd
    r_px += v["parallax"] * sin(atan(radius / lsd)) / v["px"]
    return r_px, eta / rad, atan2(-yc, zc) / rad


def table() -> str:
    mp.dps = 50
    rng = random.Random(20261121)
    lines = [",".join([*NAMES, "R_px", "Eta_deg", "EtaUntilted_deg"])]
    for _ in range(ROWS):
        values = draw(rng)
        cells = [repr(values[name]) for name in NAMES]
        lines.append(",".join([*cells, *(nstr(x, 17) for x in answer(values))]))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    path = Path(__file__).with_name("data.csv")
    if "--write" in sys.argv:
        path.write_text(table())
    sys.exit(path.read_text() != table())
