"""What rows cost, in whole numbers of a small enough unit: as exact as decimals, and a hundred times faster."""

from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, get_args

from genai_batch.resources import charges, prices
from genai_batch.resources.errors import UnknownModel
from genai_batch.resources.jobs import Job
from genai_batch.resources.models import Model
from genai_batch.resources.prices import Lane, Rates, ServiceTier, Usage
from genai_batch.resources.shapes import tier_of
from genai_batch.resources.tiers import LONG

_MIN_DIGITS, _MAX_DIGITS = 12, 16
_MAX_UNITS = 2**63 - 1


class Pricing:
    """Prices of a job's rows, in units of 10 ** -`digits` USD; `is_known` is False once a row has no known price.

    A row costs what its attempt's lane does, at the service tier at which it was served; a batch has no tiers.
    """

    def __init__(self, job: Job) -> None:
        """Look the rates up."""
        self._model, self.is_known = Model(name=job.model), True
        day = datetime.fromtimestamp(job.created_at, UTC).date()
        rates = {pair: _rates(job.model, *pair, day) for lane in _lanes(job) for pair in _pairs(lane)}
        rates = {pair: by_length for pair, by_length in rates.items() if by_length}
        if any((lane, prices.default_tier(lane)) not in rates for lane in _lanes(job)):
            self.is_known, rates = False, {}
        all_rates = (rate for by_length in rates.values() for kinds in by_length for rate in kinds)
        self.digits = min(_MAX_DIGITS, max([_MIN_DIGITS, *map(_digits, all_rates)]))
        self._rates = {
            pair: [Rates(*map(self._units, kinds)) for kinds in by_length] for pair, by_length in rates.items()
        }
        self._of_usage = lru_cache(4096)(self._usage_units)

    def text_rates(self, lane: Lane, served: str | None = None) -> tuple[int, int, int] | None:
        """Units that a token of text costs in a prompt that is not long: asked, written, cached; None if not known.

        `served` is the word for the tier at which it was served, as in `billed_tier`.
        """
        tier = billed_tier(lane, served)
        if tier is None or (lane, tier) not in self._rates:
            return self.unknown()
        short = self._rates[lane, tier][0]
        return int(short.input), int(short.output), int(short.cached)

    def of(self, usage: Usage, response: dict[str, Any], lane: Lane, served: str | None = None) -> int | None:
        """Units that a row costs; None where no price is known."""
        try:
            fee = charges.of_response(response, self._model)
        except UnknownModel:
            return self.unknown()
        tier = billed_tier(lane, served)
        if tier is None or (lane, tier) not in self._rates:
            return self.unknown()
        return min(_MAX_UNITS, self._of_usage(usage, lane, tier) + int(self._units(fee)))

    def unknown(self) -> None:
        """Note that a row costs nobody knows how much, such as one without counts of its tokens."""
        self.is_known = False

    def usd(self, units: int) -> Decimal:
        """The same in USD."""
        return Decimal(units).scaleb(-self.digits)

    def _units(self, usd: Decimal) -> Decimal:
        return round(usd.scaleb(self.digits)) * Decimal(1)

    def _usage_units(self, usage: Usage, lane: Lane, tier: ServiceTier) -> int:
        return int(prices.at(self._rates[lane, tier][usage.input > LONG], usage))


def billed_tier(lane: Lane, served: str | None) -> ServiceTier | None:
    """The tier at which a row is billed: as served, else that of its lane; None for a tier without a known price."""
    if lane == "batch" or not served:
        return prices.default_tier(lane)
    return tier_of(served)


def _lanes(job: Job) -> set[Lane]:
    return {lane for _, lane in job.stretches}


def _pairs(lane: Lane) -> list[tuple[Lane, ServiceTier]]:
    """A lane with each tier at which its rows may be served."""
    tiers: tuple[ServiceTier, ...] = get_args(ServiceTier)
    return [(lane, tier) for tier in tiers if lane != "batch" or tier == prices.default_tier(lane)]


def _rates(model: str, lane: Lane, tier: ServiceTier, day: date) -> list[Rates]:
    """The rates of short and of long prompts; empty where no price is known."""
    try:
        return [prices.rates(model, lane, day, long=long, tier=tier) for long in (False, True)]
    except UnknownModel:
        return []


def _digits(rate: Decimal) -> int:
    exponent = rate.normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0
