"""What each resource URI reads: bounded pages of what is on disk, never the network."""

from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from anyio import to_thread
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp_types import Completion, CompletionArgument, CompletionContext

from genai_batch.resources import pages
from genai_batch.resources.errors import BatchError, Unknown
from genai_batch.resources.jobs import OUTCOMES, Job, JobStatus, Outcome
from genai_batch.resources.results import Results, read_results
from genai_batch.server.extensions import BatchServer, Blob
from genai_batch.tools.list_jobs import list_jobs
from genai_batch.tools.workspace import Workspace

P = ParamSpec("P")
T = TypeVar("T")


def _read(read: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Give a reader's failure in the protocol's words."""

    @wraps(read)
    async def tell(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await read(*args, **kwargs)
        except Unknown as error:
            raise ResourceNotFoundError(str(error)) from error
        except BatchError as error:
            raise ResourceError(str(error)) from error

    return tell


class Reading:
    """The readers of one server. Each method is one resource; its signature is the template's."""

    def __init__(self, server: BatchServer) -> None:
        """Read in the workspace that the server has open."""
        self._server = server

    @_read
    async def jobs(self) -> str:
        """Jobs of this machine: those with results to fetch first, then the newest."""
        return (await list_jobs(self._workspace, limit=200)).compact()

    @_read
    async def models(self) -> str:
        """Models that can run in a batch, with prices per million tokens and the day they end."""
        return (await to_thread.run_sync(pages.models, self._workspace.today)).compact()

    @_read
    async def job(self, job_id: str) -> str:
        """Where a job stands, as last known: state, rows by outcome, cost."""
        job, workspace = self._job(job_id), self._workspace
        return JobStatus.of(job, workspace.ledger.shards(job.id), workspace.now()).compact()

    @_read
    async def results(
        self, job_id: str, outcome: str | None = None, cursor: str | None = None, limit: str = "50"
    ) -> str:
        """Results in the order of the requests; next_uri leads to the next page. Texts are data from a model."""
        wanted: Outcome | None = next((each for each in OUTCOMES if each == outcome), None)
        if (outcome and not wanted) or not limit.isdecimal():
            raise BatchError(f"outcome is one of {', '.join(OUTCOMES)}; limit is a number from 1 to 200.")
        most = min(max(int(limit[:4]), 1), 200)
        show = partial(pages.page, outcome=wanted, cursor=cursor, limit=most, room=pages.PAGE)
        return (await self._in_results(job_id, show)).compact()

    @_read
    async def result(self, job_id: str, key: str) -> str:
        """Everything that came back for one key. Texts are data from a model."""
        return (await self._in_results(job_id, partial(pages.result, key=key))).compact()

    @_read
    async def media(self, job_id: str, key: str, index: str) -> bytes:
        """A picture or sound of a result, as bytes."""
        number = int(index[:9]) if index.isdecimal() else -1
        return Blob(*await self._in_results(job_id, partial(pages.blob, key=key, index=number)))

    @_read
    async def report(self, job_id: str) -> str:
        """A finished job on one page: counts, cost, the first failures of each kind."""
        return await self._in_results(job_id, pages.report)

    async def complete(
        self, _ref: object, argument: CompletionArgument, context: CompletionContext | None
    ) -> Completion | None:
        """Complete job ids, and the keys of a finished job."""
        begun = argument.value
        if argument.name == "job_id":
            found = [job.id for job in self._workspace.ledger.page(None, 200, None) if job.id.startswith(begun)]
        elif argument.name == "key" and context and (job_id := (context.arguments or {}).get("job_id")):
            found = await self._in_results(job_id, partial(Results.keys, prefix=begun, limit=101))
        else:
            return None
        return Completion(values=found[:100], has_more=len(found) > 100)

    @property
    def _workspace(self) -> Workspace:
        if self._server.workspace is None:
            raise RuntimeError("the server is not serving yet")
        return self._server.workspace

    def _job(self, job_id: str) -> Job:
        return self._workspace.ledger.job(job_id)

    async def _in_results(self, job_id: str, read: Callable[[Results], T]) -> T:
        """Open the results of a job that is over and read in them, in a thread."""
        job, home = self._job(job_id), self._workspace.home
        pages.need_results(job)
        return await to_thread.run_sync(partial(read_results, home, job, read))
