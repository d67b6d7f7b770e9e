"""A block of lines against what was learned: most match, the rest is left to the exact reader."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress
from typing import NamedTuple, Protocol

from msgspec import Struct

from genai_batch.resources.preflight import sampling
from genai_batch.resources.preflight.formed import Formed, Met, Span, meet
from genai_batch.resources.preflight.forms import Form, Variant
from genai_batch.resources.preflight.sampling import Kinds, Lesson, Sample

RUN = 32 * 1024
"""Bytes of lines decoded together: so few that the rows are still in the cache when they are looked at."""
MOST = 256
"""Variants that are remembered; rows that differ more than that are read exactly."""


class Run(Struct, array_like=True):
    """Neighbouring lines of a block, from byte to byte.

    `missed` are those that did not match: number, start, end. `samples` are the rows that were counted of the others.
    """

    start: int
    end: int
    lines: int
    missed: list[tuple[int, int, int]]
    samples: list[Sample] = []


class Matched(NamedTuple):
    """What matching a block gives: its runs in order, and after the last the rows of each variant.

    Lines are counted from the start of the block.
    """

    runs: Iterable[Run]
    met: Mapping[int, Met]


class Noted(Protocol):
    """Takes the keys of rows."""

    def add(self, keys: Iterable[str]) -> None:
        """Note keys."""


class Matcher:
    """Matches blocks, notes the keys of rows that match, and counts the tokens of a sample of them."""

    def __init__(self, keys: Noted, step: int = 0) -> None:
        """Know nothing yet; count a row at every `step` bytes, none with 0."""
        self.keys, self.step = keys, step
        self._numbers: dict[Variant, int] = {}
        self._silent: list[Kinds] = []
        self._forms: dict[Form, Formed] = {}

    def lacks(self, variant: Variant) -> bool:
        """Whether a variant is new, and can be remembered."""
        return variant not in self._numbers and len(self._numbers) < MOST

    def learn(self, lesson: Lesson) -> None:
        """Remember a variant that is lacking, by its number, the next."""
        variant = lesson.variant
        number = self._numbers[variant] = len(self._numbers)
        self._silent.append(lesson.silent)
        if variant.form not in self._forms:
            self._forms[variant.form] = Formed(variant)
        self._forms[variant.form].learn(variant, number)

    def match(self, block: bytes, offset: int = 0) -> Matched:
        """Match a block, which lies at `offset` of its source, run by run as they are asked for."""
        met: dict[int, Met] = {}
        return Matched(self._runs(block, offset, met), met)

    def _runs(self, block: bytes, offset: int, met: dict[int, Met]) -> Iterator[Run]:
        file, start, line, is_ascii = io.BytesIO(block), 0, 0, bool(self._forms) and block.isascii()
        while start < len(block):
            run = self._followed(block, start, line, met, is_ascii=is_ascii)
            run = run or (self._next(file, block, start, line, met) if self._forms else _unmatched(block, start))
            if self._forms:
                run.samples = [*self._samples(block, offset, run)]
            yield run
            start, line = run.end, line + run.lines

    def _followed(self, block: bytes, start: int, line: int, met: dict[int, Met], *, is_ascii: bool) -> Run | None:
        """The lines from `start` on that follow a template."""
        for formed in self._forms.values():
            end, keys, number = formed.follow(block, start, is_ascii=is_ascii)
            if keys:
                self.keys.add(keys)
                meet(met, number, len(keys), line, keys[0])
                return Run(start, end, len(keys), [])
        return None

    def _samples(self, block: bytes, offset: int, run: Run) -> Iterator[Sample]:
        missed = {start for _, start, _ in run.missed}
        for start, end in sampling.rows(block, offset, run.start, run.end, self.step):
            if start not in missed and (found := self._words(block[start:end])):
                number, texts = found
                rows = sampling.weight(end - start, self.step)
                yield Sample(number, rows, sampling.of_texts(texts, self._silent[number]))

    def _words(self, line: bytes) -> tuple[int, list[str]] | None:
        return next((found for formed in self._forms.values() if (found := formed.words(line))), None)

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
