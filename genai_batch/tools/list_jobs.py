"""List the jobs of this home."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from genai_batch.resources.estimates import ANSWER
from genai_batch.resources.jobs import Job, State
from genai_batch.resources.status import JobLine, JobList
from genai_batch.tools.workspace import Given


async def list_jobs(
    workspace: Given,
    state: State | None = None,
    limit: Annotated[int, Field(ge=1, le=200)] = 20,
    cursor: str | None = None,
) -> JobList:
    """Jobs of this machine, results to fetch first. Start here when an id is lost."""
    found = workspace.ledger.page(state, limit + 1, cursor)
    room = ANSWER if limit <= 20 else 36_000
    shown = JobList(jobs=[], next="check_status(job_id) for one; get_results(job_id) for its answers.")
    for job in found[:limit]:
        more = shown.model_copy(update={"jobs": [*shown.jobs, _line(job)]})
        if more.size() > room - 60:
            break
        shown = more
    if len(shown.jobs) < len(found):
        return shown.model_copy(update={"next_cursor": shown.jobs[-1].job_id})
    return shown


def _line(job: Job) -> JobLine:
    return JobLine(
        job_id=job.id,
        name=job.name[:60],
        state=job.state,
        requests=job.requests,
        ok=(job.counts or {}).get("ok"),
        created_at=datetime.fromtimestamp(job.created_at, UTC).strftime("%Y-%m-%d %H:%M"),
    )
