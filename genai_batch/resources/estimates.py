"""What a job will cost, before it runs.

Input is counted (`tokens`), with a range from how far such counts were off; output is assumed (`outputs`), since nobody
knows how much a model will write; tools that bill extra are charged by the use (`charges`). Beside what is likely
stands the most that it can cost (`bounds`), which nothing that was learnt lowers.
"""

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, PrivateAttr, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from genai_batch.resources import charges, doubts, prices
from genai_batch.resources.answers import Answer, Problem, Range, dollars
from genai_batch.resources.bounds import Bound, Bounding
from genai_batch.resources.calibration import Past, corrected, correction
from genai_batch.resources.charges import Charge
from genai_batch.resources.errors import UnknownModel
from genai_batch.resources.jobs import State
from genai_batch.resources.models import ending
from genai_batch.resources.outputs import Written, written
from genai_batch.resources.outputs_data import assumed
from genai_batch.resources.prices import Fallback, Lane, Price, Rates, ServiceTier, Usage, stops_at_limit
from genai_batch.resources.projection import Projection, Whole
from genai_batch.resources.requests import EQUAL, Preflight
from genai_batch.resources.shapes import Shape
from genai_batch.resources.tally import Tier
from genai_batch.resources.triples import Triple

ANSWER = 2_000
"""Bytes an answer at default arguments may have."""


class OtherLane(Answer):
    """What the same requests would cost in another lane; `high` is the bound."""

    lane: Annotated[Lane, WithJsonSchema({"type": "string"})]
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
    unseen: str | None = None


class Estimate(Answer):
    """What a source would cost as a job.

    Tokens and USD are for the whole job; only `problem_count` of 0 can be sent. The true cost is never above
    `cost_usd.high`, and mostly between `low` and `likely_high`.
    """

    requests: Annotated[int, Field(description="Rows that could be sent")]
    rows: SkipJsonSchema[int | None] = None
    """Rows that the requests answer, where equal ones are sent once."""
    problem_count: int
    problems: list[Problem] = []
    warnings: list[Problem] = []
    input_tokens: Range
    output_tokens: Annotated[Range, Field(description="Thinking included")]
    thinking_tokens: Range | None = None
    cost_usd: Annotated[Range, Field(description="high: an upper bound; likely_high: end of the likely range")]
    to_lower: Annotated[str | None, Field(description="Setting that lowers the bound most")] = None
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
    _can_stop: bool = PrivateAttr(default=False)
    _lowering: Callable[[float], str | None] | None = PrivateAttr(None)

    @property
    def uncorrected(self) -> float:
        """Likely USD without what earlier jobs taught."""
        return self._uncorrected.likely

    @property
    def likely_range(self) -> Range:
        """USD that it probably costs, without the bound."""
        cost = self.cost_usd
        return Range(low=cost.low, likely=cost.likely, high=cost.high if cost.likely_high is None else cost.likely_high)

    @property
    def can_stop(self) -> bool:
        """Whether the job can be stopped at a limit once it runs."""
        return self._can_stop

    @property
    def most(self) -> float:
        """USD that the limits are held against.

        It is the bound, or the upper end of the likely range where the limit itself stops the job; what earlier jobs
        taught may raise that, not lower it.
        """
        return max(self.likely_range.high, self._uncorrected.high) if self._can_stop else self.cost_usd.high

    def known(self, cost: Triple) -> Self:
        """The same with a cost that a pilot of it has told; the bound stays."""
        learnt = {"cost_usd": cost.bounded(self.cost_usd.high), "learnt": "the cost is what a pilot of it told"}
        return self.model_copy(update=learnt).noting(cost, can_stop=self._can_stop)

    def noting(self, uncorrected: Triple, *, can_stop: bool) -> Self:
        """Keep what is not for the reader: the likely range without what earlier jobs taught, and what a limit does."""
        self._uncorrected, self._can_stop = uncorrected, can_stop
        return self

    def with_lowering(self, lowering: Callable[[float], str | None]) -> Self:
        """Keep what names the setting that would bring the cost below a limit in USD, or as near to it as may be."""
        self._lowering = lowering
        return self

    def setting_for(self, limit: float) -> str | None:
        """Name the setting that would lower the bound most for a limit in USD; None where there is none."""
        return self._lowering(limit) if self._lowering else None

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

    def __init__(self, found: Preflight, lane: Lane, day: date, fallback: Fallback | None = None) -> None:
        """Price what one pass found; with `fallback` rows at flex may have to be sent, and paid, at that tier.

        Raises:
            UnknownModel: no price is known for the model, or for a tier, a medium or a tool of a row.
        """
        self.found, self.day = found, day
        self.lane: Lane = lane
        self.fallback: Fallback | None = fallback
        _refuse_unpriced_media(found)
        tiers = [(tier, long) for long, tier in ((False, found.short), (True, found.long))]
        self._written = [(tier, long, _written(tier, found)) for tier, long in tiers]
        self.input = Triple.sum(doubts.input_tokens(tier) for tier, _ in tiers)
        self.output = Triple.sum(row.all.times(rows) for *_, all_ in self._written for _, row, rows in all_)
        self.thinking = Triple.sum(row.thinking.times(rows) for *_, all_ in self._written for _, row, rows in all_)
        self.fees = _fees(found)

    @property
    def cost(self) -> Triple:
        """USD that it probably costs, everything included; the high end is that of all rows falling back."""
        cost = self._cost(None)
        return cost._replace(high=self._cost(self.fallback).high) if self.fallback else cost

    @property
    def cost_of_equal(self) -> float:
        """USD that the rows probably cost whose request an earlier row has too."""
        equal, asked = self.found.equal, self._input_usd
        written = max(0.0, self.cost.likely - asked)
        return asked * equal.share + written * equal.rows / max(1, self.found.requests)

    @property
    def _input_usd(self) -> float:
        """USD that the input probably costs."""
        rates = [
            (tier, [(self._rates(shape, long, None), rows) for shape, _, rows in all_])
            for tier, long, all_ in self._written
            if all_
        ]
        return sum(doubts.input_usd(tier, _mean(of_shapes)).likely for tier, of_shapes in rates)

    def bound(self, change: "Change | None" = None) -> Bound:
        """What it can cost at most, in tokens and USD; `change` sets the rows otherwise first."""
        bounding = Bounding(self.found.model, self.lane, self.day)
        short, long = (
            bounding.of(change(tier) if change else tier, long=is_long)
            for is_long, tier in ((False, self.found.short), (True, self.found.long))
        )
        return short.plus(long)

    def usd(self, usage: Usage, tier: ServiceTier | None) -> Decimal:
        """What tokens that were measured cost here, of a row that names a tier or none."""
        return prices.cost(self.found.model.name, self.lane, self.day, usage, tier)

    @property
    def whole(self) -> Whole:
        """What a sample of the rows is to be projected to."""
        shapes = [shape for tier, *_ in self._written for shape in tier.shapes]
        bounds = [shape.bound and shape.bound * shape.candidates for shape in shapes]
        most = max(filter(None, bounds)) if bounds and all(bounds) else None
        return Whole(
            self.found.requests, self.input.likely, most, float(max((fee.usd for fee, _ in self.fees), default=0))
        )

    def _cost(self, fallback: Fallback | None) -> Triple:
        parts = [self._tier(tier, long, all_, fallback) for tier, long, all_ in self._written]
        return Triple.sum([*parts, *(total for _, total in self.fees)])

    def _rates(self, shape: Shape, long: bool, fallback: Fallback | None) -> Rates:
        tier = shape.tier or prices.default_tier(self.lane)
        if tier == "flex":
            tier = fallback or tier
        return prices.rates(self.found.model.name, self.lane, self.day, long=long, tier=tier)

    def _tier(
        self, tier: Tier, long: bool, all_: list[tuple[Shape, Written, float]], fallback: Fallback | None
    ) -> Triple:
        if not all_:
            return Triple()
        rates = [(self._rates(shape, long, fallback), rows) for shape, _, rows in all_]
        out = [
            _output_usd(row, rate, shape).times(rows) for (shape, row, rows), (rate, _) in zip(all_, rates, strict=True)
        ]
        return Triple.sum([doubts.input_usd(tier, _mean(rates)), *map(_added, all_, rates), *out])


