"""A picture of cost against size: both axes logarithmic, a line for each case and each peer, as SVG.

Colours and lines are readable on white and on dark; a line of slope one is cost in proportion to size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 920, 560
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 290, 46, 56
_COLOURS = (
    "#3b82d6 #d9622b #2f9e63 #b04fc0 #c99a10 #19a3b1 #d6457a #7a6ff0 #8a8f3c #8b7d77"
)

_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #333 }
.title { font-size: 15px; font-weight: 600 }
.grid { stroke: #888; stroke-opacity: 0.35 }
.frame { stroke: #888; fill: none }
polyline { fill: none; stroke-width: 2.2 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } }
"""


@dataclass(frozen=True)
class Line:
    """One line: seconds by size; those of peers are dashed."""

    label: str
    seconds: Mapping[int, float]
    peer: bool = False


def svg(
    title: str,
    lines: Sequence[Line],
    *,
    across: str = "events in the calendar",
    up: str = "time of a cycle",
) -> str:
    """The picture as the text of a file; `across` and `up` are written along the axes."""
    points = [point for line in lines for point in line.seconds.items()]
    scale = _Scale(
        (min(size for size, _ in points), max(size for size, _ in points)),
        (
            math.floor(math.log10(min(seconds for _, seconds in points))),
            math.ceil(math.log10(max(seconds for _, seconds in points))),
        ),
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style>",
            f'<text class="title" x="{_LEFT}" y="26">{escape(title)}</text>',
            *_axes(scale, sorted({size for size, _ in points}), across, up),
            *_drawn(scale, lines),
            "</svg>\n",
        ]
    )


@dataclass(frozen=True)
class _Scale:
    """Where a size and a time are; the times as powers of ten."""

    sizes: tuple[int, int]
    decades: tuple[int, int]

    def x(self, size: int) -> float:
        first, last = map(math.log10, self.sizes)
        share = (math.log10(size) - first) / ((last - first) or 1.0)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, seconds: float) -> float:
        first, last = self.decades
        share = (math.log10(seconds) - first) / ((last - first) or 1)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _axes(scale: _Scale, sizes: Sequence[int], across: str, up: str) -> Iterator[str]:
    left, right, top, bottom = _LEFT, _WIDTH - _RIGHT, _TOP, _HEIGHT - _BOTTOM
    for decade in range(scale.decades[0], scale.decades[1] + 1):
        y = scale.y(10.0**decade)
        yield f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{_named(decade)}</text>'
    for size in sizes:
        x = scale.x(size)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{size:,}</text>'
    yield f'<rect class="frame" x="{left}" y="{top}" width="{right - left}" height="{bottom - top}"/>'
    x, y = (left + right) / 2, (top + bottom) / 2
    yield f'<text x="{x}" y="{bottom + 42}" text-anchor="middle">{escape(across)}</text>'
    yield f'<text transform="translate(18 {y}) rotate(-90)" text-anchor="middle">{escape(up)}</text>'


def _named(decade: int) -> str:
    """A power of ten seconds as people write it."""
    for power, unit in ((0, "s"), (-3, "ms"), (-6, "µs")):
        if decade >= power:
            return f"{10 ** (decade - power):,} {unit}"
    return f"1e{decade} s"


def _drawn(scale: _Scale, lines: Sequence[Line]) -> Iterator[str]:
    """The lines, and a legend in the order in which they end."""
    ranked = sorted(enumerate(lines), key=lambda one: -max(one[1].seconds.items())[1])
    colours = _COLOURS.split()
    for rank, (number, line) in enumerate(ranked):
        colour = colours[number % len(colours)]
        dashes = ' stroke-dasharray="7 4"' if line.peer else ""
        corners = [
            (scale.x(size), scale.y(seconds))
            for size, seconds in sorted(line.seconds.items())
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
        yield f'<polyline points="{path}" stroke="{colour}"{dashes}/>'
        yield from (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{colour}"/>'
            for x, y in corners
        )
        x, y = _WIDTH - _RIGHT + 18, _TOP + 14 + 24 * rank
        yield f'<polyline points="{x},{y - 4} {x + 28},{y - 4}" stroke="{colour}"{dashes}/>'
        yield f'<text x="{x + 36}" y="{y}">{escape(line.label)}</text>'
