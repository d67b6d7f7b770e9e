"""What was sent already: by the job that `changed_since` names, and by those that it was itself compared with.

A job of changes holds only them, so that one alone would let every other row be paid again. The jobs before it are
those that it names, and not all that were made of a source: keys like `1` or `row-000001` are those of many sources,
and a source that was edited or moved could not be told from another.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from genai_batch.resources import jobs
from genai_batch.resources.errors import BatchError
from genai_batch.resources.jobs import Job
from genai_batch.resources.sources.selection import Selection, Sent
from genai_batch.tools.workspace import Workspace

_MOST = 200
"""Jobs that are compared with."""


class Before(NamedTuple):
    """The requests of earlier jobs that are compared with, the latest first; `job_id` is the latest."""

    job_id: str
    requests: tuple[Path, ...]


async def before(workspace: Workspace, selection: Selection, model: str | None) -> Before | None:
    """Find the job that `changed_since` names, and those before it; on another model everything counts as changed.

    Raises:
        BatchError: there is none, or what it sent is not known or was marked.
    """
    if selection.changed_since is None:
        return None
    job = await workspace.job(selection.changed_since)
    if why := fault(workspace, job):
        raise BatchError(f"{job.id} was {why}: what changed cannot be told.")
    if model is not None and model.removeprefix("models/") != job.model:
        return None
    earlier = chain(workspace, job)
    return Before(job.id, tuple(jobs.requests_file(workspace.home, each.id) for each in earlier))


def chain(workspace: Workspace, job: Job) -> list[Job]:
    """The job and those that it was compared with, one after the other; each stands in it once."""
    found = {job.id: job}
    while (earlier := job.changed_since) and earlier not in found and len(found) < _MOST:
        known = workspace.ledger.find(earlier)
        if known is None or known.model != job.model or fault(workspace, known):
            break
        found[earlier] = job = known
    return list(found.values())


def fault(workspace: Workspace, job: Job) -> str | None:
    """Why nothing can be compared with the requests of a job; None where it can."""
    if not jobs.requests_file(workspace.home, job.id).exists():
        return "adopted, so its requests are not known here"
    return "made with check_binding, which marks its requests" if job.is_bound else None


@contextmanager
def sent(before: Before | None) -> Generator[Sent | None]:
    """Read what the earlier jobs sent."""
    if before is None:
        yield None
        return
    found = Sent(before.requests)
    try:
        yield found
    finally:
        found.close()
