"""What a server does between calls: it drives the open jobs and tells watchers what changes."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import anyio
import anyio.to_thread

from genai_batch.resources import pipelines, uris
from genai_batch.resources.errors import BatchError
from genai_batch.resources.jobs import Job, Snapshot
from genai_batch.resources.leftovers import sweep
from genai_batch.server.extensions import BatchServer
from genai_batch.tools.pipelining import going_on
from genai_batch.tools.workspace import Workspace

log = logging.getLogger("genai_batch")
_SHORTEST_S = 0.02


async def run(server: BatchServer, workspace: Workspace) -> None:
    """Go on until cancelled."""
    pause = min(1.0, max(_SHORTEST_S, workspace.lane.pace.least))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, sweep, workspace.home, workspace.now())
        tasks.start_soon(_repeat, partial(_drive, workspace), pause)
        tasks.start_soon(_repeat, partial(_go_on, workspace), pause)
        tasks.start_soon(_repeat, _Watch(server, workspace).look, pause)


async def _repeat(work: Callable[[], Awaitable[None]], pause: float) -> None:
    """Do `work` again and again; what it raises is logged, because a server that lost its driver would look alive."""
    while True:
        try:
            await work()
        except BatchError as error:
            log.warning("%s", error)
        except Exception:
            log.exception("background work failed; it is tried again")
        await anyio.sleep(pause)


async def _drive(workspace: Workspace) -> None:
    """Take every open job further, each at its own pace, without waiting for one another."""
    lane = workspace.lane
    async with anyio.create_task_group() as tasks:
        for job in workspace.ledger.open_jobs():
            if lane.due(Snapshot(job, workspace.ledger.shards(job.id)), lane.gap(job)):
                tasks.start_soon(_step, workspace, job)


async def _go_on(workspace: Workspace) -> None:
    """Begin the stages of pipelines whose input is there."""
    for pipeline in pipelines.running(workspace.ledger):
        await going_on.advance(workspace, pipeline)


async def _step(workspace: Workspace, job: Job) -> None:
    try:
        await workspace.lane.step(job)
    except BatchError as error:
        log.warning("%s: %s", job.id, error)
    except Exception:
        log.exception("%s could not be taken further", job.id)


class _Watch:
    """Publishes an update for each job whose state or progress has changed, whichever process changed it."""

    def __init__(self, server: BatchServer, workspace: Workspace) -> None:
        self._server, self._ledger = server, workspace.ledger
        self._seen: Mapping[str, tuple[str, int]] | None = None

    async def look(self) -> None:
        now = self._ledger.progress(50)
        before, self._seen = self._seen, now
        for job_id, stand in now.items():
            was = (now if before is None else before).get(job_id)
            if was != stand:
                await self._server.announce(uris.job(job_id))
            if was is None or was[0] != stand[0]:
                await self._server.announce(uris.JOBS, uris.results(job_id), uris.report(job_id))
                await self._server.announce_list()
