"""What is said of a job: where it stands, what it costs, what to do next."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from genai_batch.resources.answers import Answer
from genai_batch.resources.jobs import (
    BROKEN,
    FINISHED,
    OUTCOMES,
    UNFINISHED,
    Backend,
    Job,
    Outcome,
    Shard,
    State,
    StopReason,
    is_stopped,
    latest,
    stopped_by,
)
from genai_batch.resources.prices import Lane

OFFLINE = "No model was called: the offline emulator answered. Set GEMINI_API_KEY to use Gemini."
_ROOM = 2_000
"""Bytes of an answer."""
_ADOPTED = "Adopted from Gemini: its requests are not known here, so missing rows cannot be named."


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
    rows: SkipJsonSchema[int | None] = None
    """Rows that the requests answer, where equal ones are sent once."""
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
    stopped: Annotated[SkipJsonSchema[bool], Field(exclude=True)] = False
    """Whether nothing more of it is sent until it is resumed; `notice` says why and `next` how."""
    stopped_by: Annotated[SkipJsonSchema[StopReason | None], Field(exclude=True)] = None
    """The limit that has stopped it, where it was one."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens by itself: to the job, or to the pipeline that it stands for."""
        whole = self.pipeline.state if self.pipeline else None
        return self.stopped or (whole or self.state) in FINISHED | BROKEN or whole == "JOB_STATE_PENDING"

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
            rows=job.rows,
            counts=counts or counts_of(job),
            percent=round(100 * done / job.requests, 1) if job.requests else 0,
            elapsed_s=round(elapsed, 1),
            eta_s=None if job.is_over else _eta(job, latest(job, shards), now),
            cost_usd=Spent(estimate=job.estimate, actual=job.cost),
            shards=len(shards),
            existing=existing or None,
            notice=notice(job),
            uri=job.uri,
            next=_next(job, shards),
            stopped=is_stopped(job, shards),
            stopped_by=stopped_by(job, shards),
        )


ONLY_LOOPS = "All truncated answers are loops"
"""Begins what the notice of a job says where no truncated row is worth twice the room."""


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


def counts_of(job: Job) -> Counts:
    """Count rows by outcome; a row is pending until its answer is here."""
    if job.counts is None or not (job.is_over or job.attempt):
        return Counts(pending=job.requests or None)
    return Counts.model_validate({outcome: count for outcome, count in job.counts.items() if count})


def notice(job: Job) -> str | None:
    """What a reader of any answer about the job has to know."""
    offline = OFFLINE if job.backend == "emulator" else None
    adopted = _ADOPTED if job.bytes == 0 else None
    return " ".join(filter(None, (offline, adopted, _equal(job), _lanes(job), job.notice))) or None


def _equal(job: Job) -> str | None:
    """Say what is sent of a job that sends equal requests once."""
    if job.rows is None:
        return None
    return f"{for_rows(job.requests, job.rows)}: equal ones are sent once, and counted and paid once."


def for_rows(requests: int, rows: int | None) -> str:
    """Count requests, and say for how many rows they are sent where equal ones are sent once."""
    return f"{requests:,}" if rows is None else f"{requests:,} requests for {rows:,} rows"


def _lanes(job: Job) -> str | None:
    """Say which attempts ran in another lane than the job, and at its price."""
    by_lane: dict[Lane, list[str]] = {}
    for number in range(2, job.attempt + 2):
        by_lane.setdefault(job.lane_of(number - 1), []).append(str(number))
    by_lane.pop(job.lane, None)
    sentences = [
        f"Attempt{'s' * (len(numbers) > 1)} {', '.join(numbers)} ran in the {lane} lane, at its price."
        for lane, numbers in by_lane.items()
    ]
    return " ".join(sentences) or None


def _done(job: Job, shards: list[Shard]) -> int:
    """Rows finished, those of earlier attempts that are not sent again among them."""
    now = latest(job, shards)
    return max(0, job.requests - sum(shard.requests for shard in now)) + sum(shard.done for shard in now)


def _eta(job: Job, shards: list[Shard], now: float) -> float | None:
    """Seconds that the latest attempt takes from now, if it goes on as until now."""
    done, requests = sum(each.done for each in shards), sum(each.requests for each in shards)
    began = min((each.made_at or job.created_at for each in shards), default=job.created_at)
    return round((now - began) / done * max(0, requests - done), 1) if done else None


def _next(job: Job, shards: list[Shard]) -> str:
    if is_stopped(job, shards) and (reason := stopped_by(job, shards)):
        return f"Read notice; {_lifts(job, reason)} goes on; cancel_job ends it with what is here."
    if is_stopped(job, shards):
        return f"Put right what notice says, then resume_job(job_id='{job.id}'); cancel_job ends it with what is here."
    if job.state == "JOB_STATE_QUEUED" and job.lane_now == "batch":
        return f"check_status(job_id='{job.id}', wait_s=50), or do other work; Gemini has not accepted it yet."
    if not job.is_over:
        return f"check_status(job_id='{job.id}', wait_s=50), or do other work; the job goes on by itself."
    counts = job.counts or {}
    if job.state in BROKEN and not any(counts.get(outcome) for outcome in OUTCOMES if outcome != "missing"):
        return "No results came back. Read notice, then create_batch again."
    again = sent_again(counts, "job_id", only_loops=ONLY_LOOPS in (job.notice or ""))
    hint = f"; outcome='not_ok' shows the rows that are not ok; {again}" if again else ""
    return f"get_results(job_id='{job.id}'){hint}."


def _lifts(job: Job, reason: StopReason) -> str:
    """The call that lets a job go on which a limit has stopped."""
    if reason in ("job_limit", "pipeline_limit"):
        return f"ask the user, then resume_job(job_id='{job.id}', confirm=true)"
    return f"then resume_job(job_id='{job.id}')"


def sent_again(counts: Mapping[Outcome, int], named: str, *, only_loops: bool = False) -> str:
    """Which rows of a job that is over can be sent again, and by which call; `named` is the id in it.

    Where all truncated rows are loops, more room is not worth its price, and none of them is named.
    """
    failed, cut = sum(counts.get(outcome, 0) for outcome in UNFINISHED), counts.get("truncated", 0)
    calls = [
        f"resume_job({named}) sends the {failed:,} that failed again" if failed else "",
        f"resume_job({named}, rows='truncated') sends the {cut:,} that were cut off again, with twice the room"
        if cut and not only_loops
        else "",
    ]
    return "; ".join(filter(None, calls))
