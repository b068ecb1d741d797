"""Figures of runs on the Pilatus 2M frame.

Transcribed by hand. What can be checked is checked: three rows against other goldens.
"""

import csv
import json
import re
import sys
from pathlib import Path

INPUTS = ("lm_floor/pilatus2m/data.json", "published_points/single_eta1/out.txt")
ROUNDING = 0.05000001  # of the figures in the table, one decimal


def main() -> int:
    here = Path(__file__).parent
    with (here / "data.csv").open() as stream:
        rows = {row["run"]: row for row in csv.DictReader(stream)}
    floors = json.loads((here.parents[1] / INPUTS[0]).read_text())
    printed = (here.parents[1] / INPUTS[1]).read_text(errors="replace")
    strain = float(re.findall(r"^MeanStrain (\S+)", printed, re.M)[-1]) * 1e6
    pairs = [(float(rows["B single eta 1 width 800"]["printed_ue"]), strain)]
    for run, name in (("5 parameters", "single5"), ("5 + 6 distortion", "single_dist")):
        fit = floors[name]["fit"]
        pairs.append((float(rows[run]["median_ue"]), fit["median"]))
        pairs.append((float(rows[run]["clip_ue"]), fit["mean_clip3"]))
        pairs.append((float(rows[run]["lsd_um"]), 1e3 * floors[name]["geom"][0]))
    return int(any(abs(a - b) > ROUNDING for a, b in pairs))


if __name__ == "__main__":
    sys.exit(main())
