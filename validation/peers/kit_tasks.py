"""Quantities of the conformance kit at the size of real work: how far apart, and how fast.

The kit asks for a few points a case; here are many, the same for every code. The kit's own judge
compares, in its units and its tolerances, against refimpl's definitions; what is timed is the
adapter's call, with its conversions, which for small arrays of a Python library is most of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from asking import Answer, Asker
from page import Table, seconds

from refimpl.testing.conform import load
from refimpl.testing.conform_crystal_vectors import random_quaternions
from refimpl.testing.conform_judge import judge_case
from refimpl.testing.conform_records import Case, Quantity, quantities

CODES = {
    "pyFAI": ("pyfai_code", ("pyFAI",)), "ImageD11": ("imaged11_code", ("ImageD11", "xfab")),
    "MIDAS": ("midas_code", ("midas-calibrate", "midas-hkls")), "orix": ("orix_code", ("orix",)),
    "xfab": ("xfab_code", ("xfab",)), "gemmi": ("gemmi_code", ("gemmi",)),
    "midas-diffract": ("midas_diffract_code", ("midas-diffract", "midas-hkls")),
    "cctbx": ("cctbx_code", ("cctbx-base",)), "scipy": ("scipy_code", ("scipy",)),
    "scikit-learn": ("scipy_code", ("scikit-learn",)),
}  # fmt: skip
"""Codes with an adapter: its module, and the distributions that it needs."""


@dataclass(frozen=True)
class Work:
    """One quantity at size: what it is called, how many of what, and who has it."""

    title: str
    quantity: str
    what: str
    count: int
    inputs: dict[str, Any]
    codes: tuple[str, ...]


def works(size: float = 1.0) -> Iterator[Work]:
    """Yield the tasks; `size` makes them smaller for a quick look."""
    rng = np.random.default_rng(20260801)
    n = max(int(200_000 * size), 100)
    plane = _case("two_theta_eta", "ordinary-0").inputs
    pixels = {"fast_px": rng.uniform(0, 1500, n), "slow_px": rng.uniform(0, 1700, n)}
    yield Work("Pixel to 2-theta and eta", "two_theta_eta", "pixels", n, {**plane, **pixels},
               ("pyFAI", "ImageD11", "MIDAS"))  # fmt: skip
    bent = _case("two_theta_eta_distorted", "random-000").inputs
    yield Work("Pixel to 2-theta and eta, 15 terms of distortion", "two_theta_eta_distorted",
               "pixels", n, {**bent, **pixels}, ("MIDAS",))  # fmt: skip
    for name in ("CeO2", "Al2O3", "triclinic"):
        given = _case("ring_radii", f"ordinary-{name}").inputs
        count = len(_reference("ring_radii", given)["two_theta_rad"])
        yield Work(f"Rings of {name}", "ring_radii", "rings", count, given,
                   ("gemmi", "cctbx", "MIDAS", "xfab"))  # fmt: skip
    n = max(int(20_000 * size), 50)
    for laue in ("m-3m", "6/mmm", "mmm"):
        given = {"laue_class": laue, "q1": random_quaternions(rng, n)}
        given["q2"] = random_quaternions(rng, n)
        yield Work(f"Misorientation, {laue}", "misorientation", "pairs", n, given,
                   ("orix", "scipy", "cctbx", "ImageD11", "xfab"))  # fmt: skip
    n = max(int(20_000 * size), 50)
    crystal = dict(_case("rotation_spots", "ordinary-goniometer").inputs)
    crystal["hkl"] = rng.integers(-14, 15, (n, 3))
    crystal["hkl"][~crystal["hkl"].any(axis=1)] = (1, 2, 3)
    crystal["entering"] = rng.integers(0, 2, n)
    yield Work("Spots of a rotating crystal on a panel", "rotation_spots", "spots", n, crystal,
               ("cctbx", "ImageD11"))  # fmt: skip
    scan = dict(_case("nearfield_spots", "ordinary-wedge").inputs)
    n = max(int(2_000 * size), 10)
    q = random_quaternions(rng, n)
    scan["orientation"] = _matrices(q)
    count = len(_reference("nearfield_spots", scan)["omega_rad"])
    yield Work("Near-field spots of orientations, with a wedge", "nearfield_spots", "spots", count,
               scan, ("ImageD11", "midas-diffract"))  # fmt: skip
    given = dict(_case("nearfield_projection", "ordinary-tilt-x").inputs)
    given = _repeated(given, ("place_mm", "y_mm", "z_mm", "omega_rad"), n * 10)
    yield Work("Place in the sample to pixel, tilted near-field detector", "nearfield_projection",
               "spots", len(given["y_mm"]), given, ("ImageD11",))  # fmt: skip
    given = _case("outliers_mcd", "ordinary-3-columns").inputs
    yield Work("Minimum covariance determinant", "outliers_mcd", "points",
               len(given["residual"]), given, ("scikit-learn",))  # fmt: skip


def _case(name: str, which: str) -> Case:
    record = quantities()[name]
    return next(c for c in load(record) if c.name == which)


def _reference(name: str, given: dict[str, Any]) -> dict[str, Any]:
    return dict(quantities()[name].expected(given))


def _matrices(q: np.ndarray) -> np.ndarray:
    from refimpl.rotations import matrix_of_quaternion

    return matrix_of_quaternion(q)


def _repeated(given: dict[str, Any], names: tuple[str, ...], n: int) -> dict[str, Any]:
    rows = np.arange(n) % len(given[names[0]])
    return given | {name: given[name][rows] for name in names}


def kit_tables(asker: Asker, size: float) -> list[Table]:
    """One table a quantity."""
    return [_table(asker, work) for work in works(size)]


def _table(asker: Asker, work: Work) -> Table:
    table = Table(
        f"{work.title}: {work.count:,} {work.what}", "code", "threads", "worst difference",
        "of tolerance", f"{work.what} a second", "wall", "times ours",
    )  # fmt: skip
    record = quantities()[work.quantity]
    ours = asker.ask("refimpl", work.quantity, work.inputs, module="kit")
    case = Case(f"{work.quantity}/at-size", work.inputs, ours.arrays)
    add(table, asker, work, ours, ours, "", "")
    for code in work.codes:
        module, packages = CODES[code]
        got = asker.ask(code, work.quantity, work.inputs, module=module, packages=packages)
        add(table, asker, work, got, ours, *(("", "") if got.error else _far(record, case, got)))
    return table


def _far(record: Quantity, case: Case, got: Answer) -> tuple[str, str]:
    """Worst difference of any output in its unit, and in multiples of its tolerance."""
    arrays = got.arrays
    if "0" in arrays:
        arrays = dict(zip((o.name for o in record.outputs), arrays.values(), strict=False))
    verdict = judge_case(record, case, arrays)
    if verdict.trouble:
        return verdict.trouble, ""
    worst = max(verdict.outputs, key=lambda o: o.multiple)
    if not np.isfinite(worst.error):
        return worst.words[:80], "inf"
    return f"{worst.name} {worst.error:.1e} {worst.unit}", f"{worst.multiple:.1e}"


def add(
    table: Table, asker: Asker, work: Work, got: Answer, ours: Answer, far: str, multiple: str
) -> None:
    """Add a row; times of a busy machine are dashes."""
    if got.timing is None:
        table.add(got.code, "", got.error, "", "", "", "")
        return
    assert ours.timing is not None  # the asker has ended the run otherwise
    wall, quiet = got.timing.median_s, got.timing.quotable
    both = quiet and ours.timing.quotable and got is not ours
    table.add(
        got.code, asker.threads, far, multiple, f"{work.count / wall:,.0f}" if quiet else "–",
        seconds(wall) if quiet else "–",
        f"{wall / ours.timing.median_s:.2g}" if both else "" if got is ours else "–",
    )  # fmt: skip
