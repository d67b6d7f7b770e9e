"""Bringing the rows of a finished batch home: whole before they count, once however often it is tried."""

import json
import os
from collections.abc import Generator
from contextlib import closing, contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread
from filelock import FileLock, Timeout

from genai_batch.resources import jobs, spend, truth
from genai_batch.resources.answers import dollars, short
from genai_batch.resources.errors import LedgerError, ProviderError
from genai_batch.resources.jobs import BROKEN, Job, Shard
from genai_batch.resources.ledger import Ledger
from genai_batch.resources.results import Results, read_results
from genai_batch.tools.lanes.downloading import NotWhole
from genai_batch.tools.lanes.gemini import Gemini
from genai_batch.tools.lanes.means import Means
from genai_batch.tools.lanes.unanswered import lost_by, paid_at_most
from genai_batch.tools.lanes.wire import Batch

_TAKEN = "{} is being written by another process; if one was stopped in the middle of it, continue or end it."
_WHOLE_TRIES = 5
"""Fetches after which results that lack rows are taken as they are; the rows are then missing and named."""
_LOCK_S = 5
"""Seconds to wait for another process that is storing rows of the job."""
_PIECE = 1024 * 1024
_LEFT = ("results.[0-9]*.part", ".results.db.*.part", ".fetching.*", "*.ahead")
"""What processes that were killed leave in the folder of a job, or those of earlier versions."""


async def collect(means: Means, shard: Shard, batch: Batch) -> None:
    """Add the rows of a batch that is over to results.jsonl; a batch without output adds none.

    A crash at any point leaves either nothing or a tail beyond `results_bytes` that the next try cuts off.

    Raises:
        ProviderError: the file could not be fetched.
        LedgerError: the disk did not take it.
    """
    folder = jobs.folder(means.ledger.home, shard.job_id)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _part(folder, shard, batch, means.ledger.owner) as part:
            await _fetch(means.gemini, batch, part, whole=shard.shorts < _WHOLE_TRIES)
            if not await to_thread.run_sync(_store, means, shard, batch, part):
                means.put_off(shard, LedgerError(_TAKEN.format(folder)))
    except NotWhole:
        means.ledger.mark(shard, shorts=shard.shorts + 1)
        raise
    except OSError as error:
        said = f"The results of {shard.job_id} could not be stored in {folder}: {error.strerror or error}."
        raise LedgerError(f"{said} They stay with Gemini; free the cause, then check_status again.") from error


@contextmanager
def _part(folder: Path, shard: Shard, batch: Batch, owner: str) -> Generator[Path]:
    """Where the rows of a batch come to; a file stays only when connection, disk or process fails on the way.

    Its name says what is to be in it, so that the next to fetch that goes on with it. Only who holds its lock writes
    to it: whoever comes while the holder sleeps fetches to a place of its own.
    """
    known = sha256((batch.output or "inline").encode()).hexdigest()[:12]
    lock, shared = FileLock(folder / f".fetching.{shard.number}"), True
    try:
        lock.acquire(timeout=0)
    except Timeout:
        shared = False
    part = folder / f"results.{shard.number}.{known if shared else owner}.part"
    keep = False
    try:
        yield part
    except (ProviderError, OSError, LedgerError, anyio.get_cancelled_exc_class()) as error:
        keep = shared and bool(batch.output) and not isinstance(error, NotWhole)
        raise
    finally:
        if not keep:
            part.unlink(missing_ok=True)
        lock.release()


async def _fetch(gemini: Gemini, batch: Batch, part: Path, *, whole: bool) -> None:
    """Bring what the batch has to show to `part`.

    Raises:
        NotWhole: `whole` is asked, and the same file may come whole another time.
    """
    rows = batch.done
    if batch.output:
        rows = await gemini.download(batch.output, part, whole=whole)
    elif batch.inline is not None:
        rows = len(batch.inline)
        await to_thread.run_sync(_write_rows, part, batch.inline)
    if batch.has_output and whole and rows < batch.done:
        said = f"The results hold {rows} rows; Gemini says it has finished {batch.done}. They are fetched again."
        raise NotWhole(said, reason="answer")


