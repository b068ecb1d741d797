"""Tables 2.3 and 2.5 of the thesis on crystal centring.

Transcribed by hand: nothing to run. This only checks that the tables are whole.
"""

import csv
import sys
from pathlib import Path

INPUTS = ("tables named in provenance.toml",)

if __name__ == "__main__":
    with Path(__file__).with_name("data.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["row"], row["quantity"]) for row in csv.DictReader(file)]
    nets = [
        (f"a{i}", f"mse_{target}") for i in range(1, 11) for target in ("vanilla", "log", "tanh")
    ]
    sys.exit(rows != [*nets, ("classifier", "loss"), ("classifier", "accuracy")])
