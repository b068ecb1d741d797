"""lmfit on given profiles, pseudo-Voigt and line; run by benchmarks/peaks.py in lmfit's Python."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from harness import measure, serve


def work(request: dict[str, Any]) -> dict[str, Any]:
    """Time all fits; centres, NaN where lmfit says that a fit failed."""
    try:
        import lmfit
        from lmfit.models import LinearModel, PseudoVoigtModel
    except ImportError:
        return {"error": "lmfit: not importable here (--peer-python names an interpreter)"}
    counts, start = np.array(request["counts"]), np.array(request["start"])
    x = np.arange(counts.shape[1]) + 0.5
    composite = PseudoVoigtModel() + LinearModel()
    centres = [float("nan")] * len(counts)

    def run() -> None:
        for i, (y, p0) in enumerate(zip(counts, start, strict=True)):
            parameters = composite.make_params(
                center=p0[0],
                amplitude=1.3 * p0[1] * p0[2],  # lmfit's amplitude is the area
                sigma=0.5 * p0[2],
                fraction=p0[3],
                intercept=p0[4],
                slope=0.0,
            )
            fit = composite.fit(y, parameters, x=x, weights=1.0 / np.sqrt(np.maximum(y, 1.0)))
            if fit.success:
                centres[i] = fit.params["center"].value

    timings = {"fits": measure(run, 1, attempts=2)}
    return {"version": lmfit.__version__, "centres": centres, "timings": timings}


if __name__ == "__main__":
    serve(work)
