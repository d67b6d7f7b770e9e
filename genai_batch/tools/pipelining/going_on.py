"""A pipeline goes on: a stage is begun once the job that it reads from is over, within the budget of all."""

import json
import logging
from functools import partial
from pathlib import Path

from genai_batch.resources import pipelines
from genai_batch.resources.answers import short
from genai_batch.resources.errors import BatchError, LedgerError, OverBudget
from genai_batch.resources.jobs import BROKEN, Job, Snapshot, stopped_by
from genai_batch.resources.pipelines import Pipeline, Stage, Taken
from genai_batch.tools.approval import ALL_STAGES, Quote, lifts_limit
from genai_batch.tools.pipelining.making import made, named
from genai_batch.tools.starting import record
from genai_batch.tools.workspace import Workspace

log = logging.getLogger("genai_batch")


class Stages:
    """The stages of a pipeline and their jobs, as they stand now."""

    def __init__(self, workspace: Workspace, pipeline: Pipeline) -> None:
        """Read them."""
        self._workspace = workspace
        self.pipeline = pipelines.find(workspace.ledger, pipeline.id) or pipeline
        self.all = pipelines.stages(workspace.ledger, pipeline)
        begun = {stage.number: stage.job_id for stage in self.all if stage.job_id}
        jobs = workspace.ledger.jobs(list(begun.values()))
        self.jobs = {number: jobs[job_id] for number, job_id in begun.items()}
        self.left = self.pipeline.budget - pipelines.spent(workspace.ledger, pipeline)

    @property
    def open(self) -> list[Job]:
        """Jobs that are not over."""
        return [job for job in self.jobs.values() if not job.is_over]

    @property
    def waiting(self) -> list[Stage]:
        """Stages that are not begun."""
        return [each for each in self.all if each.job_id is None]

    @property
    def held(self) -> list[Stage]:
        """Stages that wait for approval of their cost, or for another day."""
        return [each for each in self.waiting if self._has_input(each) and not each.trouble and not self.fits(each)]

    @property
    def stranded(self) -> list[Stage]:
        """Stages whose input is over and has no rows for them."""
        return [each for each in self.waiting if self.finds_rows(each) is False]

    def ready(self, *, confirm: bool = False) -> list[Stage]:
        """Stages that can begin."""
        if self.pipeline.cancelled_at is not None:
            return []
        there = [each for each in self.waiting if self._has_input(each) and not each.trouble]
        return [each for each in there if confirm or self.fits(each)]

    def fits(self, stage: Stage) -> bool:
        """Whether a stage of known price may begin now; of one whose price is not known nothing is to be said yet."""
        return stage.price is None or (stage.price <= self.left and self.fits_today(stage))

    def fits_today(self, stage: Stage) -> bool:
        """Whether the limit of the day leaves room for a stage."""
        per_day = self._workspace.max_cost_usd_per_day
        spent = self._workspace.ledger.spent(self._workspace.now()) if per_day is not None else 0
        return per_day is None or spent + (stage.price or 0) <= per_day

    def finds_rows(self, stage: Stage) -> bool | None:
        """Whether there is something to read for a stage; None while that is not known."""
        return True if stage.reads is None else stage.finds_rows(self.jobs.get(stage.reads))

    def _has_input(self, stage: Stage) -> bool:
        return bool(self.finds_rows(stage))


def is_mine(workspace: Workspace, pipeline: Pipeline) -> bool:
    """Whether the pipeline was made with this backend and this key."""
    return (pipeline.backend, pipeline.account) == (workspace.backend, workspace.lane.gemini.account)


async def look(workspace: Workspace, pipeline: Pipeline, *, confirm: bool = False) -> str | None:
    """Take the open jobs of a pipeline further and begin what can begin; return what kept it from going on."""
    trouble = None
    while True:
        stages = Stages(workspace, pipeline)
        for job in stages.open:
            try:
                _, said = await workspace.look(Snapshot(job, workspace.ledger.shards(job.id)))
            except BatchError as error:
                said = short(str(error), 300)
            trouble = said or trouble
        try:
            await advance(workspace, pipeline, confirm=confirm)
        except LedgerError as error:
            return short(str(error), 300)
        current = pipelines.stages(workspace.ledger, pipeline)
        if sum(stage.job_id is not None for stage in current) == len(stages.jobs):
            return trouble


