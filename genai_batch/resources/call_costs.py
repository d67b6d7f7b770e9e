"""What single calls cost in USD: at most, before they leave, and once they are answered, never less than the true cost.

Tokens come from the answer; their price is the highest that may be billed. What an answer does not tell counts at most.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import date
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from genai_batch.resources import bounds, charges, outcomes, prices
from genai_batch.resources.errors import UnknownModel
from genai_batch.resources.models import Model
from genai_batch.resources.prices import Lane, Rates, ServiceTier
from genai_batch.resources.results_index.decode import read_row
from genai_batch.resources.shapes import Shape, shape_of, tier_of
from genai_batch.resources.tiers import LONG
from genai_batch.resources.tokens.media import See, unseen
from genai_batch.resources.untyped import as_list, as_object, field

_BUFFER = 1024 * 1024
_TELLING = (b"ervice", b"ools")
"""Bytes that a request holds which names a service tier, or a tool."""
_COUNTED = "google_search"
"""The tool whose uses an answer tells."""


class _Line(msgspec.Struct):
    key: str
    request: msgspec.Raw


_LINE = msgspec.json.Decoder(_Line)


class CallCosts:
    """Prices the calls of one job, in one lane, on one day; `see` knows the files that requests name."""

    def __init__(self, model: Model, lane: Lane, day: date, see: See = unseen) -> None:
        """Price calls of a model."""
        self._model, self._day, self._see = model, day, see
        self._lane: Lane = lane

    def bound(self, body: bytes) -> float:
        """The most that a request can cost; one at flex what it would at the standard tier, should it be served there.

        Raises:
            UnknownModel: no price is known for it.
        """
        request = msgspec.json.decode(body)
        return bounds.of_request(request, self._model, self._lane, self._day, self._see).usd

    def paid(self, response: dict[str, Any], shapes: frozenset[Shape], served: str | None = None) -> float | None:
        """What an answer cost at most, its request being of one of `shapes`; None where it does not tell its tokens.

        `served` is the word for the tier at which it was served; without one it was at that of its request.

        Raises:
            UnknownModel: no price is known for it.
        """
        usage = outcomes.judge({"response": response}).usage
        if not usage.input and not usage.output:
            return None
        is_long = usage.input > LONG
        rate = self._dearest({shape.tier for shape in shapes}, served, is_long=is_long)
        if not as_list(field(as_object(response.get("usageMetadata")), "prompt_tokens_details")):
            rate = rate._replace(input=rate.dearest_input)  # what was read is not told apart by kind
        fees = sum((charge.usd * charge.most_uses for charge in self._untold(shapes)), Decimal(0))
        fees += charges.of_response(response, self._model)
        return float(prices.at(rate, usage) + fees)

    def _dearest(self, asked: set[ServiceTier | None], served: str | None, *, is_long: bool) -> Rates:
        """The highest rates of the tier that was served; of one that is unknown or has no price, those of all tiers."""
        if served:
            with suppress(UnknownModel):
                if tier := tier_of(served):
                    return prices.dearest_rates(self._model.name, self._lane, self._day, long=is_long, tier=tier)
            asked = {*asked, "standard", "priority"}
        rates = [
            prices.dearest_rates(self._model.name, self._lane, self._day, long=is_long, tier=tier) for tier in asked
        ]
        return Rates(*(max(kind) for kind in zip(*rates, strict=True)))

    def shape(self, body: bytes) -> frozenset[Shape]:
        """What a request says of its price beside its tokens."""
        if any(word in body for word in _TELLING):
            shape = shape_of(msgspec.json.decode(body), self._model)
            return frozenset({Shape(tier=shape.tier, tools=shape.tools)})
        return frozenset({Shape()})

    def bounds_of(self, requests: Path, answered: bytearray | None, most: int | None = None) -> float:
        """The most that the rows of a file can cost which are not answered, or the first `most` of them."""
        unanswered = (body for n, body in enumerate(_bodies(requests)) if answered is None or not answered[n])
        return sum(self.bound(body) for body in islice(unanswered, most))

    def paid_until_now(self, results: Path, start: int, requests: Path) -> float:
        """What the answers behind byte `start` of the results have cost at most, repeated ones among them.

        Each is priced by the request of its key; one without a key counts as the dearest of them. One that does not
        tell its tokens counts as its request can cost at most.
        """
        if not results.exists() or results.stat().st_size <= start:
            return 0
        return self.paid_for(_answers(results, start), requests)

    def paid_for(self, rows: Iterable[dict[str, Any]], requests: Path) -> float:
        """What rows of results have cost at most, each priced as in `paid_until_now`."""
        shapes, total, untold = _ShapeByKey(self, requests), 0.0, Counter[str | None]()
        for row in rows:
            key, response = outcomes.key_of(row), as_object(row.get("response"))
            if not response:
                continue
            usd = self.paid(response, shapes.of(key), outcomes.tiers(row)[1])
            if usd is None:
                untold[key] += 1
            else:
                total += usd
        return total + (self._bounds_by_key(requests, untold) if untold else 0)

    def _bounds_by_key(self, requests: Path, answers: Counter[str | None]) -> float:
        """The most that so many answers to each of some keys can cost; one whose request is not there the dearest."""
        total, dearest, strange = 0.0, 0.0, answers.total()
        for line in _lines(requests):
            bound = self.bound(bytes(line.request))
            total += answers[line.key] * bound
            strange -= answers[line.key]
            dearest = max(dearest, bound)
        return total + strange * dearest

    def _untold(self, shapes: frozenset[Shape]) -> Iterator[charges.Charge]:
        """The fees of tools whose uses no answer tells."""
        for tool in frozenset[str]().union(*(shape.tools for shape in shapes)) - {_COUNTED}:
            if charge := charges.charge(tool, self._model):
                yield charge


class _ShapeByKey:
    """The shapes of the requests of a file, where the keys are kept only of those that have not the most common one."""

    def __init__(self, costs: CallCosts, requests: Path) -> None:
        """Read the file; a second time where its requests differ."""
        rows = Counter(costs.shape(body) for body in _bodies(requests))
        self._all = frozenset[Shape]().union(*rows)
        self._common = max(rows, key=lambda shape: rows[shape], default=self._all)
        self._others: dict[str, frozenset[Shape]] = {}
        if len(rows) > 1:
            for line in _lines(requests):
                if (shape := costs.shape(bytes(line.request))) != self._common:
                    self._others[line.key] = shape

    def of(self, key: str | None) -> frozenset[Shape]:
        """The shape of the request of a key; of an answer without a key, those of all requests."""
        return self._all if key is None else self._others.get(key, self._common)


def _lines(requests: Path) -> Iterator[_Line]:
    with requests.open("rb", buffering=_BUFFER) as file:
        for line in file:
            yield _LINE.decode(line)


def _bodies(requests: Path) -> Iterator[bytes]:
    """The requests of a file as they are sent."""
    for line in _lines(requests):
        yield bytes(line.request)


def _answers(results: Path, start: int) -> Iterator[dict[str, Any]]:
    """The rows of a file of results."""
    with results.open("rb", buffering=_BUFFER) as file:
        file.seek(start)
        for line in file:
            if line.endswith(b"\n") and (row := read_row(line)):
                yield row
