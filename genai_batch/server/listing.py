"""Live entries of resources/list: the recent jobs, and of each that has them its results and its report."""

from datetime import UTC, datetime

from mcp_types import Annotations, Resource

from genai_batch.resources import uris
from genai_batch.resources.answers import brief
from genai_batch.resources.errors import BatchError
from genai_batch.resources.jobs import Job
from genai_batch.resources.ledger import Ledger
from genai_batch.resources.status import counts_of

PAGE = 20
"""Jobs on a page."""
MOST = 60
"""Jobs that are listed at all: some hosts show a model everything; batch://jobs and list_jobs have the rest."""


def entries(ledger: Ledger, cursor: str | None) -> tuple[list[Resource], str | None]:
    """List a page of jobs, and the cursor of the next.

    Raises:
        BatchError: the cursor is not one of ours.
    """
    seen, after = _position(cursor)
    found = ledger.page(None, PAGE + 1, after)
    shown, seen = found[:PAGE], seen + PAGE
    more = len(found) > PAGE and seen < MOST
    return [entry for job in shown for entry in _of(job)], f"{seen}:{shown[-1].id}" if more else None


def _position(cursor: str | None) -> tuple[int, str | None]:
    if cursor is None:
        return 0, None
    seen, _, after = cursor.partition(":")
    if not (seen.isdecimal() and len(seen) < 4 and after):
        raise BatchError("This is no cursor of resources/list; pass nextCursor of the page before, or none.")
    return int(seen), after


def _of(job: Job) -> list[Resource]:
    name = brief(job.name, 60)
    changed = datetime.fromtimestamp(job.ended_at or job.created_at, UTC).isoformat(timespec="seconds")
    json, note = "application/json", Annotations(last_modified=changed)
    found = [Resource(uri=job.uri, name=job.id, description=f"{name}: {job.state}", mime_type=json, annotations=note)]
    if job.is_over or job.attempt:
        rows = ", ".join(f"{count:,} {outcome}" for outcome, count in counts_of(job).model_dump().items())
        results, report = f"Results of {name}, page by page: {rows}", f"{name} summed up"
        found += [
            Resource(uri=uris.results(job.id), name=f"{job.id} results", description=results, mime_type=json,
                     annotations=note),
            Resource(uri=uris.report(job.id), name=f"{job.id} report", description=report, mime_type="text/markdown",
                     annotations=note),
        ]  # fmt: skip
    return found
