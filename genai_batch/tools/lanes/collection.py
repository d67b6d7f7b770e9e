"""Bringing the rows of a finished batch home: whole before they count, once however often it is tried."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

from anyio import to_thread

from genai_batch.resources import jobs
from genai_batch.resources.answers import short
from genai_batch.resources.errors import LedgerError, ProviderError
from genai_batch.resources.indexing import read_row
from genai_batch.resources.jobs import BROKEN, Job, Shard
from genai_batch.resources.ledger import Ledger
from genai_batch.resources.results import Results, read_results
from genai_batch.tools.lanes.gemini import Gemini
from genai_batch.tools.lanes.wire import Batch

_WHOLE_TRIES = 5
"""Fetches after which results that lack rows are taken as they are; the rows are then missing and named."""
_PIECE = 4 * 1024 * 1024


async def collect(ledger: Ledger, gemini: Gemini, shard: Shard, batch: Batch, now: float) -> None:
    """Add the rows of a batch that is over to results.jsonl; a batch without output adds none.

    A crash at any point leaves either nothing or a tail beyond `results_bytes` that the next try cuts off.

    Raises:
        ProviderError: the file could not be fetched.
        LedgerError: the disk did not take it.
    """
    folder = jobs.folder(ledger.home, shard.job_id)
    part = folder / f"results.{shard.number}.{ledger.owner}.part"
    size = start = ledger.job(shard.job_id).results_bytes
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if batch.output:
            await gemini.download(batch.output, part)
        elif batch.inline is not None:
            await to_thread.run_sync(_write_rows, part, batch.inline)
        if batch.has_output:
            if shard.tries < _WHOLE_TRIES:
                await to_thread.run_sync(_need_whole, part, batch.done)
            if ledger.job(shard.job_id).results_bytes != start or not ledger.claim(shard.job_id, now):
                return
            size = await to_thread.run_sync(_append, part, folder / "results.jsonl", start)
    except OSError as error:
        said = f"The results of {shard.job_id} could not be stored in {folder}: {error.strerror or error}."
        raise LedgerError(f"{said} They stay with Gemini; free the cause, then check_status again.") from error
    finally:
        part.unlink(missing_ok=True)
    shard = ledger.mark(shard, output=batch.output or ("inline" if batch.has_output else None), error=batch.error)
    ledger.collected(shard, start, size, now)


def _need_whole(part: Path, rows: int) -> None:
    """Refuse what holds fewer rows than the provider says it has finished; after some tries it is taken as it is.

    Raises:
        ProviderError: the same file may come whole another time.
    """
    with part.open("rb") as file:
        found = sum(read_row(line) is not None for line in file)
    if found < rows:
        said = f"The results hold {found} rows; Gemini says it has finished {rows}. They are fetched again."
        raise ProviderError(said, reason="answer")


async def close(ledger: Ledger, job: Job, now: float, **changes: Any) -> Job:
    """Index what came back and end the job with its counts and cost."""
    jobs.folder(ledger.home, job.id).mkdir(mode=0o700, parents=True, exist_ok=True)
    counts, cost, said = await to_thread.run_sync(partial(_sum_up, ledger.home, job))
    notice = short(" ".join(filter(None, (changes.pop("notice", None), said))), 600) or None
    if job.bytes == 0:  # adopted: what came back is all that is known of what was asked
        changes["requests"] = max(job.requests, sum(counts.values()))
        counts |= {"missing": changes["requests"] - sum(counts.values())}
    if job.attempt and changes["state"] in BROKEN and counts.get("missing", 0) < job.requests:
        changes["state"] = "JOB_STATE_PARTIALLY_SUCCEEDED"  # a broken retry does not undo what is here
    return ledger.advance(job.id, now, counts=counts, cost=cost, notice=notice, **changes)


def _write_rows(part: Path, rows: list[Any]) -> None:
    with part.open("wb") as file:
        for row in rows:
            file.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")  # escapes even half a surrogate pair


def _append(part: Path, results: Path, start: int) -> int:
    """Put `part` behind the first `start` bytes of `results` and return the new size, all of it on disk."""
    _end_with_newline(part)
    if start == 0:
        part.replace(results)
    else:
        with results.open("r+b") as target, part.open("rb") as source:
            target.truncate(start)
            target.seek(start)
            while piece := source.read(_PIECE):
                target.write(piece)
    with results.open("rb") as file:
        os.fsync(file.fileno())
        size = file.seek(0, os.SEEK_END)
    part.unlink(missing_ok=True)
    return size


def _end_with_newline(part: Path) -> None:
    """A last row without newline must not run into the next shard's first."""
    with part.open("r+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")


def _sum_up(home: Path, job: Job) -> tuple[dict[jobs.Outcome, int], float | None, str | None]:
    def sum_up(results: Results) -> tuple[dict[jobs.Outcome, int], float | None, str | None]:
        said: list[str] = []
        if (found := results.unmatched())[0]:
            said.append(f"{found[0]} rows came back that match no request: {'; '.join(found[1])}.")
        if results.repeated:
            said.append(
                f"{results.repeated} keys were answered more than once; an ok answer is preferred, then the latest."
            )
        cost = results.cost
        return results.counts, None if cost is None else float(cost), " ".join(said) or None

    return read_results(home, job, sum_up)