async def advance(workspace: Workspace, pipeline: Pipeline, *, confirm: bool = False) -> None:
    """Begin the stages whose input is there; with `confirm` also those that cost more than is left.

    Raises:
        LedgerError: the home cannot be written.
    """
    if is_mine(workspace, pipeline):
        do = workspace.at.alone if confirm else workspace.at.join
        await do(pipeline.id, partial(_advance, workspace, pipeline, confirm=confirm))


async def _advance(workspace: Workspace, pipeline: Pipeline, *, confirm: bool) -> None:
    now, tried = Stages(workspace, pipeline), set[int]()
    while found := [each for each in now.ready(confirm=confirm) if each.number not in tried]:
        tried.add(found[0].number)
        await _begin(workspace, now, found[0], confirm=confirm)
        now = Stages(workspace, pipeline)
    if now.pipeline.ended_at is None and not now.open and not now.held:
        pipelines.end(workspace.ledger, pipeline, workspace.now())


async def _begin(workspace: Workspace, stages: Stages, stage: Stage, *, confirm: bool) -> None:
    """Make a stage's requests out of what it reads, and record its job; what keeps it from that is noted."""
    from genai_batch.resources.sources.staged import plan_of

    pipeline, ledger, price = stages.pipeline, workspace.ledger, None
    reads = None if stage.reads is None else stages.jobs[stage.reads].id
    also = partial(pipelines.link, pipeline=pipeline, number=stage.number, confirm=confirm)
    try:
        value = json.loads(pipelines.plan_of(ledger, pipeline, stage))
        plan = plan_of(value, pipeline.source, Path(pipeline.base) if pipeline.base else None, reads)
        async with made(workspace, plan, stage.model, named(pipeline.name, stage.name)) as draft:
            price = draft.draft.price.most
            record(workspace, draft.draft, again=pipeline.again, also=also)
    except Taken:
        log.info("%s: stage %s was begun elsewhere", pipeline.id, stage.name)
    except OverBudget:
        pipelines.note(ledger, pipeline, stage, price=price, trouble=None)
    except LedgerError:
        raise
    except BatchError as error:
        pipelines.note(ledger, pipeline, stage, price=None, trouble=short(str(error), 300))


def quote_of_rest(workspace: Workspace, pipeline: Pipeline) -> Quote | None:
    """What all stages may cost once those go on that have stopped or wait for approval; None where none does."""
    stages, ledger = Stages(workspace, pipeline), workspace.ledger
    held = [stage for stage in stages.held if stages.fits_today(stage)]
    stopped = [job for job in stages.open if stopped_by(job, ledger.shards(job.id)) == "pipeline_limit"]
    if not held and not stopped:
        return None
    most = pipelines.at_most(ledger, pipeline) + sum(stage.price or 0 for stage in held)
    return Quote(most, stages.pipeline.budget, costs=ALL_STAGES)


async def resume(workspace: Workspace, pipeline: Pipeline, *, confirm: bool, limit: float | None = None) -> Job | None:
    """Go on with a pipeline; return the job whose rows have to be sent again for that, if one has.

    That is one that was lost, or without which a later stage has nothing to read; or the last one, where all are over.
    With `confirm` its stages may cost all that they can, with `limit` up to so many USD where that is more than now.
    """
    pipelines.go_on(workspace.ledger, pipeline)
    is_raised = limit is not None and limit > Stages(workspace, pipeline).pipeline.budget
    if limit is not None:
        pipelines.allow(workspace.ledger, pipeline, limit)
    is_stopped = workspace.lane.is_stopped
    stopped = [job for job in Stages(workspace, pipeline).open if is_stopped(workspace.ledger.snapshot(job.id))]
    for job in stopped:
        if is_raised or lifts_limit(workspace, job, confirm=confirm):
            await workspace.lane.wake(job)
    await look(workspace, pipeline, confirm=confirm)
    stages = Stages(workspace, pipeline)
    if stages.open or stopped:
        return None
    empty = [stages.jobs[each.reads] for each in stages.stranded if each.reads in stages.jobs]
    lost = [job for job in stages.jobs.values() if job.state in BROKEN]
    if empty or lost:
        return (empty or lost)[0]
    return None if stages.waiting else pipelines.standing(workspace.ledger, pipeline)


async def cancel(workspace: Workspace, pipeline: Pipeline) -> None:
    """Begin no more stages, and stop those that are under way; one that is over stays as it is."""
    if pipeline.ended_at is not None and not Stages(workspace, pipeline).open:
        return
    pipelines.stop(workspace.ledger, pipeline, workspace.now())
    for job in Stages(workspace, pipeline).open:
        await workspace.lane.cancel(job)
