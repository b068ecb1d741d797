"""EPU sessions: reading, calibrating and finding duplicates, against the published way.

    python benchmarks/epu.py [--sizes N ...] [--update docs/benchmarks.md]

Files are simulated in the layout and size (12 kB) of real ones; those of a smaller session are in
a folder of the larger one. The peer is the published way stated anew (peers/epu_published.py),
each in a process of its own. It reads the files of the smallest session alone, and looks for few
pictures of holes: what is scaled from there is marked. Goals: 200,000 exposures read 50 times
faster than with a tree a file; everything after reading in 5 s and 1 GB; n log n.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from harness import Timing, measure, peer, serve
from page import Table, add_options, exponent, finish, seconds
from process import peak_memory_mb

PEER = Path(__file__).parent / "peers" / "epu_published.py"
SIZES = (10_000, 50_000, 200_000)
REAL_BYTES = 12_029
"""Mean of the 189 exposures of the set ``epu-afis``."""

LOOKUPS, RADIUS_UM, WIDE_UM = 10, 0.2, 0.8
K_UM = 24.4


def write_files(root: Path, sizes: Sequence[int]) -> list[tuple[Path, Any]]:
    """Folders of sessions, each with the smaller one inside; and the arrays of each."""
    from refimpl.epu.simulate import large
    from refimpl.epu.simulate_xml import exposure_xml

    made = large(max(sizes), seed=0)
    table = made.session.table
    filler = (
        "<a:KeyValueOfstringanyType><a:Key>Detectors[BM-Falcon].{}</a:Key>"
        '<a:Value i:type="b:double" xmlns:b="http://www.w3.org/2001/XMLSchema">0.5</a:Value>'
        "</a:KeyValueOfstringanyType>"
    )
    folder, start, out = root, 0, []
    folders = []
    for n in sorted(sizes, reverse=True):
        folder = folder / f"session_{n}"
        folders.append((n, folder))
    for n, folder in folders[::-1]:
        for row in table.iloc[start:n].to_dict("records"):
            text = exposure_xml({str(k): v for k, v in row.items()}, made.settings)
            more = "".join(filler.format(i) for i in range(max(0, REAL_BYTES - len(text)) // 195))
            place = folder / f"GridSquare_{row['square']}" / "Data"
            if not place.is_dir():
                place.mkdir(parents=True)
            (place / f"{row['name']}.xml").write_text(
                text.replace("</CustomData>", more + "</CustomData>", 1)
            )
        out.append((folder, table.iloc[:n]))
        start = n
    return out


def save_arrays(path: Path, table: Any) -> None:
    """What is left of the files after reading, for both."""
    stamps = np.array([name[-15:] for name in table["name"]])
    hole = np.unique(table["hole"].to_numpy(), return_index=True)[1]
    before = table["time_s"].to_numpy()[hole] - 20.0
    times = [datetime.fromtimestamp(t, UTC).strftime("%Y%m%d_%H%M%S") for t in before.tolist()]
    numbers = ["square", "hole", "area", "time_s", "beam_diameter_um", "dose_per_angstrom2"]
    numbers += ["beam_shift_x", "beam_shift_y", "stage_x_um", "stage_y_um"]
    columns = {f"table_{name}": table[name].to_numpy() for name in numbers}
    np.savez(
        path, beam_shift=table[["beam_shift_x", "beam_shift_y"]].to_numpy(),
        stage_um=table[["stage_x_um", "stage_y_um"]].to_numpy(), stamps=stamps,
        pictures=np.array(times), picture_s=before,
        picture_hole=table["hole"].to_numpy()[hole],
        picture_square=table["square"].to_numpy()[hole],
        table_name=np.array(table["name"].tolist()), **columns,
    )  # fmt: skip


def session_of(arrays: str) -> Any:
    """Session of saved arrays."""
    import pandas as pd

    from refimpl.epu.session import Session, table_of

    with np.load(arrays) as file:
        columns = {k[6:]: file[k] for k in file.files if k.startswith("table_")}
        columns["name"] = columns["name"].astype(object)
        images = pd.DataFrame(
            {
                "path": [f"x/FoilHoles/FoilHole_1_{s}.jpg" for s in file["pictures"].tolist()],
                "square": file["picture_square"], "hole": file["picture_hole"],
                "time_s": file["picture_s"],
            }
        )  # fmt: skip
        return Session(table_of(**columns), foil_images=images)


def work(request: dict[str, Any]) -> dict[str, Any]:
    """Time one kind of our own work in this process."""
    if request["kind"] == "parse":
        from refimpl.epu.session import read_session

        kept: list[Any] = [None]

        def read() -> None:
            kept[0] = read_session(request["folder"])

        timings = {"parse": measure(read, request["repeats"], attempts=2)}
        errors = len(kept[0].errors)
        return {"files": len(kept[0]), "errors": errors, "timings": timings,
                "memory_mb": peak_memory_mb()}  # fmt: skip
    from refimpl.clustering.beam_shift import cluster
    from refimpl.epu.bad_lists import jpg_paths, tiff_names
    from refimpl.epu.calibrate import calibrate
    from refimpl.epu.duplicates import find_duplicates
    from refimpl.epu.foil_holes import foil_pictures

    session = session_of(request["arrays"])
    held = peak_memory_mb()
    calibration = calibrate(session)
    found = find_duplicates(session, calibration)
    bad = np.flatnonzero(found.bad)
    rows = np.concatenate([bad, found.kept[bad]])
    n = request["repeats"]
    steps: dict[str, Callable[[], object]] = {
        "clusters": lambda: cluster(session.beam_shift),
        "calibrate": lambda: calibrate(session),
        "duplicates": lambda: find_duplicates(session, calibration),
        "wide": lambda: find_duplicates(session, calibration, f"fixed:{WIDE_UM}"),
        "lookups": lambda: foil_pictures(session, rows),
        "lists": lambda: (jpg_paths(found), tiff_names(found), found.squares),
    }
    timings = {name: measure(step, n, attempts=2) for name, step in steps.items()}
    return {
        "bad": found.n_duplicates, "k": calibration.k_um, "timings": timings,
        "memory_mb": peak_memory_mb(), "held_mb": held,
        "wide_pairs": len(find_duplicates(session, calibration, f"fixed:{WIDE_UM}").pairs),
    }  # fmt: skip


def ask(script: str | Path, request: dict[str, Any]) -> dict[str, Any]:
    """Answer of a fresh process with one thread; the benchmark ends where it fails."""
    answer = peer(script, request, threads=1, timeout_s=7200.0)
    if "error" in answer:
        raise SystemExit(f"benchmarks/epu.py: {Path(script).name}: {answer['error']}")
    return answer


def repeats(n: int) -> int:
    """Times that a case of n exposures is measured."""
    return 5 if n <= 50_000 else 3


def reading(made: list[tuple[Path, Any]]) -> Table:
    """Folder to table, against one document tree a file."""
    table = Table(
        "Reading a session, one thread", "exposures", "refimpl", "a file", "memory",
        "minidom, a file", "in all", "ratio",
    )  # fmt: skip
    small, points, slow = made[0], [], {}
    if real := os.environ.get("REFIMPL_DATA"):
        folder = Path(real, "epu-afis")
        if folder.is_dir():
            _row(table, folder, 189, _peer_parse(folder, 189), "189, real", points)
    slow = _peer_parse(small[0], len(small[1]))
    for folder, rows in made:
        _row(table, folder, len(rows), slow, f"{len(rows):,}", points)
    table.note(exponent("Seconds to read", "exposures", points[-len(made) :]))
    table.note(
        f"The peer's time is that of {len(small[1]):,} files, scaled to more. Both with the files "
        "in the memory of the operating system."
    )
    return table


def _peer_parse(folder: Path, most: int) -> dict[str, Any]:
    pattern = f"{folder}/**/FoilHole_*_Data_*.xml"
    return ask(PEER, {"kind": "parse", "pattern": pattern, "most": most, "repeats": 3})


def _row(
    table: Table, folder: Path, n: int, slow: dict[str, Any], name: str,
    points: list[tuple[float, float]],
) -> None:  # fmt: skip
    ours = ask(__file__, {"kind": "parse", "folder": str(folder), "repeats": repeats(n)})
    if ours["files"] != n or ours["errors"]:
        raise SystemExit(f"{folder}: {ours['files']} of {n} read, {ours['errors']} errors")
    mine, other = ours["timings"]["parse"], slow["timings"]["parse"]
    each = other.median_s / slow["files"]
    if mine.quotable:
        points.append((n, mine.median_s))
    scaled = "" if slow["files"] == n else " (scaled)"
    table.add(
        name, seconds(mine.median_s), seconds(mine.median_s / n), f"{ours['memory_mb']:.0f} MB",
        seconds(each), f"{seconds(each * n)}{scaled}", f"{each * n / mine.median_s:.0f}",
        quiet=mine.quotable and other.quotable,
    )  # fmt: skip


def after(cases: list[tuple[int, Path]]) -> list[Table]:
    """Everything between the table and the lists, both ways."""
    ours = Table(
        "After reading, refimpl, one thread", "exposures", "groups of beam shifts",
        "calibration", f"duplicates, {RADIUS_UM:g} um", "foil holes", "lists", "sum", "bad",
        "memory", "before it", f"duplicates, {WIDE_UM:g} um", "pairs",
    )  # fmt: skip
    other = Table(
        "After reading, the published way, one thread", "exposures", "k-means, 21, 10 starts",
        f"neighbours, {RADIUS_UM:g} um", "groups", "foil holes", "bad", "memory",
        f"groups, {WIDE_UM:g} um", "groups found",
    )  # fmt: skip
    points = []
    for n, path in cases:
        request = {"kind": "after", "arrays": str(path), "repeats": repeats(n)}
        mine = ask(__file__, request)
        t: dict[str, Timing] = mine["timings"]
        parts = ("clusters", "calibrate", "duplicates", "lookups", "lists")
        total = sum(t[p].median_s for p in parts)
        if quiet := all(t[p].quotable for p in parts):
            points.append((float(n), total))
        ours.add(
            f"{n:,}", *(seconds(t[p].median_s) for p in parts), seconds(total), mine["bad"],
            f"{mine['memory_mb']:.0f} MB", f"{mine['held_mb']:.0f} MB", seconds(t["wide"].median_s),
            f"{mine['wide_pairs']:,}", quiet=quiet,
        )  # fmt: skip
        _published(other, n, request)
    ours.note(exponent("Seconds after reading", "exposures", points))
    other.note(
        f"k = {K_UM:g} without rotation or mirror: what it finds is not what is true. Foil "
        f"holes: two look-ups for each bad exposure, scaled from {LOOKUPS}. A dash: quadratic, "
        "not waited for."
    )
    return [ours, other]


def _published(table: Table, n: int, request: dict[str, Any]) -> None:
    more = {"k": K_UM, "radius": RADIUS_UM, "lookups": LOOKUPS}
    answer = ask(PEER, request | more)
    t = answer["timings"]
    holes = "0 s" if not answer["asked"] else ""
    if answer["asked"]:
        holes = seconds(2 * answer["bad"] * t["lookups"].median_s / answer["asked"]) + " (scaled)"
    wide, found = "–", "–"
    if n <= 50_000:
        loose = ask(PEER, request | more | {"radius": WIDE_UM, "lookups": 0, "repeats": 1})
        wide, found = seconds(loose["timings"]["groups"].median_s), f"{loose['groups']:,}"
    parts = ("clusters", "neighbours", "groups")
    table.add(
        f"{n:,}", *(seconds(t[p].median_s) for p in parts), holes, answer["bad"],
        f"{answer['memory_mb']:.0f} MB", wide, found, quiet=all(t[p].quotable for p in parts),
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), metavar="N")
    parser.add_argument("--only", choices=("reading", "after"))
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    add_options(parser)
    options = parser.parse_args()
    if options.worker:
        serve(work)
        return 0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        tables, sizes = [], sorted(options.sizes)
        if options.only != "after":
            tables.append(reading(write_files(root, sizes)))
        if options.only != "reading":
            from refimpl.epu.simulate import large

            cases = [(n, root / f"arrays_{n}.npz") for n in sizes]
            for n, path in cases:
                save_arrays(path, large(n, seed=0).session.table)
            tables += after(cases)
    return finish("epu", tables, options)


if __name__ == "__main__":
    sys.exit(main())
