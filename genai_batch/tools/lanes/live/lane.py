"""The live lane: one run of a job at a time on a home, which whoever comes next goes on with.

A run holds the lease, which says who drives the job, and a lock of the folder, which the system frees with the process:
who lost its lease while it slept still keeps others from writing.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from genai_batch.resources import jobs
from genai_batch.resources.answers import short
from genai_batch.resources.errors import BatchError, LedgerError
from genai_batch.resources.jobs import Backend, Job, Shard, Snapshot
from genai_batch.resources.status import Pulse
from genai_batch.tools.lanes.live.pace import Pace
from genai_batch.tools.lanes.live.run import Run
from genai_batch.tools.lanes.live.runner import Limits
from genai_batch.tools.lanes.live.tally import Tally, spending
from genai_batch.tools.lanes.means import Means

log = logging.getLogger("genai_batch")
_CLOSE_S = 5
"""Seconds that what is in flight has to come home when the process ends."""
_BEGIN_S = 0.25
"""Seconds that whoever begins a run waits for it: a refusal, or a small job, is over by then."""


class _Work(NamedTuple):
    """What this process does with a job just now, and how it is stopped."""

    task: asyncio.Task[None]
    stop: asyncio.Event


class LiveLane:
    """Drives jobs of one backend through generateContent."""

    def __init__(self, means: Means, backend: Backend, limits: Limits, per_day: float | None = None) -> None:
        """Use the means that the other lane uses; `per_day` USD are what all jobs of a day may cost together."""
        self._means, self._backend, self._limits, self._per_day = means, backend, limits, per_day
        self._runs: dict[str, _Work] = {}
        self._tried: dict[str, float] = {}
        self._paces: dict[str, Pace] = {}
        self._tallies: dict[str, Tally] = {}

    async def step(self, job: Job) -> Job:
        """See to it that the job runs, here or elsewhere, and return how it stands; the run goes on by itself."""
        if job.is_over or job.id in self._runs or not self._is_due(self._means.ledger.snapshot(job.id)):
            return self._means.ledger.job(job.id)
        task = self._begin(job.id, self._drive)
        await asyncio.wait([task], timeout=_BEGIN_S)
        return self._means.ledger.job(job.id)

    def due(self, snapshot: Snapshot, gap: float) -> bool:
        """Whether nobody here runs the job, it does not rest, and it is `gap` seconds since this was last tried.

        A job whose process has ended is due at once.
        """
        job_id = snapshot.job.id
        if job_id in self._runs or not self._is_due(snapshot):
            return False
        now = self._means.now()
        return now - self._tried.get(job_id, 0) >= gap or self._means.ledger.is_orphaned(job_id, now)

    def gap(self, job: Job) -> float:  # noqa: ARG002 - the lanes are asked alike
        """Seconds between two looks whether a job that nobody here runs is free."""
        return self._means.pace.least

    def is_at(self, job_id: str) -> bool:
        """Whether this process runs the job."""
        return job_id in self._runs

    def rests_until(self, snapshot: Snapshot) -> float | None:
        """When a job that was stopped goes on by itself, in seconds since 1970; None for one that is not."""
        shard = _open(snapshot)
        return shard.next_try_at if shard and (shard.next_try_at or 0) > self._means.now() else None

    async def wake(self, job: Job) -> bool:
        """Let an open job that rests or has stopped go on at once; False where it does neither."""
        snapshot = self._means.ledger.snapshot(job.id)
        shard = _open(snapshot)
        if shard is None or (shard.stopped_at is None and self.rests_until(snapshot) is None):
            return False
        self._means.ledger.mark(shard, next_try_at=None, stopped_at=None, stopped_by=None, trouble=None)
        self._means.ledger.advance(job.id, self._means.now(), notice=None)
        await self.step(self._means.ledger.job(job.id))
        return True

    def pulse(self, job_id: str) -> Pulse | None:
        """How the run of a job here goes; None where there is none."""
        tally = self._tallies.get(job_id)
        return tally.pulse() if tally else None

    async def rest(self, job_id: str) -> None:
        """Send nothing more of a job, and wait until what is in flight is stored; the next step goes on with it."""
        if run := self._runs.get(job_id):
            run.stop.set()
            await asyncio.wait([run.task])

    async def cancel(self, job: Job) -> Job:
        """Stop a job: what is in flight comes home and is kept. The wish is recorded first, for whoever runs it."""
        self._means.ledger.advance(job.id, self._means.now(), cancelled_at=self._means.now())
        if shard := _open(self._means.ledger.snapshot(job.id)):
            self._means.ledger.mark(shard, next_try_at=None, stopped_at=None)
        if run := self._runs.get(job.id):
            run.stop.set()
            await asyncio.wait([run.task])
        if not self._means.ledger.job(job.id).is_over:
            await asyncio.wait([self._begin(job.id, self._drive)])
        return self._means.ledger.job(job.id)

    async def alone(self, job_id: str, work: Callable[[], Coroutine[Any, Any, Job]]) -> Job:
        """Do something with a job while nothing in this process runs it."""
        while run := self._runs.get(job_id):
            await asyncio.wait([run.task])
        found: list[Job] = []

        async def kept(_: str, __: asyncio.Event) -> None:
            found.append(await work())

        await asyncio.shield(self._begin(job_id, kept))
        return found[0]

    async def close(self) -> None:
        """Send nothing more, give what is in flight a few seconds to come home, and leave the rest to the next."""
        tasks = [run.task for run in self._runs.values()]
        for run in self._runs.values():
            run.stop.set()
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(
        self, job_id: str, work: Callable[[str, asyncio.Event], Coroutine[Any, Any, None]]
    ) -> asyncio.Task[None]:
        """Do the one thing that is done with a job at a time in this process."""
        self._tried[job_id] = self._means.now()
        stop = asyncio.Event()
        task = asyncio.create_task(work(job_id, stop))
        self._runs[job_id] = _Work(task, stop)
        task.add_done_callback(partial(self._ended, job_id))
        return task

    def _ended(self, job_id: str, task: asyncio.Task[None]) -> None:
        del self._runs[job_id]
        self._tallies.pop(job_id, None)
        if not task.cancelled() and (error := task.exception()):
            log.debug("%s: %s", job_id, error)

    def _is_due(self, snapshot: Snapshot) -> bool:
        job = snapshot.job
        if job.is_over or job.backend != self._backend or self.rests_until(snapshot) is not None:
            return False
        shard = _open(snapshot)
        return shard is None or shard.stopped_at is None

    async def _drive(self, job_id: str, stop: asyncio.Event) -> None:
        """Run a job as the one who may; what fails is left alone for a while, and said."""
        async with self._means.lease(job_id) as mine:
            folder = jobs.folder(self._means.ledger.home, job_id)
            with _locked(folder / ".storing") as locked:
                if not (mine and locked):
                    return
                try:
                    snapshot = self._means.ledger.snapshot(job_id)
                    job = snapshot.job
                    pace = self._paces.setdefault(job.model, Pace())
                    tally = self._tallies[job_id] = Tally(spending(job), job.stop_on_failures)
                    run = Run(self._means, self._limits, pace, tally, stop, self._per_day)
                    await run.carry_out(job, _open(snapshot))
                except (BatchError, OSError) as error:
                    self._put_off(job_id, error)
                except Exception as error:
                    log.exception("%s could not be taken further", job_id)
                    self._put_off(job_id, error)

    def _put_off(self, job_id: str, error: Exception) -> None:
        known = error if isinstance(error, BatchError) else LedgerError(f"{job_id} was held up: {error}")
        log.warning("%s: %s", job_id, known)
        snapshot = self._means.ledger.snapshot(job_id)
        if shard := _open(snapshot):
            self._means.put_off(shard, known)
            self._means.ledger.advance(job_id, self._means.now(), snapshot.job.attempt, notice=short(f"{known}", 450))


def _open(snapshot: Snapshot) -> Shard | None:
    """The part of the job's latest attempt that is not home; a live attempt has one."""
    return next((shard for shard in snapshot.latest if shard.collected_at is None), None)


@contextmanager
def _locked(path: Path) -> Generator[bool]:
    """Hold a lock that the system frees with the process; False where another has it."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
