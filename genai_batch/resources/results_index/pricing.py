"""What rows cost, in whole numbers of a small enough unit: as exact as decimals, and a hundred times faster."""

from bisect import bisect_right
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from genai_batch.resources import charges, prices
from genai_batch.resources.errors import UnknownModel
from genai_batch.resources.jobs import Job
from genai_batch.resources.models import Model
from genai_batch.resources.prices import Lane, Rates, Usage
from genai_batch.resources.results_index.records import UNKNOWN, TextRates, of_text
from genai_batch.resources.tiers import LONG

_DIGITS = 12
_MOST_DIGITS = 16
MOST = 2**63 - 1


class Pricing:
    """Prices of a job's rows, in units of 10 ** -`digits` USD; `known` is False once a row has no known price.

    A row costs what its attempt's lane does, and where it begins in results.jsonl tells which that is.
    """

    def __init__(self, job: Job) -> None:
        """Look the rates up."""
        self._model, self.known, self.digits = Model(name=job.model), True, _DIGITS
        day = datetime.fromtimestamp(job.created_at, UTC).date()
        self._begins = [begin for begin, _ in job.stretches]
        try:
            tiers = [_tiers(job.model, lane, day) for _, lane in job.stretches]
        except UnknownModel:
            self.known, tiers = False, []
        every = (rate for both in tiers for tier in both for rate in tier)
        self.digits = min(_MOST_DIGITS, max([_DIGITS, *map(_digits, every)]))
        self.tiers = [[Rates(*map(self._units, tier)) for tier in both] for both in tiers]
        self.rates = TextRates(self._begins, [_of_text(both[0]) for both in self.tiers])
        self.of_usage = lru_cache(4096)(self._of_usage)

    def of(self, usage: Usage, response: dict[str, Any], offset: int) -> int:
        """Units that the row cost that begins at `offset`, or `UNKNOWN`."""
        try:
            fee = charges.of_response(response, self._model)
        except UnknownModel:
            self.known = False
            return UNKNOWN
        return min(MOST, self.of_usage(usage, self._at(offset)) + int(self._units(fee))) if self.tiers else UNKNOWN

    def of_text(self, fresh: int, written: int, cached: int, offset: int) -> int:
        """Units that tokens of text cost together, of rows from `offset` on; none where no price is known."""
        rates = self.rates.at(offset)
        return of_text(rates, fresh, written, cached) if rates else 0

    def untold(self) -> int:
        """What a row cost whose tokens nobody has told."""
        self.known = False
        return UNKNOWN

    def _at(self, offset: int) -> int:
        return bisect_right(self._begins, offset) - 1

    def usd(self, units: int) -> Decimal:
        """The same in USD."""
        return Decimal(units).scaleb(-self.digits)

    def _units(self, usd: Decimal) -> Decimal:
        return round(usd.scaleb(self.digits)) * Decimal(1)

    def _of_usage(self, usage: Usage, place: int) -> int:
        return int(prices.at(self.tiers[place][usage.input > LONG], usage)) if self.tiers else UNKNOWN


def _tiers(model: str, lane: Lane, day: date) -> list[Rates]:
    return [prices.rates(model, lane, day, long=long) for long in (False, True)]


def _of_text(tier: Rates) -> tuple[int, int, int]:
    return int(tier.input), int(tier.output), int(tier.cached)


def _digits(rate: Decimal) -> int:
    exponent = rate.normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0
