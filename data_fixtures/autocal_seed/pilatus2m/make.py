"""Seed of the published driver on the Pilatus 2M frame: copy or check."""

import sys

from refimpl.testing.golden import make_external

INPUTS = {
    "autocal/seed_41fd.json": "data.json",
}

if __name__ == "__main__":
    sys.exit(make_external(__file__, INPUTS))
