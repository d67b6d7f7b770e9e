"""What the steps of a job are taken with: the ledger, the connection, the clock, and the right to act alone."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from genai_batch.resources.answers import short
from genai_batch.resources.errors import LedgerError, ProviderError
from genai_batch.resources.jobs import Shard
from genai_batch.resources.ledger import LEASE_S, Ledger
from genai_batch.tools.lanes.gemini import Gemini
from genai_batch.tools.lanes.watchdog import EXPIRY_S

log = logging.getLogger("genai_batch")
_LONGEST_PAUSE_S = 300


class Pace(NamedTuple):
    """Seconds: how old the provider's last word may be, and the least and most between two questions of the driver."""

    fresh: float = 5
    least: float = 5
    most: float = 60


class Means(NamedTuple):
    """One ledger, one connection, a clock in seconds since 1970, and the pace."""

    ledger: Ledger
    gemini: Gemini
    now: Callable[[], float]
    pace: Pace

    @asynccontextmanager
    async def lease(self, job_id: str) -> AsyncGenerator[bool]:
        """Hold the lease on a job, renewing it; yields False while another process has it."""
        if not self.ledger.claim(job_id, self.now()):
            yield False
            return
        renewing = asyncio.create_task(self._renew(job_id))
        try:
            yield True
        finally:
            renewing.cancel()
            self.ledger.release(job_id)

    async def _renew(self, job_id: str) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 3)
            try:
                self.ledger.claim(job_id, self.now())
            except LedgerError as error:
                log.warning("%s", error)  # the next try may come in time

    def put_off(self, shard: Shard, error: ProviderError | None = None) -> None:
        """Leave a shard alone for a while, longer each time; one that stays unknown to the provider is given up."""
        pause = min(_LONGEST_PAUSE_S, self.pace.least * 2 ** min(shard.tries, 10)) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        again = self.now() + max(pause, (error and error.retry_after_s) or 0)
        why = short(f"{error}", 400) if error else None
        self.ledger.mark(shard, tries=shard.tries + 1, next_try_at=again, trouble=why)
        unknown_for = self.now() - (shard.sent_at or self.ledger.job(shard.job_id).created_at)
        denied = error is not None and error.reason in ("missing", "permission")
        if denied and shard.batch and not shard.finished_at and unknown_for > EXPIRY_S:
            self.ledger.settle(shard, self.now(), "BATCH_STATE_FAILED", short(f"{error}", 300))
