"""Reflections of LaB6 from the compiled published program: copy or check."""

import sys

from refimpl.testing.golden import make_external

INPUTS = {
    "hkls_LaB6.csv": "data.csv",
    "p_LaB6.txt": "p.txt",
}

if __name__ == "__main__":
    sys.exit(make_external(__file__, INPUTS))
