"""What happens in a run, counted for whoever watches it."""

import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from genai_batch.resources import prices
from genai_batch.resources.errors import UnknownModel
from genai_batch.resources.jobs import Job
from genai_batch.resources.shapes import tier_of
from genai_batch.resources.status import Pulse
from genai_batch.tools.lanes.failures import Failures
from genai_batch.tools.lanes.live.replies import Tokens

_LOOKS = 11
"""The pace is that of so many looks, a second apart."""


class Tally:
    """Rows with an error, tries beyond the first, tokens, and how many rows were stored at the last looks."""

    def __init__(self, usd: Callable[[Tokens, str], float] | None, most_failures: float | None = None) -> None:
        """`usd` prices tokens that were served at a tier, where a price is known.

        `most_failures` is the percentage of failed rows that stops a run.
        """
        self.errors = self.retries = self.in_flight = 0
        self.failures, self._most_failures = Failures(), most_failures
        self._usd = usd
        self._tokens: dict[str, Tokens] = {}
        self._looks = deque([(time.monotonic(), 0)], _LOOKS)

    @property
    def is_failing(self) -> bool:
        """Whether so many rows have failed that the run is to stop."""
        return self._most_failures is not None and self.failures.reached(self._most_failures)

    def gave_up(self) -> None:
        """A row got an error instead of an answer."""
        self.errors += 1
        self.failures = self.failures.gave_up()

    def answered(self, body: bytes, tokens: Tokens, tier: str) -> None:
        """An answer came, which took these at a service tier."""
        if self._most_failures is not None:
            self.failures = self.failures.add({"response": msgspec.json.decode(body)})
        asked, written, cached = self._tokens.get(tier, Tokens())
        self._tokens[tier] = Tokens(asked + tokens.asked, written + tokens.written, cached + tokens.cached)

    def look(self, rows: int) -> None:
        """So many rows are stored now."""
        self._looks.append((time.monotonic(), rows))

    def pulse(self) -> Pulse:
        """How it goes."""
        (since, before), (until, rows) = self._looks[0], self._looks[-1]
        return Pulse(
            failed=self.errors,
            retried=self.retries,
            per_s=round((rows - before) / (until - since), 1) if until > since else 0,
            concurrency=self.in_flight,
            cost_usd=self.cost,
        )

    @property
    def cost(self) -> float | None:
        """What the answers of the run cost, about, in USD; None where no price is known."""
        return sum(self._usd(tokens, tier) for tier, tokens in self._tokens.items()) if self._usd else None


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
