"""Price a file of requests before anything is spent."""

from functools import partial

from anyio import to_thread

from genai_batch.resources import estimates
from genai_batch.resources.estimates import Estimate
from genai_batch.resources.prices import Lane
from genai_batch.tools.workspace import Given, ModelName, Source


async def estimate_cost(source: Source, model: ModelName, workspace: Given, lane: Lane = "batch") -> Estimate:
    """Check a JSONL file of Gemini requests line by line and price it, without sending anything.

    Call it before create_batch.
    """
    found = workspace.preflight(source, model)
    await to_thread.run_sync(found.run, abandon_on_cancel=True)
    return await to_thread.run_sync(partial(estimates.estimate, found, lane, workspace.today, workspace.backend))
