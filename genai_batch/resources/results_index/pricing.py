"""What rows cost, in whole numbers of a small enough unit: as exact as decimals, and a hundred times faster."""

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from genai_batch.resources import charges, prices
from genai_batch.resources.errors import UnknownModel
from genai_batch.resources.jobs import Job
from genai_batch.resources.models import Model
from genai_batch.resources.prices import Rates, Usage
from genai_batch.resources.results_index.records import UNKNOWN, of_text
from genai_batch.resources.tiers import LONG

_DIGITS = 12
_MOST_DIGITS = 16
MOST = 2**63 - 1


class Pricing:
    """Prices of a job's rows, in units of 10 ** -`digits` USD; `known` is False once a row has no known price."""

    def __init__(self, job: Job) -> None:
        """Look the rates up."""
        self._model, self.known, self.digits = Model(name=job.model), True, _DIGITS
        day = datetime.fromtimestamp(job.created_at, UTC).date()
        try:
            tiers = [prices.rates(job.model, job.lane, day, long=long) for long in (False, True)]
        except UnknownModel:
            self.known, tiers = False, []
        self.digits = min(_MOST_DIGITS, max([_DIGITS, *(_digits(rate) for tier in tiers for rate in tier)]))
        self.tiers = [Rates(*(self._units(rate) for rate in tier)) for tier in tiers]
        tier = self.tiers[0] if self.tiers else None
        self.rates = (int(tier.input), int(tier.output), int(tier.cached)) if tier else None
        self.of_usage = lru_cache(4096)(self._of_usage)

    def of(self, usage: Usage, response: dict[str, Any]) -> int:
        """Units that one row cost, or `UNKNOWN`."""
        try:
            fee = charges.of_response(response, self._model)
        except UnknownModel:
            self.known = False
            return UNKNOWN
        return min(MOST, self.of_usage(usage) + int(self._units(fee))) if self.tiers else UNKNOWN

    def of_text(self, fresh: int, written: int, cached: int) -> int:
        """Units that tokens of text cost together; none where no price is known."""
        return of_text(self.rates, fresh, written, cached) if self.rates else 0

    def usd(self, units: int) -> Decimal:
        """The same in USD."""
        return Decimal(units).scaleb(-self.digits)

    def _units(self, usd: Decimal) -> Decimal:
        return round(usd.scaleb(self.digits)) * Decimal(1)

    def _of_usage(self, usage: Usage) -> int:
        return int(prices.at(self.tiers[usage.input > LONG], usage)) if self.tiers else UNKNOWN


def _digits(rate: Decimal) -> int:
    exponent = rate.normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0
