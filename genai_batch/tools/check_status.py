"""Follow a job."""

from typing import Annotated

import anyio
from pydantic import Field

from genai_batch.resources import pipelines
from genai_batch.resources.jobs import Snapshot
from genai_batch.resources.pipelines import Pipeline
from genai_batch.resources.status import JobStatus
from genai_batch.tools.filled import Filled, Tell
from genai_batch.tools.lanes.watchdog import warn
from genai_batch.tools.pipelining import going_on, telling
from genai_batch.tools.workspace import LOOK_S, Given, JobId, Workspace


async def check_status(
    job_id: JobId,
    workspace: Given,
    wait_s: Annotated[float, Field(ge=0, le=50)] = 0,
    tell: Annotated[Tell | None, Filled.PROGRESS] = None,
) -> JobStatus:
    """A job's state, rows by outcome, percent, time left, cost.

    wait_s waits without using tokens.
    """
    job, pipeline = await workspace.named(job_id)
    snapshot, began = Snapshot(job, workspace.ledger.shards(job.id)), anyio.current_time()
    status, trouble = None, None
    with anyio.move_on_after(max(wait_s, LOOK_S)) as limit:  # what is under way goes on in the background
        while True:
            snapshot, trouble = await _look(workspace, snapshot, pipeline)
            status, waited = telling.status(workspace, snapshot, pipeline), anyio.current_time() - began
            if status.is_over or waited >= wait_s:
                break
            if tell:
                await tell(waited, wait_s, _words(status))
            await anyio.sleep(min(1.0, max(0.01, workspace.lane.pace.fresh), wait_s - waited))
            snapshot = _current(workspace, snapshot, pipeline)
    if status is None or limit.cancelled_caught:
        snapshot = _current(workspace, snapshot, pipeline)
        status = telling.status(workspace, snapshot, pipeline)
    warning = warn(*snapshot, workspace.now())
    return status.model_copy(update={"notice": " ".join(filter(None, (status.notice, trouble, warning))) or None})


async def _look(workspace: Workspace, snapshot: Snapshot, pipeline: Pipeline | None) -> tuple[Snapshot, str | None]:
    """Take a job further, or a pipeline; the end of a stage begins the next. Return also what kept it from that."""
    if pipeline is not None:
        trouble = await going_on.look(workspace, pipeline)
        return _current(workspace, snapshot, pipeline), trouble
    snapshot, trouble = await workspace.look(snapshot)
    job = snapshot.job
    if job.is_over and (stage_of := pipelines.of_job(workspace.ledger, job.id)) and stage_of.ended_at is None:
        await going_on.advance(workspace, stage_of)
    return snapshot, trouble


def _current(workspace: Workspace, snapshot: Snapshot, pipeline: Pipeline | None) -> Snapshot:
    """Read the job again, or that which stands for the pipeline by now."""
    job = pipelines.standing(workspace.ledger, pipeline) if pipeline else workspace.ledger.job(snapshot.job.id)
    return Snapshot(job, workspace.ledger.shards(job.id))


def _words(status: JobStatus) -> str:
    """The job's own progress; beside it stands the time waited, which always grows."""
    live = f", {status.live.per_s}/s, {status.live.failed} failed" if status.live else ""
    return f"{status.state} {status.done}/{status.requests}{live}"
