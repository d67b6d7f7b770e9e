"""Start a job from a file of requests or a manifest."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

from anyio import move_on_after, to_thread
from pydantic import Field

from genai_batch.resources import jobs
from genai_batch.resources.answers import Problem, short
from genai_batch.resources.errors import BatchError
from genai_batch.resources.jobs import Job
from genai_batch.resources.prices import Fallback, Lane
from genai_batch.resources.requests import Preflight
from genai_batch.resources.scans import Scan
from genai_batch.resources.status import JobStatus
from genai_batch.tools import piloting
from genai_batch.tools.approval import (
    Quote,
    Word,
    agrees,
    approve,
    caution_about,
    lifts_limit,
    limit_of,
    lower,
    over_the_day,
    quote,
)
from genai_batch.tools.filled import Asked, Filled
from genai_batch.tools.numbered_rows import need_same_source
from genai_batch.tools.pipelining import going_on, making, telling
from genai_batch.tools.repeating import sent_before
from genai_batch.tools.routing import How, Wish
from genai_batch.tools.starting import Draft, drafted, preflight, record, renew, same, settled
from genai_batch.tools.workspace import Choice, Given, ModelName, OutputLimit, Source, Workspace

if TYPE_CHECKING:  # yaml, jinja2 and pathspec are for those who have a manifest
    from genai_batch.resources.sources.staged import Staged

_SAID = 3
SEND_S = 40
"""Seconds the call may spend on sending; a larger upload goes on in the background."""


async def _quote(
    source: str,
    model: str | None,
    max_cost_usd: float | None,
    again: bool,
    check_binding: bool,
    lane: Wish | None,
    concurrency: int | None,
    deadline_h: float | None,
    fallback: Fallback | None,
    pilot: int | None,
    max_output_tokens: int | None,
    dedupe: bool,
    workspace: Given,
) -> Quote | None:
    """Price the source before the tool runs, where that may lead to a question."""

    async def costs() -> Quote:
        if staged := await making.staged_in(workspace, source, model):
            limit = limit_of(workspace, making.stated(staged, max_cost_usd))
            return Quote(await making.most(workspace, staged, again=again), limit)
        async with preflight(
            workspace, source, model, bound=check_binding, max_output_tokens=max_output_tokens, dedupe=dedupe
        ) as found:
            await to_thread.run_sync(Scan(workspace.home, found).run, abandon_on_cancel=True)
            how = How.of(found.about, lane, concurrency, deadline_h, fallback)
            draft = await to_thread.run_sync(settled, workspace, found, "", how)
        known = not again and await _known(workspace, draft)
        beyond = over_the_day(workspace, draft.price)  # the tool refuses that, whatever the user says
        most = 0 if known or found.findings.count or beyond else draft.price.most
        return Quote(most, limit_of(workspace, lower(max_cost_usd, found.about.max_cost_usd)))

    return None if pilot else await quote(costs)


async def create_batch(
    source: Source,
    workspace: Given,
    model: ModelName = None,
    name: Annotated[str | None, Field(max_length=100)] = None,
    lane: Annotated[
        Wish | None, Field(description="half price: batch (default), hours; flex, minutes. live: now; auto")
    ] = None,
    max_cost_usd: Annotated[float | None, Field(description="Ask above this", ge=0)] = None,
    confirm: Annotated[bool, Field(description="The user approved")] = False,
    again: Annotated[bool, Field(description="Run and pay again")] = False,
    check_binding: Annotated[bool, Field(description="Notice swapped answers")] = False,
    concurrency: Annotated[int | None, Field(description="Calls at a time", ge=1, le=2000)] = None,
    deadline_h: Annotated[float | None, Field(description="For auto", gt=0)] = None,
    fallback: Annotated[Fallback | None, Field(description="Of rows without room")] = None,
    pilot: Annotated[int | None, Field(description="Rows to run first", ge=2, le=200)] = None,
    max_output_tokens: OutputLimit = None,
    dedupe: bool = False,
    word: Annotated[Word | None, Asked(_quote)] = None,
    choice: Choice = None,
    stop_if_sent: Annotated[bool, Filled.NOTHING] = False,
    stop_on_failures: Annotated[float | None, Filled.NOTHING] = None,
    into: Annotated[Path | None, Filled.NOTHING] = None,
) -> JobStatus:
    """Start a job and return it at once.

    The same content, model and lane again is the same job. Follow it with check_status.
    """
    if staged := await making.staged_in(workspace, source, model, choice):
        of_one_job = {
            "check_binding": check_binding,
            "lane": lane,
            "concurrency": concurrency,
            "deadline_h": deadline_h,
            "fallback": fallback,
            "pilot": pilot,
            "max_output_tokens": max_output_tokens,
            "stop_on_failures": stop_on_failures,
            "dedupe": dedupe,
        }
        if any(of_one_job.values()):
            *names, last = of_one_job
            which = f"{', '.join(names)} and {last} are of one job"
            raise BatchError(f"{which}; the stages of a manifest state most of them themselves.")
        return await _pipeline(workspace, staged, making.Asked(name, max_cost_usd, confirm, again, word))
    async with preflight(
        workspace,
        source,
        model,
        bound=check_binding,
        choice=choice,
        max_output_tokens=max_output_tokens,
        dedupe=dedupe,
    ) as found:
        how = How.of(found.about, lane, concurrency, deadline_h, fallback, stop_on_failures)
        async with drafted(workspace, found, name or found.about.name or found.source.stem[:100], how) as draft:
            job, told = None if again else await _known(workspace, draft), ""
            renewed = "" if job is None else await to_thread.run_sync(renew, workspace, draft, job)
            limit = limit_of(workspace, lower(max_cost_usd, found.about.max_cost_usd))
            lifted = await _left(workspace, draft, limit) if max_cost_usd is not None else None
            if job is None:
                await to_thread.run_sync(need_same_source, workspace, into, draft.folder)
                if stop_if_sent and (sent := await to_thread.run_sync(sent_before, workspace, found, draft)):
                    raise sent
                caution = caution_about([draft.job], workspace.today)
                gate = partial(approve, limit=limit, confirm=confirm, word=word, caution=caution)
                if pilot is not None:
                    most = draft.price.most if confirm else limit
                    told = await _piloted(workspace, found, draft, pilot, most)
                    gate = partial(
                        gate, limit=await _left(workspace, draft, limit), sent=f"{told} Nothing else was sent."
                    )
                    draft = await to_thread.run_sync(_anew, workspace, found, draft, how)
                job = record(workspace, draft, again=again, allowed=gate(draft.price))
    existing = job.id != draft.job.id
    with move_on_after(SEND_S):
        snapshot = workspace.ledger.snapshot(job.id)
        if existing and workspace.lane.is_stopped(snapshot):
            failed = jobs.stopped_by(*snapshot) == "failures"  # which only resume_job goes on with
            if not failed and lifts_limit(workspace, job, agreed=confirm or agrees(word), limit=lifted):
                await workspace.lane.wake(job)
        else:
            await (workspace.look(snapshot) if existing else workspace.lane.step(job))
    status = workspace.lane.stand(workspace.ledger.snapshot(job.id), existing=existing)
    reason = _keeps_fallback(draft.job, job) if existing else f"{told} {draft.reason or ''}".strip()
    return _told(status, renewed or reason, found.about.warnings)


async def _piloted(workspace: Workspace, found: Preflight, draft: Draft, rows: int, most: float) -> str:
    """Run some rows first, in the lane of the job, and say what they told."""
    how = How(draft.job.lane, draft.job.concurrency, fallback=draft.job.fallback)
    pilot = piloting.Pilot(rows, most, draft.job.lane, how, fallback=draft.job.fallback)
    return await piloting.before(workspace, found, draft, pilot)


async def _left(workspace: Workspace, draft: Draft, limit: float) -> float:
    """USD of a limit that the pilot of a job has left for it."""
    return max(0.0, limit - await to_thread.run_sync(piloting.paid, workspace, draft))


def _anew(workspace: Workspace, found: Preflight, draft: Draft, how: How) -> Draft:
    """The same job at the price that is known by now."""
    return settled(workspace, found, draft.job.name, how)._replace(folder=draft.folder)


async def _pipeline(workspace: Workspace, staged: "Staged", asked: making.Asked) -> JobStatus:
    """Record a pipeline, send what begins at once, and say where it stands."""
    pipeline, existing, warnings = await making.create(workspace, staged, asked)
    with move_on_after(SEND_S):
        await going_on.look(workspace, pipeline)
    return _told(telling.latest(workspace, pipeline, existing=existing), None, warnings)


async def _known(workspace: Workspace, draft: Draft) -> Job | None:
    """Find the same job; where the lane was left to us, one in another lane is the same too."""
    lanes = [draft.job.lane, *(get_args(Lane) if draft.reason else ())]
    for lane in lanes:
        if job := await same(workspace, draft.job.model_copy(update={"lane": lane})):
            return job
    return None


def _keeps_fallback(asked: Job, job: Job) -> str | None:
    """Say that the same job, which is under way, does not change how it was begun."""
    if job.is_over or asked.fallback == job.fallback:
        return None
    begun = f"with fallback {job.fallback}" if job.fallback else "without fallback"
    return f"It goes on {begun}, as it was begun; after cancel_job, resume_job(lane='live') sends the rest at once."


def _told(status: JobStatus, reason: str | None, warnings: tuple[Problem, ...]) -> JobStatus:
    """Say what was told while the requests were made."""
    notices = [status.notice, reason, *(each.sentence() for each in warnings[:_SAID])]
    return status.model_copy(update={"notice": short(" ".join(filter(None, notices)), 700) or None})
