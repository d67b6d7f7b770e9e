"""What happens in a run, counted for whoever watches it."""

import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from genai_batch.resources import prices
from genai_batch.resources.errors import UnknownModel
from genai_batch.resources.jobs import Job
from genai_batch.resources.status import Pulse
from genai_batch.tools.lanes.live.replies import Tokens

_LOOKS = 11
"""The pace is that of so many looks, a second apart."""


class Tally:
    """Rows with an error, tries beyond the first, tokens, and how many rows were stored at the last looks."""

    def __init__(self, usd: Callable[[Tokens], float] | None) -> None:
        """`usd` prices tokens, where a price is known."""
        self.errors = self.retries = self.in_flight = 0
        self._usd = usd
        self._asked = self._written = self._cached = 0
        self._looks = deque([(time.monotonic(), 0)], _LOOKS)

    def spent(self, tokens: Tokens) -> None:
        """An answer took these."""
        self._asked += tokens.asked
        self._written += tokens.written
        self._cached += tokens.cached

    def look(self, rows: int) -> None:
        """So many rows are stored now."""
        self._looks.append((time.monotonic(), rows))

    def pulse(self) -> Pulse:
        """How it goes."""
        (since, before), (until, rows) = self._looks[0], self._looks[-1]
        cost = self._usd(Tokens(self._asked, self._written, self._cached)) if self._usd else None
        return Pulse(
            failed=self.errors,
            retried=self.retries,
            per_s=round((rows - before) / (until - since), 1) if until > since else 0,
            concurrency=self.in_flight,
            cost_usd=cost,
        )


def spending(job: Job) -> Callable[[Tokens], float] | None:
    """What tokens of a job cost in USD, all at the rates of ordinary text in and of what its model makes; or None."""
    try:
        rates = prices.rates(job.model, "live", datetime.fromtimestamp(job.created_at, UTC).date(), long=False)
    except UnknownModel:
        return None
    made = rates.image_output if job.makes_media and rates.image_output else rates.output

    def usd(tokens: Tokens) -> float:
        fresh = max(0, tokens.asked - tokens.cached)
        return float(fresh * rates.input + tokens.written * made + tokens.cached * rates.cached)

    return usd
