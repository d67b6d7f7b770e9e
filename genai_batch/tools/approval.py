"""The gate before money is spent."""

from genai_batch.resources.answers import dollars
from genai_batch.resources.errors import OverBudget
from genai_batch.resources.estimates import Estimate


def approve(price: Estimate, limit: float, *, confirm: bool) -> None:
    """Stop a job that may cost more than the limit, unless the user agreed.

    Raises:
        OverBudget: nothing was sent.
    """
    cost = price.cost_usd
    if confirm or cost.high <= limit:
        return
    expected = f"{dollars(cost.likely)} likely, {dollars(cost.high)} at most"
    raise OverBudget(
        f"The job may cost more than {dollars(limit)}: {expected}. Nothing was sent. Ask the user; if they agree, call "
        "again with confirm=true (`--confirm`). max_output_tokens in each request narrows it."
    )
