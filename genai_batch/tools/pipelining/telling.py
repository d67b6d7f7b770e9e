"""What is said of a job that is a stage of a pipeline, and of the pipeline as a whole."""

from genai_batch.resources import pipelines
from genai_batch.resources.answers import dollars, short
from genai_batch.resources.jobs import BROKEN, FINISHED, Job, Snapshot, State, stopped_by
from genai_batch.resources.pipelines import Pipeline, Stage
from genai_batch.resources.status import ONLY_LOOPS, JobStatus, PipelineStatus, StageLine, sent_again
from genai_batch.tools.pipelining.going_on import Stages
from genai_batch.tools.workspace import Workspace


def status(
    workspace: Workspace, snapshot: Snapshot, whole: Pipeline | None = None, *, existing: bool = False
) -> JobStatus:
    """Where a job stands; with `whole` it stands for that pipeline."""
    job = snapshot.job
    told = workspace.lane.stand(snapshot, existing=existing)
    if (pipeline := whole or pipelines.of_job(workspace.ledger, job.id)) is None:
        return told
    stages = Stages(workspace, pipeline)
    place = next((each for each in stages.all if each.job_id == job.id), None)
    named = f"{place.number + 1}/{len(stages.all)} {place.name}" if place else None
    if whole is None:
        return told.model_copy(update={"pipeline": PipelineStatus(id=pipeline.id, stage=named)})
    shown = _whole(workspace, stages).model_copy(update={"stage": named})
    snapshots = [workspace.ledger.snapshot(job.id) for job in stages.open]
    stopped = bool(snapshots) and all(map(workspace.lane.is_stopped, snapshots))
    own = short(told.notice or "", 400 if stopped else 260)
    notices = f"{own} {short(' '.join(filter(None, _notices(stages))), 420)}".strip()
    then = told.next.replace(told.job_id, stages.pipeline.id) if stopped else _next(stages, shown)
    limit = next(filter(None, (stopped_by(*each) for each in snapshots)), None)
    changes = {"pipeline": shown, "notice": notices or None, "next": then, "stopped": stopped, "stopped_by": limit}
    return told.model_copy(update=changes)


def latest(workspace: Workspace, pipeline: Pipeline, *, existing: bool = False) -> JobStatus:
    """Where a pipeline stands: the job of its latest stage, and all of them."""
    job = pipelines.standing(workspace.ledger, pipeline)
    return status(workspace, Snapshot(job, workspace.ledger.shards(job.id)), pipeline, existing=existing)


def _whole(workspace: Workspace, stages: Stages) -> PipelineStatus:
    own = [job for job in stages.jobs.values() if job.created_at >= stages.pipeline.created_at]
    cost = sum(workspace.lane.paid(Snapshot(job, workspace.ledger.shards(job.id))) for job in own)
    return PipelineStatus(
        id=stages.pipeline.id, state=state(stages), stages=[_line(workspace, stages, each) for each in stages.all],
        cost_usd=round(cost, 6), budget_usd=round(stages.pipeline.budget, 6),
    )  # fmt: skip


def _line(workspace: Workspace, stages: Stages, stage: Stage) -> StageLine:
    if (job := stages.jobs.get(stage.number)) is None:
        return StageLine(name=stage.name)
    told = workspace.lane.stand(Snapshot(job, workspace.ledger.shards(job.id)))
    ok = (told.counts.ok or 0) if job.is_over else None
    return StageLine(name=stage.name, job_id=job.id, state=job.state, done=told.done, requests=job.requests, ok=ok)


def state(stages: Stages) -> State:
    """The state of a pipeline in the words of its jobs: PENDING while a stage waits for approval of its cost."""
    if stages.open:
        return "JOB_STATE_RUNNING"
    if stages.waiting and stages.pipeline.cancelled_at is not None:
        return "JOB_STATE_CANCELLED"
    if stages.ready():
        return "JOB_STATE_RUNNING"
    if stages.held:
        return "JOB_STATE_PENDING"
    ends: set[State] = {job.state for job in stages.jobs.values()}
    if stages.waiting or len(ends) > 1:
        return "JOB_STATE_FAILED" if stages.waiting or not ends & FINISHED else "JOB_STATE_PARTIALLY_SUCCEEDED"
    return ends.pop()


