"""Send chosen rows of a finished job again."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from anyio import move_on_after, to_thread
from pydantic import Field

from genai_batch.resources import estimates, jobs
from genai_batch.resources.errors import BatchError
from genai_batch.resources.jobs import Job, JobStatus, Outcome, Shard
from genai_batch.resources.models import find
from genai_batch.resources.requests import Preflight
from genai_batch.resources.results import Entry, Results, read_results
from genai_batch.resources.untyped import as_object
from genai_batch.tools.approval import approve
from genai_batch.tools.lanes.states import display_name
from genai_batch.tools.workspace import Given, JobId, Workspace

Rows = Literal["unfinished", "failed", "truncated", "missing"]
_OUTCOMES: dict[Rows, tuple[Outcome, ...]] = {
    "unfinished": ("empty", "error", "missing"),
    "failed": ("empty", "error"),
    "truncated": ("truncated",),
    "missing": ("missing",),
}
SEND_S = 40
_LARGEST_OUTPUT = 65_536


async def resume_job(
    job_id: JobId,
    workspace: Given,
    rows: Annotated[Rows | list[str], Field(description="Which rows, or their keys")] = "unfinished",
    confirm: Annotated[bool, Field(description="True once the user approved the cost")] = False,
) -> JobStatus:
    """Send rows of a finished job again, as a new attempt of the same job; good answers are kept.

    Truncated rows get twice the max_output_tokens; rows that would fail again are left out.
    """
    job = await workspace.job(job_id)
    workspace.need_to_own(job)
    job = await workspace.lane.alone(job.id, lambda: _reopened(workspace, job.id, rows, confirm=confirm))
    with move_on_after(SEND_S):
        await workspace.lane.step(job)
    return JobStatus.of(workspace.ledger.job(job.id), workspace.ledger.shards(job.id), workspace.now())


async def _reopened(workspace: Workspace, job_id: str, rows: Rows | list[str], *, confirm: bool) -> Job:
    """Write the chosen requests down, price them, and open the job for another attempt."""
    async with workspace.lane.lease(job_id) as mine:
        job = workspace.ledger.job(job_id)
        if not mine or not job.is_over or job.bytes == 0:
            why = "was adopted, so its requests are not known here" if job.bytes == 0 else "is still under way"
            raise BatchError(f"{job.id} {why}; nothing was sent. check_status tells how it stands.")
        target = jobs.requests_file(workspace.home, job.id, job.attempt + 1)
        await to_thread.run_sync(_choose, workspace, job, rows, target)
        found = Preflight(target, find(job.model, workspace.today), workspace.cut_for(job.model))
        await to_thread.run_sync(found.run)
        price = await to_thread.run_sync(
            partial(estimates.estimate, found, "batch", workspace.today, workspace.backend)
        )
        approve(price, workspace.max_cost_usd, confirm=confirm)
        return workspace.ledger.reopen(job, _shards(workspace, job, found), price.cost_usd.likely, workspace.now())


def _choose(workspace: Workspace, job: Job, rows: Rows | list[str], target: Path) -> None:
    """Write the chosen requests to `target`, in their order.

    Raises:
        BatchError: there is nothing to send.
    """
    chosen = read_results(workspace.home, job, partial(_entries, rows=rows))
    with jobs.requests_file(workspace.home, job.id).open("rb") as file, target.open("wb") as out:
        for line in file:
            if (outcome := chosen.get(msgspec.json.decode(line)["key"])) is not None:
                out.write(_larger(line, 2 ** (job.attempt + 1)) if outcome == "truncated" else line)
    if not target.stat().st_size:
        target.unlink()
        what = f"no row of {job.id} is {rows!r}" if isinstance(rows, str) else "no key was given"
        raise BatchError(f"Nothing to send: {what}, or what failed would fail again. Counts are in check_status.")


def _entries(results: Results, rows: Rows | list[str]) -> dict[str, Outcome]:
    if not isinstance(rows, str):
        return {key: results.entry(key).outcome for key in rows}
    found = (entry for outcome in _OUTCOMES[rows] for entry in _all(results, outcome))
    return {entry.key: entry.outcome for entry in found if _may_succeed(results, entry)}


def _all(results: Results, outcome: Outcome) -> Iterator[Entry]:
    after = 0
    while page := results.page(outcome, after, 1_000):
        yield from page
        after = page[-1].n


def _may_succeed(results: Results, entry: Entry) -> bool:
    """Whether sending the row again can help; a permanent error would only be paid again."""
    if entry.outcome != "error":
        return True
    error = results.result(entry).error
    return error is None or error.retryable


def _larger(line: bytes, times: int) -> bytes:
    """Give a request more room for its output; one that had all there is is left out."""
    value = msgspec.json.decode(line)
    request = as_object(value["request"])
    name = "generationConfig" if "generationConfig" in request else "generation_config"
    settings: dict[str, Any] = dict(as_object(request.get(name)))
    limit = "maxOutputTokens" if "maxOutputTokens" in settings else "max_output_tokens"
    given = int(settings.get(limit) or _LARGEST_OUTPUT)
    if given * times // 2 >= _LARGEST_OUTPUT:
        return b""
    settings[limit] = min(_LARGEST_OUTPUT, given * times)
    return msgspec.json.encode({**value, "request": {**request, name: settings}}) + b"\n"


def _shards(workspace: Workspace, job: Job, found: Preflight) -> list[Shard]:
    first = len(workspace.ledger.shards(job.id))
    return [
        Shard(
            job_id=job.id, number=number, attempt=job.attempt + 1, requests=part.requests, start=part.start,
            length=part.length, display_name=display_name(job.id, number, found.digest),
        )
        for number, part in enumerate(found.parts, first)
    ]  # fmt: skip
