"""What came of a reconstruction, for people and for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refimpl.nearfield.loops import Multires
    from refimpl.nearfield.maps import NearfieldMap

__all__ = ["loops_dict", "loops_summary", "summary"]


def summary(result: NearfieldMap) -> list[str]:
    """What came of it, for people."""
    s = result.summary()
    lines = [f"{s['voxels']} voxels, {s['solved']} with an orientation"]
    if s["solved"]:
        each = ", ".join(f"{c:.4f}" for c in s["by_distance"] if c is not None)
        lines[0] += f", mean confidence {s['mean_confidence']:.4f}" + (
            f" (by distance {each})" if each else ""
        )
    lines.append(
        f"{s['seeds_kept']} candidates fitted, {s['evaluations']} evaluations, "
        f"{s['evaluations'] / max(s['voxels'], 1):.0f} a voxel"
    )
    if s["disputed"]:
        lines.append(f"{s['disputed']} disagreed with all neighbours, fitted again from these")
    return lines


def loops_dict(result: Multires) -> dict[str, Any]:
    """Numbers of the loops, for machines."""
    rows = [
        {"loop": o.number, "size_um": 1e3 * o.size_mm, "points": len(o.merged),
         "seeds": None if o.seeds is None else len(o.seeds), "bad": len(o.bad),
         "changed": o.changed, "evaluations": o.evaluations}
        for o in result.loops
    ]  # fmt: skip
    return {"loops": rows, "settled": result.settled, "grains": len(result.grains.centre)}


def loops_summary(result: Multires) -> list[str]:
    """The same for people."""
    lines = []
    for o in result.loops:
        seeds = "no seeds" if o.seeds is None else f"{len(o.seeds)} seeds"
        again = f", {len(o.bad)} points searched again" if o.number else ""
        new = "" if o.changed is None else f", {100.0 * o.changed:.2g} % changed"
        lines.append(
            f"loop {o.number}, {1e3 * o.size_mm:g} um: {len(o.merged)} points, {seeds}{again}{new}"
            f", {o.evaluations} evaluations"
        )
    if result.settled:
        lines.append("settled: the loops after these were not needed")
    return [*lines, f"{len(result.grains.centre)} grains"]
