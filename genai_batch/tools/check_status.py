"""Follow a job."""

from typing import Annotated

import anyio
from pydantic import Field

from genai_batch.resources import pipelines
from genai_batch.resources.jobs import Job
from genai_batch.resources.pipelines import Pipeline
from genai_batch.resources.status import JobStatus
from genai_batch.tools.filled import Filled, Tell
from genai_batch.tools.lanes.watchdog import warn
from genai_batch.tools.pipelining import going_on, telling
from genai_batch.tools.workspace import LOOK_S, Given, JobId, Workspace


async def check_status(
    job_id: JobId,
    workspace: Given,
    wait_s: Annotated[float, Field(description="Wait this long for the end", ge=0, le=50)] = 0,
    tell: Annotated[Tell | None, Filled.PROGRESS] = None,
) -> JobStatus:
    """How far a job is: state, rows by outcome, percent, time left, cost.

    With wait_s it waits without using tokens.
    """
    job, whole = await workspace.job(job_id), pipelines.named(workspace.ledger, job_id)
    began, trouble = anyio.current_time(), None
    with anyio.move_on_after(max(wait_s, LOOK_S)):  # what is under way goes on in the background
        while True:
            trouble = await _look(workspace, job, whole)
            status, waited = _status(workspace, job, whole), anyio.current_time() - began
            if status.is_over or waited >= wait_s:
                break
            if tell:
                await tell(waited, wait_s, _words(status))
            await anyio.sleep(min(1.0, max(0.01, workspace.lane.pace.fresh), wait_s - waited))
    status = _status(workspace, job, whole)
    job = workspace.ledger.job(status.job_id)
    warning = warn(job, workspace.ledger.shards(job.id), workspace.now())
    return status.model_copy(update={"notice": " ".join(filter(None, (status.notice, trouble, warning))) or None})


async def _look(workspace: Workspace, job: Job, whole: Pipeline | None) -> str | None:
    """Take a job further, or a pipeline; the end of a stage begins the next. Return what kept it from that."""
    if whole is not None:
        return await going_on.look(workspace, whole)
    job, trouble = await workspace.look(workspace.ledger.job(job.id))
    if job.is_over and (pipeline := pipelines.of_job(workspace.ledger, job.id)) and pipeline.ended_at is None:
        await going_on.advance(workspace, pipeline)
    return trouble


def _words(status: JobStatus) -> str:
    """The job's own progress; beside it stands the time waited, which always grows."""
    live = f", {status.live.per_s}/s, {status.live.failed} failed" if status.live else ""
    return f"{status.state} {status.done}/{status.requests}{live}"


def _status(workspace: Workspace, job: Job, whole: Pipeline | None) -> JobStatus:
    return telling.latest(workspace, whole) if whole else telling.status(workspace, job)
