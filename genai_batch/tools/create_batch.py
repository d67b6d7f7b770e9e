"""Start a job from a file of requests or a manifest."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, get_args

from anyio import move_on_after, to_thread
from pydantic import Field

from genai_batch.resources import jobs, pipelines
from genai_batch.resources.answers import Problem, dollars, short
from genai_batch.resources.errors import BatchError
from genai_batch.resources.jobs import Job
from genai_batch.resources.prices import Fallback, Lane
from genai_batch.resources.requests import Preflight
from genai_batch.resources.scans import Scan
from genai_batch.resources.status import JobStatus
from genai_batch.tools import piloting
from genai_batch.tools.approval import (
    Quote,
    Restated,
    Word,
    approve,
    caution_about,
    expected,
    lifts_limit,
    limit_of,
    lower,
    over_the_day,
    quote,
    restated,
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


class _Limits(NamedTuple):
    """The limits in USD that the call and the manifest state, and whether the user approved."""

    stated: float | None
    manifest: float | None
    confirm: bool

    @property
    def lower(self) -> float | None:
        """The lower of both."""
        return lower(self.stated, self.manifest)

    def of_pilot(self, workspace: Workspace, draft: Draft) -> float:
        """What all pilots of a source may cost."""
        if not self.confirm:
            return limit_of(workspace, self.lower)
        return draft.price.cost_usd.high if self.stated is None else self.stated


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
            price = await making.costs(workspace, staged, again=again)
            return Quote(price.most, limit, costs=expected(price))
        async with preflight(
            workspace, source, model, bound=check_binding, max_output_tokens=max_output_tokens, dedupe=dedupe
        ) as found:
            await to_thread.run_sync(Scan(workspace.home, found).run, abandon_on_cancel=True)
            how = How.of(found.about, lane, concurrency, deadline_h, fallback)
            draft = await to_thread.run_sync(settled, workspace, found, "", how)
        known = not again and await _known(workspace, draft)
        beyond = over_the_day(workspace, draft.price)  # the tool refuses that, whatever the user says
        most = 0 if known or found.findings.count or beyond else draft.price.most
        limit = limit_of(workspace, lower(max_cost_usd, found.about.max_cost_usd))
        limit = max(0.0, limit - workspace.ledger.paid_for_pilots(draft.job))
        return Quote(most, limit, costs=expected(draft.price))

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
            asked = _Limits(max_cost_usd, found.about.max_cost_usd, confirm)
            renewed, limit = "", Restated(0, 0)
            if job is None:
                await to_thread.run_sync(need_same_source, workspace, into, draft.folder)
                if stop_if_sent and (sent := await to_thread.run_sync(sent_before, workspace, found, draft)):
                    raise sent
                if pilot is not None:
                    told = await _piloted(workspace, found, draft, pilot, asked.of_pilot(workspace, draft))
                    draft = await to_thread.run_sync(_anew, workspace, found, draft, how)
                job = record(workspace, draft, again=again, allowed=_allowed(workspace, draft, asked, word, told))
            else:
                limit = _restated(workspace, job, asked)
                renewed = await to_thread.run_sync(renew, workspace, draft, job)
    existing = job.id != draft.job.id
    with move_on_after(SEND_S):
        if existing:
            await _take_up(workspace, job, asked, limit)
        else:
            await workspace.lane.step(job)
    status = workspace.lane.stand(workspace.ledger.snapshot(job.id), existing=existing)
    reason = _keeps_fallback(draft.job, job) if existing else f"{told} {draft.reason or ''}".strip()
    return _told(status, f"{limit.sentence} {renewed or reason or ''}".strip(), found.about.warnings)


async def _piloted(workspace: Workspace, found: Preflight, draft: Draft, rows: int, most: float) -> str:
    """Run some rows first, in the lane of the job, and say what they told."""
    how = How(draft.job.lane, draft.job.concurrency, fallback=draft.job.fallback)
    pilot = piloting.Pilot(rows, most, draft.job.lane, how, fallback=draft.job.fallback)
    return await piloting.before(workspace, found, draft, pilot)


def _allowed(workspace: Workspace, draft: Draft, asked: _Limits, word: Word | None, told: str) -> float:
    """What a job may cost in USD, of which the pilots of its source have taken a part; `told` is what one told.

    Raises:
        OverBudget: nothing else was sent.
    """
    paid, limit = workspace.ledger.paid_for_pilots(draft.job), limit_of(workspace, asked.lower)
    sent = f"{told} Nothing else was sent." if told else "Nothing was sent."
    if paid:
        sent = f"Pilots of it take {dollars(paid)} of the limit of {dollars(limit)}. {sent}"
    stated = None if asked.stated is None else max(0.0, asked.stated - paid)
    caution = caution_about([draft.job], workspace.today)
    gate = partial(approve, draft.price, max(0.0, limit - paid), confirm=asked.confirm, word=word)
    return gate(sent=sent, caution=caution, stated=stated)


def _restated(workspace: Workspace, job: Job, asked: _Limits) -> Restated:
    """Hold a job that is there to the limit that the call states, of which attempts and pilots have taken a part."""
    account = workspace.ledger.account(job.id, job.attempt)
    if account is None or account.allowed is None:
        pipeline = pipelines.of_job(workspace.ledger, job.id) if asked.stated is not None else None
        return Restated(0, 0, f"Its limit is that of all stages of {pipeline.id}." if pipeline else "")
    taken = workspace.ledger.paid_before(job) + workspace.ledger.paid_for_pilots(job)
    limit = restated(workspace, account.allowed + taken, asked.stated, asked.manifest, confirm=asked.confirm)
    if limit.usd != limit.was:
        workspace.ledger.restate(job, max(0.0, limit.usd - taken))
    return limit


async def _take_up(workspace: Workspace, job: Job, asked: _Limits, limit: Restated) -> None:
    """Look at a job that is there; one that a limit has stopped goes on where that was raised or approved."""
    snapshot = workspace.ledger.snapshot(job.id)
    if not workspace.lane.is_stopped(snapshot):
        await workspace.look(snapshot)
        return
    if jobs.stopped_by(*snapshot) == "failures":  # which only resume_job goes on with
        return
    if limit.usd > limit.was or lifts_limit(workspace, job, confirm=asked.confirm and asked.stated is None):
        await workspace.lane.wake(job)


def _anew(workspace: Workspace, found: Preflight, draft: Draft, how: How) -> Draft:
    """The same job at the price that is known by now."""
    return settled(workspace, found, draft.job.name, how)._replace(folder=draft.folder)


async def _pipeline(workspace: Workspace, staged: "Staged", asked: making.Asked) -> JobStatus:
    """Record a pipeline, send what begins at once, and say where it stands."""
    pipeline, existing, warnings = await making.create(workspace, staged, asked)
    limit = Restated(pipeline.budget, pipeline.budget)
    if existing:
        stated, manifest = asked.max_cost_usd, staged.max_cost_usd
        limit = restated(workspace, pipeline.budget, stated, manifest, confirm=asked.confirm)
        if limit.usd < limit.was:
            pipelines.restate(workspace.ledger, pipeline, limit.usd)
    with move_on_after(SEND_S):
        if limit.usd > limit.was:
            await going_on.resume(workspace, pipeline, confirm=False, limit=limit.usd)
        else:
            await going_on.look(workspace, pipeline)
    return _told(telling.latest(workspace, pipeline, existing=existing), limit.sentence, warnings)


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
