"""Reflections of Al2O3 from the compiled published program: copy or check."""

import sys

from refimpl.testing.golden import make_external

INPUTS = {
    "hkls_Al2O3.csv": "data.csv",
    "p_Al2O3.txt": "p.txt",
}

if __name__ == "__main__":
    sys.exit(make_external(__file__, INPUTS))
