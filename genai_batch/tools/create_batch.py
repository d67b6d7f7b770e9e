"""Start a job from a file of requests."""

from typing import Annotated, Literal

from anyio import move_on_after, to_thread
from mcp.server.mcpserver import Context, Elicit, Resolve
from pydantic import Field

from genai_batch.resources.jobs import JobStatus
from genai_batch.tools.approval import (
    Answer,
    Consent,
    Quote,
    approve,
    limit_of,
    may_ask,
    over_the_day,
    priced,
    question,
    quote,
)
from genai_batch.tools.starting import drafted, planned, preflight, record, same
from genai_batch.tools.workspace import Given, ModelName, Source

SEND_S = 40
"""Seconds the call may spend on sending; a larger upload goes on in the background."""


async def _quote(
    source: str,
    model: str,
    max_cost_usd: float | None,
    confirm: bool,
    again: bool,
    check_binding: bool,
    workspace: Given,
    ctx: Context,
) -> Quote | None:
    """Price the source before the tool runs, where that may lead to a question."""

    async def most() -> float:
        async with preflight(workspace, source, model, bound=check_binding) as found:
            await to_thread.run_sync(found.run, abandon_on_cancel=True)
            price = await to_thread.run_sync(priced, workspace, found)
        known = not again and await same(workspace, planned(workspace, found, price, "")[0])
        beyond = over_the_day(workspace, price)  # the tool refuses that, whatever the user says
        return 0 if known or found.findings.count or beyond else price.most

    return await quote(most, limit_of(workspace, max_cost_usd)) if may_ask(ctx) and not confirm else None


def _question(quoted: Annotated[Quote | None, Resolve(_quote)]) -> Consent | Elicit[Consent]:
    return question(quoted)


async def create_batch(
    source: Source,
    model: ModelName,
    workspace: Given,
    name: Annotated[str | None, Field(max_length=100)] = None,
    lane: Literal["batch"] = "batch",  # noqa: ARG001 - the one lane there is; the parameter is part of the surface
    max_cost_usd: Annotated[float | None, Field(description="Ask for approval above this", ge=0)] = None,
    confirm: Annotated[bool, Field(description="True once the user approved")] = False,
    again: Annotated[bool, Field(description="Run it anew and pay again")] = False,
    check_binding: Annotated[bool, Field(description="Mark each row, to notice swapped answers")] = False,
    quoted: Annotated[Quote | None, Resolve(_quote)] = None,
    answer: Annotated[Answer, Resolve(_question)] = None,
) -> JobStatus:
    """Send a JSONL file of requests to Gemini as one batch job at half price and return the job at once.

    The same content and model asked for twice is the same job. It runs for minutes to hours; follow it with
    check_status.
    """
    async with (
        preflight(workspace, source, model, bound=check_binding) as found,
        drafted(workspace, found, name or found.source.stem[:100]) as draft,
    ):
        job = None if again else await same(workspace, draft.job)
        if job is None:
            approve(draft.price, limit_of(workspace, max_cost_usd), confirm=confirm, quoted=quoted, answer=answer)
            job = record(workspace, draft, again=again)
    existing = job.id != draft.job.id
    with move_on_after(SEND_S):
        await (workspace.look(job) if existing else workspace.lane.step(job))
    return JobStatus.of(
        workspace.ledger.job(job.id), workspace.ledger.shards(job.id), workspace.now(), existing=existing
    )
