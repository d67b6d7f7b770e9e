"""A job and its shards, and where their files are kept."""

import base64
import secrets
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from genai_batch.resources import uris
from genai_batch.resources.prices import Fallback, Lane

State = Literal[
    "JOB_STATE_QUEUED",
    "JOB_STATE_PENDING",
    "JOB_STATE_RUNNING",
    "JOB_STATE_SUCCEEDED",
    "JOB_STATE_PARTIALLY_SUCCEEDED",
    "JOB_STATE_FAILED",
    "JOB_STATE_CANCELLED",
    "JOB_STATE_EXPIRED",
]
Backend = Literal["gemini", "emulator"]
Outcome = Literal["ok", "truncated", "blocked", "empty", "error", "missing"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "truncated", "blocked", "empty", "error", "missing")
FINISHED: frozenset[State] = frozenset({"JOB_STATE_SUCCEEDED", "JOB_STATE_PARTIALLY_SUCCEEDED"})
BROKEN: frozenset[State] = frozenset({"JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED"})

StopReason = Literal["job_limit", "pipeline_limit", "day_limit", "failures"]
"""What has stopped a job from here, where it was not Gemini: a limit of money, or too many rows that failed."""
LIMITS: frozenset[StopReason] = frozenset({"job_limit", "pipeline_limit", "day_limit"})

SCHEMA, BINDING = "schema", "binding"
"""What `Job.checks` may name."""
UNFINISHED: frozenset[Outcome] = frozenset({"empty", "error", "missing", "blocked"})
"""What resume_job sends again unless told otherwise, where that may help."""


