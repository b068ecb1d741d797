"""Runs of the published program at seven bin sizes: copy or check, and tabulate."""

import re
import sys
from pathlib import Path

from refimpl.testing.golden import make_external

INPUTS = {
    "chord/chord.txt": "chord.txt",
    "chord/ps.txt": "ps.txt",
}


def table(text: str) -> str:
    pattern = r"eta (\S+) Lsd (\S+) MeanStrain (\S+) n=(\d+)"
    rows = [",".join(m) for m in re.findall(pattern, text)]
    return "\n".join(["eta_bin_deg,lsd_um,mean_strain,n", *rows]) + "\n"


if __name__ == "__main__":
    status = make_external(__file__, INPUTS)
    here = Path(__file__).parent
    text = table((here / "chord.txt").read_text())
    if "--write" in sys.argv:
        (here / "data.csv").write_text(text)
    sys.exit(status or (here / "data.csv").read_text() != text)
