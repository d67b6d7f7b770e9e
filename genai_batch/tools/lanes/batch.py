"""The batch lane: a job goes through Gemini's Batch API, one recorded step at a time.

A step can be repeated after a crash at any point. Only the lease holder sends or collects; asking is free for all.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from hashlib import sha256
from typing import Any

from genai_batch.resources import jobs
from genai_batch.resources.errors import BatchError, ProviderError, UnknownJob, UnknownModel
from genai_batch.resources.jobs import Backend, Job, Shard, Snapshot
from genai_batch.resources.ledger import Ledger
from genai_batch.tools.lanes import following, sending, shard_limits
from genai_batch.tools.lanes.collection import close
from genai_batch.tools.lanes.gemini import Gemini
from genai_batch.tools.lanes.means import LONGEST_PAUSE_S, Means, Pace
from genai_batch.tools.lanes.states import outcome, standing
from genai_batch.tools.lanes.uploading import Uploads
from genai_batch.tools.lanes.wire import Batch

log = logging.getLogger("genai_batch")


class BatchLane:
    """Drives jobs of one backend through the Batch API."""

    def __init__(
        self,
        ledger: Ledger,
        gemini: Gemini,
        backend: Backend,
        now: Callable[[], float],
        pace: Pace,
        per_day: float | None = None,
    ) -> None:
        """Use one ledger and one connection; `now` gives seconds since 1970, `per_day` is as in `Means`."""
        self.ledger, self.gemini, self.now, self.pace = ledger, gemini, now, pace
        self.backend: Backend = backend
        self.means = Means(ledger, gemini, now, pace, Uploads(ledger, gemini, now), per_day)
        self._steps: dict[str, asyncio.Task[Job]] = {}

    async def step(self, job: Job) -> Job:
        """Take a job as far as it goes now: send it, ask how it is, bring its rows home.

        Whoever asks while a step is under way joins it, and it goes on when they stop waiting.

        Raises:
            ProviderError: Gemini refused for good; the job has failed. Or it cannot be asked now; the job is as it was.
            InvalidRequests: Gemini refused lines of the job, which has failed.
        """
        if job.is_over or not self.is_mine(job):
            return job
        return await asyncio.shield(self._steps.get(job.id) or self._begin(job.id, self._step(job.id)))

    async def close(self) -> None:
        """Leave what is under way; it is recorded, and the next process goes on with it."""
        for task in (tasks := list(self._steps.values())):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.means.uploads.close()

    async def cancel(self, job: Job) -> Job:
        """Ask for a job to be stopped; rows already finished may be charged and are kept where the provider gives them.

        The wish is recorded first: whichever process is sending or following the job obeys it.
        """
        self.ledger.advance(job.id, self.now(), cancelled_at=self.now())
        for shard in self.ledger.shards(job.id):  # what was left alone is looked at now
            self.ledger.mark(shard, next_try_at=None, stopped_at=None)
        return await self.alone(job.id, lambda: self._step(job.id))

    async def wake(self, job: Job) -> bool:
        """Let what was not sent of a job go on at once; False where nothing of it rests.

        Raises:
            ProviderError: Gemini still refuses.
        """
        shards = [each for each in self.ledger.shards(job.id) if each.collected_at is None]
        resting = [each for each in shards if each.stopped_at or (not each.batch and self.rests(each))]
        for shard in resting:
            self.ledger.mark(shard, next_try_at=None, stopped_at=None, stopped_by=None)
        if resting:
            await self.step(self._tell(self.ledger.snapshot(job.id)))
        return bool(resting)

    def rests(self, shard: Shard) -> bool:
        """Whether a shard is left alone for longer than a pause lasts: until the quota of the day begins anew."""
        return (shard.next_try_at or 0) - self.now() > 2 * LONGEST_PAUSE_S

    async def alone(self, job_id: str, work: Callable[[], Coroutine[Any, Any, Job]]) -> Job:
        """Do something with a job when nothing else in this process is at it."""
        while task := self._steps.get(job_id):
            await asyncio.wait([task])
        return await asyncio.shield(self._begin(job_id, work()))

    def is_at(self, job_id: str) -> bool:
        """Whether this process is just taking a step of the job."""
        return job_id in self._steps

    def is_mine(self, job: Job) -> bool:
        """Whether the job was made with this backend and this key; no other can see it at the provider."""
        return job.backend == self.backend and job.account == self.gemini.account

    def due(self, snapshot: Snapshot, gap: float) -> bool:
        """Whether there is a shard whose last word is older than `gap` seconds and that is not left alone just now."""
        now, shards = self.now(), [shard for shard in snapshot.shards if shard.collected_at is None]
        if self.ledger.is_orphaned(snapshot.job.id, now):
            return True
        first = [shard for shard in shards if shard.batch is None][:1]  # those behind it wait for it
        unsent = [shard for shard in first if shard.stopped_at is None]
        return not shards or any(
            now - ((shard.polled_at if shard.batch else shard.sent_at) or 0) >= gap and (shard.next_try_at or 0) <= now
            for shard in [*unsent, *(shard for shard in shards if shard.batch)]
        )

    def gap(self, job: Job) -> float:
        """Seconds between two questions of the driver: the longer a job runs, the fewer."""
        return min(self.pace.most, max(self.pace.least, (self.now() - job.created_at) / 10))

    async def adopt(self, name: str) -> Job:
        """Take on a batch that this ledger has not seen.

        Raises:
            UnknownJob: the provider has no such batch for this key.
        """
        try:
            batch = await self.gemini.get(name)
        except ProviderError as error:
            if error.reason not in ("missing", "permission"):
                raise
            raise UnknownJob(name, why=f"Gemini shows no batch {name!r} to this key") from error
        ours = self.ledger.by_display_name(batch.display_name)
        if ours and ours.batch is None and ours.collected_at is None:  # its create was of unknown outcome
            await sending.accept(self.means, ours, batch)
        if ours and (ours.batch is not None or ours.collected_at is None):
            return self.ledger.job(ours.job_id)
        return self.ledger.record(*self._foreign(batch), again=False)

    def _foreign(self, batch: Batch) -> tuple[Job, list[Shard]]:
        job = Job(
            id=jobs.new_id(), name=batch.display_name or batch.name, model=batch.model, lane="batch",
            backend=self.backend, account=self.gemini.account, digest=sha256(batch.name.encode()).hexdigest(),
            requests=batch.requests, bytes=0, makes_media=False, created_at=self.now(),
        )  # fmt: skip
        shard = Shard(
            job_id=job.id, number=0, display_name=f"adopted {batch.name}", requests=batch.requests, batch=batch.name,
            sent_at=batch.created,
        )  # fmt: skip
        return job, [shard]

    async def _step(self, job_id: str) -> Job:
        """Take each shard further, in order; the trouble of one does not hold up the others."""
        trouble = await self._all_further(self.ledger.snapshot(job_id))
        snapshot = self.ledger.snapshot(job_id)
        job = await self._close(snapshot._replace(job=self._tell(snapshot)))
        if trouble:
            raise trouble
        return job

    async def _all_further(self, snapshot: Snapshot) -> BatchError | None:
        """Take the shards further and return the first failure; where there is no room, none behind is sent."""
        job, full, trouble = snapshot.job, False, None
        for place, shard in enumerate([shard for shard in snapshot.shards if shard.collected_at is None]):
            if place:  # while those before it were taken further it may have become another
                job, shard = self.ledger.job(job.id), self.ledger.shard(job.id, shard.number)
            if shard.collected_at is not None or (shard.batch is None and (full or shard.attempt != job.attempt)):
                continue
            if shard.batch is None and shard.stopped_at is not None and job.cancelled_at is None:
                full = True
                continue
            try:
                await self._further(shard, stop=job.cancelled_at is not None)
            except BatchError as error:
                trouble = trouble or error
            full = full or (shard.batch is None and self._is_unsent(shard))
        return trouble

    def _is_unsent(self, shard: Shard) -> bool:
        """Whether a shard is still to be sent."""
        current = self.ledger.shard(shard.job_id, shard.number)
        return current.batch is None and current.collected_at is None

    async def _further(self, shard: Shard, *, stop: bool) -> None:
        """Take one shard further; after a failure it is left alone for a while."""
        recent = shard.polled_at is not None and self.now() - shard.polled_at < self.pace.fresh
        if recent and self.ledger.is_orphaned(shard.job_id, self.now()):
            recent = False  # who asked has ended before it could act on the answer
        if (shard.next_try_at or 0) > self.now() or (recent and shard.batch and not stop):
            return
        try:
            if shard.batch is None:
                await sending.send(self.means, shard)
            else:
                await following.ask(self.means, shard, stop=stop)
        except ProviderError as failure:
            error = await self.gemini.confirmed(failure)
            self.means.put_off(shard, error)
            if error.reason == "key":
                self.means.stop(shard, error)
                await self._give_back(shard)
            raise error from failure
        if shard.tries:
            current = self.ledger.shard(shard.job_id, shard.number)
            if current.tries == shard.tries and current.stopped_by is None:
                self.ledger.mark(shard, tries=0, next_try_at=None, trouble=None, denied_at=None, stopped_at=None)

    async def _give_back(self, shard: Shard) -> None:
        """Set nothing more aside for a batch that is not sent until somebody resumes its job."""
        if self._is_unsent(shard):
            with suppress(UnknownModel, OSError):  # what cannot be counted stays set aside
                await shard_limits.give_back(self.means, self.ledger.job(shard.job_id), shard)

    def _tell(self, snapshot: Snapshot) -> Job:
        """Make a job's state and notice out of those of its shards; where they are that already, nothing is written."""
        job, (state, notice) = snapshot.job, standing(snapshot.latest)
        if (job.state, job.notice) == (state, notice):
            return job
        return self.ledger.advance(job.id, self.now(), job.attempt, state=state, notice=notice)

    async def _close(self, snapshot: Snapshot) -> Job:
        """End a job once all of its batches are home; whoever comes first after the last one does it."""
        if not _is_home(snapshot):
            return snapshot.job
        async with self.means.lease(snapshot.job.id) as mine:
            snapshot = self.ledger.snapshot(snapshot.job.id)
            job = snapshot.job
            if not mine or not _is_home(snapshot):
                return job
            state, notice = outcome(snapshot.latest)
            return await close(self.ledger, job, self.now(), state=state, notice=notice)

    def _begin(self, job_id: str, work: Coroutine[Any, Any, Job]) -> asyncio.Task[Job]:
        """Do the one thing that is done with a job at a time in this process."""
        task = self._steps[job_id] = asyncio.create_task(work)
        task.add_done_callback(partial(self._ended, job_id))
        return task

    def _ended(self, job_id: str, task: asyncio.Task[Job]) -> None:
        """The work has ended; its failure is not lost when nobody waits for it any more."""
        del self._steps[job_id]
        if not task.cancelled() and (error := task.exception()):
            log.debug("%s: %s", job_id, error)


def _is_home(snapshot: Snapshot) -> bool:
    """Whether an open job waits for nothing more from the provider."""
    return not snapshot.job.is_over and all(shard.collected_at is not None for shard in snapshot.shards)
