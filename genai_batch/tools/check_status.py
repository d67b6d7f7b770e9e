"""Follow a job."""

from typing import Annotated

import anyio
from mcp.server.mcpserver import Context
from pydantic import Field

from genai_batch.resources.jobs import Job, JobStatus
from genai_batch.tools.lanes.watchdog import warn
from genai_batch.tools.workspace import LOOK_S, Given, JobId, Workspace


async def check_status(
    job_id: JobId,
    workspace: Given,
    wait_s: Annotated[float, Field(description="Wait up to this long for the end", ge=0, le=50)] = 0,
    ctx: Context | None = None,
) -> JobStatus:
    """How far a job is: state, rows by outcome, percent, time left, cost.

    With wait_s it waits for the end without using tokens.
    """
    job = await workspace.job(job_id)
    began, trouble = anyio.current_time(), None
    with anyio.move_on_after(max(wait_s, LOOK_S)):  # what is under way goes on in the background
        while True:
            job, trouble = await workspace.look(workspace.ledger.job(job.id))
            waited = anyio.current_time() - began
            if job.is_over or waited >= wait_s:
                break
            if ctx:
                await _report(ctx, _status(job, workspace), waited, wait_s)
            await anyio.sleep(min(1.0, max(0.01, workspace.lane.pace.fresh), wait_s - waited))
    status = _status(workspace.ledger.job(job.id), workspace)
    warning = warn(workspace.ledger.job(job.id), workspace.ledger.shards(job.id), workspace.now())
    return status.model_copy(update={"notice": " ".join(filter(None, (status.notice, trouble, warning))) or None})


async def _report(ctx: Context, status: JobStatus, waited: float, wait_s: float) -> None:
    """Tell the time waited, which always grows, with the job's own progress in words."""
    await ctx.report_progress(waited, wait_s, f"{status.state} {status.done}/{status.requests}")


def _status(job: Job, workspace: Workspace) -> JobStatus:
    return JobStatus.of(job, workspace.ledger.shards(job.id), workspace.now())