def _store(means: Means, shard: Shard, batch: Batch, part: Path) -> bool:
    """Append and record under a lock of the file itself, in a thread that nothing interrupts; False if it is taken.

    A lease lapses while its owner sleeps, and a write that was begun is ended on waking: only a lock that the system
    frees with the process keeps two from writing. Whoever sleeps with it holds up this job, and loses nothing.
    """
    folder = part.parent
    try:
        with FileLock(folder / ".storing", timeout=_LOCK_S), closing(means.ledger.twin()) as ledger:
            if ledger.shard(shard.job_id, shard.number).collected_at or not ledger.claim(shard.job_id, means.now()):
                return True
            start = size = ledger.job(shard.job_id).results_bytes
            if batch.has_output:
                size = _append(part, folder / "results.jsonl", start)
            output = batch.output or ("inline" if batch.has_output else None)
            ledger.collected(shard, start, size, means.now(), output=output, error=batch.error)
    except Timeout:
        return False
    return True


async def close(ledger: Ledger, job: Job, now: float, **changes: Any) -> Job:
    """Index what came back and end the job with its counts and cost."""
    folder = jobs.folder(ledger.home, job.id)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for pattern in _LEFT:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
    counts, cost, said = await to_thread.run_sync(partial(_sum_up, ledger.home, job))
    if job.bytes and job.lane_now == "batch" and (job.attempt or counts.get("missing")):
        await _count_lost(ledger, job, now)
    at_most = None
    if job.bytes and cost is None:
        at_most = await to_thread.run_sync(paid_at_most, ledger.home, job, now)
        if at_most is not None:
            said = " ".join(
                filter(None, (said, f"Not every answer tells its tokens; they cost {dollars(at_most)} at most."))
            )
    notice = short(" ".join(filter(None, (changes.pop("notice", None), said))), 600) or None
    if job.bytes == 0:  # adopted: what came back is all that is known of what was asked
        changes["requests"] = max(job.requests, sum(counts.values()))
        counts |= {"missing": changes["requests"] - sum(counts.values())}
    if job.attempt and changes["state"] in BROKEN and counts.get("missing", 0) < job.requests:
        changes["state"] = "JOB_STATE_PARTIALLY_SUCCEEDED"  # a broken retry does not undo what is here
    return ledger.advance(
        job.id, now, job.attempt, counts=counts, cost=cost, notice=notice, paid_at_most=at_most, **changes
    )


async def _count_lost(ledger: Ledger, job: Job, now: float) -> None:
    """Record what rows without an answer can have cost, or all that was set aside where that cannot be counted."""
    if (account := ledger.account(job.id, job.attempt)) is None:
        return
    shards = jobs.latest(job, ledger.shards(job.id))
    usd = await to_thread.run_sync(lost_by, ledger.home, job, shards, now)
    with ledger.writing() as db:
        spend.note(db, job.id, job.attempt, lost=account.reserved if usd is None else usd, in_flight=None)


def _write_rows(part: Path, rows: list[Any]) -> None:
    with part.open("wb") as file:
        for row in rows:
            file.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")  # escapes even half a surrogate pair


def _append(part: Path, results: Path, start: int) -> int:
    """Put `part` behind the first `start` bytes of `results`, and return where it ends, all of it on disk.

    Where somebody has cut `results` shorter than that, what is left of it stays.
    """
    if start == 0 or not results.exists():
        part.replace(results)
    else:
        _cut_to(results, start)
        with results.open("ab") as target, part.open("rb") as source:
            while piece := source.read(_PIECE):
                target.write(piece)
    _end_with_newline(results)  # not the part, which is what the provider has until it is all here
    with results.open("rb") as file:
        os.fsync(file.fileno())
        size = file.seek(0, os.SEEK_END)
    part.unlink(missing_ok=True)
    return size


def _cut_to(results: Path, start: int) -> None:
    """Leave out a torn tail, and close a last row that was cut."""
    with results.open("r+b") as file:
        if file.seek(0, os.SEEK_END) > start:
            file.truncate(start)
    _end_with_newline(results)


def _end_with_newline(results: Path) -> None:
    """A last row without newline must not run into the next shard's first."""
    with results.open("r+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")


def _sum_up(home: Path, job: Job) -> tuple[dict[jobs.Outcome, int], float | None, str | None]:
    def sum_up(results: Results) -> tuple[dict[jobs.Outcome, int], float | None, str | None]:
        cost = results.cost
        return results.counts, None if cost is None else float(cost), truth.tell(results)

    return read_results(home, job, sum_up)
