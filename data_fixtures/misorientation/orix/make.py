"""Disorientation angles of 10,000 pairs in every Laue class by orix: write, or check (needs orix).

One file a class, one angle [deg] a line. The pairs are a formula, so that only angles are stored.
"""

import gzip
import sys
from pathlib import Path

import numpy as np

INPUTS = (
    "Weyl sequences of sqrt 2, 3, 5 and 7, 11, 13",
    "orix.quaternion.Orientation and its symmetries",
)
PAIRS = 10_000
GROUPS = {
    "-1": "C1", "2_m": "C2y", "mmm": "D2", "4_m": "C4", "4_mmm": "D4", "-3": "C3", "-31m": "D3",
    "-3m1": "D3", "6_m": "C6", "6_mmm": "D6", "m-3": "T", "m-3m": "O",
}  # fmt: skip
"""Name of the class's rotations in orix. Its D3 has a two-fold along x: -31m here."""


def quaternions(*squares: float) -> np.ndarray:
    """(n, 4) spread over all rotations (Shoemake 1992), from a Weyl sequence."""
    u = np.mod(np.arange(1, PAIRS + 1)[:, None] * np.sqrt(squares), 1.0)
    a, b = 2.0 * np.pi * u[:, 1], 2.0 * np.pi * u[:, 2]
    s, c = np.sqrt(1.0 - u[:, 0]), np.sqrt(u[:, 0])
    return np.stack([c * np.cos(b), s * np.sin(a), s * np.cos(a), c * np.sin(b)], axis=1)


def pairs() -> tuple[np.ndarray, np.ndarray]:
    """Crystal to sample, x along a*, z along c."""
    return quaternions(2.0, 3.0, 5.0), quaternions(7.0, 11.0, 13.0)


def angles(name: str) -> np.ndarray:
    from orix.quaternion import Orientation, Rotation, symmetry

    if name == "2_m":  # unique axis b, which is y
        group = symmetry.Symmetry([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    else:
        group = getattr(symmetry, GROUPS[name])
    turn = Rotation.from_axes_angles([0, 0, 1], np.deg2rad(30.0 if name == "-3m1" else 0.0))
    # orix turns the sample into the crystal: the inverse; for -3m1 in axes with x along a
    one, two = (Orientation((turn * ~Rotation(q)).data, symmetry=group) for q in pairs())
    return np.rad2deg(one.angle_with(two))


def main() -> int:
    bad = 0
    for name in GROUPS:
        path = Path(__file__).with_name(f"{name}.txt.gz")
        found = angles(name)
        if "--write" in sys.argv:
            text = "".join(f"{v:.7f}\n" for v in found)
            path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
        stored = np.array([float(v) for v in gzip.decompress(path.read_bytes()).split()])
        bad += int(abs(stored - found).max() > 1.1e-7)  # the last decimal written
    return bad


if __name__ == "__main__":
    sys.exit(main())
