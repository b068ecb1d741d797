"""One frame as an SVG: a view along the beam, slightly from the right and from above."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from frames import Frame
    from numpy.typing import NDArray

SCALE = 1.5  # units of the picture a mm
LEFT, TOP, WIDTH, HEIGHT = -100.0, 120.0, 340.0, 217.0  # mm of the picture
SLANT = np.array([0.95, 0.3])  # what a mm along the beam is in the picture
LENGTH = 52.0  # of an axis [mm]
AXIS, FAST, SLOW, OTHER, GREY = "#1f5fa8", "#c2410c", "#15803d", "#7e22ce", "#555555"
STYLE = (
    "text{font:15px sans-serif;paint-order:stroke;stroke:#ffffff;stroke-width:3px}"
    ".t{font-weight:bold;font-size:16px}"
    ".c{fill:#333333;font-size:13.5px}line,path{fill:none;stroke-width:2.2}"
)


def flat(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """Place (..., 2) in the picture of points (..., 3) of the lab [mm]: +X is to the left."""
    lab = np.asarray(lab, dtype=np.float64)
    x = -lab[..., 0] + SLANT[0] * lab[..., 2]
    y = lab[..., 1] + SLANT[1] * lab[..., 2]
    return np.stack([(x - LEFT) * SCALE, (TOP - y) * SCALE], axis=-1)


def _number(value: float) -> str:
    return f"{float(value) + 0.0:.1f}".replace("-0.0", "0.0")


def _point(at: NDArray[np.float64]) -> str:
    return f"{_number(at[0])},{_number(at[1])}"


def _text(at: NDArray[np.float64], text: str, colour: str, anchor: str = "middle") -> str:
    place = f'x="{_number(at[0])}" y="{_number(at[1])}"'
    return f'<text {place} fill="{colour}" text-anchor="{anchor}">{escape(text)}</text>'


def _head(tip: NDArray[np.float64], along: NDArray[np.float64], colour: str) -> str:
    u = along / np.hypot(*along)
    across = np.array([-u[1], u[0]])
    corners = [tip, tip - 9.0 * u + 3.8 * across, tip - 9.0 * u - 3.8 * across]
    return f'<polygon points="{" ".join(_point(c) for c in corners)}" fill="{colour}"/>'


def _arrow(name: str, start: NDArray[np.float64], end: NDArray[np.float64], colour: str) -> str:
    """From one place of the lab to another."""
    a, b = flat(start), flat(end)
    along = b - a
    shaft = b - 6.0 * along / np.hypot(*along)
    ends = " ".join(
        f'{k}="{_number(v)}"' for k, v in zip(("x1", "y1", "x2", "y2"), [*a, *shaft], strict=True)
    )
    line = f'<line id="{escape(name)}" {ends} stroke="{colour}"/>'
    return line + _head(b, along, colour)


def _labelled(
    name: str, start: NDArray[np.float64], along: NDArray[np.float64], colour: str
) -> list[str]:
    """An arrow with its name beyond its tip."""
    tip = flat(start + along)
    away = tip - flat(start)
    at = tip + 11.0 * away / np.hypot(*away) + np.array([0.0, 4.5])
    if along[2]:  # along the beam: above it
        at = tip + np.array([0.0, -9.0])
    return [_arrow(name, start, start + along, colour), _text(at, name, colour)]


def _steps(frame: Frame) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Corner of the image, and one pixel along fast and slow [mm]."""
    axes, sizes = (frame.panel.fast_axis, frame.panel.slow_axis), frame.panel.pixel_size_mm
    steps = [np.array(axis) * size for axis, size in zip(axes, sizes, strict=True)]
    return np.array(frame.panel.origin_mm), steps


def _pixels(frame: Frame) -> list[str]:
    """Pixels of the image, the first one filled."""
    n = frame.panel.size_px
    corner, steps = _steps(frame)
    sides = [step * count for step, count in zip(steps, n, strict=True)]
    square = [corner, corner + sides[0], corner + sides[0] + sides[1], corner + sides[1]]
    out = [
        f'<polygon points="{" ".join(_point(flat(c)) for c in square)}" fill="#eef1f4" '
        f'stroke="{GREY}"/>'
    ]
    for own, other, count in ((steps[0], sides[1], n[0]), (steps[1], sides[0], n[1])):
        for k in range(1, count):
            a, b = flat(corner + k * own), flat(corner + k * own + other)
            out.append(
                f'<path d="M{_point(a)}L{_point(b)}" stroke="#c9d1d9" style="stroke-width:0.8"/>'
            )
    first = [corner, corner + steps[0], corner + steps[0] + steps[1], corner + steps[1]]
    out.append(f'<polygon points="{" ".join(_point(flat(c)) for c in first)}" fill="#f59e0b"/>')
    return out


