"""What rows cost, in whole numbers of a small enough unit: as exact as decimals, and a hundred times faster."""

from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from genai_batch.resources import charges, prices
from genai_batch.resources.errors import UnknownModel
from genai_batch.resources.jobs import Job
from genai_batch.resources.models import Model
from genai_batch.resources.prices import Lane, Rates, Usage
from genai_batch.resources.tiers import LONG

_MIN_DIGITS, _MAX_DIGITS = 12, 16
_MAX_UNITS = 2**63 - 1


class Pricing:
    """Prices of a job's rows, in units of 10 ** -`digits` USD; `is_known` is False once a row has no known price.

    A row costs what its attempt's lane does.
    """

    def __init__(self, job: Job) -> None:
        """Look the rates up."""
        self._model, self.is_known = Model(name=job.model), True
        day = datetime.fromtimestamp(job.created_at, UTC).date()
        try:
            tiers = {lane: _tiers(job.model, lane, day) for _, lane in job.stretches}
        except UnknownModel:
            self.is_known, tiers = False, {}
        rates = (rate for both in tiers.values() for tier in both for rate in tier)
        self.digits = min(_MAX_DIGITS, max([_MIN_DIGITS, *map(_digits, rates)]))
        self._tiers = {lane: [Rates(*map(self._units, tier)) for tier in both] for lane, both in tiers.items()}
        self._of_usage = lru_cache(4096)(self._usage_units)

    def text_rates(self, lane: Lane) -> tuple[int, int, int] | None:
        """Units that a token of text costs in a prompt that is not long: asked, written, cached; None if not known."""
        if lane not in self._tiers:
            return None
        short = self._tiers[lane][0]
        return int(short.input), int(short.output), int(short.cached)

    def of(self, usage: Usage, response: dict[str, Any], lane: Lane) -> int | None:
        """Units that a row costs; None where no price is known."""
        try:
            fee = charges.of_response(response, self._model)
        except UnknownModel:
            return self.unknown()
        if lane not in self._tiers:
            return None
        return min(_MAX_UNITS, self._of_usage(usage, lane) + int(self._units(fee)))

    def unknown(self) -> None:
        """Note that a row costs nobody knows how much, such as one without counts of its tokens."""
        self.is_known = False

    def usd(self, units: int) -> Decimal:
        """The same in USD."""
        return Decimal(units).scaleb(-self.digits)

    def _units(self, usd: Decimal) -> Decimal:
        return round(usd.scaleb(self.digits)) * Decimal(1)

    def _usage_units(self, usage: Usage, lane: Lane) -> int:
        return int(prices.at(self._tiers[lane][usage.input > LONG], usage))


def _tiers(model: str, lane: Lane, day: date) -> list[Rates]:
    return [prices.rates(model, lane, day, long=long) for long in (False, True)]


def _digits(rate: Decimal) -> int:
    exponent = rate.normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0
