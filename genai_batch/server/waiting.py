"""Waiting for a job at the command line: the same `check_status`, called again and again, until its end or Ctrl-C."""

from contextlib import suppress

import anyio

from genai_batch.resources.status import JobStatus
from genai_batch.server.interrupts import interrupts
from genai_batch.server.progress import Shown
from genai_batch.server.terminal import Interrupted
from genai_batch.tools.check_status import check_status
from genai_batch.tools.workspace import Workspace

_CALL_S = 50
IN_FLIGHT_S = 25
"""Seconds after the first Ctrl-C that what is in flight has to come home; closing gives it five more."""
_RESTS_S = 400
"""Seconds that a job is to be left alone, from which on it is not waited for."""


_STOPPING = (
    "Stopping: what is in flight is finished and stored, for at most half a minute. Ctrl-C once more stops at once."
)


async def follow(workspace: Workspace, job_id: str, seconds: float | None, show: Shown) -> JobStatus:
    """Ask until the job is over, or `seconds` have passed; None waits for the end however long it takes.

    Nobody waits for hours at a terminal: a live job that Gemini has stopped is returned as it stands. Ctrl-C ends the
    waiting: what this process has in flight is finished and stored first, or given up after half a minute. A second
    one ends it at once.

    Raises:
        Interrupted: there was a Ctrl-C, and the job is not over.
    """
    stopped = anyio.Event()

    def last() -> str:
        with suppress(Exception):
            show.__exit__()
        return f"Stopped. What was answered is stored; genai-batch resume {job_id} sends the rest."

    with show, interrupts.heeded(stopped.set, last):
        status = await _asked(workspace, job_id, seconds, show, stopped)
        if stopped.is_set() and not status.is_over:
            show.say(_STOPPING)
            with anyio.move_on_after(IN_FLIGHT_S):
                await workspace.lane.rest(workspace.ledger.job(status.job_id))
            raise Interrupted(_how_to_go_on(workspace, status, job_id))
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


def _rests(workspace: Workspace, job_id: str) -> bool:
    until = workspace.lane.rests_until(workspace.ledger.snapshot(job_id))
    return until is not None and until - workspace.now() > _RESTS_S


def _how_to_go_on(workspace: Workspace, status: JobStatus, named: str) -> str:
    """Which commands come back to a job that goes on elsewhere, or not at all until then."""
    snapshot = workspace.ledger.snapshot(status.job_id)
    job = snapshot.job
    if job.lane_now != "batch":
        done = workspace.lane.stand(snapshot).done  # what is whole on the disk: a run that was given up has not counted
        return f"Interrupted; {done:,} rows are stored. genai-batch resume {named} runs the rest."
    if job.state == "JOB_STATE_QUEUED":
        return f"Gemini has not accepted the job yet: genai-batch status {named} --wait 3600 sends it."
    return f"The job goes on at Gemini: genai-batch status {named} --wait 3600, then genai-batch results {named}"
