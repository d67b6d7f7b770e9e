"""Rows that an earlier job has sent already, noticed before they are paid again."""

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from genai_batch.resources.errors import BatchError
from genai_batch.resources.estimates import Estimate
from genai_batch.resources.requests import Preflight
from genai_batch.resources.sources.selection import NUMBERED
from genai_batch.tools.approval import expected, priced
from genai_batch.tools.comparing import SentRows, chain, fault
from genai_batch.tools.starting import Draft
from genai_batch.tools.workspace import Workspace

_JOBS = 20
"""Jobs that are looked at, the latest first."""
_BYTES = 1024 * 1024 * 1024
"""Of their requests that are read together; jobs beyond that are not looked at."""
_DRAWN = 64
"""Rows that are looked for in each of them, before all are."""


_numbered_key = re.compile(rb'\s*\{\s*"key"\s*:\s*"' + NUMBERED.encode() + rb'"\s*,').match
"""A line whose key says only which row it was; it is compared without that."""


class SentBefore(BatchError):
    """Most rows of a source are those of an earlier job. Nothing was sent."""

    def __init__(self, jobs: list[str], rows: int, price: Estimate, rest: Estimate | None) -> None:
        """State that `rows` of those that `price` is for were sent by `jobs`, and that the others cost `rest`.

        The jobs that hold the rows come latest first, and `rest` is None where there are no others.
        """
        self.job_id, self.has_rest = jobs[0], rest is not None
        before = f" and {len(jobs) - 1} earlier job{'s' * (len(jobs) > 2)}" if len(jobs) > 1 else ""
        head = f"{rows:,} of {price.requests:,} rows are those of {self.job_id}{before}"
        only = f"only the other {price.requests - rows:,} {expected(rest)}" if rest else "there are no others"
        super().__init__(f"{head}. All of them cost {expected(price)}; {only}.")


def sent_before(workspace: Workspace, scan: Preflight, draft: Draft) -> SentBefore | None:
    """Find an earlier job of the model that sent at least half of the rows, byte for byte, and price the others."""
    drawn, left = frozenset(_drawn(draft)), _BYTES
    for job in workspace.ledger.latest(draft.job, _JOBS):
        if fault(workspace, job):
            continue
        jobs = chain(workspace, job)
        size = sum(earlier.bytes for earlier in jobs)
        if 2 * sum(earlier.row_count for earlier in jobs) < draft.job.requests or size > left:
            continue
        left -= size
        earlier = [SentRows(workspace, job) for job in jobs]
        shared = drawn & {row for rows in earlier for row in _hashes(rows) if row in drawn}
        if 2 * len(shared) >= len(drawn):
            return _compared(workspace, scan, draft, earlier)
    return None


def _compared(workspace: Workspace, scan: Preflight, draft: Draft, earlier: list[SentRows]) -> SentBefore | None:
    """Compare all rows, and price those that no job has sent; None where they are more than half."""
    known = array("q", sorted(row for rows in earlier for row in _hashes(rows)))
    taken = array("q", bytes(known.itemsize * len(known)))
    rest, count = draft.folder / "rest.jsonl", 0
    with (draft.folder / "requests.jsonl").open("rb") as source, rest.open("wb") as target:
        for line in source:
            place = bisect_left(known, value := _hashed(line))
            used = place + taken[place] if place < len(known) else place
            if used < len(known) and known[used] == value:
                taken[place] += 1
            else:
                target.write(line)
                count += 1
    if 2 * count > draft.job.requests:
        return None
    holders = _holders(draft, earlier)
    price = None
    if count:
        others = Preflight(rest, scan.model, scan.cut, about=scan.about._replace(equal=None, rows=None))
        others.run()
        price = priced(workspace, others, draft.job.lane, draft.job.fallback)
    rest.unlink()
    return SentBefore(holders, draft.job.requests - count, draft.price, price)


def _holders(draft: Draft, earlier: list[SentRows]) -> list[str]:
    """List the jobs that sent rows of the draft, the latest first."""
    with (draft.folder / "requests.jsonl").open("rb") as lines:
        rows = array("q", sorted(_hashes(lines)))

    def is_in_draft(row: int) -> bool:
        place = bisect_left(rows, row)
        return place < len(rows) and rows[place] == row

    return [sent.job.id for sent in earlier if any(map(is_in_draft, _hashes(sent)))]


def _drawn(draft: Draft) -> Iterator[int]:
    """Some rows of a draft, evenly over all, by their hashes."""
    step = max(1, draft.job.requests // _DRAWN)
    with (draft.folder / "requests.jsonl").open("rb") as lines:
        for number, row in enumerate(_hashes(lines)):
            if number % step == 0:
                yield row


def _hashes(lines: Iterable[bytes]) -> Iterator[int]:
    """The rows as hashes, which compare only within this process."""
    return map(_hashed, lines)


def _hashed(line: bytes) -> int:
    key = _numbered_key(line)
    return hash(line[key.end() :] if key else line)
