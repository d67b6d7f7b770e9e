"""The batch lane: a job goes through Gemini's Batch API, one recorded step at a time.

A step can be repeated after a crash at any point. Only the lease holder sends or collects; asking is free for all.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from genai_batch.resources import jobs
from genai_batch.resources.answers import short
from genai_batch.resources.errors import InvalidRequests, LedgerError, ProviderError, UnknownJob
from genai_batch.resources.jobs import BROKEN, FINISHED, Backend, Job, Shard
from genai_batch.resources.ledger import LEASE_S, Ledger
from genai_batch.tools.lanes.collection import close, collect
from genai_batch.tools.lanes.gemini import Gemini
from genai_batch.tools.lanes.states import embeds, outcome, refused_lines, standing, state_of
from genai_batch.tools.lanes.watchdog import EXPIRY_S
from genai_batch.tools.lanes.window import Window
from genai_batch.tools.lanes.wire import Batch

log = logging.getLogger("genai_batch")
INLINE_ROWS, INLINE_BYTES = 50, 1_000_000
"""Up to both a job is sent inline; above either, or when it makes media, as a file."""
_RESEND_S = 60
"""Seconds after a create of unknown outcome before its absence from the list is believed."""
_OUTPUT_S = 600
"""Seconds a succeeded batch may take to show its output."""
_UPLOAD_S = 46 * 3600
"""Age up to which an upload is used again; Gemini keeps it 48 h."""
_LONGEST_PAUSE_S = 300
_UPLOAD_TRIES = 3
"""Refusals of a create for which a lost upload may be the reason."""


class Pace(NamedTuple):
    """Seconds: how old the provider's last word may be, and the least and most between two questions of the driver."""

    fresh: float = 5
    least: float = 5
    most: float = 60


