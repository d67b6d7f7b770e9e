"""The lanes of a workspace: each job is driven by its own."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from genai_batch.resources import jobs
from genai_batch.resources.jobs import Job, Shard, Snapshot
from genai_batch.resources.standing import Standing
from genai_batch.resources.status import JobStatus, Pulse
from genai_batch.tools.lanes.batch import BatchLane
from genai_batch.tools.lanes.gemini import Gemini
from genai_batch.tools.lanes.live.lane import LiveLane
from genai_batch.tools.lanes.means import Means, Pace


class Lanes:
    """Both lanes over one ledger and one connection; what is asked of a job goes to the lane of the job."""

    def __init__(self, batch: BatchLane, live: LiveLane) -> None:
        """Use two lanes."""
        self.batch, self.live = batch, live
        self._standing = Standing(batch.means.ledger.home)

    @property
    def means(self) -> Means:
        """What both work with."""
        return self.batch.means

    @property
    def gemini(self) -> Gemini:
        """The connection."""
        return self.batch.gemini

    @property
    def pace(self) -> Pace:
        """How often is asked."""
        return self.batch.pace

    async def step(self, job: Job) -> Job:
        """Take a job further.

        Raises:
            BatchError: it cannot be taken further now, or has failed.
        """
        return await self._of(job).step(job) if self.is_mine(job) else job

    def due(self, snapshot: Snapshot, gap: float) -> bool:
        """Whether there is something to do for a job, and it was not done within `gap` seconds."""
        return self._of(snapshot.job).due(snapshot, gap)

    def gap(self, job: Job) -> float:
        """Seconds between two steps of the driver."""
        return self._of(job).gap(job)

    async def cancel(self, job: Job) -> Job:
        """Stop a job; what is finished is kept."""
        return await self._of(job).cancel(job)

    async def alone(self, job: Job, work: Callable[[], Coroutine[Any, Any, Job]]) -> Job:
        """Do something with a job when nothing else in this process is at it."""
        return await self._of(job).alone(job.id, work)

    async def wake(self, job: Job) -> bool:
        """Let an open job that rests or has stopped go on at once; False where it does neither.

        Raises:
            ProviderError: Gemini still refuses.
        """
        return not job.is_over and await self._of(job).wake(job)

    def rests(self, job: Job) -> bool:
        """Whether something of an open job is not sent until it is resumed, or until the quota of the day is back."""
        if job.is_over:
            return False
        shards = [shard for shard in self.means.ledger.shards(job.id) if shard.collected_at is None]
        unsent = [shard for shard in shards if job.lane_now != "batch" or shard.batch is None]
        return any(shard.stopped_at for shard in shards) or any(self.batch.rests(shard) for shard in unsent)

    def is_stopped(self, snapshot: Snapshot) -> bool:
        """Whether nothing more of an open job happens until it is resumed."""
        return jobs.is_stopped(*snapshot)

    def rests_until(self, snapshot: Snapshot) -> float | None:
        """When a job that the provider has stopped goes on by itself, in seconds since 1970; None where none is."""
        job = snapshot.job
        return self.live.rests_until(snapshot) if job.lane_now != "batch" and not job.is_over else None

    def pulse(self, job: Job) -> Pulse | None:
        """How a run of the job in this process goes; None where there is none."""
        return self.live.pulse(job.id) if job.lane_now != "batch" else None

    def stand(self, snapshot: Snapshot, *, existing: bool = False) -> JobStatus:
        """How a job stands: of an attempt that is under way, what is whole on the disk counts."""
        (job, shards), counts = snapshot, None
        if found := self._standing.look(snapshot):
            counts = found.counts
            if job.lane_now != "batch":
                shards = [self._durable(job, each, found.back) for each in shards]
        told = JobStatus.of(job, shards, self.means.now(), existing=existing, counts=counts)
        pulse = None if job.is_over else self.pulse(job)
        return told.model_copy(update={"live": pulse})

    def paid(self, snapshot: Snapshot) -> float:
        """USD that a job did cost until now, as far as its answers are on the disk."""
        found = self._standing.look(snapshot)
        return (snapshot.job.cost or 0) + (found.cost_usd or 0 if found else 0)

    async def rest(self, job: Job) -> None:
        """Send nothing more of a job from here, and wait until what is in flight is stored."""
        if job.lane_now != "batch":
            await self.live.rest(job.id)

    def is_at(self, job_id: str) -> bool:
        """Whether this process is just taking a step of the job."""
        return self.batch.is_at(job_id) or self.live.is_at(job_id)

    def is_mine(self, job: Job) -> bool:
        """Whether the job was made with this backend and this key; no other can see it at the provider."""
        return self.batch.is_mine(job)

    async def adopt(self, name: str) -> Job:
        """Take on a batch that this ledger has not seen.

        Raises:
            UnknownJob: the provider has no such batch for this key.
        """
        return await self.batch.adopt(name)

    async def close(self) -> None:
        """Leave what is under way to the next process."""
        await asyncio.gather(self.live.close(), self.batch.close())

    def _durable(self, job: Job, shard: Shard, back: int) -> Shard:
        """A live attempt has one part."""
        return shard.model_copy(update={"done": back}) if shard.attempt == job.attempt else shard

    def _of(self, job: Job) -> BatchLane | LiveLane:
        return self.live if job.lane_now != "batch" else self.batch
