"""Points of a published single-surface run: copy (packed) or check."""

import sys

from refimpl.testing.golden import make_external

INPUTS = {
    "single-eta1/CeO2_740mm_000005.raw.corr.csv": "corr.csv.gz",
    "single-eta1/ps.txt": "ps.txt",
    "single-eta1/out.txt": "out.txt",
}

if __name__ == "__main__":
    sys.exit(make_external(__file__, INPUTS))
