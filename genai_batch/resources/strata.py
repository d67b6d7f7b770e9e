"""A sample drawn by strata: rows of like size are drawn from together, so that a few large ones are not missed.

A row is as large as it may turn out: likely, plausibly or at most (`Size`). A stratum gets rows of the sample by the
mean of its share of all rows and the largest of its shares of their sizes. Large rows so get more than a plain draw
would give them, and no stratum gets much less than half of that.
"""

from collections.abc import Iterable, Sequence
from heapq import heappush, heapreplace
from math import floor, log2
from random import Random
from typing import NamedTuple

from genai_batch.resources.row_sizes import Size

_PER_OCTAVE = 4
"""Classes of size between one size and twice that.

A row is in the class of the geometric mean of its sizes, so that it stands out whichever of them sets it apart.
"""
_SPAN = 2
"""Classes that a stratum spans, where strata are not too many then."""
_WORTH = 0.002
"""Share of all rows, or of their size, from which rows are a stratum of their own."""
_MOST, _MEAN, _LEAST = 6, 5, 3
"""Strata at most, and rows of the sample that a stratum has on the mean, and at least; of a small sample both are 2."""
_MISSED = 0.05
"""Chance at which a kind of row may be missed of which it is not said that it may be."""


class Stratum(NamedTuple):
    """How many rows of a job are of like size, and the numbers of those that were drawn."""

    rows: int
    drawn: tuple[int, ...]


class _Group:
    """Rows of like size: their number, their sizes together, and some of them, with a random number each."""

    __slots__ = ("largest", "likely", "most", "plausible", "rows", "sampled")

    def __init__(self, largest: int) -> None:
        """Hold no row; `largest` is the class of the largest rows that it will hold."""
        self.largest, self.rows = largest, 0
        self.likely = self.plausible = self.most = 0.0
        self.sampled: list[tuple[float, int]] = []

    def merge(self, other: "_Group") -> None:
        """Take in the rows of another group."""
        self.rows += other.rows
        self.likely += other.likely
        self.plausible += other.plausible
        self.most += other.most
        self.sampled += other.sampled

    def share(self, all_: "_Group") -> float:
        """The largest of its shares of the sizes of all rows."""
        return max(self.likely / all_.likely, self.plausible / all_.plausible, self.most / all_.most)


def draw(sizes: Iterable[Size], count: int, seed: str) -> list[Stratum]:
    """Draw `count` rows of a job by their sizes, which are above 0; the largest rows are the first stratum.

    The same sizes and seed draw the same rows. Of the rows no more is kept than a sample of each class of size.

    Raises:
        ValueError: there are fewer rows than that.
    """
    classes = _classes(sizes, count, Random(seed))  # noqa: S311 - a seed, so that a sample can be drawn again
    all_ = _merged(classes)
    if all_.rows < count:
        raise ValueError(f"there are fewer than {count} rows to draw from")
    groups = _grouped(classes, all_, count)
    return [
        Stratum(group.rows, tuple(number for _, number in sorted(group.sampled, reverse=True)[:rows]))
        for group, rows in zip(groups, _allotted(groups, all_, count), strict=True)
    ]


def unseen_share(drawn: int) -> float:
    """The share of rows up to which a kind of row may be missing from so many that were drawn, at 95 %."""
    return 1 - _MISSED ** (1 / drawn)


def _classes(sizes: Iterable[Size], count: int, chance: Random) -> list[_Group]:
    """Sort rows into classes of size, largest first, and keep the `count` with the highest random numbers of each."""
    classes: dict[int, _Group] = {}
    for number, (likely, plausible, most) in enumerate(sizes):
        place, priority = floor(_PER_OCTAVE / 3 * log2(likely * plausible * most)), chance.random()
        group = classes.get(place)
        if group is None:
            group = classes[place] = _Group(place)
        group.rows += 1
        group.likely += likely
        group.plausible += plausible
        group.most += most
        if len(group.sampled) < count:
            heappush(group.sampled, (priority, number))
        elif priority > group.sampled[0][0]:
            heapreplace(group.sampled, (priority, number))
    return [classes[place] for place in sorted(classes, reverse=True)]


def _merged(groups: Sequence[_Group]) -> _Group:
    """All rows of some groups."""
    merged = _Group(groups[0].largest)
    for group in groups:
        merged.merge(group)
    return merged


def _grouped(classes: list[_Group], all_: _Group, count: int) -> list[_Group]:
    """Merge classes into strata, which span the more classes the more there are."""
    width, most = _SPAN, min(_MOST, max(1, min(2, count // 2), count // _MEAN))
    while len(groups := _spanning(classes, all_, width)) > most:
        width *= 2
    return groups


def _spanning(classes: list[_Group], all_: _Group, width: int) -> list[_Group]:
    """Merge classes into strata that span so many; one that is not worth it spans more."""
    groups: list[_Group] = []
    for group in classes:
        if groups and (groups[-1].largest - group.largest < width or not _is_worth(groups[-1], all_)):
            groups[-1].merge(group)
        else:
            groups.append(_merged([group]))
    if len(groups) > 1 and not _is_worth(groups[-1], all_):
        smallest = groups.pop()
        groups[-1].merge(smallest)
    return groups


def _is_worth(group: _Group, all_: _Group) -> bool:
    """Whether rows are many, or large, enough to be a stratum of their own."""
    return max(group.rows / all_.rows, group.share(all_)) >= _WORTH


def _allotted(groups: list[_Group], all_: _Group, count: int) -> list[int]:
    """How many rows of the sample each stratum gets."""
    shares = [group.rows / all_.rows + group.share(all_) for group in groups]
    allotted = [min(_LEAST, group.rows, count // len(groups)) for group in groups]
    while sum(allotted) < count:
        places = [place for place, group in enumerate(groups) if allotted[place] < group.rows]
        place = max(places, key=lambda place: shares[place] / (allotted[place] + 0.5))
        allotted[place] += 1
    return allotted
