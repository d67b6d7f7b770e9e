"""What mcp 2.3 leaves to its user: strict arguments, live resources/list, subscriptions of both eras.

Everything that touches a private attribute of the SDK stands here; the minor version is pinned for it.
"""

import inspect
import logging
from collections.abc import Awaitable
from functools import partial
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import NotificationOptions
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError, UnexpectedResourceError
from mcp.server.mcpserver.resources import FunctionResource
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourcesListChanged, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    EmptyResult,
    InputRequiredResult,
    ListResourcesResult,
    NotificationParams,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    SubscribeRequestParams,
    UnsubscribeRequestParams,
)

from genai_batch.resources.errors import BatchError
from genai_batch.server import listing
from genai_batch.server.content import Content
from genai_batch.server.offering import StrictArguments
from genai_batch.tools.workspace import Workspace

log = logging.getLogger("genai_batch")


class BatchServer(MCPServer[Workspace]):
    """An MCP server whose jobs appear in resources/list, and whose watchers hear of every change."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what `MCPServer` takes."""
        self.bus = InMemorySubscriptionBus()
        self.workspace: Workspace | None = None
        self.problem: str | None = None
        """What in the settings makes every tool useless, and how to mend it."""
        self._watchers: dict[str, set[Any]] = {}
        self._hosts: set[Any] = set()
        strict = StrictArguments(self._tool_input_schema, lambda: self.problem)
        super().__init__(*args, subscriptions=self.bus, extensions=[strict], **kwargs)
        low = self._lowlevel_server
        low.add_request_handler("resources/subscribe", SubscribeRequestParams, self._subscribe)
        low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)
        low.add_request_handler("resources/list", PaginatedRequestParams, self._list)
        low.add_request_handler("resources/read", ReadResourceRequestParams, self._read)
        low.add_notification_handler("notifications/initialized", NotificationParams, self._greet)
        options = partial(low.create_initialization_options, NotificationOptions(resources_changed=True))
        setattr(low, "create_initialization_options", options)  # noqa: B010 - the one way to announce it to older hosts

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

    async def _read(
        self, ctx: ServerRequestContext[Any, Any], params: ReadResourceRequestParams
    ) -> ReadResourceResult | InputRequiredResult:
        """Read a resource as the SDK does, which has no place for how long a content stays true."""
        uri = str(params.uri)
        try:
            context = Context(request_context=ctx, mcp_server=self, input_params=params, subscriptions=self.bus)
            resource = await self._resource_manager.get_resource(uri, context)
            if isinstance(resource, InputRequiredResult):
                return resource
            return (await _content_of(resource)).as_result(uri, resource.mime_type)
        except ResourceError as error:
            if isinstance(error, UnexpectedResourceError):
                log.exception("Resource %r raised an unexpected exception", uri)
            code = INVALID_PARAMS if isinstance(error, ResourceNotFoundError) else INTERNAL_ERROR
            raise MCPError(code=code, message=str(error), data={"uri": uri}) from error

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


async def _content_of(resource: Any) -> Content:
    """What a resource gives; one that a template has made holds it already."""
    if not isinstance(resource, FunctionResource):
        return Content(await resource.read())
    try:
        content = resource.fn()
        if inspect.isawaitable(content):
            content = await content
    except (MCPError, ResourceError):
        raise
    except Exception as error:
        raise UnexpectedResourceError(f"Error reading resource {resource.uri}") from error
    return content if isinstance(content, Content) else Content(content)


async def _told_or_gone(telling: Awaitable[None], session: Any, listeners: set[Any]) -> None:
    try:
        await telling
    except Exception:  # noqa: BLE001 - whatever a vanished client raises, it no longer listens
        listeners.discard(session)
