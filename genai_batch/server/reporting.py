"""The page of a job for people, which only the command line makes: an agent reads the report's Markdown."""

from functools import partial
from pathlib import Path
from typing import Annotated

from anyio import to_thread
from pydantic import Field

from genai_batch.resources import report
from genai_batch.resources.answers import Answer
from genai_batch.resources.jobs import Job
from genai_batch.resources.report import History
from genai_batch.resources.results import Results, read_results
from genai_batch.resources.status import notice
from genai_batch.tools.placing import file_at, writing
from genai_batch.tools.workspace import Workspace


class Reported(Answer):
    """Where the page of a job is."""

    job_id: str
    output_path: str
    bytes: Annotated[int, Field(description="Size of the page")]
    notice: str | None = None


async def make_report(job_id: str, workspace: Workspace, output: str | None) -> Reported:
    """Write the page of a job that is over to `output`, by default a file in the working folder.

    Raises:
        NotFinished: there are no results yet.
        PathNotAllowed: the file cannot be written.
    """
    job = await workspace.with_results(job_id)
    target = file_at(workspace, output or f"{job.id}-report.html")
    return await to_thread.run_sync(partial(_write, workspace, job, target))


def _write(workspace: Workspace, job: Job, target: Path) -> Reported:
    history = History.of(workspace.ledger, job, workspace.now())

    def write(results: Results) -> int:
        return report.write(results, history, target)

    with writing(workspace, target):
        size = read_results(workspace.home, job, write)
    return Reported(job_id=job.id, output_path=str(target), bytes=size, notice=notice(job))
