"""Waiting for a job at a terminal: the same `check_status`, called again and again, with a bar on stderr."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Self

import anyio

from genai_batch.resources.answers import printable
from genai_batch.resources.jobs import BROKEN, FINISHED, JobStatus
from genai_batch.tools.check_status import check_status
from genai_batch.tools.workspace import Workspace

_CALL_S = 50


async def follow(workspace: Workspace, job_id: str, seconds: float | None, *, quiet: bool) -> JobStatus:
    """Ask until the job is over, or `seconds` have passed; None waits for the end however long it takes."""
    deadline = None if seconds is None else anyio.current_time() + seconds
    show = _Bar() if sys.stderr.isatty() and not quiet else _Lines(quiet=quiet)
    with show, _told_where_to_go_on(job_id, quiet=quiet):
        while True:
            left = _CALL_S if deadline is None else max(0.0, min(_CALL_S, deadline - anyio.current_time()))
            status = await check_status(job_id, workspace, min(left, 1.0))
            show.tell(status)
            if status.state in FINISHED or status.state in BROKEN or left <= 0:
                return status


@contextmanager
def _told_where_to_go_on(job_id: str, *, quiet: bool) -> Generator[None]:
    """Whoever stops waiting hears that the job goes on, and how to come back to it."""
    try:
        yield
    except anyio.get_cancelled_exc_class():
        if not quiet:
            then = f"genai-batch status {job_id} --wait 3600, then genai-batch results {job_id}"
            said = f"The job goes on at Gemini: {then}"
            print(said, file=sys.stderr)  # noqa: T201 - stderr, for a person
        raise


class _Lines:
    """A line whenever something has changed; for logs and pipes."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet, self._last = quiet, ""
        self._noted: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to put back."""

    def tell(self, status: JobStatus) -> None:
        said = f"{status.job_id} {status.state.removeprefix('JOB_STATE_').lower()} {status.done}/{status.requests}"
        if said != self._last and not self._quiet:
            print(said, file=sys.stderr)  # noqa: T201 - stderr, for a person
        self._last = said
        self.note(status.notice)

    def note(self, notice: str | None) -> None:
        """Say once what keeps the job from going on."""
        if notice and notice != self._noted and not self._quiet:
            print(printable(f"  {notice}"), file=sys.stderr)  # noqa: T201 - stderr, for a person
        self._noted = notice


class _Bar(_Lines):
    """A bar with the time left; for a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        super().__init__(quiet=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self._bar = Progress(*columns, console=Console(stderr=True))
        self._task: Any = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def tell(self, status: JobStatus) -> None:
        said = status.state.removeprefix("JOB_STATE_").lower()
        left = f"about {status.eta_s:.0f} s left" if status.eta_s else ""
        if self._task is None:
            self._task = self._bar.add_task(said, total=status.requests, left=left)
        self._bar.update(self._task, description=said, completed=status.done, total=status.requests, left=left)
        if status.notice and status.notice != self._noted:
            self._bar.console.print(printable(status.notice), markup=False, highlight=False)
        self._noted = status.notice
