"""What was sent already: by the job that `changed_since` names, and by those that it was itself compared with.

A job of changes holds only them, so that one alone would let every other row be paid again. The jobs before it are
those that it names, and not all that were made of a source: keys like `1` or `row-000001` are those of many sources,
and a source that was edited or moved could not be told from another.
"""

from array import array
from bisect import bisect_left
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec

from genai_batch.resources import equals, jobs
from genai_batch.resources.errors import BatchError
from genai_batch.resources.jobs import Job
from genai_batch.resources.results import Results, read_results
from genai_batch.resources.sources.selection import Selection, Sent
from genai_batch.tools.workspace import Workspace

_MOST = 200
"""Jobs that are compared with."""
_PAGE = 1_000


class _Row(msgspec.Struct):
    key: str


_row = msgspec.json.Decoder(_Row).decode


class SentRows:
    """The requests of one job that were answered or are under way; those of a job that was cancelled may be neither."""

    def __init__(self, workspace: Workspace, job: Job) -> None:
        """Look up which rows were never answered."""
        self.job, self._requests = job, jobs.requests_file(workspace.home, job.id)
        self._unsent = _unsent(workspace, job)

    @property
    def count(self) -> int:
        """The number of rows."""
        return self.job.row_count - len(self._unsent)

    def __iter__(self) -> Iterator[bytes]:
        """Read the lines of the requests, those too that got the answer of another."""
        for line in equals.lines(self._requests):
            if not self._unsent or not self._is_unsent(_row(line).key):
                yield line

    def _is_unsent(self, key: str) -> bool:
        place = bisect_left(self._unsent, value := hash(key))
        return place < len(self._unsent) and self._unsent[place] == value


def _unsent(workspace: Workspace, job: Job) -> "array[int]":
    """List the keys, as sorted hashes, of the rows that have no answer and for which none is under way."""
    is_first = not job.is_over and not job.attempt
    if is_first or (job.is_over and job.counts is not None and not job.counts.get("missing")):
        return array("q")
    latest = jobs.requests_file(workspace.home, job.id, job.attempt)
    under_way: set[str] = set()
    if not job.is_over and latest.exists():
        with latest.open("rb") as lines:
            under_way.update(_row(line).key for line in lines)
        equal = equals.rows(jobs.requests_file(workspace.home, job.id).with_name(equals.NAME))
        under_way.update(row.key for row in equal if row.sent_as in under_way)

    def missing(results: Results) -> "array[int]":
        keys, after = array("q"), 0
        while page := results.page("missing", after, _PAGE):
            keys.extend(hash(entry.key) for entry in page if entry.key not in under_way)
            after = page[-1].n
        return array("q", sorted(keys))

    return read_results(workspace.home, job, missing)


class Before(NamedTuple):
    """The rows of earlier jobs that are compared with, the latest first; `job_id` is the latest."""

    job_id: str
    rows: tuple[SentRows, ...]


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
    return Before(job.id, tuple(SentRows(workspace, each) for each in earlier))


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
    rows = Sent(before.rows)
    try:
        yield rows
    finally:
        rows.close()
