"""How large the rows of a job are, compared with each other: quick to tell, so that a sample can be drawn by it.

A size is in input tokens: text is taken by its bytes, media are counted as they are for the price, and output counts as
the input that costs about as much. Prices and lanes are left out; the same content has the same sizes on any day and in
every lane.
"""

from functools import lru_cache, partial
from typing import Any, NamedTuple

import msgspec

from genai_batch.resources import charges
from genai_batch.resources.doubts import UNSEEN_RANGE
from genai_batch.resources.models import Model
from genai_batch.resources.outputs import most_written, written
from genai_batch.resources.outputs_data import assumed
from genai_batch.resources.shapes import Shape, shape_of
from genai_batch.resources.tokens.bound import largest_count
from genai_batch.resources.tokens.counting import by_kind
from genai_batch.resources.tokens.media import UNSEEN, See, unseen
from genai_batch.resources.triples import Triple

_BYTES = 4
"""Bytes of a request to a token of text."""
_OUTPUT, _FEE = 6.0, 20_000.0
"""Input tokens that cost about as much as one of output, and as the uses of a charged tool in one row."""
_MEDIA = (b'_data"', b'Data"')
"""Bytes that a request with media holds; text that holds them too is only counted more slowly."""
_BEGIN, _MEMO = 32, 4_096
_UNSEEN = frozenset(UNSEEN.values())
_ABSENT = msgspec.Raw(b"")


class Size(NamedTuple):
    """The size of a row, if it writes what is likely, as much as is plausible, or as much as it may."""

    likely: float
    plausible: float
    most: float


class _Request(msgspec.Struct):
    contents: msgspec.Raw = _ABSENT
    content: msgspec.Raw = _ABSENT


class _Line(msgspec.Struct):
    key: msgspec.Raw
    request: _Request


_LINE = msgspec.json.Decoder(_Line)


class RowSizes:
    """Tells the sizes of rows that are requests to one model; `see` knows files that are only named."""

    def __init__(self, model: Model, see: See = unseen) -> None:
        """Know no row yet."""
        self._model, self._see = model, see
        self._shapes: dict[int, Shape] = {}
        self._output = lru_cache(_MEMO)(partial(_output, model))

    def of_line(self, line: bytes) -> Size:
        """The size of a row, from a line of requests that was checked before."""
        row = _LINE.decode(line)
        turns = row.request.content if row.request.contents is _ABSENT else row.request.contents
        contents = bytes(turns)
        tokens = self._input(line, contents)
        output = self._output(self._shape(line, bytes(row.key), contents), int(tokens.likely).bit_length())
        return Size(tokens.likely + output.likely, tokens.plausible + output.plausible, tokens.most + output.most)

    def _shape(self, line: bytes, key: bytes, contents: bytes) -> Shape:
        """The shape of a request; most rows of a source are set alike."""
        start = line.find(contents[:_BEGIN])  # all of it takes longer to look for than a line to decode
        settings = hash(line[:start].replace(key, b"", 1) + line[start + len(contents) :])
        shape = self._shapes.get(settings)
        if shape is None:
            if len(self._shapes) >= _MEMO:
                self._shapes.clear()
            shape = self._shapes[settings] = shape_of(_request(line), self._model)
        return shape

    def _input(self, line: bytes, contents: bytes) -> Size:
        """Tokens that a row holds; media of unknown length may be as long as the estimate allows for."""
        if not any(mark in contents for mark in _MEDIA):
            return Size(*[len(line) / _BYTES] * 3)
        kinds = by_kind(_request(line), self._model, see=self._see)
        tokens = sum(kinds.values())
        unknown = {kind: count for kind, count in kinds.items() if kind in _UNSEEN}
        if not unknown:
            return Size(tokens, tokens, tokens)
        rest, most = tokens - sum(unknown.values()), sum(largest_count(unknown).values())
        return Size(tokens, rest + UNSEEN_RANGE.high * sum(unknown.values()), rest + most)


def _output(model: Model, shape: Shape, magnitude: int) -> Size:
    """What a row of so many tokens, in powers of two, may write and use, as the input that costs about as much."""
    answer, most = written(shape, model, 1 << magnitude).all, most_written(shape, model)
    fees = _FEE * sum(charges.charge(tool, model) is not None for tool in shape.tools)
    pages = Triple(*assumed("input", "url_context")) if "url_context" in shape.tools else Triple()
    likely, plausible = _OUTPUT * answer.likely + pages.likely + fees, _OUTPUT * answer.high + pages.high + fees
    return Size(likely, plausible, max(plausible, _OUTPUT * (most.text + most.media) + pages.high + fees))


def _request(line: bytes) -> dict[str, Any]:
    return msgspec.json.decode(line)["request"]
