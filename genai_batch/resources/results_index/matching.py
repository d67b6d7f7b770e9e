"""Which row answers which request: compared part by part, so that neither all keys nor all rows are held at once."""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from heapq import heappush, heappushpop
from typing import NamedTuple, cast

from genai_batch.resources.errors import LedgerError
from genai_batch.resources.results_index.records import RANK, Row
from genai_batch.resources.results_index.spread import Part

NAMED = 100
"""Keys of repeated, and of unmatched, rows that are kept by name."""


class Source(NamedTuple):
    """Rows by number: the record, the line in results.jsonl, and where the second and later attempts begin there."""

    record: Callable[[int], Row]
    line: Callable[[Row], bytes]
    begins: tuple[int, ...]

    def attempt(self, row: Row) -> int:
        """The attempt a row came from, counted from 0."""
        return bisect_right(self.begins, row.offset)


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
        by_request = dict(zip(numbers, rows, strict=True))
        if len(by_request) < len(numbers):
            self._settle(zip(numbers, rows, strict=True), by_request)
        chosen = self.chosen
        for number, row in by_request.items():
            chosen[number] = row

    def _leave(self, count: int, keys: list[bytes]) -> None:
        """Count rows that answer no request, and keep some of their keys: which, only the keys themselves decide."""
        self.unmatched += count
        self.strangers += [key.decode() for key in keys[: NAMED - len(self.strangers)]]

    def _settle(self, pairs: Iterator[tuple[int, int]], by_request: dict[int, int]) -> None:
        """Choose for requests with several answers."""
        several: dict[int, list[int]] = {}
        for number, row in pairs:
            if by_request[number] != row:
                several.setdefault(number, [by_request[number]]).append(row)
        for number, rows in several.items():
            by_request[number] = self._best(number, rows)

    def _best(self, number: int, rows: list[int]) -> int:
        attempts: dict[int, list[int]] = {}
        for row in rows:
            attempts.setdefault(self._source.attempt(self._source.record(row)), []).append(row)
        beyond = len(rows) - len(attempts)
        if beyond:
            self._repeats(number, beyond)
        best = self.none
        for _, each in sorted(attempts.items()):
            now = self._best_of(number, each)
            if best == self.none or self._rank(number, now) >= self._rank(number, best):
                best = now
        return best

    def _best_of(self, number: int, rows: list[int]) -> int:
        """The best of one attempt."""
        top = max(self._rank(number, row) for row in rows)
        best = [row for row in rows if self._rank(number, row) == top]
        return best[0] if len(best) == 1 else min(best, key=self._bytes)

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