class BatchLane:
    """Drives jobs of one backend through the Batch API."""

    def __init__(self, ledger: Ledger, gemini: Gemini, backend: Backend, now: Callable[[], float], pace: Pace) -> None:
        """Use one ledger and one connection; `now` gives seconds since 1970."""
        self.ledger, self.gemini, self.now, self.pace = ledger, gemini, now, pace
        self.backend: Backend = backend
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
        return await asyncio.shield(self._steps.get(job.id) or self._begin(job.id, self._step(job)))

    async def close(self) -> None:
        """Leave what is under way; it is recorded, and the next process goes on with it."""
        for task in (tasks := list(self._steps.values())):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def cancel(self, job: Job) -> Job:
        """Ask for a job to be stopped; rows already finished may be charged and are kept where the provider gives them.

        The wish is recorded first: whichever process is sending or following the job obeys it.
        """
        self.ledger.advance(job.id, self.now(), cancelled_at=self.now())
        return await self.alone(job.id, lambda: self._step(self.ledger.job(job.id)))

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

    async def _step(self, job: Job) -> Job:
        """Take each shard further, in order; one that the provider has no room for holds back those behind it."""
        full, trouble = False, None
        for shard in self.ledger.shards(job.id):
            if shard.collected_at is not None or (shard.batch is None and (full or shard.attempt != job.attempt)):
                continue
            try:
                await self._further(self.ledger.job(job.id), shard)
            except ProviderError as error:
                trouble = trouble or error
            after = self.ledger.shards(job.id)[shard.number]
            full = full or (after.batch is None and after.collected_at is None)
        job = await self._close(self._tell(job.id))
        if trouble:
            raise trouble
        return job

    def _tell(self, job_id: str) -> Job:
        """Make a job's state and notice out of those of its shards."""
        job = self.ledger.job(job_id)
        state, said = standing(jobs.latest(job, self.ledger.shards(job_id)))
        return self.ledger.advance(job_id, self.now(), state=state, notice=said)

    async def _further(self, job: Job, shard: Shard) -> None:
        """Take one shard further; after a failure it is left alone for a while, longer each time."""
        recent = shard.polled_at is not None and self.now() - shard.polled_at < self.pace.fresh
        if (shard.next_try_at or 0) > self.now() or (recent and shard.batch and job.cancelled_at is None):
            return
        try:
            if shard.batch is None:
                await self._send(job, shard)
            else:
                await self._ask(job, shard)
        except ProviderError as error:
            self._put_off(shard, error)
            raise
        known = self.ledger.shards(job.id)[shard.number]
        if known.tries and known.next_try_at == shard.next_try_at:
            self.ledger.mark(shard, tries=0, next_try_at=None)

    def _put_off(self, shard: Shard, error: ProviderError | None = None) -> None:
        """Leave a shard alone for a while; one whose batch stays unknown to the provider is given up."""
        pause = min(_LONGEST_PAUSE_S, self.pace.least * 2 ** min(shard.tries, 10)) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        again = self.now() + max(pause, (error and error.retry_after_s) or 0)
        self.ledger.mark(shard, tries=shard.tries + 1, next_try_at=again)
        unknown_for = self.now() - (shard.sent_at or self.ledger.job(shard.job_id).created_at)
        if error and error.reason == "missing" and shard.batch and not shard.finished_at and unknown_for > EXPIRY_S:
            self.ledger.settle(shard, self.now(), "BATCH_STATE_FAILED", short(f"{error}", 300))

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
        if ours := self.ledger.by_display_name(batch.display_name):  # its create was of unknown outcome
            if ours.batch is None:
                self._accepted(ours, batch)
            return await self.step(self.ledger.job(ours.job_id))
        return await self.step(self.ledger.record(*self._foreign(batch), again=False))

    def due(self, job: Job, gap: float) -> bool:
        """Whether there is a shard whose last word is older than `gap` seconds and that is not left alone just now."""
        now, shards = self.now(), [each for each in self.ledger.shards(job.id) if each.collected_at is None]
        unsent = [shard for shard in shards if shard.batch is None][:1]  # those behind it wait for it
        return not shards or any(
            now - (shard.polled_at or shard.sent_at or 0) >= gap and (shard.next_try_at or 0) <= now
            for shard in [*unsent, *(shard for shard in shards if shard.batch)]
        )

    def gap(self, job: Job) -> float:
        """Seconds between two questions of the driver: the longer a job runs, the fewer."""
        return min(self.pace.most, max(self.pace.least, (self.now() - job.created_at) / 10))

    async def _send(self, job: Job, shard: Shard) -> None:
        async with self.lease(job.id) as mine:
            job, shard = self.ledger.job(job.id), self.ledger.shards(job.id)[shard.number]
            if not mine or job.is_over or shard.batch is not None:
                return
            if shard.sent_at is not None:
                await self._reconcile(job, shard)
            elif job.cancelled_at is not None:
                self._never_sent(shard)
            else:
                await self._create(job, shard)

    async def _reconcile(self, job: Job, shard: Shard) -> None:
        """After a create of unknown outcome: adopt what the provider has; send again once its absence is certain."""
        if found := await self.gemini.find(shard.display_name):
            self._accepted(shard, found)
        elif self.now() - (shard.sent_at or 0) < _RESEND_S:
            self._put_off(shard)
        elif job.cancelled_at is None:
            await self._create(job, shard)
        else:
            self._never_sent(shard)

    async def _create(self, job: Job, shard: Shard) -> None:
        """Upload, record the intent, send. Who lost the lease on the way does not send: another process is at it."""
        try:
            source = await self._source(job, shard)
            if (intended := self.ledger.intend(shard, self.now())) is None:
                return
            shard = intended
            batch = await self.gemini.create(job.model, shard.display_name, source, embeds=embeds(job.model))
        except ProviderError as error:
            self._not_accepted(job, shard, error)
        else:
            self._accepted(shard, batch)

    def _never_sent(self, shard: Shard) -> None:
        said = "Cancelled before it was sent; nothing was charged."
        self.ledger.settle(shard, self.now(), "BATCH_STATE_CANCELLED", said)

    async def _source(self, job: Job, shard: Shard) -> str | list[dict[str, object]]:
        """Upload the requests, or read them when they are few and small enough to be sent inline."""
        path = jobs.requests_file(self.ledger.home, job.id, shard.attempt)
        small = shard.requests <= INLINE_ROWS and (shard.length or job.bytes) <= INLINE_BYTES
        if small and not job.makes_media and not embeds(job.model):
            with Window(path, shard.start, shard.length) as part:
                return [msgspec.json.decode(line) for line in part.readall().split(b"\n") if line]
        if shard.upload is None or self.now() - (shard.uploaded_at or 0) > _UPLOAD_S:
            name = await self.gemini.upload(path, shard.display_name, shard.start, shard.length)
            shard = self.ledger.mark(shard, upload=name, uploaded_at=self.now())
        return shard.upload or ""

    def _accepted(self, shard: Shard, batch: Batch) -> None:
        self.ledger.mark(
            shard, batch=batch.name, state=batch.state, done=batch.done, polled_at=self.now(), error=None, tries=0,
            next_try_at=None,
        )  # fmt: skip

    def _not_accepted(self, job: Job, shard: Shard, error: ProviderError) -> None:
        """Wait, reconcile later, or fail the job, as the refusal demands."""
        intended = shard.sent_at is not None
        if intended and not error.sent:
            self.ledger.mark(shard, sent_at=None)
        stale = error.reason in ("permission", "missing") and shard.upload is not None and shard.tries < _UPLOAD_TRIES
        if stale:
            self.ledger.mark(shard, upload=None)  # the upload may have expired: it is made again
        if error.sent or error.passing or stale:
            self.ledger.mark(shard, error=short(f"Not accepted yet; it is tried again. {error}", 400))
            self._put_off(shard, error)
            return
        shards = self.ledger.shards(job.id)
        if job.attempt or any(other.batch for other in shards):  # the rest stays as it is
            self.ledger.settle(shard, self.now(), "BATCH_STATE_FAILED", short(str(error), 300))
            return
        for other in shards:
            self.ledger.settle(other, self.now(), "BATCH_STATE_FAILED", short(str(error), 300))
        counts = {"missing": job.requests}
        self.ledger.advance(job.id, self.now(), state="JOB_STATE_FAILED", notice=short(str(error), 450), counts=counts)
        if problems := refused_lines(str(error)):
            raise InvalidRequests(f"{job.name} as sent", problems) from error
        raise error

    async def _ask(self, job: Job, shard: Shard) -> None:
        """Read how a batch is, write it down, and bring its rows home once it is over."""
        batch = await self.gemini.get(shard.batch or "")
        if job.cancelled_at is not None and state_of(batch.state) not in FINISHED | BROKEN:
            batch = await self._stopped(batch)
        state = state_of(batch.state)
        over = state in FINISHED or state in BROKEN
        moved = shard.changed_at is None or (batch.state, batch.done) != (shard.state, shard.done)
        shard = self.ledger.mark(
            shard, state=batch.state, done=batch.done, error=batch.error, polled_at=self.now(),
            output=batch.output or ("inline" if batch.has_output else None),
            changed_at=self.now() if moved else shard.changed_at,
            finished_at=shard.finished_at or (self.now() if over else None),
        )  # fmt: skip
        late = self.now() - (shard.finished_at or 0) >= _OUTPUT_S
        if over and (batch.has_output or state in BROKEN or late):
            await self._bring_home(shard, batch)
            self._make_room(shard.job_id)

    async def _stopped(self, batch: Batch) -> Batch:
        """Ask for a batch to be stopped and read it again; a refusal is no reason not to follow it."""
        try:
            await self.gemini.cancel(batch.name)
        except ProviderError as error:
            log.warning("%s could not be cancelled: %s", batch.name, error)
        return await self.gemini.get(batch.name)

    def _make_room(self, job_id: str) -> None:
        """A batch has ended: whatever waits for room is tried at once."""
        for shard in self.ledger.shards(job_id):
            if shard.batch is None and shard.next_try_at is not None:
                self.ledger.mark(shard, next_try_at=None, tries=0)

    async def _bring_home(self, shard: Shard, batch: Batch) -> None:
        """Store a batch's rows; where there are none to be had any more, say so."""
        async with self.lease(shard.job_id) as mine:
            shard = self.ledger.shards(shard.job_id)[shard.number]
            if not mine or shard.collected_at is not None:
                return
            try:
                await collect(self.ledger, self.gemini, shard, batch, self.now())
            except ProviderError as error:
                if error.passing or self.now() - (shard.finished_at or self.now()) < EXPIRY_S:
                    raise
                await collect(self.ledger, self.gemini, shard, batch.without_output(f"{error}"[:400]), self.now())

    async def _close(self, job: Job) -> Job:
        """End a job once all of its batches are home; whoever comes first after the last one does it."""
        if job.is_over or any(shard.collected_at is None for shard in self.ledger.shards(job.id)):
            return job
        async with self.lease(job.id) as mine:
            job, shards = self.ledger.job(job.id), self.ledger.shards(job.id)
            if not mine or job.is_over or any(shard.collected_at is None for shard in shards):
                return job
            state, notice = outcome(jobs.latest(job, shards))
            return await close(self.ledger, job, self.now(), state=state, notice=notice)

    def _foreign(self, batch: Batch) -> tuple[Job, list[Shard]]:
        job = Job(
            id=jobs.new_id(), name=batch.display_name or batch.name, model=batch.model, lane="batch",
            backend=self.backend, account=self.gemini.account, digest=sha256(batch.name.encode()).hexdigest(),
            requests=batch.requests, bytes=0, makes_media=False, created_at=self.now(),
        )  # fmt: skip
        shard = Shard(
            job_id=job.id, number=0, display_name=f"adopted {batch.name}", requests=batch.requests, batch=batch.name
        )
        return job, [shard]

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
