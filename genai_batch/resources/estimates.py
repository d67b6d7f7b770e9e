"""What a job will cost, before it runs.

Input is counted (`tokens`), output is assumed: nobody knows how much a model will write. `ASSUMED` holds, per kind of
model, what one row writes at least, probably and at most when it sets no `max_output_tokens`; a row that does is
bounded by it. Thinking is output.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Annotated, NamedTuple, Self

from pydantic import Field

from genai_batch.resources import prices, tokens
from genai_batch.resources.answers import Answer, Problem, Range
from genai_batch.resources.models import Model, ModelKind
from genai_batch.resources.prices import Lane, Price
from genai_batch.resources.requests import Preflight, Tier

ANSWER = 2_000
"""Bytes an answer at default arguments may have."""


class Triple(NamedTuple):
    """A number at its low, likely and high end."""

    low: float
    likely: float
    high: float

    def answer(self, digits: int | None = None) -> Range:
        """Round for the reader; without `digits` to whole numbers."""
        return Range(low=round(self.low, digits), likely=round(self.likely, digits), high=round(self.high, digits))


ASSUMED: dict[ModelKind, Triple] = {
    "text": Triple(20, 500, 8_192),
    "image": Triple(747, 1_290, 2_520),
    "speech": Triple(50, 750, 4_000),
    "embedding": Triple(0, 0, 0),
}
THOUGHT = Triple(0, 700, 0)
"""Thinking on top of the visible answer; at the high end it shares the row's bound."""


class OtherLane(Answer):
    """What the same requests would cost in the other lane."""

    lane: Lane
    cost_usd: float


class Estimate(Answer):
    """What a source would cost as a job.

    Tokens and USD are for the whole job; only `problem_count` of 0 can be sent.
    """

    requests: Annotated[int, Field(description="Rows that could be sent")]
    problem_count: int
    problems: list[Problem] = []
    warnings: list[Problem] = []
    input_tokens: Range
    output_tokens: Range
    cost_usd: Range
    other_lane: OtherLane
    shards: int
    price: Price
    backend: str
    next: str

    def fitted(self) -> Self:
        """Show as many problems and warnings as fit an answer; the count stays whole."""
        shown = self.model_copy(update={"problems": [], "warnings": []})
        for name in ("problems", "warnings"):
            for problem in getattr(self, name):
                more = shown.model_copy(update={name: [*getattr(shown, name), problem]})
                if more.size() > ANSWER:
                    break
                shown = more
        return shown


def estimate(found: Preflight, lane: Lane, day: date, backend: str) -> Estimate:
    """Turn what one pass found into numbers with a range."""
    outputs = [_output(tier, found.model) for tier in (found.short, found.long)]
    both = Triple(*(sum(ends) for ends in zip(*outputs, strict=True)))
    inputs = found.short.input + found.long.input
    other: Lane = "live" if lane == "batch" else "batch"
    return Estimate(
        requests=found.requests,
        problem_count=found.findings.count,
        problems=found.findings.problems,
        warnings=found.findings.warnings,
        input_tokens=Triple(*_spread(inputs)).answer(),
        output_tokens=both.answer(),
        cost_usd=_cost(found, outputs, lane, day).answer(6),
        other_lane=OtherLane(lane=other, cost_usd=round(_cost(found, outputs, other, day).likely, 6)),
        shards=len(found.parts),
        price=prices.price(found.model.name, lane, day),
        backend=backend,
        next=_next(found),
    )


def _spread(count: float) -> Iterator[float]:
    yield from (count * (1 - tokens.SPREAD), count, count * (1 + tokens.SPREAD))


def _output(tier: Tier, model: Model) -> Triple:
    assumed = ASSUMED[model.kind]
    thought = THOUGHT if model.thinks else Triple(0, 0, 0)
    free, mean = tier.rows - tier.bounded, tier.bound / tier.bounded if tier.bounded else 0
    ends = zip(assumed, thought, strict=True)
    low, likely, _ = (free * (a + t) + tier.bounded * min(a + t, mean) for a, t in ends)
    return Triple(low, likely, free * assumed.high + tier.bound)


def _cost(found: Preflight, outputs: list[Triple], lane: Lane, day: date) -> Triple:
    total = [Decimal(0)] * 3
    for long, tier, output in zip((False, True), (found.short, found.long), outputs, strict=True):
        rate = prices.rates(found.model.name, lane, day, long=long)
        out_rate = rate.image_output if found.model.kind == "image" else rate.output
        for i, (tokens_in, tokens_out) in enumerate(zip(_spread(tier.input), output, strict=True)):
            total[i] += Decimal(tokens_in) * rate.input + Decimal(tokens_out) * out_rate
    return Triple(*map(float, total))


def _next(found: Preflight) -> str:
    if found.findings.count:
        return "Mend the lines named in problems, then estimate again."
    return f"create_batch with the same source and model={found.model.name}; nothing was sent yet."
