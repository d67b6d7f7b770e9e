"""What the steps of a job are taken with: the ledger, the connection, the clock, and the right to act alone."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from genai_batch.resources.answers import short
from genai_batch.resources.errors import BatchError, LedgerError, ProviderError
from genai_batch.resources.jobs import Shard
from genai_batch.resources.ledger import LEASE_S, Ledger
from genai_batch.tools.lanes.gemini import Gemini
from genai_batch.tools.lanes.refusals import midnight, stopped_words
from genai_batch.tools.lanes.uploading import Uploads

log = logging.getLogger("genai_batch")
GIVE_UP_S = 24 * 3600
"""Seconds without a break in which the provider says that there is no such batch or file, until that is believed."""
LONGEST_PAUSE_S = 300


class Pace(NamedTuple):
    """Seconds: how old the provider's last word may be, and the least and most between two questions of the driver."""

    fresh: float = 5
    least: float = 5
    most: float = 60


class Means(NamedTuple):
    """One ledger, one connection, a clock in seconds since 1970, the pace, and the uploads of local files.

    `per_day` is what all jobs of a day may cost together, in USD; None is no limit.
    """

    ledger: Ledger
    gemini: Gemini
    now: Callable[[], float]
    pace: Pace
    uploads: Uploads
    per_day: float | None = None

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

    def put_off(self, shard: Shard, error: BatchError | None = None) -> None:
        """Leave a shard alone for a while, longer each time; one that is not shown for a whole day is given up.

        Where Gemini says how long to wait it is that long; a quota of the day is waited for until it begins anew.
        """
        refused = error if isinstance(error, ProviderError) else None
        again = self._next_try(shard, refused)
        denied = refused is not None and refused.reason in ("missing", "permission")
        since = (shard.denied_at or self.now()) if denied else shard.denied_at
        why = short(f"{error}", 400) if error else None
        self.ledger.mark(shard, tries=shard.tries + 1, next_try_at=again, trouble=why, denied_at=since)
        if denied and shard.batch and not shard.finished_at and self.given_up(shard):
            lost = f"{error}".replace("Nothing was charged.", "Rows that it had finished may have been charged.")
            self.ledger.settle(shard, self.now(), "BATCH_STATE_FAILED", short(lost, 300))

    def stop(self, shard: Shard, error: BatchError) -> None:
        """Leave a shard alone until its job is resumed: Gemini refuses every call of this key."""
        if shard.batch is None:
            why = stopped_words(f"{error}")
            self.ledger.mark(shard, stopped_at=self.now(), stopped_by=None, next_try_at=None, error=why)
        else:  # it goes on at Gemini, so it is asked about all the same
            self.ledger.mark(shard, stopped_at=shard.stopped_at or self.now(), stopped_by=None)

    def _next_try(self, shard: Shard, refused: ProviderError | None) -> float:
        """When a call about a shard is made again, in seconds since 1970."""
        pause = min(LONGEST_PAUSE_S, self.pace.least * 2 ** min(shard.tries, 10)) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        if refused and refused.reason == "day":
            return midnight(self.now())
        if refused and refused.reason == "quota" and refused.retry_after_s is not None:
            return self.now() + max(self.pace.least, refused.retry_after_s)
        return self.now() + max(pause, (refused and refused.retry_after_s) or 0)

    def given_up(self, shard: Shard) -> bool:
        """Whether the provider has not shown a batch, or its file, for so long that it will not any more."""
        return shard.denied_at is not None and self.now() - shard.denied_at > GIVE_UP_S
