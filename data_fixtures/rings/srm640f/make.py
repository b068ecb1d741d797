"""Peak positions of SRM 640f.

Transcribed by hand: nothing to run. This only checks that the table is whole.
"""

import sys
from pathlib import Path

INPUTS = ("NIST certificate 640f, table 1",)
ROWS = 11

if __name__ == "__main__":
    lines = Path(__file__).with_name("data.csv").read_text().splitlines()
    sys.exit(len(lines) != ROWS + 1)
