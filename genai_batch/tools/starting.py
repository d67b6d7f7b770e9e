"""Starting a job: its requests are copied and checked, then it is recorded, and only then anything is sent."""

import filecmp
import os
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from anyio import to_thread
from blake3 import blake3

from genai_batch.resources import equals, extras, jobs, local_files, models, output_limits
from genai_batch.resources.checks import copying
from genai_batch.resources.errors import BatchError, InvalidRequests, LedgerError
from genai_batch.resources.estimates import Estimate
from genai_batch.resources.jobs import Job, Shard
from genai_batch.resources.ledger import Also
from genai_batch.resources.local_files import FILE
from genai_batch.resources.prices import Lane
from genai_batch.resources.requests import EQUAL, Preflight
from genai_batch.resources.scans import EXTRAS, REQUESTS, Scan
from genai_batch.resources.sources.selection import Selection
from genai_batch.resources.untyped import as_object
from genai_batch.resources.whole import sync_folder
from genai_batch.tools.approval import budget, priced
from genai_batch.tools.compiling import Ready, ready
from genai_batch.tools.lanes.states import parts_of, shards_of
from genai_batch.tools.routing import AS_BATCH, How, Route, route
from genai_batch.tools.workspace import Workspace

RENEWED = "Outputs and columns are now those of this source."
"""What is said of a job that was there before, where they were others."""
_MOVED = "Its files are now read from where this source names them"


class Draft(NamedTuple):
    """A job that is checked and priced but not recorded; `folder` holds its requests as they would be sent.

    `reason` says why it takes its lane, where that was left to us.
    """

    folder: Path
    price: Estimate
    job: Job
    shards: list[Shard]
    reason: str | None = None


def preflight(
    workspace: Workspace,
    source: str,
    model: str | None,
    *,
    bound: bool = False,
    choice: Selection | None = None,
    max_output_tokens: int | None = None,
    dedupe: bool = False,
) -> AbstractAsyncContextManager[Preflight]:
    """Be ready to read a source: JSONL as it is; of a manifest, or of `choice`, what it becomes. See `preflight_of`."""
    make = partial(ready, workspace, source, model, choice)
    return preflight_of(workspace, make, bound=bound, max_output_tokens=max_output_tokens, dedupe=dedupe)


@asynccontextmanager
async def preflight_of(
    workspace: Workspace,
    make: Callable[[Path], Awaitable[Ready]],
    *,
    bound: bool = False,
    max_output_tokens: int | None = None,
    dedupe: bool = False,
) -> AsyncGenerator[Preflight]:
    """Be ready to read the lines that `make` makes inside a folder that lasts as long.

    `bound` reads a copy instead, in which each request carries the id of its key; `max_output_tokens` one in which
    each request has that limit unless it has its own; `dedupe`, or a manifest that says so, one that holds each of
    several equal requests once.

    Raises:
        BatchError: the path, the file, the model, or what a manifest names cannot be used.
        InvalidRequests: the lines cannot be made, with every problem found.
        LedgerError: the home does not take them.
    """
    folder = workspace.home / "jobs" / f".{jobs.new_id()}"
    try:
        with _storing(workspace):
            made = await make(folder)
        name = _named(made.model)
        model_found, cut = models.find(name, workspace.today), workspace.cut_for(name)
        found = Preflight(made.path, model_found, cut, about=made.settings)
        if max_output_tokens is not None:
            with _storing(workspace):
                found = await to_thread.run_sync(_limited, found, folder, max_output_tokens, abandon_on_cancel=True)
        if dedupe or made.settings.dedupe:
            with _storing(workspace):
                found = await to_thread.run_sync(_distinct, workspace, found, folder, abandon_on_cancel=True)
        if bound:
            with _storing(workspace):
                found = await to_thread.run_sync(_bind, workspace, found, folder, abandon_on_cancel=True)
        yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _named(model: str | None) -> str:
    if model is None:
        raise BatchError("No model is named. State one, e.g. model=gemini-3.8-flash (`--model`), or in the manifest.")
    return model


def _bind(workspace: Workspace, scan: Preflight, folder: Path) -> Preflight:
    """Read a source, and be ready to read a copy of what would be sent, with the id of its key in each request."""
    sent, copy = folder / "sent", folder / "bound" / scan.source.name
    for place in (sent, copy.parent):
        place.mkdir(mode=0o700, parents=True)
    Scan(workspace.home, scan).copy_to(sent)
    scan.refuse_problems()
    try:
        copying.write(sent / REQUESTS, copy, scan.model)
    except InvalidRequests:
        copying.write(scan.source, copy, scan.model)  # which names the lines of the source
        raise
    about = scan.about._replace(beside=sent / EXTRAS)
    return Preflight(copy, scan.model, scan.cut, is_bound=True, about=about, warnings=scan.warnings)


