"""Reflections of CeO2_manual from the compiled published program: copy or check."""

import sys

from refimpl.testing.golden import make_external

INPUTS = {
    "hkls_CeO2_manual.csv": "data.csv",
    "p_CeO2_manual.txt": "p.txt",
}

if __name__ == "__main__":
    sys.exit(make_external(__file__, INPUTS))
