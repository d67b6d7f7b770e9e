"""What mcp 2.3 leaves to its user: strict arguments, short schemas, live resources/list, subscriptions of both eras.

Everything that touches a private attribute of the SDK stands here; the minor version is pinned for it.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable
from difflib import get_close_matches
from functools import partial, wraps
from typing import Any

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension
from mcp.server.lowlevel import NotificationOptions
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
    ListResourcesResult,
    NotificationParams,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
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
from genai_batch.server import listing
from genai_batch.server.content import Text, contents, unmarked
from genai_batch.tools.workspace import Workspace

_ERROR_BYTES = 1_900
CALL_S = 49.5
"""Seconds after which a call is answered whatever happens: hosts give up at 60."""
_LATE = (
    f"This took longer than {CALL_S:.0f} s and was left. A job that is recorded goes on: see list_jobs, check_status. "
    "A file that takes this long to check is for the command line: genai-batch create SOURCE --model MODEL"
)


class BatchServer(MCPServer[Workspace]):
    """An MCP server whose jobs appear in resources/list, and whose watchers hear of every change."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what `MCPServer` takes."""
        self.bus = InMemorySubscriptionBus()
        self.workspace: Workspace | None = None
        self.at_hand: Callable[[str], Text | None] = _nothing
        self._watchers: dict[str, set[Any]] = {}
        self._hosts: set[Any] = set()
        super().__init__(*args, subscriptions=self.bus, extensions=[StrictArguments(self._tool_input_schema)], **kwargs)
        low = self._lowlevel_server
        low.add_request_handler("resources/subscribe", SubscribeRequestParams, self._subscribe)
        low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)
        low.add_request_handler("resources/list", PaginatedRequestParams, self._list)
        low.add_request_handler("resources/read", ReadResourceRequestParams, self._read)
        low.add_notification_handler("notifications/initialized", NotificationParams, self._greet)
        told = partial(low.create_initialization_options, NotificationOptions(resources_changed=True))
        setattr(low, "create_initialization_options", told)  # noqa: B010 - the one way to announce it to older hosts

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
        return (await self._page_of_resources(None)).resources

    async def _page_of_resources(self, cursor: str | None) -> ListResourcesResult:
        live, after = listing.entries(self.workspace.ledger, cursor) if self.workspace else ([], None)
        fixed = await super().list_resources() if cursor is None else []
        return ListResourcesResult(resources=[*fixed, *live], next_cursor=after)

    async def _list(self, _: ServerRequestContext[Any, Any], params: PaginatedRequestParams) -> ListResourcesResult:
        try:
            return await self._page_of_resources(params.cursor)
        except BatchError as error:
            raise MCPError(code=INVALID_PARAMS, message=str(error)) from error

    async def _read(self, ctx: ServerRequestContext[Any, Any], params: ReadResourceRequestParams) -> HandlerResult:
        """Answer at once what is at hand; else read as the SDK does, and say how long the content stays true."""
        if (text := self.at_hand(params.uri)) is not None:
            return text.as_json_at(params.uri)
        result = await self._handle_read_resource(ctx, params)
        return unmarked(result) if isinstance(result, ReadResourceResult) else result

    async def read_resource(
        self, uri: Any, context: Any = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        """Read a resource; a `Blob` goes out as it says itself, not as its template does."""
        found = await super().read_resource(uri, context)
        if isinstance(found, InputRequiredResult):
            return found
        return [content for item in found for content in contents(item)]

    async def announce(self, *changed: str) -> None:
        """Tell everybody who watches one of these URIs that it has changed, in the way of their protocol era."""
        for uri in changed:
            await self.bus.publish(ResourceUpdated(uri=uri))
            for session in list(self._watchers.get(uri, ())):
                await _told_or_gone(session.send_resource_updated(uri), session, self._watchers[uri])

    async def announce_list(self) -> None:
        """Tell every host that resources/list has changed."""
        await self.bus.publish(ResourcesListChanged())
        for session in list(self._hosts):
            await _told_or_gone(session.send_resource_list_changed(), session, self._hosts)

    async def _greet(self, ctx: ServerRequestContext[Any, Any], _: NotificationParams) -> None:
        """Remember a host of the older protocol, which is told of changes without having asked, until it hangs up."""
        self._hosts.add(ctx.session)
        ends = ctx.session._connection.exit_stack  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - the only sign
        ends.callback(self._hosts.discard, ctx.session)

    async def _subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        self._watchers.setdefault(str(params.uri), set()).add(ctx.session)
        return EmptyResult()

    async def _unsubscribe(self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
        self._watchers.get(str(params.uri), set()).discard(ctx.session)
        return EmptyResult()


def _nothing(_: str) -> Text | None:
    return None


async def _told_or_gone(telling: Awaitable[None], session: Any, listeners: set[Any]) -> None:
    try:
        await telling
    except Exception:  # noqa: BLE001 - whatever a vanished client raises, it no longer listens
        listeners.discard(session)


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
    """Link to the results where there are some, unless the answer is that they were written to a file."""
    job_id, state = getattr(answer, "job_id", None), getattr(answer, "state", "")
    if (
        not job_id
        or getattr(answer, "output_path", None)
        or state in ("JOB_STATE_QUEUED", "JOB_STATE_PENDING", "JOB_STATE_RUNNING")
    ):
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