def _notices(stages: Stages) -> list[str]:
    """What keeps stages from being begun, and rows from being in them."""
    pipe, cancelled = stages.pipeline.id, stages.pipeline.cancelled_at is not None
    said = [_run_before(stages)]
    said += [f"Stopped; resume_job('{pipe}') goes on."] if cancelled and stages.waiting else []
    for each in [] if cancelled else stages.waiting:
        if each.trouble:
            more = f"Mend that and resume_job('{pipe}'), or create_batch a mended manifest; what was run is not"
            said.append(f"Stage {each.name} cannot begin: {each.trouble} {more} paid again.")
        elif each in stages.stranded:
            source = stages.jobs[each.reads or 0]
            named = stages.all[each.reads or 0].name
            why = f"{named} ({source.state.removeprefix('JOB_STATE_')}) has no rows for it"
            loops = ONLY_LOOPS in (source.notice or "")
            again = sent_again(source.counts or {}, f"'{pipe}'", only_loops=loops)
            again = again or f"resume_job('{pipe}') sends what was lost again"
            said.append(f"Stage {each.name} cannot begin: {why}. {again}; then it goes on.")
        elif each in stages.held:
            said.append(_held(stages, each))
    return [*said, *(_left_out(stages, each) for each in stages.all if each.number in stages.jobs)]


def _run_before(stages: Stages) -> str:
    """How many stages are jobs that were there before the pipeline."""
    if not (known := [job for job in stages.jobs.values() if job.created_at < stages.pipeline.created_at]):
        return ""
    if len(known) == len(stages.all):
        return "Every stage was run before: nothing was sent again."
    return f"{len(known)} of {len(stages.all)} stages were run before and are not sent again."


def _held(stages: Stages, stage: Stage) -> str:
    price, pipe = dollars(stage.price or 0), stages.pipeline
    if not stages.fits_today(stage):
        limit = "today's limit (GENAI_BATCH_MAX_COST_USD_PER_DAY) leaves"
        return (
            f"Stage {stage.name} waits: it may cost {price}, which is more than {limit}. It begins when there is room."
        )
    left = f"{dollars(max(0, stages.left))} of {dollars(pipe.budget)} are left"
    then = f"Ask the user; resume_job('{pipe.id}', confirm=true) lets it go on."
    return f"Stage {stage.name} waits: it may cost {price}, and {left}. {then}"


def _left_out(stages: Stages, stage: Stage) -> str:
    """Rows of the stage before that are not in a stage."""
    if stage.reads is None:
        return ""
    source, job = stages.jobs[stage.reads], stages.jobs[stage.number]
    if (lost := source.row_count - job.row_count) <= 0 or stage.outcome == "any":
        return ""
    named = f"{lost:,} of {source.row_count:,} rows of {stages.all[stage.reads].name} are not in {stage.name}"
    return f"{named}; answers of rows sent again do not flow on by themselves."


def _next(stages: Stages, shown: PipelineStatus) -> str:
    pipe, last = shown.id, stages.all[-1].name
    if shown.state == "JOB_STATE_RUNNING":
        return f"check_status(job_id='{pipe}', wait_s=50): the stages go on one after the other."
    if shown.state == "JOB_STATE_PENDING":
        return f"Read notice, ask the user, then resume_job(job_id='{pipe}', confirm=true)."
    if stages.waiting or shown.state in BROKEN:
        return f"Read notice; resume_job(job_id='{pipe}') as it says. get_results(job_id) of a stage has its answers."
    return f"get_results(job_id='{pipe}') has those of {last}; the job_id of a stage its own."


def behind(workspace: Workspace, job: Job) -> str:
    """Say which stages do not get the answers of rows that are sent again, since they have begun."""
    if (pipeline := pipelines.of_job(workspace.ledger, job.id)) is None:
        return ""
    stages = Stages(workspace, pipeline)
    late = [each.name for each in stages.all if each.job_id and _source(stages, each) == job.id]
    if not late:
        return ""
    return (
        f"{', '.join(late)} has begun: it does not get these answers by itself; a manifest with job_id: {job.id} does."
    )


def _source(stages: Stages, stage: Stage) -> str | None:
    return None if stage.reads is None else stages.all[stage.reads].job_id
