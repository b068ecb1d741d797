"""Azimuthal integration and caking: ms a frame, ours and pyFAI in the same run, and its scaling.

    python benchmarks/integrate.py [--peer-python PYTHON] [--quick] [--update FILE]

A frame is integrated with mask, solid angle and Poisson errors, without splitting; set-up is timed
apart. pyFAI is timed in its own process (``--peer-python`` names an interpreter that has it), on
the same frame, and its pattern is compared with ours first: the two must do the same work.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import Timing, measure, peer, serve

if TYPE_CHECKING:
    from page import Table, add_options, exponent, finish

LIMIT_MS = 5.0
PIXEL_MM, LSD_MM = 0.172, 740.0
BINS, AZIMUTHS = 1000, 360
SHAPE = (1679, 1475)
METHODS = (("no", "histogram", "cython"), ("no", "csr", "cython"), ("bbox", "csr", "cython"))


def frame(shape: tuple[int, int], kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Counts of rings on a background, and a mask of gaps as on a Pilatus."""
    rng = np.random.default_rng(0)
    s, f = np.indices(shape, sparse=True)
    radius = np.hypot(s - 0.52 * shape[0], f - 0.53 * shape[1])
    image = rng.poisson(20.0 + 500.0 * np.exp(-((radius % 97.0 - 48.0) ** 2) / 6.0))
    mask = (s % 212 >= 195) | (f % 494 >= 487)
    return image.astype(kind), np.broadcast_to(mask, shape).copy()


def centre(shape: tuple[int, int]) -> tuple[float, float]:
    """Beam centre (fast, slow) [px], corner origin."""
    return 0.525 * shape[1] + 0.3, 0.519 * shape[0] + 0.2


def plan(shape: tuple[int, int], mask: np.ndarray, n_radial: int, n_azimuth: int | None) -> Any:
    """Our integrator for an untilted detector."""
    from refimpl.detector.model import TiltedFlat
    from refimpl.powder.integrate import integrator

    model = TiltedFlat(shape, (PIXEL_MM, PIXEL_MM), LSD_MM, centre(shape), image_transform=())
    return integrator(model, n_radial=n_radial, n_azimuth=n_azimuth, mask=mask)


def work(request: dict[str, Any]) -> dict[str, Any]:
    """Time pyFAI; runs in its own process, which need not have refimpl."""
    try:
        import pyFAI
        from pyFAI.integrator.azimuthal import AzimuthalIntegrator
    except ImportError:
        return {"error": "pyFAI not installed"}
    shape = tuple(request["shape"])
    image, mask = frame(shape, request["kind"])
    fast, slow = centre(shape)
    size = PIXEL_MM * 1e-3
    poni = {"dist": LSD_MM * 1e-3, "poni1": slow * size, "poni2": fast * size}
    timings, patterns = {}, {}
    for method in METHODS:
        ai = AzimuthalIntegrator(**poni, pixel1=size, pixel2=size)
        options = {
            "unit": "2th_deg", "mask": mask, "correctSolidAngle": True,
            "error_model": "poisson", "method": method, "radial_range": request["range"],
        }  # fmt: skip
        for name, npt in (("1-D", (BINS,)), ("2-D", (BINS, AZIMUTHS))):
            run = ai.integrate1d_ng if name == "1-D" else ai.integrate2d_ng
            label = f"{name} {' '.join(method)}"
            timings[label] = measure(lambda: run(image, *npt, **options))  # noqa: B023
            if name == "1-D":
                patterns[label] = np.asarray(run(image, *npt, **options).intensity).tolist()
    return {"version": pyFAI.version, "timings": timings, "patterns": patterns}


def against_pyfai(table: Table, python: str, kind: str, threads: int) -> Timing:
    """Rows of both codes for one type of frame and number of threads; returns our 1-D timing."""
    image, mask = frame(SHAPE, kind)
    flat, cake = plan(SHAPE, mask, BINS, None), plan(SHAPE, mask, BINS, AZIMUTHS)
    ours = {
        "1-D": measure(lambda: flat(image, threads=threads)),
        "2-D": measure(lambda: cake(image, threads=threads)),
    }
    for what, timing in ours.items():
        row(table, what, kind, threads, "refimpl", timing, None)
    request = {"shape": SHAPE, "kind": kind, "range": flat.meta["radial_range"]}
    answer = peer(__file__, request, python=python, threads=threads)
    if "error" in answer:
        table.note(f"Peer, {kind}, {threads} threads: {answer['error']}.")
        return ours["1-D"]
    for label, timing in answer["timings"].items():
        what, _, method = label.partition(" ")
        name = f"pyFAI {answer['version']} {method}"
        row(table, what, kind, threads, name, timing, ours[what])
    for label, intensity in answer["patterns"].items():
        if label.startswith("1-D no") and threads == 1:
            # pyFAI's 2-theta is float32 here and there: a few pixels change their bin
            off = np.abs(np.array(intensity) / flat(image).intensity - 1.0)
            table.note(
                f"pyFAI {label}, {kind}: its intensities differ from ours by "
                f"{np.nanmedian(off):.0e} in the median bin, {np.nanmax(off):.0e} in the worst."
            )
    return ours["1-D"]


