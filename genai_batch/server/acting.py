"""What commands do that take more than one tool: estimate with a pilot, correct and estimate, start and look."""

from functools import partial
from typing import Any

from anyio import to_thread

from genai_batch.resources import corrections
from genai_batch.resources.answers import brief
from genai_batch.resources.corrections import Corrected
from genai_batch.resources.errors import BatchError
from genai_batch.resources.estimates import Estimate
from genai_batch.resources.jobs import BROKEN, FINISHED
from genai_batch.resources.prices import Fallback, Lane
from genai_batch.resources.sources.selection import Selection
from genai_batch.resources.status import JobStatus
from genai_batch.server.progress import Shown, shown
from genai_batch.server.terminal import approved, only_the_rest
from genai_batch.server.waiting import follow
from genai_batch.tools.approval import Word
from genai_batch.tools.check_status import check_status
from genai_batch.tools.create_batch import create_batch
from genai_batch.tools.estimate_cost import estimate_cost
from genai_batch.tools.piloting import PilotRuns, need_good_end
from genai_batch.tools.placing import file_at, writing
from genai_batch.tools.repeating import SentBefore
from genai_batch.tools.workspace import Workspace


async def estimated(
    workspace: Workspace, source: str, model: str | None, lane: Lane, fallback: Fallback | None,
    pilot: int | None, most: float | None,
    max_output_tokens: int | None, choice: Selection | None, dedupe: bool, *, quiet: bool,
) -> Estimate:  # fmt: skip
    """Estimate; a pilot is waited for, with a progress bar."""
    arguments = (model, lane, fallback, pilot, most, max_output_tokens, dedupe, choice)
    ask = partial(estimate_cost, source, workspace, *arguments)
    answer = await ask()
    if answer.pilot and answer.pilot.state not in FINISHED | BROKEN:
        await follow(workspace, answer.pilot.job_id, None, shown(json=False, quiet=quiet))
        need_good_end(workspace, answer.pilot.job_id)
        answer = await ask()
    return answer


async def corrected(workspace: Workspace, source: str, fix: str, model: str, lane: Lane) -> Corrected:
    """Write a corrected copy, and estimate that."""
    found, target = workspace.preflight(source, model), workspace.path(fix)
    if target.is_dir() or (target.exists() and target.samefile(found.source)):
        raise BatchError(f"{brief(fix, 200)} is {'a folder' if target.is_dir() else 'the source'}; name another file.")
    target = file_at(workspace, fix, "--fix")
    with writing(workspace, target):
        done = await to_thread.run_sync(corrections.write, found.source, target, found.model)
    answer = await estimate_cost(str(target), workspace, model, lane)
    told = answer.next.replace("the same source", f"source={brief(fix, 200)}")
    more = {"next": told, "fixed_path": str(target), "fixed_count": done.count, "fixed": done.kept}
    return Corrected.model_validate({**answer.model_dump(), **more})


async def begun(
    workspace: Workspace, source: str, model: str | None, *, confirm: bool, how: dict[str, Any], show: Shown
) -> JobStatus:
    """Start a job; a pilot is waited for first, and rows that were sent before are sent again only if that is meant."""
    choice: Selection | None = how.pop("choice")
    stop_if_sent = not (how["again"] or (choice and choice.changed_since))

    async def begin(word: Word | None) -> JobStatus:
        nonlocal choice, stop_if_sent
        while True:  # each turn but the last ends a pilot, or has learnt what was sent before
            try:
                return await create_batch(
                    source,
                    workspace,
                    model,
                    confirm=confirm,
                    word=word,
                    choice=choice,
                    stop_if_sent=stop_if_sent,
                    **how,
                )
            except PilotRuns as pilot:
                await follow(workspace, pilot.job_id, None, show)
                need_good_end(workspace, pilot.job_id)
            except SentBefore as sent:
                stop_if_sent = False
                if await only_the_rest(sent):
                    choice = Selection(changed_since=sent.job_id).over(choice)

    status = await approved(begin, confirm)
    if not workspace.lane.is_at(status.job_id):
        return status
    await workspace.lane.step(workspace.ledger.job(status.job_id))  # a long upload ends before the command does
    named = status.pipeline.id if status.pipeline and status.pipeline.state else status.job_id
    answer = (await check_status(named, workspace)).model_copy(update={"existing": status.existing})
    if status.notice and status.notice.startswith(answer.notice or ""):  # what was said while it was begun is kept
        answer = answer.model_copy(update={"notice": status.notice})
    job = workspace.ledger.job(status.job_id)
    return answer if job.lane == "batch" or job.is_over else answer.model_copy(update={"next": _goes_on(named)})


def _goes_on(named: str) -> str:
    """What keeps a live job going once the command that began it has ended."""
    return (
        "The job runs only while a server, genai-batch run or status --wait is at work on this home: "
        f"genai-batch status {named} --wait 3600"
    )
