"""What mcp 2.3 leaves to its user: strict arguments, short schemas, live resources/list, subscriptions of both eras.

Everything that touches a private attribute of the SDK stands here; the minor version is pinned for it.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from difflib import get_close_matches
from functools import wraps
from typing import Any, Self

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourcesListChanged, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    EmptyResult,
    InputRequiredResult,
    Resource,
    ResourceLink,
    SubscribeRequestParams,
    TextContent,
    ToolAnnotations,
    UnsubscribeRequestParams,
)

from genai_batch.resources import uris
from genai_batch.resources.answers import Answer, brief
from genai_batch.resources.errors import BatchError
from genai_batch.resources.untyped import is_list, is_object
from genai_batch.tools.workspace import Workspace

_ERROR_BYTES = 1_900
CALL_S = 49.5
"""Seconds after which a call is answered whatever happens: hosts give up at 60."""
_LATE = (
    f"This took longer than {CALL_S:.0f} s and was left. A job that is recorded goes on: see list_jobs, check_status. "
    "A file that takes this long to check is for the command line: genai-batch create SOURCE --model MODEL"
)


class Blob(bytes):
    """Content of a resource that knows its MIME type."""

    mime_type: str

    def __new__(cls, content: bytes, mime_type: str) -> Self:
        """Take both."""
        blob = super().__new__(cls, content)
        blob.mime_type = mime_type
        return blob


class BatchServer(MCPServer[Workspace]):
    """An MCP server whose jobs appear in resources/list, and whose watchers hear of every change."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what `MCPServer` takes."""
        self.bus = InMemorySubscriptionBus()
        self.workspace: Workspace | None = None
        self._watchers: dict[str, set[Any]] = {}
        super().__init__(*args, subscriptions=self.bus, extensions=[StrictArguments(self._tool_input_schema)], **kwargs)
        add = self._lowlevel_server.add_request_handler
        add("resources/subscribe", SubscribeRequestParams, self._subscribe)
        add("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)

    def offer(self, verb: Callable[..., Awaitable[Answer]], title: str, hints: ToolAnnotations) -> None:
        """Register a tool: its name, docstring and signature declare it; its answer goes out compact and linked."""
        name = verb.__name__
        self.add_tool(
            _told(verb),
            description=" ".join(inspect.cleandoc(verb.__doc__ or "").split()),
            title=title,
            annotations=hints,
        )
        if tool := self._tool_manager.get_tool(name):
            tool.parameters = _plain(tool.parameters)
            tool.fn_metadata.output_schema = _undescribed(_plain(tool.fn_metadata.output_schema or {}))

    async def list_resources(self) -> list[Resource]:
        """List what is registered and the most recent jobs."""
        recent = self.workspace.ledger.page(None, 50, None) if self.workspace else []
        live = [
            Resource(
                uri=job.uri,
                name=job.id,
                description=f"{brief(job.name, 60)}: {job.state}",
                mime_type="application/json",
            )
            for job in recent
        ]
        return [*await super().list_resources(), *live]

    async def read_resource(
        self, uri: Any, context: Any = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        """Read a resource; a `Blob` goes out under its own MIME type instead of its template's."""
        found = await super().read_resource(uri, context)
        if isinstance(found, InputRequiredResult):
            return found
        return [
            replace(item, mime_type=item.content.mime_type) if isinstance(item.content, Blob) else item
            for item in found
        ]

    async def announce(self, uri: str, *, new: bool = False) -> None:
        """Tell everybody who watches `uri` that it has changed, in the way of their protocol era."""
        await self.bus.publish(ResourceUpdated(uri=uri))
        if new:
            await self.bus.publish(ResourcesListChanged())
        for session in list(self._watchers.get(uri, ())):
            try:
                await session.send_resource_updated(uri)
            except Exception:  # noqa: BLE001 - whatever a vanished client raises, it no longer watches
                self._watchers[uri].discard(session)

    async def _subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        self._watchers.setdefault(str(params.uri), set()).add(ctx.session)
        return EmptyResult()

    async def _unsubscribe(self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
        self._watchers.get(str(params.uri), set()).discard(ctx.session)
        return EmptyResult()


class StrictArguments(Extension):
    """Answers an unknown argument or tool instead of passing it over, and keeps error texts short."""

    identifier = "io.github.genai-batch/strict-arguments"

    def __init__(self, schema: Callable[[str], dict[str, Any] | None]) -> None:
        """Look the input schema of a tool up with `schema`."""
        self._schema = schema

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Check the names, then go on."""
        if (schema := self._schema(params.name)) is None:
            raise MCPError(code=INVALID_PARAMS, message=f"Unknown tool: {brief(params.name, 80)}")
        known = list(schema.get("properties", {}))
        for name in params.arguments or {}:
            if name not in known:
                near = get_close_matches(name, known, 1)
                hint = f"Did you mean {near[0]!r}?" if near else f"It takes {', '.join(known)}."
                return _error(f"{params.name} has no argument {brief(name, 60)!r}. {hint}")
        result = await call_next(ctx)
        if isinstance(result, CallToolResult) and result.is_error:
            return _error(" ".join(block.text for block in result.content if isinstance(block, TextContent)))
        return result


def _error(text: str) -> CallToolResult:
    return CallToolResult(is_error=True, content=[TextContent(type="text", text=_cut(text))])


def _cut(text: str) -> str:
    return text if len(text.encode()) <= _ERROR_BYTES else text.encode()[:_ERROR_BYTES].decode(errors="ignore") + "…"


def _told(verb: Callable[..., Awaitable[Answer]]) -> Callable[..., Awaitable[Any]]:
    """Give a tool's answer as compact text, structured content and links; a caller's failure as its message."""

    @wraps(verb)
    async def tell(**arguments: Any) -> CallToolResult:
        try:
            with anyio.fail_after(CALL_S):
                answer = (await verb(**arguments)).fitted()
        except BatchError as error:
            raise ToolError(str(error)) from error
        except TimeoutError as error:
            raise ToolError(_LATE) from error
        content: list[ContentBlock] = [TextContent(type="text", text=answer.compact()), *_links(answer)]
        return CallToolResult(content=content, structured_content=answer.model_dump(mode="json"))

    return tell


def _links(answer: Answer) -> list[ResourceLink]:
    job_id, state = getattr(answer, "job_id", None), getattr(answer, "state", "")
    if not job_id or state in ("JOB_STATE_QUEUED", "JOB_STATE_PENDING", "JOB_STATE_RUNNING"):
        return []
    return [
        ResourceLink(
            type="resource_link", uri=uris.results(job_id), name=f"{job_id} results", mime_type="application/json"
        )
    ]


def _plain(schema: Any) -> Any:
    """Leave out what a model reads for nothing: titles made from names, and nulls, which are never sent."""
    if is_list(schema):
        return [_plain(item) for item in schema]
    if not is_object(schema):
        return schema
    if is_list(either := schema.get("anyOf")) and {"type": "null"} in either and len(either) == 2:
        other = next(item for item in either if item != {"type": "null"})
        schema = {**other, **{name: value for name, value in schema.items() if name not in ("anyOf", "default")}}
    return {name: _plain(value) for name, value in schema.items() if name != "title" or not isinstance(value, str)}


def _undescribed(schema: Any) -> Any:
    """Leave out descriptions: an output schema is for programs, and four tools carry that of a job."""
    if is_list(schema):
        return [_undescribed(item) for item in schema]
    if not is_object(schema):
        return schema
    kept = (name for name in schema if name != "description" or not isinstance(schema[name], str))
    return {name: _undescribed(schema[name]) for name in kept}
