"""Rows that an earlier job has sent already, noticed before they are paid again."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

from genai_batch.resources import equals, jobs
from genai_batch.resources.errors import BatchError
from genai_batch.resources.estimates import Estimate
from genai_batch.resources.requests import Preflight
from genai_batch.tools.approval import expected, priced
from genai_batch.tools.comparing import chain, fault
from genai_batch.tools.starting import Draft
from genai_batch.tools.workspace import Workspace

_JOBS = 20
"""Jobs that are looked at, the latest first."""
_BYTES = 1024 * 1024 * 1024
"""Of their requests that are read together; jobs beyond that are not looked at."""
_DRAWN = 64
"""Rows that are looked for in each of them, before all are."""


class SentBefore(BatchError):
    """Most rows of a source are those of an earlier job. Nothing was sent."""

    def __init__(self, job_id: str, rows: int, price: Estimate, rest: Estimate | None) -> None:
        """`rows` of those that `price` is for were sent by a job; `rest` is what the others cost, if there are any."""
        self.job_id, self.has_rest = job_id, rest is not None
        head = f"{rows:,} of {price.requests:,} rows are those of {job_id}. All of them cost {expected(price)}"
        only = f"only the other {price.requests - rows:,} {expected(rest)}" if rest else "there are no others"
        super().__init__(f"{head}; {only}.")


def sent_before(workspace: Workspace, scan: Preflight, draft: Draft) -> SentBefore | None:
    """Find an earlier job of the model that sent at least half of the rows, byte for byte, and price the others."""
    drawn, left = frozenset(_drawn(draft)), _BYTES
    for job in workspace.ledger.latest(draft.job, _JOBS):
        if fault(workspace, job):
            continue
        earlier = chain(workspace, job)
        size = sum(each.bytes for each in earlier)
        if 2 * sum(each.row_count for each in earlier) < draft.job.requests or size > left:
            continue
        left -= size
        files = [jobs.requests_file(workspace.home, each.id) for each in earlier]
        shared = drawn & {row for file in files for row in _hashes(file) if row in drawn}
        if 2 * len(shared) >= len(drawn):
            return _compared(workspace, scan, draft, job.id, files)
    return None


def _compared(workspace: Workspace, scan: Preflight, draft: Draft, job_id: str, files: list[Path]) -> SentBefore | None:
    """Compare all rows, and price those that are not in the files; None where they are more than half."""
    known = array("q", sorted(row for file in files for row in _hashes(file)))
    rest, count = draft.folder / "rest.jsonl", 0
    with (draft.folder / "requests.jsonl").open("rb") as source, rest.open("wb") as target:
        for line in source:
            place = bisect_left(known, value := hash(line))
            if place == len(known) or known[place] != value:
                target.write(line)
                count += 1
    if 2 * count > draft.job.requests:
        return None
    price = None
    if count:
        others = Preflight(rest, scan.model, scan.cut, about=scan.about._replace(equal=None, rows=None))
        others.run()
        price = priced(workspace, others, draft.job.lane, draft.job.fallback)
    rest.unlink()
    return SentBefore(job_id, draft.job.requests - count, draft.price, price)


def _drawn(draft: Draft) -> Iterator[int]:
    """Some rows of a draft, evenly over all, by their hashes."""
    step = max(1, draft.job.requests // _DRAWN)
    for number, row in enumerate(_hashes(draft.folder / "requests.jsonl")):
        if number % step == 0:
            yield row


def _hashes(file: Path) -> Iterator[int]:
    """The rows of a file as hashes, those too that got the answer of another; they compare only in this process."""
    yield from map(hash, equals.lines(file))
