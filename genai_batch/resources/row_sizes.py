"""How large the rows of a job are, compared with each other: quick to tell, so that a sample can be drawn by it.

A size is in input tokens: text is taken by its bytes, media are counted as they are for the price, and output counts as
the input that costs about as much. Prices and lanes are left out; the same content has the same sizes on any day and in
every lane.
"""

from typing import Any, NamedTuple

import msgspec

from genai_batch.resources import charges
from genai_batch.resources.doubts import UNSEEN_RANGE
from genai_batch.resources.models import Model
from genai_batch.resources.outputs import most_written, written
from genai_batch.resources.shapes import shape_of
from genai_batch.resources.tokens.bound import largest_count
from genai_batch.resources.tokens.counting import by_kind
from genai_batch.resources.tokens.media import UNSEEN, See, unseen

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
        self._outputs: dict[tuple[int, int], Size] = {}

    def of_line(self, line: bytes) -> Size:
        """The size of a row, from a line of requests that was checked before."""
        row = _LINE.decode(line)
        turns = row.request.content if row.request.contents is _ABSENT else row.request.contents
        contents = bytes(turns)
        tokens = self._input(line, contents)
        start = line.find(contents[:_BEGIN])  # all of it takes longer to look for than a line to decode
        settings = hash(line[:start].replace(bytes(row.key), b"", 1) + line[start + len(contents) :])
        alike = (settings, int(tokens.likely).bit_length())
        output = self._outputs.get(alike)
        if output is None:
            if len(self._outputs) >= _MEMO:
                self._outputs.clear()
            output = self._outputs[alike] = self._output(line, 1 << alike[1])
        return Size(tokens.likely + output.likely, tokens.plausible + output.plausible, tokens.most + output.most)

    def _input(self, line: bytes, contents: bytes) -> Size:
        if not any(mark in contents for mark in _MEDIA):
            return Size(*[len(line) / _BYTES] * 3)
        kinds = by_kind(_request(line), self._model, see=self._see)
        tokens = sum(kinds.values())
        unknown = {kind: count for kind, count in kinds.items() if kind in _UNSEEN}
        if not unknown:
            return Size(tokens, tokens, tokens)
        rest, most = tokens - sum(unknown.values()), sum(largest_count(unknown).values())
        return Size(tokens, rest + UNSEEN_RANGE.high * sum(unknown.values()), rest + most)

    def _output(self, line: bytes, tokens: int) -> Size:
        """What a row of so many tokens may write, as the input that costs about as much."""
        shape = shape_of(_request(line), self._model)
        answer, most = written(shape, self._model, tokens).all, most_written(shape, self._model)
        fees = _FEE * sum(charges.charge(tool, self._model) is not None for tool in shape.tools)
        likely, plausible = _OUTPUT * answer.likely + fees, _OUTPUT * answer.high + fees
        return Size(likely, plausible, max(plausible, _OUTPUT * (most.text + most.media) + fees))


def _request(line: bytes) -> dict[str, Any]:
    return msgspec.json.decode(line)["request"]
