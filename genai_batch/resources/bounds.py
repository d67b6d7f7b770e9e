"""What a job can cost at most: an upper bound of its true cost, where `estimates` has what is likely.

Output is bounded by `max_output_tokens`, else by what the model may write, thinking included; input by how far counts
may be too low, media of unknown length by the longest that is plausible, tools by the most uses of a row. Every price
is the highest that may be billed.
"""

from datetime import date
from typing import Any, NamedTuple

from genai_batch.resources import charges, prices
from genai_batch.resources.models import Model
from genai_batch.resources.outputs import most_written
from genai_batch.resources.outputs_data import data
from genai_batch.resources.prices import Lane, Rates
from genai_batch.resources.shapes import Shape, shape_of
from genai_batch.resources.tally import Tier
from genai_batch.resources.tiers import LONG
from genai_batch.resources.tokens.bound import largest_count, uncounted_tokens
from genai_batch.resources.tokens.counting import by_kind
from genai_batch.resources.tokens.media import See, unseen

MOST_INPUT = 1_048_576
"""Input tokens that a model reads of one request; a larger one is refused, and not billed."""


class Bound(NamedTuple):
    """Tokens and USD that cannot be passed; output includes thinking."""

    input: float = 0
    output: float = 0
    thinking: float = 0
    usd: float = 0

    def plus(self, other: "Bound") -> "Bound":
        """Add everything."""
        return Bound(*(mine + its for mine, its in zip(self, other, strict=True)))


def of_request(request: dict[str, Any], model: Model, lane: Lane, day: date, see: See = unseen) -> Bound:
    """Bound the cost of one request; `see` knows files that are only named.

    Raises:
        UnknownModel: no price is known for the model, or for a tool of the request.
    """
    tier = Tier()
    size = sum((kinds := by_kind(request, model, see=see)).values())
    tier.add(1, size, shape_of(request, model))
    tier.sample(kinds)
    return Bounding(model, lane, day).of(tier, long=size > LONG)


class Bounding:
    """Bounds the cost of the rows of one job, in one lane, on one day."""

    def __init__(self, model: Model, lane: Lane, day: date) -> None:
        """Bound rows of a model; those at flex may be served, and billed, at standard.

        Raises:
            UnknownModel: no price is known for it.
        """
        self._model, self._day = model, day
        self._lane: Lane = lane

    def of(self, tier: Tier, *, long: bool) -> Bound:
        """Bound rows whose input is below, or above, the step in the price."""
        shapes = {shape: rows for shape, rows in tier.shapes.items() if rows > 0}
        if not shapes:
            return Bound()
        rates = [self._rates(shape, long=long) for shape in shapes]
        dearest = Rates(*(max(kind) for kind in zip(*rates, strict=True)))
        total = read = self._input(tier, dearest)
        for (shape, rows), rate in zip(shapes.items(), rates, strict=True):
            total = total.plus(self._of_shape(shape, rate, rows))
        if long or not (share := self._share_near(tier, read.input)):
            return total
        return total._replace(usd=total.usd * (1 + share * (self._step() - 1)))

    def _share_near(self, tier: Tier, tokens: float) -> float:
        """The part of rows, counted as short, that may lie above the step in the price all the same."""
        added = data()["most_input"]
        if any(shape.cached or any(added.get(tool, 0) > LONG for tool in shape.tools) for shape in tier.shapes):
            return 1
        return min(1, max(tier.near_input / max(tokens, 1), tier.near_rows / max(tier.rows, 1)))

    def _step(self) -> float:
        """How many times as dear a row above the step in the price is."""
        above = prices.dearest_rates(self._model.name, self._lane, self._day, long=True)
        below = prices.dearest_rates(self._model.name, self._lane, self._day)
        return max(float(most / least) for least, most in zip(below, above, strict=True) if least)

    def _rates(self, shape: Shape, *, long: bool) -> Rates:
        tier = shape.tier or prices.default_tier(self._lane)
        if tier == "flex":
            tier = "standard"
        return prices.dearest_rates(self._model.name, self._lane, self._day, long=long, tier=tier)

    def _input(self, tier: Tier, rate: Rates) -> Bound:
        """Bound what the rows hold themselves."""
        own = {"audio": rate.audio_input, "image": rate.image_input, "document": rate.image_input}
        own["video"] = rate.video_input
        counts = largest_count(tier.by_kind, evened=min(1, tier.evened))
        per_kind = [
            (count, rate.dearest_input if kind.startswith("unseen") else max(rate.input, own.get(kind, rate.input)))
            for kind, count in counts.items()
        ]
        per_kind.append((tier.rows * uncounted_tokens() + 2 * tier.unsure * tier.input, rate.input))
        tokens = sum(count for count, _ in per_kind)
        usd = sum(count * float(each) for count, each in per_kind)
        share = min(1, tier.rows * MOST_INPUT / tokens) if tokens else 1
        return Bound(input=tokens * share, usd=usd * share)

    def _of_shape(self, shape: Shape, rate: Rates, rows: float) -> Bound:
        """Bound what rows of one shape write, fetch, and are charged for tools."""
        written = most_written(shape, self._model)
        text = float(rate.output) * written.text
        media = float(rate.image_output if shape.media == "IMAGE" else rate.output) * written.media
        added = data()["most_input"]
        fetched = sum(added.get(tool, 0) for tool in shape.tools)
        cached = added["cached"] if shape.cached else 0
        fees = sum(float(fee.usd) * fee.most_uses for fee in self._fees(shape))
        usd = text + media + fetched * float(rate.input) + cached * float(rate.cached) + fees
        return Bound(
            (fetched + cached) * rows, (written.text + written.media) * rows, written.thinking * rows, usd * rows
        )

    def _fees(self, shape: Shape) -> list[charges.Charge]:
        return [fee for tool in shape.tools if (fee := charges.charge(tool, self._model))]
