"""A block of lines against what was learned: most match, the rest is left to the exact reader."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress
from typing import NamedTuple

from msgspec import Struct

from genai_batch.resources.preflight.formed import Formed, Met, Span, meet
from genai_batch.resources.preflight.forms import Form, Variant
from genai_batch.resources.preflight.keys import Keys

RUN = 32 * 1024
"""Bytes of lines decoded together: so few that the rows are still in the cache when they are looked at."""
MOST = 256
"""Variants that are remembered; rows that differ more than that are read exactly."""


class Run(Struct, array_like=True):
    """Neighbouring lines of a block, from byte to byte; `missed` are those that did not match: number, start, end."""

    start: int
    end: int
    lines: int
    missed: list[tuple[int, int, int]]


class Matched(NamedTuple):
    """What matching a block gives: its runs in order, and after the last the rows of each variant.

    Lines are counted from the start of the block.
    """

    runs: Iterable[Run]
    met: Mapping[int, Met]


class Matcher:
    """Matches blocks and notes the keys of rows that match."""

    def __init__(self, keys: Keys) -> None:
        """Know nothing yet."""
        self.keys = keys
        self._numbers: dict[Variant, int] = {}
        self._forms: dict[Form, Formed] = {}

    def learn(self, variant: Variant) -> bool:
        """Remember a variant by its number, the next; whether it was new."""
        if variant in self._numbers or len(self._numbers) >= MOST:
            return False
        number = self._numbers[variant] = len(self._numbers)
        if variant.form not in self._forms:
            self._forms[variant.form] = Formed(variant)
        self._forms[variant.form].learn(variant, number)
        return True

    def match(self, block: bytes) -> Matched:
        """Match a block run by run as they are asked for."""
        met: dict[int, Met] = {}
        return Matched(self._runs(block, met), met)

    def _runs(self, block: bytes, met: dict[int, Met]) -> Iterator[Run]:
        file, start, line = io.BytesIO(block), 0, 0
        while start < len(block):
            run = self._next(file, block, start, line, met) if self._forms else _unmatched(block, start)
            yield run
            start, line = run.end, line + run.lines

    def _next(self, file: io.BytesIO, block: bytes, start: int, line: int, met: dict[int, Met]) -> Run:
        file.seek(start)
        lines = file.readlines(RUN)
        end = file.tell()
        missed = self._run(lines, Span(block, start, end), line, met)
        return Run(start, end, len(lines), _placed(lines, missed, start) if missed else [])

    def _run(self, lines: list[bytes], span: Span | None, line: int, met: dict[int, Met]) -> Sequence[int]:
        """Match lines form by form; the indices of those left over."""
        left: Sequence[int] = range(len(lines))
        for formed in self._forms.values():
            mine = lines if len(left) == len(lines) else [lines[index] for index in left]
            found = formed.match(mine, span)
            self.keys.add(found.keys)
            for number, rows in found.met.items():
                meet(met, number, rows.rows, line + left[rows.line], rows.key)
            if not found.missed:
                return ()
            left = [left[index] for index in found.missed]
            span = None
        return left


def _unmatched(block: bytes, start: int) -> Run:
    """A run of which nothing matches, without a copy of its lines."""
    missed: list[tuple[int, int, int]] = []
    end = start
    while end < len(block) and end - start < RUN:
        missed.append((len(missed), end, block.find(b"\n", end) + 1))
        end = missed[-1][2]
    return Run(start, end, len(missed), missed)


def _placed(lines: list[bytes], missed: Sequence[int], start: int) -> list[tuple[int, int, int]]:
    """Find where in the block the missed lines are."""
    wanted = bytearray(len(lines))
    for index in missed:
        wanted[index] = True
    places: list[tuple[int, int, int]] = []
    for index, line in enumerate(lines):
        places.append((index, start, start + len(line)))
        start += len(line)
    return list(compress(places, wanted))
