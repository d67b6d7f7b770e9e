"""Start a job from a file of requests."""

import shutil
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from anyio import move_on_after, to_thread
from pydantic import Field

from genai_batch.resources import estimates, jobs
from genai_batch.resources.errors import LedgerError
from genai_batch.resources.estimates import Estimate
from genai_batch.resources.jobs import Job, JobStatus, Shard
from genai_batch.resources.requests import Preflight
from genai_batch.tools.approval import approve
from genai_batch.tools.lanes.states import shards_of
from genai_batch.tools.workspace import Given, ModelName, Source, Workspace

SEND_S = 40
"""Seconds the call may spend on sending; a larger upload goes on in the background."""


async def create_batch(
    source: Source,
    model: ModelName,
    workspace: Given,
    name: Annotated[str | None, Field(max_length=100)] = None,
    lane: Literal["batch"] = "batch",  # noqa: ARG001 - the one lane there is; the parameter is part of the surface
    max_cost_usd: Annotated[float | None, Field(description="Ask for approval above this", ge=0)] = None,
    confirm: Annotated[bool, Field(description="True once the user approved the cost")] = False,
    again: Annotated[bool, Field(description="Run the same content anew and pay again")] = False,
) -> JobStatus:
    """Send a JSONL file of requests to Gemini as one batch job at half price and return the job at once.

    The same content and model asked for twice is the same job. It runs for minutes to hours; follow it with
    check_status.
    """
    found = workspace.preflight(source, model)
    incoming = workspace.home / "jobs" / f".{jobs.new_id()}"
    try:
        incoming.mkdir(mode=0o700, parents=True)
        await to_thread.run_sync(_copy, found, incoming, abandon_on_cancel=True)
        found.refuse_problems()
        price = await to_thread.run_sync(
            partial(estimates.estimate, found, "batch", workspace.today, workspace.backend)
        )
        planned, shards = _plan(found, price, name or found.source.stem[:100], workspace)
        job = None if again else workspace.ledger.same(planned)
        if job is None:
            approve(price, _limit(workspace, max_cost_usd), confirm=confirm)
            job = _record(workspace, planned, shards, incoming, again=again)
    except OSError as error:
        said = f"{workspace.home} does not take the requests: {error.strerror}. Nothing was sent."
        raise LedgerError(said) from error
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    existing = job.id != planned.id
    with move_on_after(SEND_S):
        await (workspace.look(job) if existing else workspace.lane.step(job))
    return JobStatus.of(
        workspace.ledger.job(job.id), workspace.ledger.shards(job.id), workspace.now(), existing=existing
    )


def _record(workspace: Workspace, job: Job, shards: list[Shard], incoming: Path, *, again: bool) -> Job:
    """Put the requests in their place and the job in the ledger; of two that do so at once one is the job of both."""
    folder = jobs.folder(workspace.home, job.id)
    incoming.rename(folder)
    recorded = workspace.ledger.record(job, shards, again=again)
    if recorded.id != job.id:
        shutil.rmtree(folder, ignore_errors=True)
    return recorded


def _copy(found: Preflight, folder: Path) -> None:
    with (folder / "requests.jsonl").open("wb") as sent, (folder / "extras.jsonl").open("wb") as kept:
        found.run(sent, kept)


def _plan(found: Preflight, price: Estimate, name: str, workspace: Workspace) -> tuple[Job, list[Shard]]:
    job = Job(
        id=jobs.new_id(), name=name, model=found.model.name, lane="batch", backend=workspace.backend,
        account=workspace.lane.gemini.account, digest=found.digest, requests=found.requests, bytes=found.size,
        makes_media=found.makes_media, estimate=price.cost_usd.likely, created_at=workspace.now(),
    )  # fmt: skip
    return job, shards_of(job.id, job.digest, found.parts)


def _limit(workspace: Workspace, asked: float | None) -> float:
    """The lower of the user's setting and the caller's wish: a caller cannot lift the user's limit."""
    return workspace.max_cost_usd if asked is None else min(asked, workspace.max_cost_usd)