def row(
    table: Table, what: str, kind: str, threads: int, code: str, taken: Timing, ours: Timing | None
) -> None:
    """One measured case; a busy one without its time."""
    both = ours is not None and taken.quotable and ours.quotable
    table.add(
        what,
        kind,
        threads,
        code,
        f"{1e3 * taken.median_s:.2f}" if taken.quotable else "–",
        f"{1e3 * taken.cpu_s:.2f}" if taken.quotable else "–",
        f"{taken.median_s / ours.median_s:.1f}" if both and ours else "–",
        f"{taken.other_cores:.2f}",
        quiet=taken.quotable,
    )


def scaling_row(table: Table, size: str, number: float, taken: Timing) -> None:
    """One size."""
    table.add(
        size,
        f"{1e3 * taken.median_s:.2f}" if taken.quotable else "–",
        f"{1e9 * taken.median_s / number:.2f}" if taken.quotable else "–",
        f"{taken.other_cores:.2f}",
        quiet=taken.quotable,
    )


def by_pixels() -> Table:
    """How the cost grows with the pixels: 1000 bins, one thread."""
    table = Table("Cost by pixels, 1000 bins, int32, 1 thread", "Mpx", "ms", "ns a pixel", "other")
    points = []
    for side in (790, 1117, 1580, 2234, 3160):
        image, mask = frame((side, side), "int32")
        integrator = plan((side, side), mask, BINS, None)
        taken = measure(lambda: integrator(image, threads=1))  # noqa: B023
        scaling_row(table, f"{side * side / 1e6:.2f}", side * side, taken)
        if taken.quotable:
            points.append((side * side / 1e6, taken.median_s))
    table.note(exponent("Seconds a frame", "pixels", points))
    return table


def by_bins() -> Table:
    """How the cost grows with the bins: 2.48 Mpx, one thread."""
    table = Table("Cost by bins, 2.48 Mpx, int32, 1 thread", "bins", "ms", "ns a bin", "other")
    image, mask = frame(SHAPE, "int32")
    points = []
    for n_radial, n_azimuth in (
        *((250, None), (1000, None), (4000, None), (16000, None), (1000, 36), (1000, 90)),
        *((1000, 180), (1000, 360), (1000, 720), (1000, 1440), (1000, 2880)),
    ):
        integrator = plan(SHAPE, mask, n_radial, n_azimuth)
        taken = measure(lambda: integrator(image, threads=1))  # noqa: B023
        n = n_radial * (n_azimuth or 1)
        shape = f"{n}" if n_azimuth is None else f"{n_azimuth} x {n_radial} = {n}"
        scaling_row(table, shape, n, taken)
        if taken.quotable and n_azimuth is not None:
            points.append((float(n), taken.median_s))
    table.note(exponent("Seconds a cake", "bins", points))
    table.note("A cake pays for its pixels and for its bins; few bins cost nothing beside pixels.")
    return table


def set_up() -> Table:
    """Making the plan: once a geometry."""
    table = Table("Set-up, once a geometry, 2.48 Mpx, 1 thread", "", "ms", "other")
    _, mask = frame(SHAPE, "int32")
    for name, n in (("1-D", None), ("2-D", AZIMUTHS)):
        taken = measure(lambda: plan(SHAPE, mask, BINS, n), repeats=3)  # noqa: B023
        shown = f"{1e3 * taken.median_s:.0f}" if taken.quotable else "–"
        table.add(name, shown, f"{taken.other_cores:.2f}", quiet=taken.quotable)
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add_options(parser)
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter with pyFAI")
    parser.add_argument("--quick", action="store_true", help="int32 frames on one thread only")
    options = parser.parse_args()
    table = Table(
        f"{SHAPE[0]} x {SHAPE[1]} px, {BINS} bins (2-D: x {AZIMUTHS}), mask, solid angle, errors",
        "", "frame", "threads", "code", "ms", "CPU ms", "times ours", "other",
    )  # fmt: skip
    first = against_pyfai(table, options.peer_python, "int32", 1)
    if not options.quick:
        for kind, threads in (("int32", 2), ("uint16", 1), ("float32", 1), ("float64", 1)):
            against_pyfai(table, options.peer_python, kind, threads)
    met = first.quotable and 1e3 * first.median_s < LIMIT_MS
    verdict = "met" if met else "MISSED" if first.quotable else "not judged, the machine was busy"
    table.note(f"Limit of {LIMIT_MS:g} ms a frame on one thread, without splitting: {verdict}.")
    tables = [table, set_up()]
    if not options.quick:
        tables += [by_pixels(), by_bins()]
    finish("integrate", tables, options)
    return 1 if first.quotable and not met else 0


if __name__ == "__main__":
    if "--worker" in sys.argv:
        serve(work)
    else:
        from page import Table, add_options, exponent, finish

        sys.exit(main())