def estimate(
    found: Preflight, lane: Lane, day: date, backend: str, past: Sequence[Past] = (), fallback: Fallback | None = None
) -> Estimate:
    """Turn what one pass found, and what earlier jobs of its model and shape taught, into numbers with a range."""
    elsewhere = other_lane(lane)
    bill, other = Bill(found, lane, day, fallback), Bill(found, elsewhere, day)
    plain, learnt, most = bill.cost, correction(past), bill.bound()
    there = corrected(other.cost, past).bounded(other.bound().usd)
    ends = ending(found.model, lane, day)
    return Estimate(
        requests=found.requests,
        rows=found.about.rows,
        problem_count=found.findings.count,
        problems=found.findings.shown,
        warnings=[*([ends] if ends else []), *doubts.warnings(found, lane), *_with_cost(found, bill)],
        input_tokens=bill.input.up_to(most.input),
        output_tokens=bill.output.up_to(most.output),
        thinking_tokens=bill.thinking.up_to(most.thinking) if bill.thinking.high else None,
        cost_usd=corrected(plain, past).bounded(most.usd),
        tools=[_fee(fee, total) for fee, total in bill.fees] or None,
        other_lane=OtherLane(lane=elsewhere, cost_usd=there.likely, low=there.low, high=there.high),
        shards=len(found.parts),
        upload_bytes=found.upload_bytes or None,
        learnt=learnt
        and f"{learnt.jobs} earlier jobs of this model and shape cost {learnt.factor:.0%} of their estimate",
        price=prices.price(found.model.name, lane, day),
        backend=backend,
        next=_next(found),
    ).noting(plain, can_stop=stops_at_limit(lane))


