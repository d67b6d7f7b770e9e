"""What each resource URI reads: bounded pages of what is on disk, never the network."""

from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from anyio import to_thread
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp_types import Completion, CompletionArgument, CompletionContext

from genai_batch.resources import model_list, pages
from genai_batch.resources.answers import Answer
from genai_batch.resources.errors import BatchError, Unknown
from genai_batch.resources.jobs import OUTCOMES, Job, Snapshot
from genai_batch.resources.pages import Wanted
from genai_batch.resources.redaction import redact
from genai_batch.resources.report import History, markdown
from genai_batch.resources.results import Entry, Results
from genai_batch.server.content import Content
from genai_batch.server.extensions import BatchServer
from genai_batch.tools.list_jobs import list_jobs
from genai_batch.tools.pipelining import telling
from genai_batch.tools.workspace import Workspace

P = ParamSpec("P")
T = TypeVar("T")
FINAL_MS = 3_600_000
"""How long a client may keep what nothing changes any more. What resume_job may change is asked for each time."""
_JOBS = 100
_SHORT = 64_000
"""Bytes of the largest row that is read while nothing else is served."""


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
        self._version = (0, 0)
        self._jobs: dict[str, Job] = {}

    @_read
    async def jobs(self) -> Content:
        """Jobs of this machine: those with results to fetch first, then the newest."""
        return Content((await list_jobs(self._workspace, limit=200)).compact())

    @_read
    async def models(self) -> Content:
        """Models that can run in a batch, with prices per million tokens and the day they end."""
        models = await to_thread.run_sync(model_list.models, self._workspace.today)
        return Content(models.compact(), FINAL_MS, "public")

    @_read
    async def job(self, job_id: str) -> Content:
        """Where a job stands, as last known: state, rows by outcome, cost."""
        job, workspace = self._job(job_id), self._workspace
        status = telling.status(workspace, Snapshot(job, workspace.ledger.shards(job.id)))
        return Content(status.compact(), _fresh_ms(job, _all_ok(job)))

    @_read
    async def results(
        self, job_id: str, outcome: str | None = None, cursor: str | None = None, limit: str = "50"
    ) -> Content:
        """Results in the order of the requests; next_uri leads to the next page. Texts are data from a model."""
        wanted: Wanted | None = next((each for each in pages.WANTED if each == outcome), None)
        if (outcome and not wanted) or not limit.isdecimal():
            raise BatchError(f"outcome is one of {', '.join(pages.WANTED)}; limit is a number from 1 to 200.")
        most = min(max(int(limit[:4]), 1), 200)
        show = partial(pages.page, outcome=wanted, cursor=cursor, limit=most, room=pages.PAGE)
        return await self._in_results(job_id, lambda found: _text(show(found), found.job, final=_all_ok(found.job)))

    @_read
    async def result(self, job_id: str, key: str) -> Content:
        """Everything that came back for one key. Texts are data from a model."""
        job = self._finished(job_id)
        content = self._workspace.opened.read_open(job, partial(_short_result, key=key))
        if content is not None:  # a change of thread would have taken longer than the read
            return content
        return await self._in_results(job_id, partial(_result, key=key))

    @_read
    async def media(self, job_id: str, key: str, index: str) -> Content:
        """A picture or sound of a result, as bytes."""
        number = int(index[:9]) if index.isdecimal() else -1

        def show(results: Results) -> Content:
            blob, final = pages.blob(results, key, number), results.entry(key).outcome == "ok"
            fresh_ms = _fresh_ms(results.job, final)
            return Content(blob.content, fresh_ms, mime_type=blob.mime_type, about=blob.about)

        return await self._in_results(job_id, show)

    @_read
    async def report(self, job_id: str) -> Content:
        """A finished job on one page: counts, cost, time, failures by class with examples, what to do next."""
        job, workspace = self._job(job_id), self._workspace
        workspace.need_results(job)
        history = History.of(workspace.ledger, job, workspace.now())
        text = await self._in_results(job_id, partial(markdown, history=history))
        return Content(redact(text), _fresh_ms(job, final=_all_ok(job)))

    async def complete(
        self, _ref: object, argument: CompletionArgument, context: CompletionContext | None
    ) -> Completion | None:
        """Complete job ids, and of a finished job its keys and outcomes."""
        begun, given = argument.value, (context and context.arguments) or {}
        job = self._workspace.ledger.find(given.get("job_id", ""))
        if argument.name == "job_id":
            found = [each.id for each in self._workspace.ledger.page(None, 200, None) if each.id.startswith(begun)]
        elif argument.name == "outcome":
            found = [each for each in (job and job.counts) or OUTCOMES if each.startswith(begun)]
        elif argument.name == "key" and job and (job.is_over or job.attempt):
            found = await self._in_results(job.id, partial(Results.keys, prefix=begun, limit=101))
        else:
            return None
        return Completion(values=found[:100], has_more=len(found) > 100)

    @property
    def _workspace(self) -> Workspace:
        if self._server.workspace is None:
            raise RuntimeError("the server is not serving yet")
        return self._server.workspace

    def _job(self, job_id: str) -> Job:
        """Find a job, again only where the ledger has changed."""
        ledger = self._workspace.ledger
        if (version := ledger.version) != self._version or len(self._jobs) > _JOBS:
            self._version, self._jobs = version, {}
        if (job := self._jobs.get(job_id)) is None:
            job = self._jobs[job_id] = ledger.job(job_id)
        return job

    def _finished(self, job_id: str) -> Job:
        return self._workspace.readable(self._job(job_id))

    async def _in_results(self, job_id: str, read: Callable[[Results], T]) -> T:
        """Read in the results of a job that is over, in a thread."""
        return await to_thread.run_sync(self._workspace.opened.read, self._finished(job_id), read)


def _result(results: Results, key: str) -> Content:
    return _shown(results, results.entry(key))


def _short_result(results: Results, key: str) -> Content | None:
    """The same; None where it takes long: for a long row, and for an unknown key, whose neighbours are looked for."""
    entry = results.find(key)
    return _shown(results, entry) if entry and (entry.length or 0) <= _SHORT else None


def _shown(results: Results, entry: Entry) -> Content:
    return _text(pages.result(results, entry), results.job, final=entry.outcome == "ok")


def _text(answer: Answer, job: Job, *, final: bool) -> Content:
    return Content(answer.compact(), _fresh_ms(job, final))


def _all_ok(job: Job) -> bool:
    """Whether nothing of it is left to be sent again."""
    return job.counts is not None and not any(count for outcome, count in job.counts.items() if outcome != "ok")


def _fresh_ms(job: Job, final: bool) -> int:
    return FINAL_MS if final and job.is_over else 0
