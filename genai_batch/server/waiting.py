"""Waiting for a job at the command line: the same `check_status`, called again and again, until its end or Ctrl-C."""

import asyncio
import os
import signal
from contextlib import suppress

import anyio

from genai_batch.resources.errors import BatchError
from genai_batch.resources.jobs import JobStatus
from genai_batch.server.progress import Shown
from genai_batch.tools.check_status import check_status
from genai_batch.tools.workspace import Workspace

_CALL_S = 50
_RESTS_S = 400
"""Seconds that a job is to be left alone, from which on it is not waited for."""
INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BatchError):
    """Whoever waited has stopped; the message says how to go on."""

    exit_code = INTERRUPTED


async def follow(workspace: Workspace, job_id: str, seconds: float | None, show: Shown) -> JobStatus:
    """Ask until the job is over, or `seconds` have passed; None waits for the end however long it takes.

    Nobody waits for hours at a terminal: a live job that Gemini has stopped is returned as it stands. Ctrl-C ends the
    waiting: what this process has in flight is finished and stored first. A second one ends it at once.

    Raises:
        Interrupted: there was a Ctrl-C, and the job is not over.
    """
    heeding = _Heeding(show, job_id)
    with show:
        heeding.begin()
        try:
            status = await _asked(workspace, job_id, seconds, show, heeding.stopped)
            if heeding.stopped.is_set() and not status.is_over:
                show.say("Stopping: what is in flight is finished and stored. Ctrl-C once more stops at once.")
                await workspace.lane.rest(workspace.ledger.job(status.job_id))
                raise Interrupted(_how_to_go_on(workspace, status, job_id))
        finally:
            heeding.end()
    return status


async def _asked(
    workspace: Workspace, job_id: str, seconds: float | None, show: Shown, stopped: anyio.Event
) -> JobStatus:
    """Ask once a second, and show each answer."""
    deadline = None if seconds is None else anyio.current_time() + seconds
    while True:
        left = _CALL_S if deadline is None else max(0.0, min(_CALL_S, deadline - anyio.current_time()))
        status = await check_status(job_id, workspace, min(left, 1.0))
        show.tell(status)
        if status.is_over or left <= 0 or stopped.is_set() or _rests(workspace, status.job_id):
            return status


class _Heeding:
    """Takes signals: the first is a wish, the second an end."""

    def __init__(self, show: Shown, job_id: str) -> None:
        self.stopped = anyio.Event()
        self._show, self._job_id = show, job_id
        self._loop = asyncio.get_running_loop()

    def begin(self) -> None:
        for each in _SIGNALS:
            with suppress(NotImplementedError):  # Windows: there Ctrl-C stops at once
                self._loop.add_signal_handler(each, self._heard)

    def end(self) -> None:
        for each in _SIGNALS:
            with suppress(NotImplementedError):
                self._loop.remove_signal_handler(each)

    def _heard(self) -> None:
        if self.stopped.is_set():
            self._show.__exit__()
            self._show.say(f"Stopped. What was answered is stored; genai-batch resume {self._job_id} sends the rest.")
            os._exit(INTERRUPTED)
        self.stopped.set()


def _rests(workspace: Workspace, job_id: str) -> bool:
    until = workspace.lane.rests_until(workspace.ledger.job(job_id))
    return until is not None and until - workspace.now() > _RESTS_S


def _how_to_go_on(workspace: Workspace, status: JobStatus, named: str) -> str:
    """Which commands come back to a job that goes on elsewhere, or not at all until then."""
    if workspace.ledger.job(status.job_id).lane_now == "live":
        done = sum(shard.done for shard in workspace.ledger.shards(status.job_id))
        return f"Interrupted; {done:,} rows are stored. genai-batch resume {named} runs the rest."
    return f"The job goes on at Gemini: genai-batch status {named} --wait 3600, then genai-batch results {named}"
