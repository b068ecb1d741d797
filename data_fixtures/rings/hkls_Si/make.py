"""Reflections of Si from the compiled published program: copy or check."""

import sys

from refimpl.testing.golden import make_external

INPUTS = {
    "hkls_Si.csv": "data.csv",
    "p_Si.txt": "p.txt",
}

if __name__ == "__main__":
    sys.exit(make_external(__file__, INPUTS))
