"""How a tool is offered: strict arguments, a short schema, an answer that is compact, linked and in time."""

import inspect
from collections.abc import Awaitable, Callable
from difflib import get_close_matches
from functools import wraps
from typing import Any

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    ResourceLink,
    TextContent,
    ToolAnnotations,
)

from genai_batch.resources import uris
from genai_batch.resources.answers import Answer, brief
from genai_batch.resources.errors import BatchError
from genai_batch.resources.redaction import redact, redact_in
from genai_batch.resources.untyped import is_list, is_object
from genai_batch.server.filling import fill

_ERROR_BYTES = 1_900
CALL_S = 49.5
"""Seconds after which a call is answered whatever happens: hosts give up at 60."""
_LATE = (
    f"This took longer than {CALL_S:.0f} s and was left. A job that is recorded goes on: see list_jobs, check_status. "
    "A file that takes this long to check is for the command line: genai-batch create SOURCE --model MODEL"
)


class StrictArguments(Extension):
    """Answers an unknown argument or tool instead of passing it over, and keeps error texts short."""

    identifier = "io.github.genai-batch/strict-arguments"

    def __init__(self, schema: Callable[[str], dict[str, Any] | None], problem: Callable[[], str | None]) -> None:
        """Look the input schema of a tool up with `schema`; where `problem` says something, every call is refused."""
        self._schema, self._problem = schema, problem

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Check the names, then go on."""
        if (schema := self._schema(params.name)) is None:
            raise MCPError(code=INVALID_PARAMS, message=f"Unknown tool: {brief(params.name, 80)}")
        if problem := self._problem():
            return _error(problem)
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
    return CallToolResult(is_error=True, content=[TextContent(type="text", text=_cut(redact(text)))])


def _cut(text: str) -> str:
    return text if len(text.encode()) <= _ERROR_BYTES else text.encode()[:_ERROR_BYTES].decode(errors="ignore") + "…"


def tool(verb: Callable[..., Awaitable[Answer]], title: str, hints: ToolAnnotations) -> Tool:
    """Declare a tool by the name, docstring and signature of its function; its answer goes out compact and linked."""
    description = " ".join(inspect.cleandoc(verb.__doc__ or "").split())
    declared = Tool.from_function(_answering(verb), description=description, title=title, annotations=hints)
    declared.parameters = plain(declared.parameters)
    declared.fn_metadata.output_schema = undescribed(plain(declared.fn_metadata.output_schema or {}))
    return declared


def _answering(verb: Callable[..., Awaitable[Answer]]) -> Callable[..., Awaitable[Any]]:
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
        return CallToolResult(content=content, structured_content=redact_in(answer.model_dump(mode="json")))

    fill(tell, verb)
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


def plain(schema: Any) -> Any:
    """Leave out what a model reads for nothing: titles made from names, and nulls, which are never sent."""
    if is_list(schema):
        return [plain(item) for item in schema]
    if not is_object(schema):
        return schema
    if is_list(either := schema.get("anyOf")) and {"type": "null"} in either and len(either) == 2:
        other = next(item for item in either if item != {"type": "null"})
        schema = {**other, **{name: value for name, value in schema.items() if name not in ("anyOf", "default")}}
    return {name: plain(value) for name, value in schema.items() if name != "title" or not isinstance(value, str)}


def undescribed(schema: Any) -> Any:
    """Leave out descriptions: an output schema is for programs, and four tools carry that of a job."""
    if is_list(schema):
        return [undescribed(item) for item in schema]
    if not is_object(schema):
        return schema
    kept = (name for name in schema if name != "description" or not isinstance(schema[name], str))
    return {name: undescribed(schema[name]) for name in kept}
