"""The stages of a pipeline at the command line: waited for one after the other, and written to a folder each."""

from pathlib import Path

from genai_batch.resources import pipelines
from genai_batch.resources.errors import BatchError, OverBudget
from genai_batch.resources.exports import Format
from genai_batch.resources.pages import ResultPage
from genai_batch.resources.status import JobStatus
from genai_batch.server.progress import Shown
from genai_batch.server.terminal import approved
from genai_batch.server.waiting import follow
from genai_batch.tools.approval import Word
from genai_batch.tools.get_results import get_results
from genai_batch.tools.pipelining.going_on import quote_of_rest
from genai_batch.tools.resume_job import resume_job
from genai_batch.tools.workspace import Workspace


async def waited(workspace: Workspace, started: JobStatus, show: Shown, *, confirm: bool) -> JobStatus:
    """Wait for a job, or for all stages of its pipeline; a stage that costs more than is left is asked about.

    Raises:
        OverBudget: a stage waits for approval, and nobody is there to give it.
    """
    if started.pipeline is None or started.pipeline.state is None:
        return await follow(workspace, started.job_id, None, show)
    named = started.pipeline.id
    status = await follow(workspace, named, None, show)
    while _waits(status):
        pipeline = pipelines.find(workspace.ledger, named)
        quote = pipeline and quote_of_rest(workspace, pipeline)
        refusal = OverBudget(status.notice or "", quote=quote and (quote.most, quote.limit, quote.caution))

        async def go_on(word: Word | None, refusal: OverBudget = refusal) -> JobStatus:
            if not confirm and not word:
                raise refusal
            return await resume_job(named, workspace, confirm=confirm, word=word)

        if _waits(await approved(go_on, confirm)):  # the day's limit, which nobody lifts
            raise refusal
        status = await follow(workspace, named, None, show)
    return status


def _waits(status: JobStatus) -> bool:
    """Whether a pipeline waits for approval: of a stage that is not begun, or of the rest of one."""
    is_pending = status.pipeline is not None and status.pipeline.state == "JOB_STATE_PENDING"
    return is_pending or (status.stopped and status.stopped_by == "pipeline_limit")


async def collected(
    workspace: Workspace, status: JobStatus, output: str | None, form: Format | None, *, raw: bool
) -> ResultPage:
    """The results of a job; those of a pipeline's stages are written to a folder each, in the one that is named."""
    lines = (status.pipeline and status.pipeline.stages) or []
    folder = workspace.path(output) if output and lines else None
    if output is None or folder is None or not (folder.is_dir() or output.endswith(("/", "\\"))):
        return await get_results(status.job_id, workspace, output_path=output, format=form, raw=raw)
    folder.mkdir(parents=True, exist_ok=True)
    written, page, notices = 0, None, dict[str, None]()
    for line in lines:
        if line.job_id is None:
            continue
        try:
            place = f"{folder / line.name}/"
            page = await get_results(line.job_id, workspace, output_path=place, format=form, raw=raw)
        except BatchError:
            if line.job_id == status.job_id and page is None:  # there is nothing at all to be had
                raise
        else:
            written += page.written or 0
            notices[page.notice or ""] = None
    if page is None:
        page = await get_results(status.job_id, workspace)
    notices[page.notice or ""] = None
    notice = " ".join(filter(None, notices)) or None
    return page.model_copy(
        update={"notice": notice, "output_path": str(folder), "written": written, "next": _next(folder)}
    )


def _next(folder: Path) -> str:
    return f"Read {folder}; it has a folder for each stage."
