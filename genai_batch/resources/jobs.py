"""A job, its shards, and what is said of them."""

import base64
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from genai_batch.resources import uris
from genai_batch.resources.answers import Answer
from genai_batch.resources.prices import Lane

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
OFFLINE = "No model was called: the offline emulator answered. Set GEMINI_API_KEY to use Gemini."

SCHEMA, BINDING = "schema", "binding"
"""What `Job.checks` may name."""
UNFINISHED: frozenset[Outcome] = frozenset({"empty", "error", "missing", "blocked"})
"""What resume_job sends again unless told otherwise, where that may help."""
_ROOM = 2_000
"""Bytes of an answer."""
_ADOPTED = "Adopted from Gemini: its requests are not known here, so missing rows cannot be named."


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
    concurrency: Annotated[int | None, Field(description="Calls at a time in the live lane; None if not asked")] = None
    changed_since: Annotated[
        str | None, Field(description="The job that it was compared with; what was in that is not")
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
    and it is left alone until `next_try_at`; `collected_at` says that nothing more is to be had from it.
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
    collected_at: float | None = None
    tries: int = 0
    next_try_at: float | None = None
    trouble: str | None = None

    @property
    def was_sent(self) -> bool:
        """Whether its requests have reached the provider: as a batch, or one by one."""
        return self.batch is not None or self.output is not None


class Counts(Answer):
    """Rows by outcome; what is zero is left out."""

    ok: int | None = None
    truncated: int | None = None
    blocked: int | None = None
    empty: int | None = None
    error: int | None = None
    missing: int | None = None
    pending: int | None = None


class Spent(Answer):
    """USD: expected before the job, and paid once its results are here."""

    estimate: float | None = None
    actual: float | None = None


_StateName = Annotated[State, WithJsonSchema({"type": "string"})]
"""A state whose words a schema does not list once more."""


class StageLine(Answer):
    """A stage of a pipeline; one that is not begun has no job."""

    name: str
    job_id: str | None = None
    state: _StateName | None = None
    done: int | None = None
    requests: int | None = None
    ok: Annotated[int | None, Field(description="Rows, once it is over")] = None


class PipelineStatus(Answer):
    """The pipeline that a job is a stage of; all of it where the pipeline was asked about."""

    id: Annotated[str, Field(description="pipe_*: stands for job_id in every tool")]
    stage: Annotated[str | None, Field(description="Which one the job is, like 2/3 summarise")] = None
    state: Annotated[_StateName | None, Field(description="PENDING: a stage waits for approval of its cost")] = None
    stages: list[StageLine] | None = None
    cost_usd: Annotated[float | None, Field(description="Paid until now, all stages")] = None
    budget_usd: float | None = None


class Pulse(Answer):
    """How a live run goes just now, as the process knows that drives it."""

    failed: Annotated[int, Field(description="Rows that got an error instead of an answer")]
    retried: Annotated[int, Field(description="Calls beyond the first of their row")]
    per_s: Annotated[float, Field(description="Rows finished a second, over the last ten")]
    concurrency: Annotated[int, Field(description="Calls in flight")]
    cost_usd: Annotated[float | None, Field(description="Of this run so far, about")] = None


class JobStatus(Answer):
    """Where a job stands. A finished job can still hold failed rows: see `counts`."""

    job_id: str
    name: str
    model: str
    lane: Lane
    backend: Backend
    state: State
    done: Annotated[int, Field(description="Rows the provider has finished")]
    requests: int
    counts: Annotated[Counts, Field(description="Rows by outcome; zeros left out")]
    percent: float
    elapsed_s: float
    eta_s: float | None = None
    cost_usd: Spent
    live: Pulse | None = None
    shards: int
    existing: bool | None = None
    pipeline: PipelineStatus | None = None
    notice: str | None = None
    uri: str
    next: str

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens by itself: to the job, or to the pipeline that it stands for."""
        whole = self.pipeline.state if self.pipeline else None
        return (whole or self.state) in FINISHED | BROKEN or whole == "JOB_STATE_PENDING"

    def fitted(self) -> Self:
        """Leave out more and more of stages other than the one shown, the first first, until it fits an answer."""
        lines, fitting = list(self.pipeline.stages or []) if self.pipeline else [], self
        others = [number for number, line in enumerate(lines) if line.job_id != self.job_id]
        for number, keep in [
            *((number, {"name", "state"}) for number in others),
            *((each, {"name"}) for each in others),
        ]:
            if not self.pipeline or fitting.size() <= _ROOM:
                break
            lines[number] = StageLine.model_validate(lines[number].model_dump(include=keep))
            fitting = self.model_copy(update={"pipeline": self.pipeline.model_copy(update={"stages": lines})})
        return fitting

    @classmethod
    def of(
        cls, job: Job, shards: list[Shard], now: float, *, existing: bool = False, counts: Counts | None = None
    ) -> Self:
        """Say where `job` stands at `now`; `counts` are those of an attempt that is under way, where they are known."""
        back = job.requests - (job.counts or {}).get("missing", 0)
        done = back if job.is_over and job.counts else _done(job, shards)
        elapsed = (job.ended_at or now) - job.created_at
        return cls(
            job_id=job.id,
            name=job.name,
            model=job.model,
            lane=job.lane,
            backend=job.backend,
            state=job.state,
            done=done,
            requests=job.requests,
            counts=counts or counts_of(job),
            percent=round(100 * done / job.requests, 1) if job.requests else 0,
            elapsed_s=round(elapsed, 1),
            eta_s=None if job.is_over else _eta(job, latest(job, shards), now),
            cost_usd=Spent(estimate=job.estimate, actual=job.cost),
            shards=len(shards),
            existing=existing or None,
            notice=notice(job),
            uri=job.uri,
            next=_next(job),
        )


class JobLine(Answer):
    """A job in a list."""

    job_id: str
    name: str
    state: State
    requests: int
    ok: int | None = None
    created_at: Annotated[str, Field(description="UTC")]


class JobList(Answer):
    """Jobs of this home, those that are finished but not collected first, then the newest."""

    jobs: list[JobLine]
    next_cursor: str | None = None
    next: str


def new_id(prefix: str = "job_") -> str:
    """Make an unguessable id, of a job where nothing else is said."""
    return prefix + base64.b32encode(secrets.token_bytes(10)).decode().lower()


def counts_of(job: Job) -> Counts:
    """Count rows by outcome; a row is pending until its answer is here."""
    if job.counts is None or not (job.is_over or job.attempt):
        return Counts(pending=job.requests or None)
    return Counts.model_validate({outcome: count for outcome, count in job.counts.items() if count})


def notice(job: Job) -> str | None:
    """What a reader of any answer about the job has to know."""
    adopted = _ADOPTED if job.bytes == 0 else None
    return (
        " ".join(filter(None, (OFFLINE if job.backend == "emulator" else None, adopted, _lanes(job), job.notice)))
        or None
    )


def _lanes(job: Job) -> str | None:
    """Say which attempts ran in another lane than the job, and at its price."""
    others = [str(number) for number in range(2, job.attempt + 2) if job.lane_of(number - 1) != job.lane]
    if not others:
        return None
    what = f"Attempt {others[0]} ran" if len(others) == 1 else f"Attempts {', '.join(others)} ran"
    return f"{what} in the {'live' if job.lane == 'batch' else 'batch'} lane, at its price."


def folder(home: Path, job_id: str) -> Path:
    """Where the files of a job are kept."""
    return home / "jobs" / job_id


def requests_file(home: Path, job_id: str, attempt: int = 0) -> Path:
    """What an attempt sent; the first sent everything."""
    return requests_of(folder(home, job_id), attempt)


def requests_of(folder: Path, attempt: int = 0) -> Path:
    """The same, from the folder of a job."""
    return folder / (f"requests.{attempt}.jsonl" if attempt else "requests.jsonl")


def latest(job: Job, shards: list[Shard]) -> list[Shard]:
    """The batches of a job's latest attempt, which decide how it stands."""
    return [shard for shard in shards if shard.attempt == job.attempt]


def _done(job: Job, shards: list[Shard]) -> int:
    """Rows finished, those of earlier attempts that are not sent again among them."""
    now = latest(job, shards)
    return max(0, job.requests - sum(shard.requests for shard in now)) + sum(shard.done for shard in now)


def _eta(job: Job, shards: list[Shard], now: float) -> float | None:
    """Seconds that the latest attempt takes from now, if it goes on as until now."""
    done, requests = sum(each.done for each in shards), sum(each.requests for each in shards)
    began = min((each.made_at or job.created_at for each in shards), default=job.created_at)
    return round((now - began) / done * max(0, requests - done), 1) if done else None


def _next(job: Job) -> str:
    if not job.is_over:
        return f"check_status(job_id='{job.id}', wait_s=50), or do other work; the job goes on by itself."
    counts = job.counts or {}
    if job.state in BROKEN and not any(counts.get(outcome) for outcome in OUTCOMES if outcome != "missing"):
        return "No results came back. Read notice, then create_batch again."
    again = sent_again(counts, "job_id")
    hint = f"; outcome='not_ok' shows the rows that are not ok; {again}" if again else ""
    return f"get_results(job_id='{job.id}'){hint}."


def sent_again(counts: Mapping[Outcome, int], named: str) -> str:
    """Which rows of a job that is over can be sent again, and by which call; `named` is the id in it."""
    failed, cut = sum(counts.get(outcome, 0) for outcome in UNFINISHED), counts.get("truncated", 0)
    calls = [
        f"resume_job({named}) sends the {failed:,} that failed again" if failed else "",
        f"resume_job({named}, rows='truncated') sends the {cut:,} that were cut off again, with twice the room"
        if cut
        else "",
    ]
    return "; ".join(filter(None, calls))
