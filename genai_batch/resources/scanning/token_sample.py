"""Input tokens of a large source from a sample, of a small one row by row.

Of a small source every row is counted whole. Of a larger one a fixed share of the bytes is: at every `stride`-th byte
of the file the row that lies there is counted, and stands for `stride` bytes. So a row is met in proportion to its
length, a row longer than the stride is always counted itself, and the sum is free of bias however the rows are mixed
(systematic sampling with probability proportional to size). Its error falls with the root of the number counted, some
thousands: for a file of prose a few tenths of a percent, below 1 % also where the languages are mixed. Media do not
take part: those of every row are counted, since a row that names an hour of film is no longer than one that asks why.

Of a text longer than `WINDOW` characters one or more windows are counted, cut between words; a row that may lie above
the price step at `LONG` tokens is counted whole.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from genai_batch.resources.models import Model
from genai_batch.resources.tiers import LONG
from genai_batch.resources.tokens.counting import by_kind
from genai_batch.resources.tokens.media import See, unseen
from genai_batch.resources.tokens.text import Share, share
from genai_batch.resources.untyped import as_list, as_object, is_list, is_object

SMALL = 512 * 1024
"""Bytes of a source of which every row is counted; of a larger one at least as many bytes are."""
WINDOW = 512
_SHARE = 1 / 256
_PER_PART = 50
_CLOSE = 0.85
_EDGE = 24
_APART = 32 * 1024
_FIELDS = Share._fields
Kinds = dict[str, float]
"""Tokens by kind."""


def stride(size: int, row: float, part_tokens: float) -> int:
    """Bytes between the rows counted in a source of `size` bytes whose rows have `row` bytes; 0 is each row, whole.

    At least `_PER_PART` rows are counted for every part of `part_tokens` tokens, so a part may exceed its limit by
    the error of so many, 2 or 3 %, which the share of the allowance that a part takes leaves room for.
    """
    if size <= SMALL:
        return 0
    portion = max(_SHARE, SMALL / size)
    return max(1, int(min(min(row, WINDOW) / portion, 128 * 1024, part_tokens * 3 / _PER_PART)))


def sampled(sizes: Sequence[int], offset: int, step: int) -> Iterator[int]:
    """Find which rows, of these sizes from `offset` on, lie at every `step`-th byte of a source: their indices."""
    if not step:
        return
    ends = [*accumulate(sizes)]
    last = -1
    for place in range(-offset % step, ends[-1], step):
        if (index := bisect_right(ends, place)) != last:
            last = index
            yield index


def weight(size: int, step: int) -> float:
    """How many rows a counted row of `size` bytes stands for: itself, where such a row is always counted."""
    return max(1, step / size)


def of_texts(texts: Iterable[str], silent: Kinds) -> Kinds:
    """Tokens of a row of these texts, from windows where they are long; `silent` are those of all else in it."""
    texts, counts, guessed = [*texts], silent.copy(), False
    for text in texts:
        if len(text) > 2 * WINDOW:
            guessed = True
            _add(counts, *_windowed(text))
        else:
            _add(counts, share(text), 1)
    if guessed and _CLOSE * LONG < sum(counts.values()) < LONG / _CLOSE:
        counts = dict(silent)
        for text in texts:
            _add(counts, share(text), 1)
    return counts


def _add(counts: Kinds, found: Share, times: float) -> None:
    for kind, count in zip(_FIELDS, found):  # noqa: B905 - a `Share` has its own fields, and strictness costs
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


def of_row(request: dict[str, Any], model: Model, *, whole: bool, see: See = unseen) -> Kinds:
    """Tokens by kind of a request, every sign of it where `whole`; `see` knows files that are only named."""
    if whole:
        return by_kind(request, model, see=see)
    long: list[str] = []
    silent = by_kind(_trimmed(request, long.append), model, see=see)
    return of_texts(long, silent) if long else silent


def _trimmed(request: dict[str, Any], keep: Callable[[str], None]) -> dict[str, Any]:
    """Leave long texts out, handing them over."""
    name = "contents" if "contents" in request else "content"
    held = request.get(name)
    if is_list(held):
        return {**request, name: [_trimmed_turn(turn, keep) for turn in held]}
    return {**request, name: _trimmed_turn(held, keep)}


def _trimmed_turn(turn: Any, keep: Callable[[str], None]) -> Any:
    if not is_object(turn):
        return turn
    return {**turn, "parts": [_trimmed_part(part, keep) for part in as_list(turn.get("parts"))]}


def _trimmed_part(part: Any, keep: Callable[[str], None]) -> Any:
    text = as_object(part).get("text")
    if not isinstance(text, str) or len(text) <= 2 * WINDOW:
        return part
    keep(text)
    return {**part, "text": ""}
