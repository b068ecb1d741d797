"""Floors of six models on the published points: copy or check."""

import sys

from refimpl.testing.golden import make_external

INPUTS = {
    "lm_floor.json": "data.json",
}

if __name__ == "__main__":
    sys.exit(make_external(__file__, INPUTS))
