"""Following a batch: ask how it is, obey a wish to stop it, and bring its rows home once it is over."""

import logging
from contextlib import suppress

from genai_batch.resources.errors import ProviderError
from genai_batch.resources.jobs import BROKEN, FINISHED, Shard
from genai_batch.tools.lanes.collection import collect
from genai_batch.tools.lanes.means import LONGEST_PAUSE_S, Means
from genai_batch.tools.lanes.states import state_of
from genai_batch.tools.lanes.wire import Batch

log = logging.getLogger("genai_batch")
_WAITING = frozenset({"JOB_STATE_QUEUED", "JOB_STATE_PENDING"})
_OUTPUT_S = 600
"""Seconds a succeeded batch may take to show its output."""


async def ask(means: Means, shard: Shard, *, stop: bool) -> None:
    """Read how a batch is, write it down, and bring its rows home once it is over; `stop` asks for its end first.

    Raises:
        ProviderError: it cannot be asked, or its rows cannot be had, now.
        LedgerError: the disk did not take the rows.
    """
    if stop and shard.finished_at is None:
        shard = await _stop(means, shard)
    batch = await means.gemini.get(shard.batch or "")
    shard = _told(means, shard, batch)
    late = means.now() - (shard.finished_at or 0) >= _OUTPUT_S
    if _over(batch) and (batch.has_output or state_of(batch.state) in BROKEN or late):
        await _bring_home(means, shard, batch)
        means.ledger.make_room(shard.job_id, means.now() + 2 * LONGEST_PAUSE_S)  # but for the quota of the day


def _over(batch: Batch) -> bool:
    return state_of(batch.state) in FINISHED | BROKEN


def _told(means: Means, shard: Shard, batch: Batch) -> Shard:
    """Write down what the provider says of a batch."""
    now = means.now()
    moved = shard.changed_at is None or (batch.state, batch.done) != (shard.state, shard.done)
    return means.ledger.mark(
        shard, state=batch.state, done=batch.done, error=batch.error, polled_at=now,
        output=batch.output or ("inline" if batch.has_output else None),
        changed_at=now if moved else shard.changed_at,
        finished_at=shard.finished_at or (now if _over(batch) else None),
        ran_at=shard.ran_at or (now if _may_have_run(shard, batch, now) else None),
    )  # fmt: skip


def _may_have_run(shard: Shard, batch: Batch, now: float) -> bool:
    """Whether rows of a batch may have been billed.

    One that has ended does not tell how many rows were done, so that it must have been seen to wait just before.
    """
    if batch.done or shard.done:
        return True
    if not _over(batch):
        return state_of(batch.state) not in _WAITING
    waited = state_of(shard.state or "") in _WAITING and now - (shard.polled_at or 0) <= LONGEST_PAUSE_S
    return state_of(batch.state) in FINISHED or not waited


async def _stop(means: Means, shard: Shard) -> Shard:
    """Ask for a batch to be stopped; a refusal, of one that is over perhaps, is no reason not to follow it.

    How it stood just before tells whether it may have cost anything.
    """
    with suppress(ProviderError):
        shard = _told(means, shard, await means.gemini.get(shard.batch or ""))
    try:
        await means.gemini.cancel(shard.batch or "")
    except ProviderError as error:
        log.warning("%s could not be cancelled: %s", shard.batch, error)
    return shard


async def _bring_home(means: Means, shard: Shard, batch: Batch) -> None:
    """Store a batch's rows; where there are none to be had any more, say so."""
    async with means.lease(shard.job_id) as mine:
        shard = means.ledger.shard(shard.job_id, shard.number)
        if not mine or shard.collected_at is not None:
            return
        try:
            await collect(means, shard, batch)
        except ProviderError as error:
            if error.reason not in ("missing", "permission") or not means.given_up(shard):
                raise
            await collect(means, shard, batch.without_output(f"{error}"[:400]))
