"""Scores of published geometries by one definition.

Transcribed by hand: nothing to run. This only checks that the table is whole.
"""

import sys
from pathlib import Path

INPUTS = ("measurement described in provenance.toml",)
ROWS = 7

if __name__ == "__main__":
    lines = Path(__file__).with_name("data.csv").read_text().splitlines()
    sys.exit(len(lines) != ROWS + 1)
