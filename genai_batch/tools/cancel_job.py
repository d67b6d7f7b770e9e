"""Stop a job."""

from anyio import move_on_after

from genai_batch.resources.status import JobStatus
from genai_batch.tools.pipelining import going_on, telling
from genai_batch.tools.workspace import LOOK_S, Given, JobId


async def cancel_job(job_id: JobId, workspace: Given) -> JobStatus:
    """Stop a job. Finished rows may be charged and are kept."""
    job, whole = await workspace.named(job_id)
    if whole is not None:
        workspace.need_to_own(job)
        with move_on_after(LOOK_S):
            await going_on.cancel(workspace, whole)
        return telling.latest(workspace, whole)
    if not job.is_over:
        workspace.need_to_own(job)
        with move_on_after(LOOK_S):  # the wish is recorded; whatever is under way obeys it
            await workspace.lane.cancel(job)
    return telling.status(workspace, workspace.ledger.snapshot(job.id))
