"""The service tier of a request."""

from collections.abc import Iterator
from typing import Any

from genai_batch.resources.lint.fault import Fault, fault
from genai_batch.resources.models import Model
from genai_batch.resources.shapes import tier_of


def tier(request: dict[str, Any], model: Model) -> Iterator[Fault]:
    """Judge `service_tier`: whether there is such a tier, and whether the model has it."""
    if (value := request.get("service_tier")) is None:
        return
    named = tier_of(value)
    if named is None:
        yield fault("service-tier", f"no such service_tier {str(value)[:40]!r}", "use standard, flex or priority")
    elif named == "flex" and not model.flex:
        problem = f"{model.name} is not known to have the service_tier flex, so its price is not known"
        yield fault("service-tier-model", problem, "remove it, or use a model that has flex, e.g. gemini-3.8-flash")
