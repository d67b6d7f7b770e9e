"""Price a file of requests before it is sent."""

from typing import Annotated

from anyio import to_thread
from pydantic import Field

from genai_batch.resources.estimates import Estimate
from genai_batch.resources.prices import Lane
from genai_batch.tools import piloting
from genai_batch.tools.approval import limit_of, priced
from genai_batch.tools.piloting import CAP_USD, Pilot
from genai_batch.tools.workspace import Given, ModelName, Source


async def estimate_cost(
    source: Source,
    model: ModelName,
    workspace: Given,
    lane: Lane = "batch",
    pilot: Annotated[int | None, Field(description="Rows to run first, to know more", ge=2, le=200)] = None,
    max_cost_usd: Annotated[float | None, Field(description=f"For the pilot ({CAP_USD})", ge=0)] = None,
) -> Estimate:
    """Check a JSONL file of Gemini requests line by line and price it; only a pilot is sent.

    Call it before create_batch.
    """
    found = workspace.preflight(source, model)
    if pilot is not None:
        most = CAP_USD if max_cost_usd is None else max_cost_usd
        return await piloting.run(workspace, found, Pilot(pilot, limit_of(workspace, most), lane))
    await to_thread.run_sync(found.run, abandon_on_cancel=True)
    return await to_thread.run_sync(priced, workspace, found, lane)
