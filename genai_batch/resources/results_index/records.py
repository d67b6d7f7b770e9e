"""How the index keeps what it knows of a row."""

import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from genai_batch.resources.jobs import OUTCOMES, Outcome
from genai_batch.resources.results_index.runs import CODES, GROUP, MORE

MISSING = OUTCOMES.index("missing")
CODE: dict[Outcome, int] = {outcome: code for code, outcome in enumerate(OUTCOMES)}
GOOD = 2
RANK = bytes({"ok": GOOD, "truncated": 1}.get(outcome, 0) for outcome in OUTCOMES)
"""By code: of several answers in one attempt the one of the highest rank is kept, and no later one of a lower."""
MEDIA = 1
"""The mark of a row with pictures or sounds."""


class Why(NamedTuple):
    """A finish reason, and the class of the error where the row is not ok."""

    finish_reason: str | None
    error: str | None


PLAIN = Why("STOP", None)


UNKNOWN = -1
"""Stands for what a row cost where no price is known."""


class Row(NamedTuple):
    """What is known of a row: bytes in results.jsonl, and tokens.

    Of one that is not plain also the units it cost, the number of its reason, its code and its marks.
    """

    offset: int
    length: int
    asked: int
    written: int
    thought: int
    cached: int
    cost: int | None = None
    why: int = 0
    code: int = 0
    marks: int = 0

    def units(self, rates: "TextRates") -> int:
        """Units that it cost, or `UNKNOWN`; of a plain row they are not written down, and follow from its tokens."""
        if self.cost is not None:
            return self.cost
        own = rates.at(self.offset)
        return of_text(own, max(0, self.asked - self.cached), self.written, self.cached) if own else UNKNOWN


class TextRates(NamedTuple):
    """From which byte of results.jsonl on tokens of text cost how many units: asked, written, cached."""

    begins: list[int]
    rates: list[Sequence[int]]

    def at(self, offset: int) -> Sequence[int] | None:
        """What holds for a row that begins there; None where no price is known."""
        return self.rates[bisect_right(self.begins, offset) - 1] if self.rates else None


def of_text(rates: Sequence[int], fresh: int, written: int, cached: int) -> int:
    """Units that tokens of text cost together, none of them in a long prompt."""
    return fresh * rates[0] + written * rates[1] + cached * rates[2]


class Runs:
    """Runs of rows in a section: the first number of each, where it begins, and whether its rows are plain."""

    def __init__(self, runs: list[list[int]], read: Callable[[int, int], bytes]) -> None:
        """`read` gives so many bytes of the section from a place."""
        self._runs, self._read = runs, read
        self._firsts = array("Q", [run[0] for run in runs])

    def row(self, number: int) -> Row:
        """Read a row by its number."""
        first, at, count, plain = self._runs[bisect_right(self._firsts, number) - 1]
        codes, width = (CODES, _PLAIN_WIDTH) if plain else (CODES + MORE, _FULL_WIDTH)
        group, place = divmod(number - first, GROUP)
        many = min(GROUP, count - group * GROUP)
        content = self._read(at + group * GROUP * width, many * width)
        values: list[int] = []
        begin = 0
        for code in codes:
            values += _ONE[code].unpack_from(content, begin + place * _WIDTH[code])
            begin += many * _WIDTH[code]
        return Row(*values)

    def attempts(self, begins: Sequence[int]) -> list[tuple[int, int]]:
        """From which number on rows are of which attempt, counted from 0; `begins` is where the later ones begin.

        Inside a run the places of rows ascend, so a few records of each tell.
        """
        found: list[tuple[int, int]] = []
        for first, _, count, _ in self._runs:
            run = range(first, first + count)
            starts = [first, *(first + bisect_left(run, begin, key=self._place) for begin in begins), run.stop]
            found += [(start, attempt) for attempt, (start, end) in enumerate(pairwise(starts)) if start < end]
        return [each for each, before in zip(found, [(0, -1), *found], strict=False) if each[1] != before[1]]

    def _place(self, number: int) -> int:
        return self.row(number).offset

    def columns(self) -> Iterator[tuple[int, list[Sequence[int]]]]:
        """Read all rows, a group at a time: the number of its first, and the columns in the order of `Row`."""
        for first, at, count, plain in self._runs:
            codes = CODES if plain else CODES + MORE
            width = sum(map(_WIDTH.__getitem__, codes))
            for start in range(0, count, GROUP):
                many = min(GROUP, count - start)
                content = self._read(at + start * width, many * width)
                ends = accumulate(many * _WIDTH[code] for code in codes)
                parts = zip(codes, ends, strict=True)
                yield (
                    first + start,
                    [struct.unpack_from(f"={many}{code}", content, end - many * _WIDTH[code]) for code, end in parts],
                )


_ONE = {code: struct.Struct(f"={code}") for code in CODES + MORE}
_WIDTH = {code: one.size for code, one in _ONE.items()}
_PLAIN_WIDTH = sum(_WIDTH[code] for code in CODES)
_FULL_WIDTH = _PLAIN_WIDTH + sum(_WIDTH[code] for code in MORE)
