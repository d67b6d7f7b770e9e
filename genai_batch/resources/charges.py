"""What built-in tools cost beside tokens: dated, with a source, never guessed and never 0."""

import tomllib
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from genai_batch.resources.errors import UnknownModel
from genai_batch.resources.models import Model
from genai_batch.resources.triples import Triple
from genai_batch.resources.untyped import as_list, as_object, field


class Charge(NamedTuple):
    """The fee for one tool: USD a use, what a use is, how many a row makes, and how many are free."""

    tool: str
    usd: Decimal
    unit: str
    uses: Triple
    free_uses: int
    most_uses: int
    """Of a single row."""

    def total(self, rows: float) -> Triple:
        """USD for so many rows that may use it."""
        low, likely, high = (Decimal(uses * rows) * self.usd for uses in self.uses)
        return Triple(float(max(Decimal(0), low - self.free_uses * self.usd)), float(likely), float(high))


def checked() -> date:
    """Day on which the fees were last compared with their source."""
    return _data()["checked"]


def source() -> str:
    """Where the fees come from."""
    return _data()["source"]


def charge(tool: str, model: Model) -> Charge | None:
    """Fee of a tool by its snake_case name; None for one that costs its tokens alone.

    Raises:
        UnknownModel: no price is known for the tool.
    """
    if tool in _data()["free"]:
        return None
    for entry in _data()["charge"]:
        if entry["tool"] == tool and model.era >= entry["from"]:
            usd = Decimal(entry["usd_per_1000"]) / 1_000
            return Charge(tool, usd, entry["unit"], Triple(*entry["uses"]), entry["free_uses"], entry["most_uses"])
    raise UnknownModel(model.name, why=f"no price is known for its tool {tool}", advice="Leave the tool out.")


def of_response(response: dict[str, Any], model: Model) -> Decimal:
    """USD that the searches of one answer cost, as its grounding metadata tells them."""
    found = Decimal(0)
    for candidate in as_list(response.get("candidates")):
        grounding = as_object(field(as_object(candidate), "grounding_metadata"))
        queries = len(as_list(field(grounding, "web_search_queries")))
        if queries and (fee := charge("google_search", model)):
            found += fee.usd * (queries if fee.unit == "query" else 1)
    return found


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads(files("genai_batch.resources").joinpath("charges.toml").read_text("utf-8"))
