"""Plots as inline SVG: coloured by the page's own classes, sized by attributes, readable by what reads pages aloud."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from genai_batch.resources.report.spread import Bin

_WIDTH, _HEIGHT = 360, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 16, 12, 34
_LETTER = 6.2
"""Width of a letter of a label, and the least space between two."""


class Piece(NamedTuple):
    """A part of a bar: its share of the whole, the class that colours it, and what it is."""

    share: float
    style: str
    title: str


class Mark(NamedTuple):
    """A labelled place on a scale."""

    at: float
    style: str
    label: str


def compact(number: float, digits: int = 3) -> str:
    """Write a number with few characters."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.{digits}g}{unit}"
    return f"{number:.3g}"


def histogram(bins: Sequence[Bin], title: str, unit: str) -> Markup:
    """Draw how many rows lie in each bin; bins of growing width stand side by side, equally wide."""
    most = max(one.rows for one in bins)
    step = (_WIDTH - _LEFT - _RIGHT) / len(bins)
    base = _HEIGHT - _BOTTOM
    body = [_grid(most, base)]
    for place, one in enumerate(bins):
        if one.rows:
            height = max(1.5, (base - _TOP) * one.rows / most)
            box = _box(_LEFT + place * step + step * 0.08, base - height, step * 0.84, height)
            said = f"{_range(one)} {unit}: {one.rows:,} {'row' if one.rows == 1 else 'rows'}"
            body.append(Markup('<rect class="bar" {} rx="1.5"><title>{}</title></rect>').format(box, said))
    body += _axis(bins, step, base, unit)
    return _figure(_WIDTH, _HEIGHT, title, body)


def bar(pieces: Sequence[Piece], title: str) -> Markup:
    """Draw the parts of a whole side by side; the smallest can still be seen."""
    least, width = 3.0, 720.0
    wide = [max(least, piece.share * width) for piece in pieces]
    scale = width / sum(wide)
    body: list[Markup] = []
    at = 0.0
    for piece, own in zip(pieces, wide, strict=True):
        box = _box(at, 0, max(1.0, own * scale - 1.5), 14)
        body.append(Markup('<rect class="{}" {}><title>{}</title></rect>').format(piece.style, box, piece.title))
        at += own * scale
    return _figure(round(width), 14, title, body, stretch=True)


def scale(low: float, high: float, marks: Sequence[Mark], title: str) -> Markup:
    """Draw a range and the places of some marks, on a scale from zero; their labels are said beside the plot."""
    end = max([high, *(mark.at for mark in marks)]) * 1.06 or 1

    def x(value: float) -> float:
        return 6 + 708 * value / end

    body = [
        Markup('<rect class="track" {} rx="3"/>').format(_box(6, 14, 708, 10)),
        Markup('<rect class="range" {} rx="3"/>').format(_box(x(low), 14, max(2, x(high) - x(low)), 10)),
    ]
    for mark in marks:
        box = _box(x(mark.at) - 2, 5, 4, 28)
        body.append(Markup('<rect class="{}" {} rx="2"><title>{}</title></rect>').format(mark.style, box, mark.label))
    return _figure(720, 38, title, body, stretch=True)


def _grid(most: int, base: float) -> Markup:
    lines: list[Markup] = []
    for value in sorted({most, most // 2, 0}):
        y = base - (base - _TOP) * value / most
        where = Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>')
        label = Markup('<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>')
        lines.append(where.format(_LEFT, _WIDTH - _RIGHT, y, y) + label.format(_LEFT - 5, y + 3.5, compact(value)))
    return Markup("").join(lines)


def _axis(bins: Sequence[Bin], step: float, base: float, unit: str) -> list[Markup]:
    """Label the edges of the bins where there is room, the roundest where there are many, and say what is counted."""
    edges = [(_LEFT + place * step, one.start) for place, one in enumerate(bins) if one.end > one.start]
    edges += [(_WIDTH - _RIGHT, bins[-1].end)] if edges else []
    round_ones = [edge for edge in edges if f"{edge[1]:.0f}".rstrip("0") in ("1", "2", "5", "")]
    chosen = round_ones if len(round_ones) > 2 else edges
    zero = [(_LEFT + step / 2, 0.0)] if bins[0].end == bins[0].start else []
    digits = 4 if edges and edges[-1][1] < 2 * edges[0][1] else 3
    text = Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>')
    found: list[Markup] = []
    free = 0.0
    for at, value in [*zero, *chosen]:
        half = _LETTER * len(label := compact(value, digits)) / 2
        if at - half >= free:
            found.append(text.format(at, base + 13, label))
            free = at + half + _LETTER
    name = Markup('<text class="name" x="{}" y="{}" text-anchor="middle">{}</text>')
    return [*found, name.format((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 5, unit)]


def _range(one: Bin) -> str:
    if one.end - one.start <= 1:
        return compact(one.start, 4)
    return f"{compact(one.start, 4)} to {compact(one.end, 4)}"


def _box(x: float, y: float, width: float, height: float) -> Markup:
    return Markup('x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"').format(x, y, width, height)


def _figure(width: int, height: int, title: str, body: Sequence[Markup], *, stretch: bool = False) -> Markup:
    ratio = Markup(' preserveAspectRatio="none"') if stretch else Markup("")
    head = Markup('<svg viewBox="0 0 {} {}"{} role="img" aria-label="{}">').format(width, height, ratio, title)
    return head + Markup("").join(body) + Markup("</svg>")
