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

from collections.abc import Callable, Iterator
from typing import Any

from genai_batch.resources import tokens
from genai_batch.resources.models import Model
from genai_batch.resources.prices import LONG
from genai_batch.resources.untyped import as_list, as_object, is_list, is_object

SMALL = 512 * 1024
"""Bytes of a source of which every row is counted; of a larger one at least as many bytes are."""
WINDOW = 512
_SHARE = 1 / 128
_PER_PART = 100
_CLOSE = 0.85
_EDGE = 24
_APART = 32 * 1024


def stride(size: int, row: float, part_tokens: float) -> int:
    """Bytes between the rows counted in a source of `size` bytes whose rows have `row` bytes; 0 is each row, whole.

    At least `_PER_PART` rows are counted for every part of `part_tokens` tokens, so a part may exceed its limit by
    the error of so many, 1 or 2 %, which the share of the allowance that a part takes leaves room for.
    """
    if size <= SMALL:
        return 0
    share = max(_SHARE, SMALL / size)
    return max(1, int(min(min(row, WINDOW) / share, 64 * 1024, part_tokens * 3 / _PER_PART)))


class Counter:
    """Counts rows of one source for one model."""

    def __init__(self, model: Model, step: int) -> None:
        """Count a row at every `step` bytes."""
        self._model, self._step = model, step

    def places(self, offset: int, start: int, end: int) -> Iterator[int]:
        """Bytes between `start` and `end` of a block at `offset` of the source at which a row is counted."""
        return iter(range(start + -(offset + start) % self._step, end, self._step))

    @property
    def samples(self) -> bool:
        """Whether only some rows are counted."""
        return self._step > 0

    def weight(self, size: int) -> float:
        """How many rows a counted row of `size` bytes stands for: itself, where such a row is always counted."""
        return max(1, self._step / size)

    def row(self, request: dict[str, Any], size: int) -> dict[str, float]:
        """Tokens by kind of a request of `size` bytes, from windows where its texts are long."""
        if not self._step or size <= 2 * WINDOW:
            return tokens.by_kind(request, self._model)
        spare: list[Spare] = []
        counts = tokens.by_kind(_trimmed(request, spare.append), self._model)
        for share, times in spare:
            for kind, count in zip(share._fields, share, strict=True):
                counts[kind] = counts.get(kind, 0) + times * count
        close = _CLOSE * LONG < sum(counts.values()) < LONG / _CLOSE
        return tokens.by_kind(request, self._model) if close else counts


Spare = tuple[tokens.Share, float]
"""What was counted of a text, and how many times as long the text is."""


def _trimmed(request: dict[str, Any], spare: Callable[[Spare], None]) -> dict[str, Any]:
    """Leave long texts out, telling what windows of them count."""
    name = "contents" if "contents" in request else "content"
    held = request.get(name)
    if is_list(held):
        return {**request, name: [_trimmed_turn(turn, spare) for turn in held]}
    return {**request, name: _trimmed_turn(held, spare)}


def _trimmed_turn(turn: Any, spare: Callable[[Spare], None]) -> Any:
    if not is_object(turn):
        return turn
    return {**turn, "parts": [_trimmed_part(part, spare) for part in as_list(turn.get("parts"))]}


def _trimmed_part(part: Any, spare: Callable[[Spare], None]) -> Any:
    text = as_object(part).get("text")
    if not isinstance(text, str) or len(text) <= 2 * WINDOW:
        return part
    seen = " ".join(_windows(text))
    spare((tokens.share(seen), len(text) / len(seen)))
    return {**part, "text": ""}


def _windows(text: str) -> Iterator[str]:
    """Pieces from all over a text, each begun and ended between words where there are words."""
    span = len(text) // (1 + len(text) // _APART)
    for first in range(0, len(text) - span + 1, span):
        start = first + len(text) * 40_503 % (span - WINDOW)
        end = start + WINDOW
        head, tail = text.find(" ", start, start + _EDGE), text.rfind(" ", end - _EDGE, end)
        yield text[head + 1 if head > 0 else start : tail if tail > 0 else end]
