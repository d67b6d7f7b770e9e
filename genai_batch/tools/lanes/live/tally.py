"""What happens in a run, counted for whoever watches it."""

import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from genai_batch.resources import prices
from genai_batch.resources.errors import UnknownModel
from genai_batch.resources.jobs import Job
from genai_batch.resources.shapes import tier_of
from genai_batch.resources.status import Pulse
from genai_batch.tools.lanes.live.replies import Tokens

_LOOKS = 11
"""The pace is that of so many looks, a second apart."""


class Tally:
    """Rows with an error, tries beyond the first, tokens, and how many rows were stored at the last looks."""

    def __init__(self, usd: Callable[[Tokens, str], float] | None) -> None:
        """`usd` prices tokens that were served at a tier, where a price is known."""
        self.errors = self.retries = self.in_flight = 0
        self._usd = usd
        self._tokens: dict[str, Tokens] = {}
        self._looks = deque([(time.monotonic(), 0)], _LOOKS)

    def spent(self, tokens: Tokens, tier: str) -> None:
        """An answer took these, at a service tier."""
        asked, written, cached = self._tokens.get(tier, Tokens())
        self._tokens[tier] = Tokens(asked + tokens.asked, written + tokens.written, cached + tokens.cached)

    def look(self, rows: int) -> None:
        """So many rows are stored now."""
        self._looks.append((time.monotonic(), rows))

    def pulse(self) -> Pulse:
        """How it goes."""
        (since, before), (until, rows) = self._looks[0], self._looks[-1]
        cost = sum(self._usd(tokens, tier) for tier, tokens in self._tokens.items()) if self._usd else None
        return Pulse(
            failed=self.errors,
            retried=self.retries,
            per_s=round((rows - before) / (until - since), 1) if until > since else 0,
            concurrency=self.in_flight,
            cost_usd=cost,
        )


def spending(job: Job) -> Callable[[Tokens, str], float] | None:
    """What tokens of a job cost in USD at a tier, all at the rates of ordinary text in and of what its model makes.

    None where no price is known for its model; a tier without a price counts as that of the lane.
    """
    lane, day = job.lane_now, datetime.fromtimestamp(job.created_at, UTC).date()
    try:
        usual = prices.rates(job.model, lane, day)
    except UnknownModel:
        return None

    def usd(tokens: Tokens, tier: str) -> float:
        try:
            rates = prices.rates(job.model, lane, day, tier=tier_of(tier))
        except UnknownModel:
            rates = usual
        output = rates.image_output if job.makes_media and rates.image_output else rates.output
        fresh = max(0, tokens.asked - tokens.cached)
        return float(fresh * rates.input + tokens.written * output + tokens.cached * rates.cached)

    return usd
