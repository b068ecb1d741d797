"""Transmission of a simulated sample: mount, film, crystals and dust, drawn and blurred."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refimpl.centring.simulate_crystal import Crystal
from refimpl.centring.simulate_mount import Mount, Specks
from refimpl.centring.simulate_view import View
from refimpl.frames import F64

__all__ = ["Look", "transmission"]

_FINE = 2  # drawn at this many pixels a pixel, then averaged: smooth edges
_MENISCUS_STEPS = 7


class Look(NamedTuple):
    """Look of a crystal: transmissions of body and edge, width of the edge, light on facets."""

    body: float
    edge: float
    edge_um: float
    relief: float
    light_rad: float


Points = Callable[[F64], list[tuple[float, float]]]


def transmission(
    view: View, mount: Mount, crystals: Sequence[Crystal], looks: Sequence[Look],
    dust: Specks, bubbles: Specks, blur_px: float,
) -> NDArray[np.float32]:  # fmt: skip
    """(rows, columns) part of the light that passes the sample, 0 to 1."""
    from PIL import Image, ImageChops, ImageDraw, ImageFilter

    rows, columns = view.upright_shape
    size = (columns * _FINE, rows * _FINE)
    k = view.scale * _FINE
    middle, half = view.middle_um, np.array(size) / 2.0

    def points(st_um: F64) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y in (st_um - middle) * k + half]

    film = Image.new("L", size, 255)
    _draw_film(ImageDraw.Draw(film), points, view, mount)
    _draw_bubbles(ImageDraw.Draw(film), points, view, bubbles, k)
    for crystal, look in zip(crystals, looks, strict=True):
        _lay_crystal(film, points, view, crystal, look, k)
    frame = Image.new("L", size, 255)
    _draw_frame(ImageDraw.Draw(frame), points, view, mount, k)
    _draw_discs(ImageDraw.Draw(frame), points, view, dust, k)
    whole = ImageChops.multiply(film.reduce(_FINE), frame.reduce(_FINE))
    if blur_px > 0.0:
        whole = whole.filter(ImageFilter.GaussianBlur(blur_px))
    upright = np.asarray(whole, dtype=np.float32) / np.float32(255.0)
    return np.ascontiguousarray(np.rot90(upright, -view.turns))


def _grey(part: float) -> int:
    return round(255.0 * min(max(part, 0.0), 1.0))


def _draw_film(pen: Any, points: Points, view: View, mount: Mount) -> None:
    """Rings from the fibre inwards, the meniscus getting clearer; a mesh has hardly any."""
    _, clear, edge = mount.clear
    centre = view.across(mount.offset_um)
    flat = mount.flattened(view.omega_rad, thick=True)
    for step in np.linspace(0.0, 1.0, _MENISCUS_STEPS):
        rim = mount.rim_um(1.0 - mount.meniscus * step) * np.array([1.0, flat])
        part = edge + (clear - edge) * math.sqrt(step)
        pen.polygon(points(rim + centre), fill=_grey(part))


def _draw_frame(pen: Any, points: Points, view: View, mount: Mount, k: float) -> None:
    """Fibre, bars and stem: dark at their edges and clearer along the middle, as rods are."""
    dark = mount.clear[0]
    centre = view.across(mount.offset_um)
    flat = np.array([1.0, mount.flattened(view.omega_rad)])
    width = mount.fibre_um * k
    for bar in mount.bars_um():
        pen.line(points(bar * flat + centre), fill=_grey(0.5 + 0.4 * dark),
                 width=max(1, round(width / 3.0)))  # fmt: skip
    rim = mount.rim_um() * flat + centre
    closed = points(np.vstack([rim, rim[:1]]))
    for part, shade in ((1.0, dark), (0.4, min(1.0, dark + 0.22))):
        thick = max(1, round(part * width))
        pen.line(closed, fill=_grey(shade), width=thick)
        r = (thick - 1) / 2.0
        for x, y in closed:  # short lines end raggedly: round them off
            pen.ellipse((x - r, y - r, x + r, y + r), fill=_grey(shade))
    stem = mount.stem_outline_um()
    pen.polygon(points(stem + centre), fill=_grey(0.8 * dark))
    pen.polygon(points(stem * np.array([1.0, 0.3]) + centre), fill=_grey(0.8 * dark + 0.06))


def _draw_discs(pen: Any, points: Points, view: View, specks: Specks, k: float) -> None:
    for (x, y), radius, part in zip(
        points(view.across(specks.place_um)), specks.radius_um * k, specks.strength, strict=True
    ):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_grey(part))


def _draw_bubbles(pen: Any, points: Points, view: View, bubbles: Specks, k: float) -> None:
    """Dark rings with a clear middle."""
    for (x, y), radius, part in zip(
        points(view.across(bubbles.place_um)), bubbles.radius_um * k, bubbles.strength, strict=True
    ):
        for scale, shade in ((1.0, part), (0.7, 0.5 * (1.0 + part)), (0.4, 1.0)):
            r = scale * radius
            pen.ellipse((x - r, y - r, x + r, y + r), fill=_grey(shade))


def _lay_crystal(
    film: Any, points: Points, view: View, crystal: Crystal, look: Look, k: float
) -> None:
    """Multiply the picture of a crystal into that of the film, where the crystal is."""
    from PIL import Image, ImageChops, ImageDraw

    corner = np.array(points(crystal.silhouette_um(view.omega_rad)))
    margin = look.edge_um * k + 2.0
    low = np.maximum(np.floor(corner.min(axis=0) - margin).astype(int), 0)
    high = np.minimum(np.ceil(corner.max(axis=0) + margin).astype(int), film.size)
    if (low >= high).any():
        return

    def moved(st_um: F64) -> list[tuple[float, float]]:
        return [(x - float(low[0]), y - float(low[1])) for x, y in points(st_um)]

    box = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
    layer = Image.new("L", (box[2] - box[0], box[3] - box[1]), 255)
    _draw_crystal(ImageDraw.Draw(layer), moved, view, crystal, look, k)
    film.paste(ImageChops.multiply(film.crop(box), layer), box)


def _draw_crystal(
    pen: Any, points: Points, view: View, crystal: Crystal, look: Look, k: float
) -> None:
    """Far edges faintly, near facets by how they face the light, then their edges."""
    corners = crystal.corners_um()
    st = view.across(corners)
    depth = _depth(corners, view.omega_rad)
    near: list[list[int]] = []
    far: list[list[int]] = []
    for face in _faces(len(crystal.girdle_um)):
        (near if _looks_here(st[face]) else far).append(face)
    pen.polygon(points(crystal.silhouette_um(view.omega_rad)), fill=_grey(look.body))
    light = np.array([math.cos(look.light_rad), math.sin(look.light_rad)])
    width = max(1, round(look.edge_um * k))
    for face in sorted(near, key=lambda f: float(depth[f].mean())):
        normal = _normal(corners[face], view.omega_rad)
        shade = look.body - look.relief * (0.5 - 0.5 * float(normal @ light))
        pen.polygon(points(st[face]), fill=_grey(shade))
    for faces, part, w in ((far, 0.5, max(1, width // 2)), (near, 0.75, max(1, width * 2 // 3))):
        shade = look.body - part * (look.body - look.edge)
        for face in faces:
            pen.line(points(st[np.r_[face, face[:1]]]), fill=_grey(shade), width=w)
    outline = crystal.silhouette_um(view.omega_rad)
    pen.line(points(np.vstack([outline, outline[:2]])), fill=_grey(look.edge), width=width)


def _faces(n: int) -> list[list[int]]:
    """Corners of the faces, counter-clockwise as seen from outside (x, y, z right-handed)."""
    ahead = [(i + 1) % n for i in range(n)]
    upper = [[i, ahead[i], 2 * n + ahead[i], 2 * n + i] for i in range(n)]
    lower = [[ahead[i], i, n + i, n + ahead[i]] for i in range(n)]
    return [*upper, *lower, [*range(2 * n, 3 * n)], [*range(2 * n - 1, n - 1, -1)]]


def _depth(points_um: F64, omega_rad: float) -> F64:
    """Distance towards the camera [um]."""
    return np.asarray(math.cos(omega_rad) * points_um[:, 2] - math.sin(omega_rad) * points_um[:, 1])


def _looks_here(st_um: F64) -> bool:
    """Tell whether a face, counter-clockwise from outside, looks at the camera (area in (s, t))."""
    a, b = st_um, np.roll(st_um, -1, axis=0)
    return bool((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() > 0.0)


def _normal(corners_um: F64, omega_rad: float) -> F64:
    """(2,) part across the view of the unit normal of a face."""
    n = np.cross(corners_um[1] - corners_um[0], corners_um[2] - corners_um[1])
    n = n / (np.linalg.norm(n) or 1.0)
    return np.array([n[0], math.cos(omega_rad) * n[1] + math.sin(omega_rad) * n[2]])
