"""The published way to find duplicates, stated anew; run by benchmarks/epu.py in its own process.

Steps of find_dupl (v200906) as its description has them: a document tree a file and the first
element of each name, k-means with ten starts, lists of neighbours from a k-d tree, groups kept in a
list that every list of neighbours is looked up in, and for each foil-hole picture its time read
from the name at every look-up. No code of it is here.
"""

from __future__ import annotations

import glob
import os
import sys
import time
from pathlib import Path
from typing import Any
from xml.dom import minidom

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from harness import measure, serve
from process import peak_memory_mb


def first(tree: minidom.Document, name: str, *inner: str) -> list[float]:
    """Numbers in the first element of a name."""
    element = tree.getElementsByTagName(name)[0]
    if not inner:
        return [float(element.firstChild.data)]
    return [float(element.getElementsByTagName(i)[0].firstChild.data) for i in inner]


def parse(files: list[str]) -> np.ndarray:
    """(n, 5) beam shift, stage [m], diameter [m]."""
    rows = []
    for name in files:
        tree = minidom.parse(name)
        shift = first(tree, "BeamShift", "a:_x", "a:_y")
        stage = first(tree, "Position", "X", "Y")
        rows.append([*shift, *stage, *first(tree, "BeamDiameter")])
    return np.array(rows)


def neighbours(positions: np.ndarray, radius: float) -> list[list[int]]:
    from scipy.spatial import cKDTree

    return list(cKDTree(positions).query_ball_point(positions, radius))


def groups(lists: list[list[int]]) -> list[list[int]]:
    """Lists of more than one that are not there yet."""
    found: list[list[int]] = []
    for one in lists:
        if len(one) > 1 and one not in found:
            found.append(one)
    return found


def last_before(pictures: list[str], stamp: str) -> str:
    """Picture with the latest time before a stamp, over all pictures."""
    wanted = time.mktime(time.strptime(stamp, "%Y%m%d_%H%M%S"))
    best, best_time = "", -1.0
    for name in pictures:
        then = time.mktime(
            time.strptime(os.path.basename(name).split(".")[0][-15:], "%Y%m%d_%H%M%S")
        )
        if best_time < then < wanted:
            best, best_time = name, then
    return best


def clustered(shifts: np.ndarray) -> np.ndarray:
    from sklearn.cluster import KMeans

    return KMeans(21, init="k-means++", max_iter=300, n_init=10, random_state=0).fit_predict(shifts)


def work(request: dict[str, Any]) -> dict[str, Any]:
    """Time one kind of work."""
    if request["kind"] == "parse":
        files = sorted(glob.glob(request["pattern"], recursive=True))
        files = [f for f in files if "ractions" not in f][: request["most"]]
        timings = {"parse": measure(lambda: parse(files), request["repeats"], attempts=2)}
        return {"files": len(files), "timings": timings, "memory_mb": peak_memory_mb()}
    with np.load(request["arrays"]) as file:
        shift, stage = file["beam_shift"], file["stage_um"]
        stamps = file["stamps"].tolist()
        pictures = [f"x/FoilHoles/FoilHole_1_{s}.jpg" for s in file["pictures"].tolist()]
    positions = stage + request["k"] * shift
    lists = neighbours(positions, request["radius"])
    found = groups(lists)
    later = [i for group in found for i in sorted(group, key=lambda i: stamps[i])[1:]]
    asked = [stamps[i] for i in later[: request["lookups"]]]
    repeats = request["repeats"]
    timings = {
        "clusters": measure(lambda: clustered(shift), repeats, attempts=2),
        "neighbours": measure(
            lambda: neighbours(positions, request["radius"]), repeats, attempts=2
        ),
        "groups": measure(lambda: groups(lists), repeats, attempts=2),
    }
    if asked:
        timings["lookups"] = measure(
            lambda: [last_before(pictures, s) for s in asked], 1, window_s=0.2, attempts=1
        )
    return {
        "groups": len(found), "bad": len(later), "asked": len(asked), "timings": timings,
        "memory_mb": peak_memory_mb(),
    }  # fmt: skip


if __name__ == "__main__":
    serve(work)
