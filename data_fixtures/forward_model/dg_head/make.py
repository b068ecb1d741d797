"""Pixel to (R, eta) from the compiled published program: copy or check."""

import sys

from refimpl.testing.golden import make_external

INPUTS = {
    "forward_dg_head.csv": "data.csv",
}

if __name__ == "__main__":
    sys.exit(make_external(__file__, INPUTS))
