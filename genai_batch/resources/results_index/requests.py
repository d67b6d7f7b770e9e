"""The requests of a job in their order: for each where its line begins, and where its key does among the keys."""

from array import array
from itertools import accumulate

from genai_batch.resources.results_index.pieces import Sections
from genai_batch.resources.results_index.runs import Asked, Stretch
from genai_batch.resources.results_index.spread import Spread

PLACE = 16
"""Bytes that say where the line of a request begins, and where its key."""


class Requests:
    """The requests taken so far."""

    def __init__(self, sections: Sections, end: int) -> None:
        """Begin with none; `end` is where the last line will end."""
        self.count = 0
        self.keys = Spread(sections.new())
        self._places, self._text = sections.new("requests"), sections.new("keys")
        self._end = end
        self._early: dict[int, tuple[int, Asked]] = {}
        self._next = 0

    def take(self, stretch: Stretch, found: Asked) -> None:
        """Take what a stretch held; one that comes before its turn is kept until then."""
        self._early[stretch.start] = stretch.end, found
        while turn := self._early.pop(self._next, None):
            self._next, found = turn
            self.add(found)

    def add(self, found: Asked) -> None:
        """Take more requests."""
        begins = accumulate((size + 1 for size in array("H", found.sizes)), initial=self._text.size)
        both = array("Q", bytes(PLACE * found.count))
        both[::2], both[1::2] = array("Q", found.places), array("Q", begins)[:-1]
        self._places.add(both.tobytes())
        self._text.add(found.text)
        self.keys.add(self.count, found.keys)
        self.count += found.count

    def key(self, number: int) -> str:
        """The key of one."""
        (_, begin), (_, end) = self._place(number), self._place(number + 1)
        return self._text.read(begin, end - begin - 1).decode()

    def line(self, number: int) -> tuple[int, int]:
        """Where the line of one begins, and its length."""
        (begin, _), (end, _) = self._place(number), self._place(number + 1)
        return begin, end - begin

    def _place(self, number: int) -> tuple[int, ...]:
        if number == self.count:
            return self._end, self._text.size
        return tuple(array("Q", self._places.read(PLACE * number, PLACE)))
