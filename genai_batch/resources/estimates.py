"""What a job will cost, before it runs.

Input is counted (`tokens`), with a range from how far such counts were off; output is assumed (`outputs`), since nobody
knows how much a model will write; tools that bill extra are charged by the use (`charges`).
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, PrivateAttr

from genai_batch.resources import charges, doubts, prices
from genai_batch.resources.answers import Answer, Problem, Range
from genai_batch.resources.calibration import Past, corrected, correction
from genai_batch.resources.charges import Charge
from genai_batch.resources.jobs import State
from genai_batch.resources.outputs import Written, written
from genai_batch.resources.outputs_data import assumed
from genai_batch.resources.prices import Lane, Price, Rates, Usage
from genai_batch.resources.projection import Projection, Whole
from genai_batch.resources.requests import Preflight
from genai_batch.resources.shapes import Shape
from genai_batch.resources.tally import Tier
from genai_batch.resources.triples import Triple

ANSWER = 2_000
"""Bytes an answer at default arguments may have."""


class OtherLane(Answer):
    """What the same requests would cost in the other lane."""

    lane: Lane
    cost_usd: float
    low: float
    high: float


class ToolFee(Answer):
    """What a built-in tool is charged beside tokens; part of `cost_usd`."""

    tool: str
    cost_usd: Range
    price: str


class PilotRun(Answer):
    """A few rows of the source that were run to see what they cost; `cost_usd` is what they did."""

    job_id: str
    state: State
    rows: int
    cost_usd: float | None = None


class Estimate(Answer):
    """What a source would cost as a job.

    Tokens and USD are for the whole job; only `problem_count` of 0 can be sent.
    """

    requests: Annotated[int, Field(description="Rows that could be sent")]
    problem_count: int
    problems: list[Problem] = []
    warnings: list[Problem] = []
    input_tokens: Range
    output_tokens: Annotated[Range, Field(description="Thinking included")]
    thinking_tokens: Range | None = None
    cost_usd: Range
    tools: list[ToolFee] | None = None
    other_lane: OtherLane
    shards: int
    upload_bytes: Annotated[int | None, Field(description="Of local files, once")] = None
    pilot: PilotRun | None = None
    learnt: Annotated[str | None, Field(description="What earlier jobs taught")] = None
    price: Price
    backend: str
    next: str
    _uncorrected: Triple = PrivateAttr(Triple())

    @property
    def uncorrected(self) -> float:
        """Likely USD without what earlier jobs taught."""
        return self._uncorrected.likely

    @property
    def most(self) -> float:
        """USD that the limits are held against: what earlier jobs taught may raise it, not lower it."""
        return max(self.cost_usd.high, self._uncorrected.high)

    def known(self, cost: Triple) -> Self:
        """The same with a cost that a pilot of it has told."""
        told = self.model_copy(update={"cost_usd": cost.answer(6), "learnt": "the cost is what a pilot of it told"})
        return told.noting(cost)

    def noting(self, uncorrected: Triple) -> Self:
        """Keep the range without what earlier jobs taught, which is not for the reader."""
        self._uncorrected = uncorrected
        return self

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


class Bill:
    """The parts of what one job costs in one lane, each as a triple for the whole job."""

    def __init__(self, found: Preflight, lane: Lane, day: date) -> None:
        """Price what one pass found.

        Raises:
            UnknownModel: no price is known for the model, or for a tool that a row uses.
        """
        self.found, self.day = found, day
        self.lane: Lane = lane
        tiers = [(tier, self._rates(long)) for long, tier in ((False, found.short), (True, found.long))]
        self._written = [(tier, rate, _written(tier, found)) for tier, rate in tiers]
        self.input = Triple.sum(doubts.input_tokens(tier) for tier, _ in tiers)
        self.output = Triple.sum(each.all.times(rows) for _, _, all_ in self._written for each, rows in all_)
        self.thinking = Triple.sum(each.thinking.times(rows) for _, _, all_ in self._written for each, rows in all_)
        self.fees = _fees(found)

    @property
    def cost(self) -> Triple:
        """USD, everything included."""
        parts = [self._tier(tier, rate, all_) for tier, rate, all_ in self._written]
        return Triple.sum([*parts, *(total for _, total in self.fees)])

    def usd(self, usage: Usage) -> Decimal:
        """What tokens that were measured cost here."""
        return prices.cost(self.found.model.name, self.lane, self.day, usage)

    @property
    def whole(self) -> Whole:
        """What a sample of the rows is to be projected to."""
        shapes = [shape for tier, _, _ in self._written for shape in tier.shapes]
        bounds = [shape.bound and shape.bound * shape.candidates for shape in shapes]
        most = max(filter(None, bounds)) if bounds and all(bounds) else None
        return Whole(
            self.found.requests, self.input.likely, most, float(max((fee.usd for fee, _ in self.fees), default=0))
        )

    def _rates(self, long: bool) -> Rates:
        return prices.rates(self.found.model.name, self.lane, self.day, long=long)

    def _tier(self, tier: Tier, rate: Rates, all_: list[tuple[Written, float]]) -> Triple:
        media = rate.image_output if self.found.model.kind == "image" else rate.output
        if any(shape.media == "IMAGE" for shape in tier.shapes):
            media = rate.image_output
        out = [_output_usd(each, rate, media).times(rows) for each, rows in all_]
        return Triple.sum([doubts.input_usd(tier, rate), _unseen_input(tier, rate), *out])


def estimate(found: Preflight, lane: Lane, day: date, backend: str, past: Sequence[Past] = ()) -> Estimate:
    """Turn what one pass found, and what earlier jobs of its model and shape taught, into numbers with a range."""
    elsewhere: Lane = "live" if lane == "batch" else "batch"
    bill, other = Bill(found, lane, day), Bill(found, elsewhere, day)
    plain, learnt = bill.cost, correction(past)
    there = corrected(other.cost, past)
    return Estimate(
        requests=found.requests,
        problem_count=found.findings.count,
        problems=found.findings.problems,
        warnings=[*doubts.warnings(found), *found.findings.warnings],
        input_tokens=bill.input.answer(),
        output_tokens=bill.output.answer(),
        thinking_tokens=bill.thinking.answer() if bill.thinking.high else None,
        cost_usd=corrected(plain, past).answer(6),
        tools=[_fee(fee, total) for fee, total in bill.fees] or None,
        other_lane=OtherLane(
            lane=elsewhere, cost_usd=round(there.likely, 6), low=round(there.low, 6), high=round(there.high, 6)
        ),
        shards=len(found.parts),
        upload_bytes=found.upload_bytes or None,
        learnt=learnt
        and f"{learnt.jobs} earlier jobs of this model and shape cost {learnt.factor:.0%} of their estimate",
        price=prices.price(found.model.name, lane, day),
        backend=backend,
        next=_next(found),
    ).noting(plain)


def piloted(
    before: Estimate, pilot: PilotRun, here: Projection | None = None, there: Projection | None = None
) -> Estimate:
    """Put what a pilot tells, in this lane and the other, in the place of what was assumed."""
    if here is None or there is None:
        return before.model_copy(update={"pilot": pilot})
    other = there.cost_usd
    lane = OtherLane(
        lane=before.other_lane.lane, cost_usd=round(other.likely, 6), low=round(other.low, 6), high=round(other.high, 6)
    )
    told = {
        "input_tokens": here.input.answer(), "output_tokens": here.output.answer(), "cost_usd": here.cost_usd.answer(6),
        "thinking_tokens": here.thinking.answer() if here.thinking.high else None, "other_lane": lane, "tools": None,
        "learnt": None, "pilot": pilot,
    }  # fmt: skip
    return before.model_copy(update=told).noting(here.cost_usd)


def _output_usd(each: Written, rate: Rates, media: Decimal) -> Triple:
    text = each.text.plus(each.thinking).times(float(rate.output))
    return text.plus(each.media.times(float(media)))


def _written(tier: Tier, found: Preflight) -> list[tuple[Written, float]]:
    mean = tier.input / tier.rows if tier.rows else 0
    return [(_tagged(written(shape, found.model, mean), shape, found), rows) for shape, rows in tier.shapes.items()]


def _tagged(each: Written, shape: Shape, found: Preflight) -> Written:
    """The same with the id that free text carries back; that of a structured answer is in its schema."""
    is_tagged = found.is_bound and shape.answer is None
    return each._replace(text=each.text.plus(Triple(*assumed("answer", "tag")))) if is_tagged else each


def _fees(found: Preflight) -> list[tuple[Charge, Triple]]:
    rows: dict[str, float] = {}
    for tier in (found.short, found.long):
        for shape, count in tier.shapes.items():
            for tool in shape.tools:
                rows[tool] = rows.get(tool, 0) + count
    priced = [(charges.charge(tool, found.model), count) for tool, count in sorted(rows.items())]
    return [(fee, fee.total(count)) for fee, count in priced if fee]


def _unseen_input(tier: Tier, rate: Rates) -> Triple:
    """What caches and fetched pages add to the input, unseen."""
    return Triple.sum(_added(shape, rate).times(rows) for shape, rows in tier.shapes.items())


def _added(shape: Shape, rate: Rates) -> Triple:
    pages = Triple(*assumed("input", "url_context")) if "url_context" in shape.tools else Triple()
    cached = Triple(*assumed("input", "cached")) if shape.cached else Triple()
    return pages.times(float(rate.input)).plus(cached.times(float(rate.cached)))


def _fee(fee: Charge, total: Triple) -> ToolFee:
    price = f"${fee.usd * 1_000:.2f} per 1,000, each a {fee.unit}; {charges.source()}, {charges.checked()}"
    return ToolFee(tool=fee.tool, cost_usd=total.answer(6), price=price)


def _next(found: Preflight) -> str:
    if found.findings.count:
        return "Mend the lines named in problems, then estimate again."
    return f"create_batch with the same source and model={found.model.name}; nothing was sent yet."
