"""Send chosen rows of a finished job again."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NamedTuple

from anyio import fail_after, move_on_after, to_thread
from pydantic import Field

from genai_batch.resources import attempts, jobs, pipelines
from genai_batch.resources.answers import short
from genai_batch.resources.attempts import Rows
from genai_batch.resources.errors import BatchError
from genai_batch.resources.estimates import Estimate
from genai_batch.resources.jobs import Job
from genai_batch.resources.ledger import Attempt
from genai_batch.resources.local_files import FILE
from genai_batch.resources.models import find
from genai_batch.resources.pipelines import Pipeline
from genai_batch.resources.prices import Lane
from genai_batch.resources.requests import Preflight
from genai_batch.resources.results import read_results
from genai_batch.resources.sources.settings import Settings
from genai_batch.resources.status import JobStatus
from genai_batch.tools.approval import (
    ALL_STAGES,
    Quote,
    Word,
    agrees,
    amount,
    approve,
    budget,
    declines,
    expected,
    lifts_limit,
    over_the_day,
    priced,
    quote,
    quote_of_stopped,
    refused,
)
from genai_batch.tools.filled import Asked
from genai_batch.tools.lanes.states import parts_of, shards_of
from genai_batch.tools.pipelining import going_on, telling
from genai_batch.tools.workspace import LOOK_S, Given, JobId, Workspace

SEND_S = 25
_UNDER_WAY = (
    "{} is still under way in the {} lane; nothing was sent. resume_job without rows and lane goes on with all that "
    "is left; after cancel_job, which keeps what is answered, it sends the rows and takes the lane that you name."
)


async def _quote(job_id: str, rows: Rows | list[str], lane: Lane | None, workspace: Given) -> Quote | None:
    """Price the rows before the tool runs, where that may lead to a question."""

    async def costs() -> Quote | None:
        job, whole = await workspace.named(job_id)
        if whole and (rest := going_on.quote_of_rest(workspace, whole)):
            return rest
        if not job.is_over:
            return quote_of_stopped(workspace, job)
        again = _Again(workspace, job.id, rows, lane)
        with TemporaryDirectory(dir=jobs.folder(workspace.home, job.id)) as folder:
            found = await to_thread.run_sync(again.chosen, job, Path(folder) / "requests.jsonl")
            price = await to_thread.run_sync(again.priced, job, found)
            if over_the_day(workspace, price):
                return None
            room = _room(workspace, job, price.most)
            costs = f"{room.costs}: {expected(price)}" if room.costs else expected(price)
            return Quote(room.counted + price.most, room.counted + room.left, costs=costs)

    return await quote(costs)


async def resume_job(
    job_id: JobId,
    workspace: Given,
    rows: Annotated[Rows | list[str], Field(description="Or their keys")] = "unfinished",
    lane: Annotated[Lane | None, Field(description="Else the job's own")] = None,
    confirm: Annotated[bool, Field(description="The user approved")] = False,
    word: Annotated[Word | None, Asked(_quote)] = None,
) -> JobStatus:
    """Send rows of a finished job again; good answers are kept.

    Truncated rows get twice the output; what would fail again is left out. A pipeline goes on.
    """
    job, whole = await workspace.named(job_id)
    job = workspace.take_over(job)
    workspace.need_to_own(job)
    if whole:
        if word and not confirm and not agrees(word):
            raise refused(word, telling.latest(workspace, whole).notice or "", word and word.quote)
        lost = None
        with move_on_after(SEND_S):  # what is begun goes on in the background
            lost = await going_on.resume(workspace, whole, confirm=confirm, limit=amount(word))
        if lost is None:
            return telling.latest(workspace, whole)
        job = lost
    again = _Again(workspace, job.id, rows, lane)
    if not job.is_over and (job.lane_now != "batch" or workspace.lane.rests(job)):
        if rows != "unfinished" or lane not in (None, job.lane_now):
            raise BatchError(_UNDER_WAY.format(job.id, job.lane_now))
        await _wake(workspace, job, confirm=confirm, word=word)
        return _status(workspace, job, whole)
    gate = partial(_approved, workspace, job, confirm=confirm, word=word)
    try:
        with fail_after(LOOK_S):
            job = await workspace.lane.alone(job, partial(again.reopened, gate, confirm=confirm))
    except TimeoutError:
        said = f"{job.id} is busy in this process and goes on; check_status shows the attempt once it is recorded."
        raise BatchError(said) from None
    with move_on_after(SEND_S):
        await workspace.lane.step(job)
    _let_go_on(workspace, job)
    status = _status(workspace, job, whole)
    return status.model_copy(
        update={
            "notice": " ".join(filter(None, (status.notice, again.left_out, telling.behind(workspace, job)))) or None
        }
    )


async def _wake(workspace: Workspace, job: Job, *, confirm: bool, word: Word | None) -> None:
    """Let an open job go on.

    Raises:
        OverBudget: a limit has stopped it, or the user does not want it to go on.
    """
    may_go_on = confirm or not declines(word)
    if not may_go_on or not lifts_limit(workspace, job, confirm=confirm, limit=amount(word)):
        raise refused(word, job.notice or "", quote_of_stopped(workspace, job))
    if not await workspace.lane.wake(job):
        await workspace.lane.step(job)


class _Room(NamedTuple):
    """USD left for another attempt, USD that count already within the same limit, and words about that limit."""

    left: float
    counted: float = 0
    sent: str = "Nothing was sent."
    costs: str = ""
    pipeline: Pipeline | None = None


def _approved(workspace: Workspace, job: Job, price: Estimate, *, confirm: bool, word: Word | None) -> float:
    """Hold another attempt against what is left, and return what it may cost in USD.

    Where a pipeline pays for it, its limit grows to what the user was asked about.
    """
    room = _room(workspace, job, price.most)
    if word:
        word = word._replace(quote=word.quote._replace(most=word.quote.most - room.counted))
    allowed = approve(price, room.left, confirm=confirm, word=word, sent=room.sent)
    if room.pipeline and not confirm and allowed > room.left:
        pipelines.allow(workspace.ledger, room.pipeline, room.counted + allowed)
    return allowed


def _room(workspace: Workspace, job: Job, most: float) -> _Room:
    """The limit that another attempt would pass: the pipeline's that pays for it, the job's own, or the user's.

    Where it would pass none, the nearest.
    """
    rooms = list[_Room]()
    if pipeline := pipelines.of_job(workspace.ledger, job.id):
        left = going_on.Stages(workspace, pipeline).left
        sent = f"That is what the stages of {pipeline.id} have left of their limit. Nothing was sent."
        rooms.append(_Room(max(0.0, left), pipelines.spent(workspace.ledger, pipeline), sent, ALL_STAGES, pipeline))
    if (unspent := workspace.ledger.unspent(job)) is not None:
        account, before = workspace.ledger.account(job.id, job.attempt), workspace.ledger.paid_before(job)
        sent = "That is what earlier attempts have left of its limit. Nothing was sent."
        rooms.append(_Room(unspent, before + (account.spent if account else 0), sent, "with what is paid"))
    rooms.append(_Room(workspace.max_cost_usd))
    passed = [room for room in rooms if most > room.left]
    return passed[0] if passed else min(rooms, key=lambda room: room.left)


def _status(workspace: Workspace, job: Job, whole: Pipeline | None) -> JobStatus:
    return telling.latest(workspace, whole) if whole else telling.status(workspace, workspace.ledger.snapshot(job.id))


def _let_go_on(workspace: Workspace, job: Job) -> None:
    """A stage that had nothing to read may begin after all."""
    if pipeline := pipelines.of_job(workspace.ledger, job.id):
        stages = going_on.Stages(workspace, pipeline)
        if any(stages.all[each.reads].job_id == job.id for each in stages.waiting if each.reads is not None):
            pipelines.go_on(workspace.ledger, pipeline)


class _Again:
    """Another attempt of a job in the making."""

    def __init__(self, workspace: Workspace, job_id: str, rows: Rows | list[str], lane: Lane | None) -> None:
        self._workspace, self._job_id = workspace, job_id
        self._lane: Lane | None = lane
        self._rows: Rows | list[str] = rows
        self.left_out = ""

    def lane_for(self, job: Job) -> Lane:
        """The lane that was asked for, else that of the job."""
        return self._lane or job.lane

    def priced(self, job: Job, found: Preflight) -> Estimate:
        """What the attempt may cost."""
        lane = self.lane_for(job)
        return priced(self._workspace, found, lane, job.fallback if lane == "flex" else None)

    async def reopened(self, approve: Callable[[Estimate], float], *, confirm: bool) -> Job:
        """Write the chosen requests down, price them, and open the job for the attempt.

        Where a pipeline pays for it, with `confirm` its limit grows to what that can cost.
        """
        workspace = self._workspace
        async with workspace.lane.means.lease(self._job_id) as mine:
            job = workspace.ledger.job(self._job_id)
            if not mine or not job.is_over or job.bytes == 0:
                why = "was adopted, so its requests are not known here" if job.bytes == 0 else "is still under way"
                raise BatchError(f"{job.id} {why}; nothing was sent. check_status tells how it stands.")
            target = jobs.requests_file(workspace.home, job.id, job.attempt + 1)
            draft = target.with_suffix(f".{workspace.ledger.owner}.part")
            try:
                return await self._recorded(job, draft, target, approve, confirm=confirm)
            finally:
                draft.unlink(missing_ok=True)

    async def _recorded(
        self, job: Job, draft: Path, target: Path, approve: Callable[[Estimate], float], *, confirm: bool
    ) -> Job:
        workspace = self._workspace
        found = await to_thread.run_sync(self.chosen, job, draft)
        lane = self.lane_for(job)
        allowed = approve(price := await to_thread.run_sync(self.priced, job, found))
        first, number = len(workspace.ledger.shards(job.id)), job.attempt + 1
        shards = shards_of(job.id, found.digest, parts_of(lane, found), first=first, attempt=number)
        pipeline = pipelines.of_job(workspace.ledger, job.id)
        also = partial(pipelines.hold, pipeline=pipeline, confirm=confirm) if pipeline else None
        aside = budget(workspace, price, None if pipeline else allowed)
        attempt = Attempt(shards, price.likely_range, aside, partial(draft.replace, target), lane, also)
        return workspace.ledger.reopen(job, attempt, workspace.now())

    def chosen(self, job: Job, target: Path) -> Preflight:
        """Write the requests of the attempt to `target` and check them like the first ones."""
        shards = self._workspace.ledger.shards(job.id)
        sent = frozenset(shard.attempt for shard in shards if shard.was_sent)
        write = partial(attempts.write, rows=self._rows, target=target, sent=sent)
        left = read_results(self._workspace.home, job, write)
        self.left_out = short(left.tell(), 600)
        model, cut = find(job.model, self._workspace.today), self._workspace.cut_for(job.model)
        files = jobs.folder(self._workspace.home, job.id) / FILE
        about = Settings(files=files if files.exists() else None)
        found = Preflight(target, model, cut, is_bound=job.is_bound, about=about)
        return found.run()
