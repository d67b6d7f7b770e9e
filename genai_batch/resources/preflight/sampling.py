"""Input tokens of a large source from a sample, of a small one row by row.

Of a small source every row is counted whole. Of a larger one a fixed share of the bytes is: at every `stride`-th byte
of the file the row that lies there is counted, and stands for `stride` bytes. So a row is met in proportion to its
length, a row longer than the stride is always counted itself, and the sum is free of bias however the rows are mixed
(systematic sampling with probability proportional to size). Its error falls with the root of the number counted, some
thousands: for a file of prose a few tenths of a percent, below 1 % also where the languages are mixed. Rows that hold
media do not take part: they have no form, so the exact reader hands each of them over whole.

Of a text longer than `WINDOW` characters one or more windows are counted, cut between words; a row that may lie above
the price step at `LONG` tokens is counted whole.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from genai_batch.resources.preflight.forms import Variant
from genai_batch.resources.tiers import LONG
from genai_batch.resources.tokens.text import Share, share

SMALL = 512 * 1024
"""Bytes of a source of which every row is counted; of a larger one at least as many bytes are."""
WINDOW = 512
_SHARE = 1 / 256
_PER_PART = 50
_CLOSE = 0.85
_EDGE = 24
_APART = 32 * 1024
Kinds = dict[str, float]
"""Tokens by kind."""


class Lesson(Struct, array_like=True):
    """A variant, and the tokens of its rows but for those of their texts."""

    variant: Variant
    silent: Kinds


class Sample(Struct, array_like=True):
    """A row that was looked at: the number of its variant, how many rows it stands for, its tokens."""

    number: int
    weight: float
    kinds: Kinds


def stride(size: int, row: float, part_tokens: float) -> int:
    """Bytes between the rows counted in a source of `size` bytes whose rows have `row` bytes; 0 is each row, whole.

    At least `_PER_PART` rows are counted for every part of `part_tokens` tokens, so a part may exceed its limit by
    the error of so many, 2 or 3 %, which the share of the allowance that a part takes leaves room for.
    """
    if size <= SMALL:
        return 0
    portion = max(_SHARE, SMALL / size)
    return max(1, int(min(min(row, WINDOW) / portion, 128 * 1024, part_tokens * 3 / _PER_PART)))


def rows(block: bytes, offset: int, start: int, end: int, step: int) -> Iterator[tuple[int, int]]:
    """Where the rows begin and end that lie at every `step`-th byte of a source; the block is at `offset` of it."""
    if step:
        seen = -1
        for place in range(start + -(offset + start) % step, end, step):
            first = max(start, block.rfind(b"\n", start, place) + 1)
            if first != seen:
                seen = first
                yield first, block.find(b"\n", place) + 1


def weight(size: int, step: int) -> float:
    """How many rows a counted row of `size` bytes stands for: itself, where such a row is always counted."""
    return max(1, step / size)


def of_texts(texts: Iterable[str], silent: Kinds) -> Kinds:
    """Tokens of a row of these texts, from windows where they are long; `silent` are those of all else in it."""
    texts, counts, guessed = [*texts], dict(silent), False
    for text in texts:
        is_long = len(text) > 2 * WINDOW
        guessed |= is_long
        _add(counts, *(_windowed(text) if is_long else (share(text), 1)))
    if guessed and _CLOSE * LONG < sum(counts.values()) < LONG / _CLOSE:
        counts = dict(silent)
        for text in texts:
            _add(counts, share(text), 1)
    return counts


def _add(counts: Kinds, found: Share, times: float) -> None:
    for kind, count in zip(Share._fields, found, strict=True):
        if count:
            counts[kind] = counts.get(kind, 0) + times * count


def _windowed(text: str) -> tuple[Share, float]:
    """What was counted of a text, and how many times as long the text is."""
    seen = " ".join(_windows(text))
    return share(seen), len(text) / len(seen)


def _windows(text: str) -> Iterator[str]:
    """Pieces from all over a text, each begun and ended between words where there are words."""
    span = len(text) // (1 + len(text) // _APART)
    for first in range(0, len(text) - span + 1, span):
        start = first + len(text) * 40_503 % (span - WINDOW)
        end = start + WINDOW
        head, tail = text.find(" ", start, start + _EDGE), text.rfind(" ", end - _EDGE, end)
        yield text[head + 1 if head > 0 else start : tail if tail > 0 else end]
