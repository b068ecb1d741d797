"""Chord bias in closed form with 50 digits: write, or check that nothing changed."""

import sys
from pathlib import Path

from mpmath import mp, mpf, nstr, pi, tan

INPUTS = ("0.5", "1", "2", "3", "5", "8", "10", "0.7", "6.3")


def table() -> str:
    mp.dps = 50
    lines = ["eta_bin_deg,bias_ppm"]
    for size in INPUTS:
        h = mpf(float(size)) / 2 * pi / 180
        lines.append(f"{size},{nstr((tan(h) / h - 1) * 10**6, 17)}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    path = Path(__file__).with_name("data.csv")
    if "--write" in sys.argv:
        path.write_text(table())
    sys.exit(path.read_text() != table())
