"""Crystal centring: lucid3 on its own snapshots, and who aims where on simulated crystals.

    python validation/centring.py [--net FILE] [--update docs/centring.md]

Needs the set ``lucid3-snapshots`` and the extra ``centring``. Tables in Markdown; with ``--update``
also the pictures of the page, in ``pictures`` beside it; that of heat maps with a checkpoint of the
shipped recipe only, of seed 0 (``benchmarks/centring_aim.py --keep`` keeps it).
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pages import run, table
from PIL import Image

from refimpl import data
from refimpl.centring.aim import AimScores, aim_of, aim_scores
from refimpl.centring.judge import Seen, of_loop, views
from refimpl.centring.loop import find_loop, locate_loop
from refimpl.centring.net_sizes import NETS
from refimpl.centring.nets import build, parameters_of
from refimpl.centring.simulate_scene import scene
from refimpl.io.atomic import atomic_path

SNAPSHOTS = "lucid3-snapshots/golden.json"
OTHERS = ("a_fcn", "classifier", "resnet18", "resnet18_slim")
CRYSTALS = 200
ZOOMS = {"zoom 1, 2 µm/px": (1.0, 1.0), "zoom 1 to 4": (1.0, 4.0)}
HEAD = ("", "found", "on the crystal", "RC there / best", "away [µm]")


def _pixels(name: str) -> np.ndarray[Any, Any]:
    with Image.open(data.path(f"lucid3-snapshots/{name}")) as picture:
        return np.asarray(picture.convert("RGB"))


def _place(x: float, y: float) -> str:
    return f"{x:g}, {y:g}"


def snapshots() -> str:
    """Four photographs: the published answer, ours, and both on half the size and mirrored."""
    golden = json.loads(data.path(SNAPSHOTS).read_text())
    rows = []
    for number, name in enumerate(sorted(golden), start=1):
        pixels = _pixels(name)
        half = np.asarray(Image.fromarray(pixels).resize((640, 512), Image.Resampling.BOX))
        _, x2, y2 = find_loop(half)
        _, xm, ym = find_loop(np.ascontiguousarray(pixels[:, ::-1]))
        whole = locate_loop(pixels)
        small = locate_loop(half, um_per_px=4.0)
        other = locate_loop(np.ascontiguousarray(pixels[:, ::-1]), pin_side="right")
        rows.append(
            (number, _place(*golden[name]["ref"]),
             _place(*find_loop(data.path(f"lucid3-snapshots/{name}"))[1:]),
             _place(2 * x2, 2 * y2), _place(1280 - 1 - xm, ym), _place(whole.x_px, whole.y_px),
             _place(2 * small.x_px, 2 * small.y_px), _place(1280 - other.x_px, other.y_px))
        )  # fmt: skip
    head = ("", "its own test", "`lucid3`", "half the size", "mirrored", "`corrected`",
            "half the size", "mirrored")  # fmt: skip
    return table(head, rows)


def _middle(seen: Seen) -> tuple[float, float]:
    return seen.picture.shape[1] / 2.0, seen.picture.shape[0] / 2.0


def _loop(seen: Seen) -> tuple[float, float]:
    """The true middle of the loop: what a perfect loop finder would say."""
    made = scene(seen.scene_seed)
    view = made.view(seen.zoom, seen.omega_rad, seen.at_um)
    x, y = view.to_px(view.across(made.mount.offset_um))
    return float(x), float(y)


POINTS = {
    "`lucid2`": of_loop("lucid2"), "`lucid3`": of_loop("lucid3"),
    "`corrected`": of_loop("corrected"), "the true middle of the loop": _loop,
    "the middle of the picture": _middle,
}  # fmt: skip


def _row(name: str, found: AimScores) -> tuple[str, ...]:
    return (name, f"{found.found:.2f}", f"{found.hit:.2f}", f"{found.relative:.2f}",
            f"{found.away_um:.0f}")  # fmt: skip


@cache
def aims(zooms: tuple[float, float], n: int = CRYSTALS, seed: int = 0) -> dict[str, AimScores]:
    """Scores of those who need no teaching."""
    judged: dict[str, list[Any]] = {name: [] for name in POINTS}
    for seen in views(n, seed, zooms=zooms):
        for name, point_of in POINTS.items():
            point = point_of(seen)
            judged[name].append(aim_of(point, seen.count_map, seen.on_crystal, seen.um_per_px))
    return {name: aim_scores(found) for name, found in judged.items()}


def comparators() -> list[str]:
    """A table for each range of the zoom."""
    return [
        table((f"{CRYSTALS} unseen crystals, {name}", *HEAD[1:]),
              [_row(who, found) for who, found in aims(zooms).items()])
        for name, zooms in ZOOMS.items()
    ]  # fmt: skip


def nets() -> str:
    """Table 2.2 of the thesis, with the parameters of our nets."""
    both = {
        name: [f"{parameters_of(build(name, channels=c)):,}" for c in (1, 3)]
        for name in (*NETS, *OTHERS)
    }
    rows = [(name, *vars(net).values(), *both[name]) for name, net in NETS.items()]
    rows += [(f"`{name}`", *[""] * 6, *both[name]) for name in OTHERS]
    head = ("", "C8", "pool", "C16", "F256", "F128", "F64", "parameters, grey", "colour")
    return table(head, rows)


def parts() -> list[str]:
    """Everything between the markers."""
    return ["![Simulated samples beside their counts](pictures/centring_scenes.jpg)",
            snapshots(), *comparators()]  # fmt: skip


def write_pictures(folder: Path) -> None:
    """Pictures of the page: they lie in the repository, so they are small."""
    from refimpl.centring.simulate_collection import Plan, collect
    from refimpl.centring.simulate_sheet import sheet_of

    made = collect(Plan(crystals=4), seed=1)
    with Image.fromarray(sheet_of(made.shown)) as picture:
        memory = io.BytesIO()
        picture.save(memory, "JPEG", quality=60, optimize=True)
    with atomic_path(folder / "centring_scenes.jpg") as path:
        path.write_bytes(memory.getvalue())


def write_heat_maps(checkpoint: Path, path: Path) -> None:
    """Heat maps of the first six of the crystals above, by a net of the recipe."""
    from refimpl.centring.aiming import compare_aims
    from refimpl.centring.modules import load_regressor
    from refimpl.centring.recipe import RECIPE
    from refimpl.report import style
    from refimpl.report.centring_pictures import heat_maps

    net = load_regressor(checkpoint)
    found = compare_aims(
        net, 6, seed=0, pictures=6, step_um=RECIPE.step_um, smooth_um=RECIPE.smooth_um,
        turns=RECIPE.turns,
    )  # fmt: skip
    drawn = style.png(heat_maps(found.shown, net.target.name))
    with Image.open(io.BytesIO(drawn)) as picture, atomic_path(path) as temporary:
        picture.convert("RGB").save(temporary, "JPEG", quality=70, optimize=True)


def main() -> int:
    """Print the tables; with ``--update`` write them and the pictures."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--net", type=Path)
    parser.add_argument("--update", type=Path)
    options, rest = parser.parse_known_args()
    page = options.update
    given = [*rest, *(["--update", str(page)] if page is not None else [])]
    status = run("centring", __doc__.split("\n\n")[0], SNAPSHOTS, parts, given)
    if status == 0 and page is not None:
        pictures = page.parent / "pictures"
        write_pictures(pictures)
        if options.net is not None:
            write_heat_maps(options.net, pictures / "centring_heat.jpg")
    return status


if __name__ == "__main__":
    sys.exit(main())
