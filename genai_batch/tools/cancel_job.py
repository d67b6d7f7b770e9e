"""Stop a job."""

from anyio import move_on_after

from genai_batch.resources.jobs import JobStatus
from genai_batch.tools.workspace import LOOK_S, Given, JobId


async def cancel_job(job_id: JobId, workspace: Given) -> JobStatus:
    """Stop a job. Rows that are finished may be charged and are kept; one that is over stays as it is."""
    job = await workspace.job(job_id)
    if not job.is_over:
        workspace.need_to_own(job)
        with move_on_after(LOOK_S):  # the wish is recorded; whatever is under way obeys it
            await workspace.lane.cancel(job)
    return JobStatus.of(workspace.ledger.job(job.id), workspace.ledger.shards(job.id), workspace.now())
