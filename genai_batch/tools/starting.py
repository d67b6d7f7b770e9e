"""Starting a job: its requests are copied and checked, then it is recorded, and only then anything is sent."""

import os
import shutil
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from anyio import to_thread
from blake3 import blake3

from genai_batch.resources import jobs
from genai_batch.resources.checks import copying
from genai_batch.resources.errors import LedgerError
from genai_batch.resources.estimates import Estimate
from genai_batch.resources.jobs import Job, Shard
from genai_batch.resources.requests import Preflight
from genai_batch.resources.whole import sync_folder
from genai_batch.tools.approval import budget, priced
from genai_batch.tools.lanes.states import shards_of
from genai_batch.tools.workspace import Workspace


class Draft(NamedTuple):
    """A job that is checked and priced but not recorded; `folder` holds its requests as they would be sent."""

    folder: Path
    price: Estimate
    job: Job
    shards: list[Shard]


@asynccontextmanager
async def preflight(workspace: Workspace, source: str, model: str, *, bound: bool) -> AsyncGenerator[Preflight]:
    """Be ready to read a source; `bound` reads a copy instead, in which each request carries the id of its key.

    Raises:
        BatchError: the path, the file or the model cannot be used.
        InvalidRequests: the copy cannot be made, with every problem found.
        LedgerError: the home does not take the copy.
    """
    found = workspace.preflight(source, model)
    if not bound:
        yield found
        return
    folder = workspace.home / "jobs" / f".{jobs.new_id()}"
    try:
        with _storing(workspace):
            folder.mkdir(mode=0o700, parents=True)
            copy = folder / found.source.name
            await to_thread.run_sync(_bind, found, copy, abandon_on_cancel=True)
        yield Preflight(copy, found.model, found.cut, is_bound=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _bind(found: Preflight, copy: Path) -> None:
    found.run()
    found.refuse_problems()
    copying.write(found.source, copy, found.model)


@contextmanager
def _storing(workspace: Workspace) -> Generator[None]:
    """Say of the disk what concerns the requests."""
    try:
        yield
    except OSError as error:
        said = f"{workspace.home} does not take the requests: {error.strerror}. Nothing was sent."
        raise LedgerError(said) from error


@asynccontextmanager
async def drafted(workspace: Workspace, found: Preflight, name: str) -> AsyncGenerator[Draft]:
    """Read a source once, keeping a copy; what is not recorded by the end is removed.

    Raises:
        InvalidRequests: with every problem found.
        LedgerError: the home does not take the copy.
    """
    folder = workspace.home / "jobs" / f".{jobs.new_id()}"
    try:
        with _storing(workspace):
            folder.mkdir(mode=0o700, parents=True)
            await to_thread.run_sync(_copy, found, folder, abandon_on_cancel=True)
            found.refuse_problems()
            price = await to_thread.run_sync(priced, workspace, found)
            yield Draft(folder, price, *planned(workspace, found, price, name))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def planned(workspace: Workspace, found: Preflight, price: Estimate, name: str) -> tuple[Job, list[Shard]]:
    """The job that a source would become, and its batches."""
    job = Job(
        id=jobs.new_id(), name=name, model=found.model.name, lane="batch", backend=workspace.backend,
        account=workspace.lane.gemini.account, digest=found.digest, requests=found.requests, bytes=found.size,
        makes_media=found.makes_media, estimate=price.cost_usd.likely, estimate_low=price.cost_usd.low,
        estimate_high=price.cost_usd.high, created_at=workspace.now(), shape=found.shape, expected=price.uncorrected,
        checks=found.checks,
    )  # fmt: skip
    return job, shards_of(job.id, job.digest, found.parts)


async def same(workspace: Workspace, job: Job) -> Job | None:
    """Find the job recorded before that is the same; what an earlier version hashed is hashed anew, in a thread."""
    for job_id in workspace.ledger.hashed_otherwise(job):
        with suppress(OSError):
            digest = await to_thread.run_sync(_digest_of, jobs.folder(workspace.home, job_id) / "requests.jsonl")
            workspace.ledger.rehashed(job_id, digest)
    return workspace.ledger.same(job)


def _digest_of(requests: Path) -> str:
    return blake3().update_mmap(requests).hexdigest()


def record(workspace: Workspace, draft: Draft, *, again: bool) -> Job:
    """Put the requests in their place and the job in the ledger; of two that do so at once one is the job of both.

    Raises:
        OverBudget: the day's limit would be passed.
    """
    folder, recorded = jobs.folder(workspace.home, draft.job.id), None
    draft.folder.rename(folder)
    try:
        sync_folder(folder.parent)
        aside = budget(workspace, draft.price)
        return (recorded := workspace.ledger.record(draft.job, draft.shards, again=again, budget=aside))
    finally:
        if recorded is None or recorded.id != draft.job.id:
            shutil.rmtree(folder, ignore_errors=True)


def _copy(found: Preflight, folder: Path) -> None:
    """Keep what will be sent, so that it is on the disk before the job is recorded."""
    with (folder / "requests.jsonl").open("wb") as sent, (folder / "extras.jsonl").open("wb") as kept:
        found.run(sent, kept)
        if not found.findings.count:
            for file in (sent, kept):
                file.flush()
                os.fsync(file.fileno())
    sync_folder(folder)
