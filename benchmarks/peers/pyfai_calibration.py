"""PyFAI's calibration from a near start, timed; run by benchmarks/powder.py in pyFAI's own Python.

    python benchmarks/peers/pyfai_calibration.py '{"image": ..., "d_angstrom": [...], ...}'

Start off by 2.2 mm and 2 px, five parameters: extract control points, refine five times, extract
and refine again. Reading and decompressing the file are part of it, as they are of ours.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace

from harness import Timing, _once, measure
from process import imports_counted, peak_memory_mb

FIXED = ["wavelength", "rot3"]


def read(path: str) -> object:
    if path.endswith((".h5", ".hdf5")):
        import h5py

        with h5py.File(path) as file:
            return file["imageseries/images"][0]
    import fabio

    return fabio.open(path).data


def timing(taken: Timing) -> dict[str, object]:
    return {
        "cpu": taken.cpu_s,
        "wall": taken.median_s,
        "other_cores": taken.other_cores,
        "quiet": taken.quotable,
    }


def main() -> int:
    task = json.loads(sys.argv[1])
    before = time.process_time()
    import pyFAI
    from pyFAI.calibrant import Calibrant
    from pyFAI.detectors import Detector
    from pyFAI.geometry import Geometry
    from pyFAI.goniometer import SingleGeometry

    imports = time.process_time() - before
    wavelength_m = task["wavelength_angstrom"] * 1e-10
    kept = {}

    def run() -> None:
        image = read(task["image"])
        detector = Detector(task["pixel_m"], task["pixel_m"], max_shape=image.shape)
        detector.mask = image < 0
        calibrant = Calibrant(dspacing=list(task["d_angstrom"]), wavelength=wavelength_m)
        start = Geometry(detector=detector, wavelength=wavelength_m, **task["start"])
        single = SingleGeometry(
            "frame", image, calibrant=calibrant, detector=detector, geometry=start
        )
        for _ in range(2):
            single.extract_cp(max_rings=task["rings"], pts_per_deg=1.0)
            for _ in range(5):
                single.geometry_refinement.refine2(fix=FIXED)
        kept["poni"] = single.geometry_refinement
        kept["points"] = sum(len(p) for p in single.control_points.getList())

    with imports_counted() as late:
        first = _once(run, 1, 0.0)
    first = replace(first, cpu_s=first.cpu_s - late[0])
    memory = peak_memory_mb()
    taken = measure(run, task["repeats"], attempts=2)
    found = kept["poni"]
    out = {
        "version": pyFAI.version, "imports_cpu": imports + late[0], "first": timing(first),
        "repeats": timing(taken), "memory_mb": memory,
        "poni": {k: float(getattr(found, k)) for k in
                 ("dist", "poni1", "poni2", "rot1", "rot2", "rot3")},
    }  # fmt: skip
    print(json.dumps(out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
