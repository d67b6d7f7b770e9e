"""Which bytes of a file have been read, and which are left."""

from bisect import insort
from collections.abc import Iterator
from itertools import pairwise


class Covered:
    """Spans of a file of `size` bytes; no two of them overlap."""

    def __init__(self, size: int) -> None:
        """Begin with none."""
        self._size, self._spans = size, list[tuple[int, int]]()

    def take(self, start: int, end: int) -> bool:
        """Add a span, unless it overlaps another or lies outside."""
        fits = 0 <= start < end <= self._size and all(end <= begin or stop <= start for begin, stop in self._spans)
        if fits:
            insort(self._spans, (start, end))
        return fits

    def left(self, step: int) -> Iterator[tuple[int, int]]:
        """What lies between them, cut into pieces of `step` bytes at most."""
        ends = [(0, 0), *self._spans, (self._size, self._size)]
        for (_, at), (end, _) in pairwise(ends):
            for start in range(at, end, step):
                yield start, min(end, start + step)
