"""d-spacings and scattering angles of general cells with 50 digits: write, or check."""

import sys
from pathlib import Path

from mpmath import asin, cos, matrix, mp, mpf, nstr, pi, sqrt

INPUTS = (
    ((4.7, 7.31, 9.93, 83.7, 97.2, 112.9), 0.4133),
    ((5.17, 6.02, 11.8, 71.3, 66.4, 88.1), 0.2021),
    ((12.9, 3.77, 8.21, 104.6, 93.3, 76.5), 1.5406),
    ((9.66, 8.92, 5.25, 90.0, 106.4, 90.0), 0.7093),
    ((4.759091, 4.759091, 12.991779, 90.0, 90.0, 120.0), 0.5),
)
INDICES = ((1, 2, 3), (-2, 1, 5), (3, -4, 1), (0, 1, -7), (2, 0, 3), (-1, -3, 2))


def row(cell: tuple[float, ...], wavelength: float, hkl: tuple[int, int, int]) -> str:
    a, b, c = (mpf(v) for v in cell[:3])
    ca, cb, cg = (cos(mpf(v) * pi / 180) for v in cell[3:])
    ab, ac, bc = a * b * cg, a * c * cb, b * c * ca
    inverse = matrix([[a * a, ab, ac], [ab, b * b, bc], [ac, bc, c * c]]) ** -1
    q = sum(hkl[i] * inverse[i, j] * hkl[j] for i in range(3) for j in range(3))
    d = 1 / sqrt(q)
    values = [*(repr(v) for v in cell), *map(str, hkl), repr(wavelength)]
    return ",".join([*values, nstr(d, 17), nstr(2 * asin(mpf(wavelength) / (2 * d)), 17)])


def table() -> str:
    mp.dps = 50
    names = "a,b,c,alpha,beta,gamma,h,k,l,wavelength_angstrom,d_angstrom,two_theta_rad"
    return "\n".join([names, *(row(c, w, h) for c, w in INPUTS for h in INDICES)]) + "\n"


if __name__ == "__main__":
    path = Path(__file__).with_name("data.csv")
    if "--write" in sys.argv:
        path.write_text(table())
    sys.exit(path.read_text() != table())
