"""Price a file of requests before it is sent."""

from typing import Annotated

from anyio import to_thread
from pydantic import Field

from genai_batch.resources.errors import BatchError
from genai_batch.resources.estimates import Estimate
from genai_batch.resources.prices import Fallback, Lane
from genai_batch.resources.scans import Scan
from genai_batch.tools import piloting
from genai_batch.tools.approval import limit_of, priced
from genai_batch.tools.piloting import CAP_USD, Pilot
from genai_batch.tools.pipelining import making, pricing
from genai_batch.tools.routing import How
from genai_batch.tools.starting import preflight
from genai_batch.tools.workspace import Choice, Given, ModelName, OutputLimit, Source


async def estimate_cost(
    source: Source,
    workspace: Given,
    model: ModelName = None,
    lane: Lane = "batch",
    fallback: Fallback | None = None,
    pilot: Annotated[int | None, Field(description="Rows to run first", ge=2, le=200)] = None,
    max_cost_usd: Annotated[float | None, Field(description="For the pilot", ge=0)] = None,
    max_output_tokens: OutputLimit = None,
    dedupe: bool = False,
    choice: Choice = None,
) -> Estimate:
    """Check a source line by line and price it; only a pilot is sent.

    Call before create_batch.
    """
    How(lane, fallback=fallback).refuse()
    if staged := await making.staged_in(workspace, source, model, choice):
        if max_output_tokens is not None or dedupe:
            which = "max_output_tokens and dedupe are of one job"
            raise BatchError(f"{which}; the stages of a manifest state them themselves.")
        if pilot is not None:
            raise BatchError(
                "A pilot is for one job; create_batch with a few rows (select: {limit: 5}) tries all stages."
            )
        return await pricing.estimated(workspace, staged, lane, fallback)
    async with preflight(
        workspace, source, model, choice=choice, max_output_tokens=max_output_tokens, dedupe=dedupe
    ) as found:
        if lane == "flex":
            fallback = fallback or found.about.fallback
        if pilot is not None:
            likely_most = CAP_USD if max_cost_usd is None else max_cost_usd
            asked = Pilot(pilot, limit_of(workspace, max_cost_usd), lane, likely_most=likely_most, fallback=fallback)
            return await piloting.run(workspace, found, asked)
        await to_thread.run_sync(Scan(workspace.home, found).run, abandon_on_cancel=True)
        return await to_thread.run_sync(priced, workspace, found, lane, fallback)