class Job(BaseModel):
    """What `create_batch` starts. Times are seconds since 1970, money is USD; `id` is also the resume token."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    model: str
    lane: Lane
    backend: Backend
    account: str
    digest: str
    state: State = "JOB_STATE_QUEUED"
    requests: int
    bytes: Annotated[
        int, Field(description="Size of requests.jsonl; 0 for an adopted job, whose requests are not known")
    ]
    makes_media: bool
    estimate: float | None = None
    estimate_low: float | None = None
    estimate_high: float | None = None
    shape: str | None = None
    expected: Annotated[float | None, Field(description="Likely USD, not corrected by earlier jobs")] = None
    cost: float | None = None
    counts: dict[Outcome, int] | None = None
    results_bytes: int = 0
    attempt: int = 0
    begins: Annotated[
        tuple[int, ...], Field(description="Bytes of results.jsonl at which the second and later attempts begin")
    ] = ()
    lanes: Annotated[
        tuple[Lane, ...], Field(description="Of the second and later attempts; that of the job where not noted")
    ] = ()
    cancelled_at: float | None = None
    notice: str | None = None
    checks: Annotated[
        str | None, Field(description="What is checked of its answers: schema, binding; None where not noted")
    ] = None
    concurrency: Annotated[int | None, Field(description="Calls at a time, live or flex; None if not asked")] = None
    fallback: Annotated[
        Fallback | None, Field(description="Tier of flex rows that have found no room several times; None for flex")
    ] = None
    changed_since: Annotated[
        str | None, Field(description="The job that it was compared with; what was in that is not")
    ] = None
    pilot_of: Annotated[str | None, Field(description="Digest of the source whose pilot it is")] = None
    stop_on_failures: Annotated[float | None, Field(description="Percent of failed rows at which it stops")] = None
    rows: Annotated[
        int | None, Field(description="Rows of its source, where equal requests are sent once; None if each is sent")
    ] = None
    created_at: float
    ended_at: float | None = None

    def lane_of(self, attempt: int) -> Lane:
        """The lane of an attempt, counted from 0."""
        return self.lanes[attempt - 1] if 0 < attempt <= len(self.lanes) else self.lane

    @property
    def lane_now(self) -> Lane:
        """The lane of the latest attempt, which drives the job."""
        return self.lane_of(self.attempt)

    @property
    def row_count(self) -> int:
        """Rows that have a result."""
        return self.rows or self.requests

    @property
    def begin_now(self) -> int:
        """The byte of results.jsonl at which the rows of the latest attempt begin."""
        return self.begins[self.attempt - 1] if 0 < self.attempt <= len(self.begins) else 0

    @property
    def stretches(self) -> list[tuple[int, Lane]]:
        """From which byte of results.jsonl on rows are of which lane."""
        found: list[tuple[int, Lane]] = [(0, self.lane)]
        for attempt, begin in enumerate(self.begins, 1):
            if (lane := self.lane_of(attempt)) != found[-1][1]:
                found.append((begin, lane))
        return found

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.state in FINISHED or self.state in BROKEN

    @property
    def is_bound(self) -> bool:
        """Whether each of its requests carries the id of its key."""
        return BINDING in (self.checks or "").split()

    @property
    def uri(self) -> str:
        """Where it is read."""
        return uris.job(self.id)


class Shard(BaseModel):
    """One provider-side batch of a job.

    Its requests are `length` bytes of requests.jsonl from `start`, or all of them when `length` is 0. `batch` is its
    provider name, once accepted; `tries` counts the calls that failed in a row, `trouble` says why the last one did,
    and it is left alone until `next_try_at`; `stopped_at` says since when nothing of it is sent until somebody resumes
    the job, `stopped_by` for which limit; `ran_at` says when it was first seen to run, or may have; `collected_at` says
    that nothing more is to be had from it.
    """

    model_config = ConfigDict(frozen=True)

    job_id: str
    number: int
    display_name: str
    requests: int
    attempt: int = 0
    start: int = 0
    length: int = 0
    upload: str | None = None
    uploads: int = 0
    shorts: int = 0
    made_at: float | None = None
    denied_at: float | None = None
    uploaded_at: float | None = None
    sent_at: float | None = None
    batch: str | None = None
    state: str | None = None
    done: int = 0
    output: str | None = None
    error: str | None = None
    polled_at: float | None = None
    changed_at: float | None = None
    finished_at: float | None = None
    ran_at: float | None = None
    collected_at: float | None = None
    tries: int = 0
    next_try_at: float | None = None
    trouble: str | None = None
    stopped_at: float | None = None
    stopped_by: StopReason | None = None

    @property
    def was_sent(self) -> bool:
        """Whether its requests have reached the provider: as a batch, or one by one."""
        return self.batch is not None or self.output is not None


class Snapshot(NamedTuple):
    """A job and its shards, as they were read together."""

    job: Job
    shards: list[Shard]

    @property
    def latest(self) -> list[Shard]:
        """The shards of the latest attempt, which decide how the job stands."""
        return latest(self.job, self.shards)


def new_id(prefix: str = "job_") -> str:
    """Make an unguessable id, of a job where nothing else is said."""
    return prefix + base64.b32encode(secrets.token_bytes(10)).decode().lower()


def folder(home: Path, job_id: str) -> Path:
    """Where the files of a job are kept."""
    return home / "jobs" / job_id


def requests_file(home: Path, job_id: str, attempt: int = 0) -> Path:
    """What an attempt sent; the first sent everything."""
    return requests_of(folder(home, job_id), attempt)


def requests_of(folder: Path, attempt: int = 0) -> Path:
    """The same, from the folder of a job."""
    return folder / (f"requests.{attempt}.jsonl" if attempt else "requests.jsonl")


def is_stopped(job: Job, shards: list[Shard]) -> bool:
    """Whether nothing of an open job moves before it is resumed: what is not home is refused to this key."""
    waiting = [shard for shard in latest(job, shards) if shard.collected_at is None]
    at_work = [shard for shard in waiting if shard.batch and not shard.stopped_at]
    return not job.is_over and not at_work and any(shard.stopped_at for shard in waiting)


def stopped_by(job: Job, shards: list[Shard]) -> StopReason | None:
    """Which limit has stopped a job; None where it is not stopped, or Gemini refuses it."""
    stopped = [shard for shard in latest(job, shards) if shard.collected_at is None and shard.stopped_at]
    return next((shard.stopped_by for shard in stopped if shard.stopped_by), None)


def latest(job: Job, shards: list[Shard]) -> list[Shard]:
    """The batches of a job's latest attempt, which decide how it stands."""
    return [shard for shard in shards if shard.attempt == job.attempt]
