"""Hold every other code that is installed here to the kit, with what is known to fail.

    python validation/conformance/run_adapters.py

A line a code; exit 1 if one fails beyond its list. pyFAI, orix, ImageD11 (with xfab), cctbx-base,
midas-calibrate and midas-hkls install from PyPI; gemmi, scipy and scikit-learn come with refimpl.
"""

from __future__ import annotations

import sys
from pathlib import Path

from refimpl.errors import ConfigError
from refimpl.testing.conform import conform, vectors_root
from refimpl.testing.conform_subjects import PythonObject, object_named, read_known_failures

HERE = Path(__file__).parent


def main() -> int:
    """Print the lines; return the exit status."""
    sys.path.insert(0, str(HERE / "adapters"))
    bad = 0
    for path in sorted((HERE / "adapters").glob("*_code.py")):
        try:
            code = object_named(path.stem)
        except ConfigError as exc:
            print(f"{path.stem:14} not here: {exc}")
            continue
        listed = HERE / "known" / f"{path.stem}.txt"
        known = read_known_failures(listed) if listed.is_file() else []
        report = conform(PythonObject(code), known=known, folder=vectors_root())
        offered = [q for q in report.quantities if q.is_offered]
        failing = [c for q in offered for c in q.failing]
        mended = [c.id for q in offered for c in q.mended]
        bad += bool(failing)
        print(
            f"{path.stem:14} {len(offered):2d} quantities, {sum(len(q.cases) for q in offered)} "
            f"cases, {sum(len(q.known) for q in offered)} known to fail, {len(failing)} fail"
            + (f"; no longer fail: {', '.join(mended)}" if mended else "")
        )
        for case in failing:
            print(f"  {case.id}: {case.words}")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
