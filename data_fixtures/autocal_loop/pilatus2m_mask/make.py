"""Loop of the published driver, iteration by iteration: copy or check."""

import sys

from refimpl.testing.golden import make_external

INPUTS = {
    "autocal/loop_41fd_mask.json": "data.json",
}

if __name__ == "__main__":
    sys.exit(make_external(__file__, INPUTS))
