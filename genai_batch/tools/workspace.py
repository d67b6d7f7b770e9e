"""What every tool works in: the home with its ledger, the lanes to Gemini, the roots, the limits."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

from anyio import move_on_after, to_thread
from pydantic import Field

from genai_batch.resources import models, pages, pipelines
from genai_batch.resources.answers import brief, short
from genai_batch.resources.errors import BatchError, FileUnusable, OverBudget, PathNotAllowed, ProviderError
from genai_batch.resources.exports.folder import Existing
from genai_batch.resources.jobs import LIMITS, Backend, Job, Snapshot, stopped_by
from genai_batch.resources.ledger import Ledger
from genai_batch.resources.opened import OpenResults
from genai_batch.resources.partial import so_far
from genai_batch.resources.pipelines import Pipeline
from genai_batch.resources.requests import Cut, Preflight
from genai_batch.resources.sources.selection import Selection
from genai_batch.tools.filled import Filled
from genai_batch.tools.lanes.both import Lanes
from genai_batch.tools.pipelining.joined import Joined

LOOK_S = 20
"""Seconds one look at a job may take when the caller does not wait longer anyway."""
_SHARE = 0.8
"""Of the provider's allowance that one batch may take, since tokens are estimated."""


@dataclass(frozen=True)
class Workspace:
    """One home, one connection, one set of limits.

    `roots` are the folders that may be read and written; None is a person's command line, which may use any path and
    replace what was written from here, or any file where `overwrite` says so. `max_cost_usd` is the cost above which a
    job needs approval, `max_cost_usd_per_day` what all jobs of a day may cost together, approved or not. `tier` is the
    usage tier of the key: it decides how many tokens may wait at Gemini, and so how a job is cut into batches; `cut`
    says that outright. `at` is what this process is just doing with pipelines.
    """

    ledger: Ledger
    lane: Lanes
    opened: OpenResults
    backend: Backend
    roots: tuple[Path, ...] | None
    max_cost_usd: float
    now: Callable[[], float]
    tier: int = 1
    cut: Cut | None = None
    max_cost_usd_per_day: float | None = None
    at: Joined = field(default_factory=Joined)
    overwrite: bool = False

    @property
    def home(self) -> Path:
        """The folder that holds everything."""
        return self.ledger.home

    @property
    def existing(self) -> Existing:
        """What becomes of files with other content where an export is written to."""
        if self.overwrite:
            return "replace"
        return "keep" if self.roots is None else "refuse"

    def may_replace(self, path: Path) -> bool:
        """Whether a file may be overwritten: by a person, while nobody has changed it since it was written."""
        return self.overwrite or (self.roots is None and self.ledger.has_written(path))

    @property
    def today(self) -> date:
        """The day whose prices hold, in UTC."""
        return datetime.fromtimestamp(self.now(), UTC).date()

    def path(self, text: str) -> Path:
        """Resolve a path that a caller gave; links are followed before it is judged.

        Raises:
            PathNotAllowed: it lies outside the roots.
        """
        first = self.roots[0] if self.roots else Path.cwd()
        try:
            path = (first / Path(text).expanduser()).resolve()
            path.exists()
        except (OSError, RuntimeError, ValueError) as error:  # a name too long, a loop of links, a NUL, an unknown user
            said = f"{brief(text, 80)!r} is no path that can be used: {brief(str(error), 120)}."
            raise PathNotAllowed(said) from error
        if self.roots is None or any(path.is_relative_to(root) for root in self.roots):
            return path
        roots = ", ".join(map(str, self.roots))
        raise PathNotAllowed(
            f"{brief(text, 200)} lies outside {roots}. Use a path inside, or set GENAI_BATCH_ROOTS to allow more."
        )

    def preflight(self, source: str, model: str) -> Preflight:
        """Be ready to read a source for a model, cutting it where one batch would be too much for the provider.

        Raises:
            BatchError: the path, the file or the model cannot be used.
        """
        return Preflight(self.path(source), models.find(model, self.today), self.cut_for(model))

    def cut_for(self, model: str) -> Cut:
        """How much goes into one batch of a model."""
        return self.cut or Cut(tokens=models.allowance(model, self.tier) * _SHARE)

    async def job(self, job_id: str) -> Job:
        """Find a job by its id or that of its pipeline, or adopt a provider's batch by its name.

        Raises:
            UnknownJob: none of them is known.
        """
        job, _ = await self.named(job_id)
        return job

    async def named(self, job_id: str) -> tuple[Job, Pipeline | None]:
        """Find a job like `job` does; where the id is that of a pipeline, return the pipeline too.

        Raises:
            UnknownJob: none of them is known.
        """
        if pipeline := pipelines.named(self.ledger, job_id):
            return pipelines.standing(self.ledger, pipeline), pipeline
        return await self._job(job_id), None

    async def _job(self, job_id: str) -> Job:
        if (job := self.ledger.find(job_id)) is not None or not job_id.startswith("batches/"):
            return job or self.ledger.job(job_id)
        with move_on_after(LOOK_S):  # what is under way goes on in the background
            adopted = await self.lane.adopt(job_id)
            (job, _), _ = await self.look(self.ledger.snapshot(adopted.id))
        return job or self.ledger.job(job_id)

    async def look(self, snapshot: Snapshot) -> tuple[Snapshot, str | None]:
        """Take a job a step further when the provider's last word is old; when it cannot be asked, that word stands.

        Returns the job as it is then, and what kept it from being asked.
        """
        job = snapshot.job
        if job.is_over or not self.lane.due(snapshot, self.lane.pace.fresh):
            return snapshot, self._put_off(snapshot)
        if not self.lane.is_mine(job):
            return snapshot, f"Last known state. {self._foreign(job)}"
        try:
            job = await self.lane.step(job)
        except FileUnusable:  # the job has stopped, and its notice says why
            return self.ledger.snapshot(job.id), None
        except ProviderError as error:
            snapshot = self.ledger.snapshot(job.id)
            if error.reason == "key" and not any(shard.batch for shard in snapshot.shards):
                return snapshot, None  # the job has stopped, and its notice says why
            return snapshot, short(f"Last known state. {error}", 450)
        return Snapshot(job, self.ledger.shards(job.id)), None

    async def with_results(self, job_id: str, *, partial: bool = False) -> Job:
        """Find a job whose results can be read, after taking it a step further where the provider's last word is old.

        With `partial` it may be one that still runs; it then has the rows that are stored by now.

        Raises:
            UnknownJob: there is none.
            NotFinished: with when to ask again.
            ProviderError: the job has stopped.
            OverBudget: a limit has stopped it.
        """
        job = await self.job(job_id)
        (job, _), _ = await self.look(Snapshot(job, self.ledger.shards(job.id)))
        if partial:
            return await to_thread.run_sync(self.readable, job)
        self.need_results(job)
        return job

    def readable(self, job: Job) -> Job:
        """Return a job with the rows that can be read of it: all, or while it runs those that are stored by now.

        Raises:
            NotFinished: it has none yet, with when to ask again.
            ProviderError: it has none yet and has stopped.
        """
        running = so_far(self.home, job)
        if running is None:
            self.need_results(job)
        return running or job

    def need_results(self, job: Job) -> None:
        """Refuse to show results of a job that is still under way, or rests until later.

        Raises:
            NotFinished: with when to ask again.
            ProviderError: the job has stopped.
            OverBudget: a limit has stopped it.
        """
        rest = None
        if not job.is_over:
            snapshot = Snapshot(job, self.ledger.shards(job.id))
            if self.lane.is_stopped(snapshot) and not job.attempt:
                if stopped_by(*snapshot) in LIMITS:
                    raise OverBudget(self._stopped(job))
                raise ProviderError(self._stopped(job), reason="key")
            if until := self.lane.rests_until(snapshot):
                rest = pages.Rest(self.lane.stand(snapshot).done, until)
        pages.need_results(job, rest)

    def need_to_own(self, job: Job) -> None:
        """Refuse to act on a job that only another key or backend can see.

        Raises:
            BatchError: with whose it is.
        """
        if not self.lane.is_mine(job):
            raise BatchError(self._foreign(job))

    def take_over(self, job: Job) -> Job:
        """Make a stopped job one of this key, since a new key is what mends some refusals.

        One of which Gemini may have a batch stays with the key that made that.
        """
        shards = [shard for shard in self.ledger.shards(job.id) if shard.collected_at is None]
        is_sent = any(shard.batch or (shard.sent_at and job.lane_now == "batch") for shard in shards)
        if job.account == self.lane.gemini.account or job.backend != self.backend or is_sent:
            return job
        if not self.lane.is_stopped(Snapshot(job, shards)):
            return job
        for shard in shards:
            self.ledger.mark(shard, upload=None)  # which only the other key sees
        return self.ledger.advance(job.id, self.now(), job.attempt, account=self.lane.gemini.account)

    def _stopped(self, job: Job) -> str:
        """Say that a job has stopped, why, and what can be done."""
        stored = f"{self.lane.stand(self.ledger.snapshot(job.id)).done:,} of {job.requests:,} rows are stored"
        resume = f"At the command line genai-batch resume {job.id} goes on; "
        if stopped_by(job, self.ledger.shards(job.id)):
            resume = ""  # the notice says how
        return (
            f"{job.id} has stopped, and {stored}. {job.notice or ''} {resume}"
            f"genai-batch cancel {job.id} ends it, and what is stored can be read."
        )

    def _foreign(self, job: Job) -> str:
        if job.backend != self.backend:
            return f"The job runs on {job.backend}; this process talks to {self.backend} (GENAI_BATCH_BACKEND)."
        return "The job was made with another API key; only a process with that key can see or stop it."

    def _put_off(self, snapshot: Snapshot) -> str | None:
        """What kept the driver from asking, and when it asks again; waiting for room is told by the job itself."""
        waiting = [shard for shard in snapshot.shards if shard.batch and (shard.next_try_at or 0) > self.now() + 1]
        if not waiting:
            return None
        last = max(waiting, key=lambda shard: shard.next_try_at or 0)
        again = f"Last known state; Gemini is asked again in {(last.next_try_at or 0) - self.now():.0f} s."
        return short(f"{again} {last.trouble or ''}", 450)


Given = Annotated[Workspace, Filled.WORKSPACE]
"""A parameter the model never sees."""
Source = Annotated[str, Field(description=".jsonl of {key, request}, or a manifest")]
ModelName = Annotated[str | None, Field(description="e.g. gemini-3.8-flash")]


OutputLimit = Annotated[int | None, Field(description="For rows without", ge=1)]
Choice = Annotated[Selection | None, Filled.NOTHING]
"""Some items only: a model chooses in a manifest, the command line has options for it."""
JobId = Annotated[str, Field(description="job_*, pipe_*, batches/*")]
