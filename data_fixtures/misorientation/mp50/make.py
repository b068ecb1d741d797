"""Disorientation angles in every Laue class with 50 digits, tiny ones too: write, or check."""

import random
import sys
from itertools import product
from pathlib import Path

from mpmath import atan2, cos, mp, mpf, nstr, pi, sin, sqrt

INPUTS = ("random.Random(20261122)",)
SIZES = (1e-9, 1e-6, 1e-3, 0.3, 5.0, None, None, None)
"""Degrees between q1 and an image of q2; None for any."""

AXES = {  # order of the axis along z, directions of the two-folds across it [deg from x]
    "-1": (1, ()), "mmm": (2, (0, 90)), "4/m": (4, ()), "4/mmm": (4, (0, 45, 90, 135)),
    "-3": (3, ()), "-31m": (3, (0, 60, 120)), "-3m1": (3, (30, 90, 150)), "6/m": (6, ()),
    "6/mmm": (6, (0, 30, 60, 90, 120, 150)),
}  # fmt: skip
NAMES = ["laue_class", *(f"q{i}{c}" for i in (1, 2) for c in "wxyz"), "angle_deg"]


def times(a, b):
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    return (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )


def about(x, y, z, degrees):
    half = mpf(degrees) * pi / 360
    size = sqrt(mpf(x) ** 2 + mpf(y) ** 2 + mpf(z) ** 2)
    return (cos(half), *(mpf(v) / size * sin(half) for v in (x, y, z)))


def same(a, b):
    return abs(sum(p * q for p, q in zip(a, b, strict=True))) > 1 - mpf(10) ** -20


def generated(generators):
    """Group of the generators, by multiplying until nothing new comes."""
    found = [about(0, 0, 1, 0)]
    for one in found:
        for other in generators:
            new = times(one, other)
            if not any(same(new, old) for old in found):
                found.append(new)
    return found


def group(name):
    if name == "2/m":
        return generated([about(0, 1, 0, 180)])
    if name in ("m-3", "m-3m"):
        return generated([about(1, 1, 1, 120), about(0, 0, 1, 180 if name == "m-3" else 90)])
    order, twofolds = AXES[name]
    across = [about(cos(mpf(t) * pi / 180), sin(mpf(t) * pi / 180), 0, 180) for t in twofolds]
    return generated([about(0, 0, 1, mpf(360) / order), *across])


def angle(one, two, operators):
    back = (one[0], -one[1], -one[2], -one[3])
    relative = times(back, two)
    images = (times(relative, s) for s in operators)
    return min(2 * atan2(sqrt(sum(v * v for v in r[1:])), abs(r[0])) for r in images) * 180 / pi


def rounded(q):
    return tuple(mpf(float(v)) for v in q)


def table():
    mp.dps = 50
    rng = random.Random(20261122)
    lines = [",".join(NAMES)]
    for name, size in product([*AXES, "2/m", "m-3", "m-3m"], SIZES):
        operators = group(name)
        directions = [[rng.gauss(0, 1) for _ in range(3)] for _ in range(2)]
        one = rounded(about(*directions[0], rng.uniform(10, 300)))
        turn = about(*directions[1], rng.uniform(20, 180) if size is None else size)
        two = rounded(times(times(one, turn), rng.choice(operators)))
        numbers = [repr(float(v)) for v in (*one, *two)]
        lines.append(",".join([name, *numbers, nstr(angle(one, two, operators), 20)]))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    path = Path(__file__).with_name("data.csv")
    if "--write" in sys.argv:
        path.write_text(table())
    sys.exit(path.read_text() != table())