def _directions(frame: Frame) -> list[str]:
    """Fast and slow outside the edges of the image, and coordinates that begin elsewhere."""
    corner, steps = _steps(frame)
    sides = [step * count for step, count in zip(steps, frame.panel.size_px, strict=True)]
    out = []
    pairs = ((sides[0], steps[1], FAST), (sides[1], steps[0], SLOW))
    for word, (side, inwards, colour) in zip(frame.words, pairs, strict=True):
        start = corner - 0.4 * inwards
        out.append(_arrow(word, start, start + 0.42 * side, colour))
        out.append(_beside(word, start + 0.27 * side, -inwards, colour))
    for word, (start, vector) in frame.counted.items():
        inwards = next(v for w, (_, v) in frame.counted.items() if w != word)
        begin = start - 6.0 * inwards
        out.append(_arrow(word, begin, begin + 42.0 * vector, OTHER))
        out.append(_beside(word, begin + 21.0 * vector, -inwards, OTHER))
    return out


def _beside(word: str, at: NDArray[np.float64], outwards: NDArray[np.float64], colour: str) -> str:
    """Name of an arrow along an edge, beside it."""
    here = flat(at)
    away = flat(at + outwards) - here
    away = away / np.hypot(*away)
    if abs(away[0]) < abs(away[1]):
        return _text(here + np.array([0.0, 13.0 * away[1] + 4.5]), word, colour)
    if away[0] < 0.0:  # towards the sample there is no room: on the pixels
        return _text(here + np.array([16.0, 4.5]), word, colour, "start")
    return _text(here + np.array([7.0, 4.5]), word, colour, "start")


def _turning(frame: Frame, middle: NDArray[np.float64]) -> list[str]:
    """Arc from the first direction towards the second, about the beam or about an axis."""
    if frame.turning is None:
        return []
    name, axis, first, second = frame.turning
    centre, radius = (middle, 24.0) if axis is None else (0.55 * LENGTH * axis, 16.0)
    third = second - (second @ first) * first
    third = third / np.linalg.norm(third)
    angle = np.linspace(0.0, np.deg2rad(75.0 if axis is None else 290.0), 24)
    arc = centre + radius * (np.cos(angle)[:, None] * first + np.sin(angle)[:, None] * third)
    places = flat(arc)
    out = [
        f'<path id="{escape(name)}" d="M{"L".join(_point(p) for p in places)}" stroke="{OTHER}"/>',
        _head(places[-1] + 0.4 * (places[-1] - places[-2]), places[-1] - places[-2], OTHER),
    ]
    outside = flat(centre + 1.4 * (arc[12] - centre))
    return [*out, _text(outside + np.array([0.0, 4.5]), name, OTHER)]


def svg(frame: Frame, beam: tuple[float, float, float]) -> str:
    """Text of the picture."""
    b, origin = np.array(beam), np.zeros(3)
    panel = frame.panel
    normal = np.cross(panel.fast_axis, panel.slow_axis)
    middle = b * (normal @ panel.origin_mm) / (normal @ b)
    size = [_number(v * SCALE) for v in (WIDTH, HEIGHT)]
    spoken = f"{frame.title}: axes {', '.join(frame.axes)}; first pixel {frame.first}"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" '
        f'viewBox="0 0 {size[0]} {size[1]}" role="img" aria-label="{escape(spoken)}">',
        f"<style>{STYLE}</style>",
        f'<rect width="{size[0]}" height="{size[1]}" fill="#ffffff"/>',
        f'<text class="t" x="10" y="20">{escape(frame.title)}</text>',
        *_pixels(frame),
        _arrow("beam", -95.0 * b, -6.0 * b, "#b91c1c"),
        _text(flat(-70.0 * b) + np.array([6.0, 18.0]), "beam", "#b91c1c", "start"),
        f'<path d="M{_point(flat(origin))}L{_point(flat(middle))}" stroke="#b91c1c" '
        'stroke-dasharray="4 4" style="stroke-width:1.2"/>',
        *_directions(frame),
        f'<circle cx="{_number(flat(middle)[0])}" cy="{_number(flat(middle)[1])}" r="3.5" '
        'fill="#b91c1c"/>',
    ]
    for name, vector in frame.axes.items():
        out += _labelled(name, origin, LENGTH * vector, AXIS)
    out += _turning(frame, middle)
    centre = flat(origin)
    words = (
        "seen along the beam, a little from its right and above",
        f"centre of the first pixel (filled): {frame.first}",
    )
    out += [
        f'<circle cx="{_number(centre[0])}" cy="{_number(centre[1])}" r="5" fill="#111111"/>',
        *(
            f'<text class="c" x="10" y="{_number(HEIGHT * SCALE - below)}">{escape(line)}</text>'
            for below, line in zip((30.0, 11.0), words, strict=True)
        ),
        "</svg>\n",
    ]
    return "\n".join(out)