def other_lane(lane: Lane) -> Lane:
    """The lane that a lane is compared with: live is held against batch, and both lanes at half price against live."""
    return "batch" if lane == "live" else "live"


def piloted(
    before: Estimate, pilot: PilotRun, here: Projection | None = None, there: Projection | None = None
) -> Estimate:
    """Put what a pilot tells, in this lane and the other, in the place of what was assumed; the bounds stay."""
    if here is None or there is None:
        return before.model_copy(update={"pilot": pilot})
    other = there.cost_usd.bounded(before.other_lane.high)
    lane = OtherLane(lane=before.other_lane.lane, cost_usd=other.likely, low=other.low, high=other.high)
    thinking = before.thinking_tokens.high if before.thinking_tokens else here.thinking.high
    told = {
        "input_tokens": here.input.up_to(before.input_tokens.high),
        "output_tokens": here.output.up_to(before.output_tokens.high),
        "thinking_tokens": here.thinking.up_to(thinking) if here.thinking.high else None,
        "cost_usd": here.cost_usd.bounded(before.cost_usd.high),
        "other_lane": lane,
        "tools": None,
        "learnt": None,
        "pilot": pilot,
    }
    return before.model_copy(update=told).noting(here.cost_usd, can_stop=before.can_stop)


def _with_cost(found: Preflight, bill: Bill) -> list[Problem]:
    """The warnings of a pass; that requests are equal is told with what those cost that are equal to an earlier one."""
    if not found.equal.rows:
        return found.findings.warnings
    cost = dollars(bill.cost_of_equal)
    addition = f"they cost about {cost}"
    if found.equal.rows == found.requests - 1:
        addition = f"all but one cost {cost} likely"
    return [
        warning.model_copy(update={"problem": f"{warning.problem}; {addition}"})
        if EQUAL in warning.problem
        else warning
        for warning in found.findings.warnings
    ]


Change = Callable[[Tier], Tier]
"""How the rows of a tier would be set otherwise."""


def _refuse_unpriced_media(found: Preflight) -> None:
    """Name a medium that rows ask for and that has no price.

    Raises:
        UnknownModel: it would be billed as text, at a guess.
    """
    model = found.model
    asked = {shape.media for tier in (found.short, found.long) for shape, rows in tier.shapes.items() if rows > 0}
    if "IMAGE" in asked and not prices.prices_pictures(model.name):
        raise UnknownModel(
            model.name, why=f"no price is known for pictures by {model.name}", advice="Use an image model."
        )
    if "AUDIO" in asked and model.kind != "speech":
        raise UnknownModel(model.name, why=f"no price is known for speech by {model.name}", advice="Use a tts model.")


def _mean(rates: Sequence[tuple[Rates, float]]) -> Rates:
    """Rates of input where rows of several service tiers lie mixed, each by its number of rows."""
    total = sum(rows for _, rows in rates)
    if total <= 0 or len(rates) == 1:
        return rates[0][0]
    shares = [Decimal(rows) / Decimal(total) for _, rows in rates]
    kinds = zip(*(rate for rate, _ in rates), strict=True)
    return Rates(*(sum((rate * share for rate, share in zip(kind, shares, strict=True)), Decimal(0)) for kind in kinds))


def _output_usd(row: Written, rate: Rates, shape: Shape) -> Triple:
    text = row.text.plus(row.thinking).times(float(rate.output))
    return text.plus(row.media.times(float(rate.image_output if shape.media == "IMAGE" else rate.output)))


def _written(tier: Tier, found: Preflight) -> list[tuple[Shape, Written, float]]:
    """What a row of each shape writes, and how many rows have it."""
    mean = tier.input / tier.rows if tier.rows else 0
    shapes = tier.shapes.items()
    return [(shape, _tagged(written(shape, found.model, mean), shape, found), rows) for shape, rows in shapes]


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


def _added(row: tuple[Shape, Written, float], rate: tuple[Rates, float]) -> Triple:
    """What caches and fetched pages add to the input of the rows of a shape, unseen."""
    (shape, _, rows), (own, _) = row, rate
    pages = Triple(*assumed("input", "url_context")) if "url_context" in shape.tools else Triple()
    cached = Triple(*assumed("input", "cached")) if shape.cached else Triple()
    return pages.times(float(own.input)).plus(cached.times(float(own.cached))).times(rows)


def _fee(fee: Charge, total: Triple) -> ToolFee:
    price = f"${fee.usd * 1_000:.2f} per 1,000, each a {fee.unit}; {charges.source()}, {charges.checked()}"
    return ToolFee(tool=fee.tool, cost_usd=total.answer(6), price=price)


def _next(found: Preflight) -> str:
    if found.findings.count:
        return "Mend the lines named in problems, then estimate again."
    return f"create_batch with the same source and model={found.model.name}; nothing was sent yet."
