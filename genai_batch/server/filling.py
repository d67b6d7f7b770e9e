"""What tools are filled with under MCP: the workspace, a way to tell progress, and the user's word on a cost."""

from collections.abc import Awaitable, Callable
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, get_args, get_type_hints

from mcp.server.mcpserver import (
    AcceptedElicitation,
    CancelledElicitation,
    Context,
    DeclinedElicitation,
    Elicit,
    Resolve,
)
from pydantic import BaseModel, Field

from genai_batch.tools.approval import Quote, Word
from genai_batch.tools.filled import Asked, Filled, Tell
from genai_batch.tools.workspace import Workspace


class Consent(BaseModel):
    """What the user is asked."""

    approve: Annotated[bool, Field(description="Start the job at this cost")] = False


Answer = AcceptedElicitation[Consent] | DeclinedElicitation | CancelledElicitation
"""What became of the question."""


def fill(offered: Callable[..., Any], verb: Callable[..., Any]) -> None:
    """Declare a function that stands for a tool as the SDK wants it: what is marked in the tool is resolved."""
    hints, found = _filled(verb), signature(verb)
    parameters = [each.replace(annotation=hints[name]) for name, each in found.parameters.items()]
    offered.__annotations__ = hints
    setattr(offered, "__signature__", found.replace(parameters=parameters, return_annotation=hints["return"]))  # noqa: B010 - functions have no such attribute until it is set


def _filled(verb: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a tool, or of what quotes for it, with resolvers in the place of its marks."""
    return {name: _resolved(hint) for name, hint in get_type_hints(verb, include_extras=True).items()}


def _resolved(hint: Any) -> Any:
    marks = getattr(hint, "__metadata__", ())
    by = next((_BY[mark] for mark in marks if isinstance(mark, Filled)), None)
    by = by or next((_word(mark.quote) for mark in marks if isinstance(mark, Asked)), None)
    return Annotated[get_args(hint)[0], Resolve(by)] if by else hint


def _workspace(ctx: Context[Workspace, Any]) -> Workspace:
    return ctx.request_context.lifespan_context


def _progress(ctx: Context) -> Tell:
    return ctx.report_progress


def _nothing() -> None:
    """Leave it at what it is without."""


_BY: dict[Filled, Callable[..., Any]] = {
    Filled.WORKSPACE: _workspace,
    Filled.PROGRESS: _progress,
    Filled.NOTHING: _nothing,
}


def _word(quote: Callable[..., Awaitable[Quote | None]]) -> Callable[..., Word | None]:
    """What asks the user about a quote; not where the host cannot, nor where the caller says that the user agrees."""

    async def quoted(**given: Any) -> Quote | None:
        may_ask = _may_ask(given.pop("ctx")) and not given.pop("confirm")
        return await quote(**given) if may_ask else None

    hints = {"ctx": Context, "confirm": bool, **_filled(quote)}
    quoted.__annotations__ = hints
    taken = [Parameter(name, Parameter.KEYWORD_ONLY) for name in hints if name != "return"]
    setattr(quoted, "__signature__", Signature(taken))  # noqa: B010 - functions have no such attribute until it is set

    def question(quote: Annotated[Quote | None, Resolve(quoted)]) -> Consent | Elicit[Consent]:
        return Elicit(quote.question, Consent) if quote else Consent()

    def word(
        quote: Annotated[Quote | None, Resolve(quoted)], answer: Annotated[Answer, Resolve(question)]
    ) -> Word | None:
        if isinstance(answer, CancelledElicitation):
            return quote and Word(quote, "nothing")
        agreed = isinstance(answer, AcceptedElicitation) and answer.data.approve
        return quote and Word(quote, "yes" if agreed else "no")

    return word


def _may_ask(ctx: Context) -> bool:
    """Whether the host says that it can put a question to its user."""
    return ctx.client_capabilities is not None and ctx.client_capabilities.elicitation is not None
