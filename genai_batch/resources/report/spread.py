"""How a number is spread over the rows of a job: counted in one pass, in memory that does not grow with them."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from math import ceil, floor, log10
from typing import NamedTuple

_TENTHS = (1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8)
"""Numbers that part a decade evenly and are still round (Renard's)."""
_DISTINCT = 20_000
_LINEAR, _MOST = 6, 24
"""A spread narrower than this ratio gets bins of equal width; no plot has more bins than this."""


class Bin(NamedTuple):
    """Rows whose number is at least `start` and below `end`."""

    start: float
    end: float
    rows: int


class Spread:
    """Counts of whole numbers from 0; where there are very many different ones, to three digits."""

    def __init__(self) -> None:
        """Start with none."""
        self._counts: Counter[int] = Counter()
        self.largest = 0
        self.total = 0

    def add(self, values: Sequence[int]) -> None:
        """Count the numbers of some rows."""
        self.total += sum(values)
        self.largest = max(self.largest, max(values, default=0))
        self._counts.update(values)
        if len(self._counts) > _DISTINCT:
            exact, self._counts = self._counts, Counter()
            for value, count in exact.items():
                self._counts[_rounded(value)] += count

    @property
    def rows(self) -> int:
        """How many rows were counted."""
        return self._counts.total()

    def quantile(self, share: float) -> int:
        """The number that so large a share of the rows does not exceed."""
        left = max(1, ceil(self.rows * share))
        for value in sorted(self._counts):
            left -= self._counts[value]
            if left <= 0:
                return value
        return 0

    def bins(self) -> list[Bin]:
        """Group the rows for a plot, finely where numbers are small; zero stands for itself."""
        above = {value: count for value, count in self._counts.items() if value > 0}
        none = [Bin(0, 0, self._counts[0])] if self._counts[0] else []
        if not above:
            return none
        edges = _edges(min(above), max(above))
        counts = [0] * (len(edges) - 1)
        for value, count in above.items():
            counts[bisect_right(edges, value) - 1] += count
        return none + [Bin(edges[i], edges[i + 1], count) for i, count in enumerate(counts)]


def _rounded(value: int) -> int:
    """Leave three digits of a number."""
    return value if value < 1_000 else value - value % 10 ** (len(str(value)) - 3)


def _edges(low: int, high: int) -> list[float]:
    """Round numbers from `low` or below to above `high`."""
    if high < _LINEAR * low or high - low < _MOST // 2:
        step = _nice((high - low + 1) / 12)
        start = floor(low / step) * step
        return [start + step * i for i in range(floor((high - start) / step) + 2)]
    decades = range(floor(log10(low)), floor(log10(high)) + 2)
    for steps in (_TENTHS, _TENTHS[::2], (1, 3.15), (1,)):
        edges = sorted({ceil(step * 10**decade) for decade in decades for step in steps})
        edges = edges[bisect_right(edges, low) - 1 : bisect_right(edges, high) + 1]
        if len(edges) <= _MOST:
            break
    return [float(edge) for edge in edges]


def _nice(step: float) -> int:
    """The next round whole number."""
    decade = 10 ** floor(log10(max(step, 1)))
    return max(1, next(int(each * decade) for each in (1, 2, 5, 10) if each * decade >= step))
