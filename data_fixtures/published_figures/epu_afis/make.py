"""Figures of find_dupl's steps on the AFIS session.

Written once; checked for what they must satisfy among themselves and, where the set epu-afis is at
hand, against its golden_a.json.
"""

import json
import math
import os
import sys
from pathlib import Path

INPUTS = ()  # golden_a.json of the set epu-afis is not copied here
ROUNDING = 1.5e-6  # of the centres, six decimals


def main() -> int:
    data = json.loads((Path(__file__).parent / "data.json").read_text(encoding="utf-8"))
    wrong = [sum(int(size) * n for size, n in fit["sizes"].items()) != data["n"]
             for fit in data["kmeans"].values()]  # fmt: skip
    centres = data["centres21_sorted_yx"]
    apart = [math.dist(a, b) for i, a in enumerate(centres) for b in centres[:i]]
    fit = data["kmeans"]["21"]
    wrong += [abs(min(apart) - fit["min"]) > ROUNDING, abs(max(apart) - fit["max"]) > ROUNDING]
    wrong += [not bad <= listed >= groups for _, _, groups, listed, bad in data["duplicates"]]
    origin = Path(os.environ.get("REFIMPL_DATA", "")) / "epu-afis" / "golden_a.json"
    if origin.is_file():
        golden = json.loads(origin.read_text(encoding="utf-8"))
        wrong.append(golden["centres21_sorted_yx"] != centres)
        wrong += [golden["kmeans"][n][key] != value
                  for n, fit in data["kmeans"].items() for key, value in fit.items()]  # fmt: skip
        rows = [[v["groups"], v["bad"], v["bad_unique"]] for v in golden["dupl"].values()]
        wrong.append(rows != [row[2:] for row in data["duplicates"]])
    return int(any(wrong))


if __name__ == "__main__":
    sys.exit(main())
