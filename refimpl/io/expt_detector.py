"""The detector of a DIALS experiment list: panels and their tree, to and from a ``Hierarchy``.

Layout: dxtbx ``Detector.to_dict``, old (the sensor's numbers inside ``px_mm_strategy``, or no tree)
and new.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from refimpl.detector.hierarchy import Group, Hierarchy, Module
from refimpl.io.expt_entry import Entry, Where, changed, merged, plain

__all__ = ["detector_entry", "read_detector"]

_STRATEGIES: Final = {
    "SimplePxMmStrategy": False,
    "ParallaxCorrectedPxMmStrategy": True,
    "OffsetPxMmStrategy": False,
    "OffsetParallaxCorrectedPxMmStrategy": True,
}


def _module(entry: Entry, where: Where) -> Module:
    strategy = entry.get("px_mm_strategy") or {"type": "SimplePxMmStrategy"}
    kind = where.at("px_mm_strategy").get(strategy, "type")
    if kind not in _STRATEGIES:
        raise where.error(f"px_mm_strategy {kind!r}: expected one of {', '.join(_STRATEGIES)}")
    # Old files keep the sensor's numbers in the strategy, with zeros or nothing in the panel.
    mu = float(entry.get("mu") or strategy.get("mu") or 0.0)
    thickness = float(entry.get("thickness") or strategy.get("t0") or 0.0)
    return where.build(
        Module,
        name=str(entry.get("name", "")),
        fast_axis=where.numbers(entry, "fast_axis", 3),
        slow_axis=where.numbers(entry, "slow_axis", 3),
        origin_mm=where.numbers(entry, "origin", 3),
        size_px=where.whole(entry, "image_size", 2),
        pixel_size_mm=where.numbers(entry, "pixel_size", 2),
        raw_image_offset=(
            where.whole(entry, "raw_image_offset", 2) if "raw_image_offset" in entry else (0, 0)
        ),
        trusted_range=where.numbers(entry, "trusted_range", 2),
        thickness_mm=thickness,
        mu_per_mm=mu,
        parallax=_STRATEGIES[kind],
        material=str(entry.get("material", "")),
        mask=tuple(where.whole({"mask": m}, "mask", 4) for m in entry.get("mask") or ()),
        gain=float(entry.get("gain", 1.0)),
        pedestal=float(entry.get("pedestal", 0.0)),
        identifier=str(entry.get("identifier", "")),
        type=str(entry.get("type", "")),
        extra=entry,
    )


def _group(entry: Entry, where: Where) -> Group:
    children: list[Group | int] = []
    for k, child in enumerate(where.get(entry, "children")):
        own = where.at(f"child {k}")
        if isinstance(child, Mapping) and "panel" in child:
            children.append(own.whole({"panel": [child["panel"]]}, "panel", 1)[0])
        else:
            children.append(_group(child, own))
    return where.build(
        Group,
        str(entry.get("name", "")),
        where.numbers(entry, "fast_axis", 3),
        where.numbers(entry, "slow_axis", 3),
        where.numbers(entry, "origin", 3),
        tuple(children),
        entry,
    )


def read_detector(entry: Entry, where: Where) -> Hierarchy:
    """Detector of an entry."""
    panels = where.get(entry, "panels")
    places = [where.at(f"panel {k}") for k in range(len(panels))]
    modules = tuple(at.build(_module, p, at) for p, at in zip(panels, places, strict=True))
    tree = entry.get("hierarchy")
    root = None if tree is None else _group(tree, where.at("hierarchy"))
    return where.build(Hierarchy, modules, root)


_FRAME: Final = {"fast_axis": "fast_axis", "slow_axis": "slow_axis", "origin_mm": "origin"}
_PANEL: Final = {
    "name": "name", "type": "type", **_FRAME, "raw_image_offset": "raw_image_offset",
    "size_px": "image_size", "pixel_size_mm": "pixel_size", "trusted_range": "trusted_range",
    "thickness_mm": "thickness", "material": "material", "mu_per_mm": "mu",
    "identifier": "identifier", "mask": "mask", "gain": "gain", "pedestal": "pedestal",
}  # fmt: skip


def _panel_entry(module: Module) -> dict[str, Any]:
    entry = merged(module, _module, _PANEL)
    strategy = dict(entry.get("px_mm_strategy") or {})
    kind = strategy.get("type", "SimplePxMmStrategy")
    if "px_mm_strategy" not in entry or _STRATEGIES[kind] != module.parallax:
        known = "ParallaxCorrectedPxMmStrategy" if module.parallax else "SimplePxMmStrategy"
        entry["px_mm_strategy"] = {"type": known}
    elif changed(module, _module, {"mu_per_mm": "mu", "thickness_mm": "t0"}):
        own = {"mu": module.mu_per_mm, "t0": module.thickness_mm}
        entry["px_mm_strategy"] = {k: own.get(k, v) for k, v in strategy.items()}
    if module.extra and "px_mm_strategy" not in module.extra and not module.parallax:
        del entry["px_mm_strategy"]
    return entry


_NO_SENSOR: Final[Entry] = {
    "type": "", "raw_image_offset": [0, 0], "image_size": [0, 0], "pixel_size": [0.0, 0.0],
    "trusted_range": [0.0, 0.0], "thickness": 0.0, "material": "", "mu": 0.0, "identifier": "",
    "mask": [], "gain": 1.0, "pedestal": 0.0, "px_mm_strategy": {"type": "SimplePxMmStrategy"},
}  # fmt: skip
"""What a group has besides its frame; readers of the format expect a panel's keys."""


def _group_entry(group: Group) -> dict[str, Any]:
    fields = {"name": "name", **_FRAME}
    entry = merged(group, _group, fields) if group.extra else {**_NO_SENSOR}
    if not group.extra:
        entry |= {key: plain(getattr(group, name)) for name, key in fields.items()}
    entry["children"] = [
        {"panel": c} if isinstance(c, int) else _group_entry(c) for c in group.children
    ]
    return entry


def detector_entry(detector: Hierarchy) -> dict[str, Any]:
    """Entry of a detector."""
    entry: dict[str, Any] = {"panels": [_panel_entry(m) for m in detector.modules]}
    if detector.root is not None:
        entry["hierarchy"] = _group_entry(detector.root)
    return entry