def _limited(scan: Preflight, folder: Path, limit: int) -> Preflight:
    """The source with a limit on every answer; where anything is wrong, or nothing is to be set, the source itself.

    Raises:
        BatchError: earlier jobs of the source could not be compared with it any more.
    """
    if scan.about.changed_since:
        problem = "max_output_tokens changes rows, so that what changed_since has sent cannot be told from the rest."
        raise BatchError(f"{problem} State max_output_tokens in the source.")
    unchanged = Preflight(scan.source, scan.model, scan.cut, about=scan.about)
    if scan.run().findings.count:
        return unchanged
    copy = folder / "limited" / scan.source.name
    copy.parent.mkdir(mode=0o700, parents=True)
    if not output_limits.write(scan.source, copy, limit):
        return unchanged
    return Preflight(copy, scan.model, scan.cut, about=scan.about)


def _distinct(workspace: Workspace, scan: Preflight, folder: Path) -> Preflight:
    """The source with equal requests once; where anything is wrong, or no two are equal, the source itself."""
    unchanged = Preflight(scan.source, scan.model, scan.cut, about=scan.about)
    sent, copy = folder / "all", folder / "distinct" / scan.source.name
    for place in (sent, copy.parent):
        place.mkdir(mode=0o700, parents=True)
    Scan(workspace.home, scan).copy_to(sent)
    if scan.findings.count or not (rows := equals.part(sent / REQUESTS, copy, sent / equals.NAME)):
        return unchanged
    about = scan.about._replace(beside=sent / EXTRAS, equal=sent / equals.NAME, rows=rows)
    warnings = [warning for warning in scan.findings.warnings if EQUAL not in warning.problem]
    return Preflight(copy, scan.model, scan.cut, about=about, warnings=warnings)


@contextmanager
def _storing(workspace: Workspace) -> Generator[None]:
    """Say of the disk what concerns the requests."""
    try:
        yield
    except OSError as error:
        said = f"{workspace.home} does not take the requests: {error.strerror}. Nothing was sent."
        raise LedgerError(said) from error


