"""Which row answers which request: compared part by part, so that neither all keys nor all rows are held at once."""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from heapq import heappush, heappushpop
from itertools import pairwise
from typing import NamedTuple, cast

from genai_batch.resources.errors import LedgerError
from genai_batch.resources.results_index.records import GOOD, RANK, Row
from genai_batch.resources.results_index.spread import Part

NAMED = 100
"""Keys of repeated, and of unmatched, rows that are kept by name."""


class Source(NamedTuple):
    """Rows by number: the record, the line in results.jsonl, and from which number on rows are of which attempt."""

    record: Callable[[int], Row]
    line: Callable[[Row], bytes]
    attempts: list[tuple[int, int]]


class Matches:
    """The row that stands for each request, and what is left over.

    Within one attempt the row of the highest rank stands; of equal ones the one whose bytes come first, so that the
    order of the rows decides nothing. The answer of a later attempt replaces an earlier one unless its rank is lower.
    """

    def __init__(self, count: int, none: int, source: Source, code: Callable[[int, int], int]) -> None:
        """`none` stands for no row; `code` tells what a row counts as, given the number of a request and its own."""
        self.none = none
        self.chosen = array("I", [none]) * count
        self.repeated = 0
        self.strangers: list[str] = []
        self.unmatched = 0
        self._source, self._code = source, code
        self._first: list[int] = []

    @property
    def repeated_requests(self) -> list[int]:
        """The numbers of the first requests that were answered more than once in an attempt."""
        return sorted(-each for each in self._first)

    def part(self, asked: Part, answered: Part) -> None:
        """Match the requests and the rows of a part.

        Raises:
            LedgerError: a key stands twice among the requests.
        """
        known, keys, rows = dict(zip(asked.keys, asked.numbers, strict=True)), answered.keys, answered.numbers
        if len(known) < len(asked.keys):
            raise LedgerError("requests.jsonl holds a key twice; it was changed. Put it back, then try again.")
        found = list(map(known.get, keys))
        if strangers := found.count(None):
            self._leave(strangers, sorted({key for key, number in zip(keys, found, strict=True) if number is None}))
            rows = [row for row, number in zip(rows, found, strict=True) if number is not None]
        numbers = [number for number in found if number is not None] if strangers else cast("list[int]", found)
        by_request = self._standing(numbers, rows)
        chosen = self.chosen
        for number, row in by_request.items():
            chosen[number] = row

    def plain(self, numbers: Iterable[int], rows: Iterable[int]) -> None:
        """Take rows that each answer a request of its own."""
        chosen = self.chosen
        for number, row in zip(numbers, rows, strict=True):
            chosen[number] = row

    def _leave(self, count: int, keys: list[bytes]) -> None:
        """Count rows that answer no request, and keep some of their keys: which, only the keys themselves decide."""
        self.unmatched += count
        self.strangers += [key.decode() for key in keys[: NAMED - len(self.strangers)]]

    def _standing(self, numbers: list[int], rows: list[int]) -> dict[int, int]:
        """The row that stands for each request of a part, whose rows ascend."""
        standing, beyond = dict[int, int](), dict[int, int]()
        for some, theirs in self._by_attempt(numbers, rows):
            now = dict(zip(some, theirs, strict=True))
            if len(now) < len(some):
                self._settle(zip(some, theirs, strict=True), now, beyond)
            for number in [number for number in now if number in standing and self._is_worse(number, now, standing)]:
                del now[number]
            standing |= now
        for number, count in beyond.items():
            self._repeats(number, count)
        return standing

    def _by_attempt(self, numbers: list[int], rows: list[int]) -> Iterator[tuple[list[int], list[int]]]:
        """Lay requests and rows apart by the attempt that the rows came from, the first one first."""
        cuts = [bisect_left(rows, first) for first, _ in self._source.attempts]
        found: dict[int, tuple[list[int], list[int]]] = {}
        for (_, attempt), (begin, end) in zip(self._source.attempts, pairwise([*cuts, len(rows)]), strict=True):
            some, theirs = found.setdefault(attempt, ([], []))
            some += numbers[begin:end]
            theirs += rows[begin:end]
        for attempt in sorted(found):
            yield found[attempt]

    def _settle(self, pairs: Iterator[tuple[int, int]], now: dict[int, int], beyond: dict[int, int]) -> None:
        """Choose for requests with several answers in one attempt, and count those beyond the first."""
        several: dict[int, list[int]] = {}
        for number, row in pairs:
            if now[number] != row:
                several.setdefault(number, [now[number]]).append(row)
        for number, rows in several.items():
            now[number] = self._best_of(number, rows)
            beyond[number] = beyond.get(number, 0) + len(rows) - 1

    def _best_of(self, number: int, rows: list[int]) -> int:
        """The best of one attempt."""
        ranks = [self._rank(number, row) for row in rows]
        best = [row for row, rank in zip(rows, ranks, strict=True) if rank == max(ranks)]
        return best[0] if len(best) == 1 else min(best, key=self._bytes)

    def _is_worse(self, number: int, now: dict[int, int], standing: dict[int, int]) -> bool:
        """Whether the answer of a later attempt is worse than the one that stands; a good one is never."""
        rank = self._rank(number, now[number])
        return rank < GOOD and rank < self._rank(number, standing[number])

    def _rank(self, number: int, row: int) -> int:
        return RANK[self._code(number, row)]

    def _bytes(self, row: int) -> bytes:
        return self._source.line(self._source.record(row)).strip()

    def _repeats(self, number: int, beyond: int) -> None:
        self.repeated += beyond
        if len(self._first) < NAMED:
            heappush(self._first, -number)
        else:
            heappushpop(self._first, -number)