@asynccontextmanager
async def drafted(workspace: Workspace, found: Preflight, name: str, how: How = AS_BATCH) -> AsyncGenerator[Draft]:
    """Read a source once, keeping a copy; what is not recorded by the end is removed.

    Raises:
        InvalidRequests: with every problem found.
        LedgerError: the home does not take the copy.
    """
    folder = workspace.home / "jobs" / f".{jobs.new_id()}"
    try:
        with _storing(workspace):
            folder.mkdir(mode=0o700, parents=True)
            await to_thread.run_sync(_copy, workspace, found, folder, abandon_on_cancel=True)
            found.refuse_problems()
            yield (await to_thread.run_sync(settled, workspace, found, name, how))._replace(folder=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def settled(workspace: Workspace, found: Preflight, name: str, how: How) -> Draft:
    """The job that a source would become, in the lane it would take, with its price.

    Raises:
        BatchError: its lane cannot do it.
    """
    how.refuse()
    lane, reason = _routed(workspace, found, how)
    price = priced(workspace, found, lane, how.fallback if lane == "flex" else None)
    return Draft(Path(), price, *planned(workspace, found, price, name, how._replace(lane=lane)), reason)


def _routed(workspace: Workspace, found: Preflight, how: How) -> Route:
    """The lane of a job: the one that was asked for, or the one that its size, deadline and prices speak for."""
    if how.lane != "auto":
        return Route(how.lane)
    price = priced(workspace, found)
    flex = priced(workspace, found, "flex").cost_usd.likely if found.model.flex else None
    return route(how, found.requests, price.cost_usd.likely, price.other_lane.cost_usd, flex)


def planned(
    workspace: Workspace, found: Preflight, price: Estimate, name: str, how: How = AS_BATCH
) -> tuple[Job, list[Shard]]:
    """The job that a source would become in a lane that is settled, and its batches."""
    lane: Lane = "batch" if how.lane == "auto" else how.lane
    job = Job(
        id=jobs.new_id(), name=name, model=found.model.name, lane=lane, backend=workspace.backend,
        account=workspace.lane.gemini.account, digest=found.digest, requests=found.requests, bytes=found.size,
        makes_media=found.makes_media, estimate=price.cost_usd.likely, estimate_low=price.cost_usd.low,
        estimate_high=price.likely_range.high, created_at=workspace.now(), shape=found.shape,
        expected=price.uncorrected,
        checks=found.checks, concurrency=how.concurrency if lane != "batch" else None,
        fallback=how.fallback if lane == "flex" else None, stop_on_failures=how.stop_on_failures,
        changed_since=found.about.changed_since, rows=found.about.rows,
    )  # fmt: skip
    return job, shards_of(job.id, job.digest, parts_of(lane, found))


async def same(workspace: Workspace, job: Job) -> Job | None:
    """Find the job recorded before that is the same; what an earlier version hashed is hashed anew, in a thread."""
    for job_id in workspace.ledger.hashed_otherwise(job):
        with suppress(OSError):
            digest = await to_thread.run_sync(digest_of, jobs.folder(workspace.home, job_id) / "requests.jsonl")
            workspace.ledger.rehashed(job_id, digest)
    return workspace.ledger.same(job)


def digest_of(file: Path) -> str:
    """The digest by which jobs of the same requests are found."""
    return blake3().update_mmap(file).hexdigest()


def record(
    workspace: Workspace, draft: Draft, *, again: bool, also: Also | None = None, allowed: float | None = None
) -> Job:
    """Put the requests in their place and the job in the ledger; of two that do so at once one is the job of both.

    `also` writes what belongs to the job, at once with it or not at all; `allowed` is what it may cost in USD, None
    for a stage, which shares the budget of its pipeline.

    Raises:
        OverBudget: the day's limit would be passed.
    """
    folder, recorded = jobs.folder(workspace.home, draft.job.id), None
    draft.folder.rename(folder)
    try:
        sync_folder(folder.parent)
        aside = budget(workspace, draft.price, allowed)
        recorded = workspace.ledger.record(draft.job, draft.shards, again=again, budget=aside, also=also)
        if recorded.id != draft.job.id:
            renew(workspace, draft._replace(folder=folder), recorded)
        else:
            with suppress(LedgerError):  # it concerns other jobs
                relocate(workspace, draft._replace(folder=folder))
        return recorded
    finally:
        if recorded is None or recorded.id != draft.job.id:
            shutil.rmtree(folder, ignore_errors=True)


def renew(workspace: Workspace, draft: Draft, job: Job) -> str:
    """Give the same job recorded before what stands beside the requests now; say what is changed by it, if anything is.

    The requests are the same, line by line, so that outputs, columns and the places of files are all that can differ.

    Raises:
        LedgerError: the home does not take it.
    """
    if draft.job.changed_since:
        workspace.ledger.compared(job, draft.job.changed_since)
    renewed = RENEWED if _renew_extras(workspace, draft, job) else ""
    moved = _moved(job) if job.id in relocate(workspace, draft) else ""
    return " ".join(filter(None, (renewed, moved)))


def relocate(workspace: Workspace, draft: Draft) -> list[str]:
    """Have every job of the same requests, however it ended, read its files where they lie now; return which did not.

    Raises:
        LedgerError: the home does not take it.
    """
    found = draft.folder / FILE
    if not found.exists():
        return []
    with _storing(workspace):
        alike = [each for each in workspace.ledger.alike(draft.job.digest) if each != draft.job.id]
        return [each for each in alike if local_files.renew(found, jobs.folder(workspace.home, each))]


def _moved(job: Job) -> str:
    """What is to be done for a job whose files lie elsewhere."""
    if job.is_over:
        failed = sum((job.counts or {}).get(outcome, 0) for outcome in jobs.UNFINISHED)
        return f"{_MOVED}; resume_job sends the rows that failed." if failed else f"{_MOVED}."
    is_live = job.lane_now != "batch"
    return f"{_MOVED}; should rows fail for the old place, resume_job sends them." if is_live else f"{_MOVED}."


def _renew_extras(workspace: Workspace, draft: Draft, job: Job) -> bool:
    new, old = draft.folder / EXTRAS, jobs.folder(workspace.home, job.id) / EXTRAS
    with _storing(workspace):
        is_same = filecmp.cmp(new, old, shallow=False) if old.exists() else not new.stat().st_size
        if is_same or not old.parent.is_dir():
            return False
        new.replace(old)
        sync_folder(old.parent)
    return True


def first_of(draft: Draft) -> dict[str, Any]:
    """The first request of a draft, with what stands beside it."""
    first = as_object(msgspec.json.decode(_line(draft.folder / "requests.jsonl") or b"{}"))
    beside = next(extras.rows(draft.folder / EXTRAS), dict[str, Any]())
    return {**beside, **first} if beside.get("key") == first["key"] else first


def _line(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.readline()


def outputs_of(draft: Draft) -> Iterator[str]:
    """The outputs that stand beside the requests of a draft."""
    for fields in extras.rows(draft.folder / EXTRAS):
        if isinstance(output := fields.get("output"), str):
            yield output


def beside_of(draft: Draft) -> str:
    """A digest of what stands beside the requests of a draft."""
    return digest_of(draft.folder / EXTRAS)


def _copy(workspace: Workspace, found: Preflight, folder: Path) -> None:
    """Keep what will be sent, so that it is on the disk before the job is recorded."""
    Scan(workspace.home, found).copy_to(folder)
    if found.about.files:
        local_files.keep(found.about.files, folder / FILE)
    if found.about.equal:
        shutil.copyfile(found.about.equal, folder / equals.NAME)
        with (folder / equals.NAME).open("rb+") as file:
            os.fsync(file.fileno())
    sync_folder(folder)
