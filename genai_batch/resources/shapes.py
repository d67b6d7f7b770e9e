"""What decides how much a row may write and what it is charged beside its tokens, read from its request."""

from hashlib import sha256
from math import isfinite
from typing import Any, NamedTuple

from genai_batch.resources.models import Model
from genai_batch.resources.prices import ServiceTier
from genai_batch.resources.schema_sizes import size_of
from genai_batch.resources.triples import Triple
from genai_batch.resources.untyped import as_object, field, items, number_in

_TOOLS = {
    "functionDeclarations": "function_declarations", "googleSearch": "google_search", "googleMaps": "google_maps",
    "googleSearchRetrieval": "google_search_retrieval", "codeExecution": "code_execution", "urlContext": "url_context",
    "fileSearch": "file_search", "computerUse": "computer_use",
}  # fmt: skip
_TIERS: dict[str, ServiceTier] = {
    "unspecified": "standard",
    "standard": "standard",
    "flex": "flex",
    "priority": "priority",
}


class Shape(NamedTuple):
    """The settings of a row that matter for its price; rows of one file mostly share one."""

    bound: int | None = None
    thinking: int | str | None = None
    """A budget in tokens, a level, or None where the model decides."""
    answer: Triple | None = None
    """Size that a response schema or MIME type suggests."""
    candidates: int = 1
    image_size: str = ""
    """As asked for; empty where the model decides, which is mostly 1K."""
    media: str = ""
    """IMAGE or AUDIO where the answer is one."""
    caption: bool = False
    tools: frozenset[str] = frozenset()
    cached: bool = False
    tier: ServiceTier | None = None
    """As the row names it; None where it takes that of its lane."""

    @property
    def name(self) -> str:
        """A short name that is the same in every process, and in versions that knew no tiers."""
        plain = self._replace(tools=frozenset(), image_size=self.image_size or "1K")
        settings = repr(plain).replace(", tier='standard')", ")").replace(", tier=None)", ")")
        return sha256((settings + ",".join(sorted(self.tools))).encode()).hexdigest()[:12]


def shape_of(request: dict[str, Any], model: Model) -> Shape:
    """Read the shape of a request in either spelling; what is malformed counts as absent."""
    settings = as_object(field(request, "generation_config"))
    kinds = [str(kind).upper() for kind in items(field(settings, "response_modalities"))]
    made = {"image": "IMAGE", "speech": "AUDIO"}.get(model.kind, "")
    if not made:
        made = next((kind for kind in kinds if kind in ("IMAGE", "AUDIO")), "")
    return Shape(
        bound=_count(field(settings, "max_output_tokens")),
        thinking=_thinking(settings),
        answer=size_of(settings),
        candidates=_count(field(settings, "candidate_count")) or 1,
        image_size=str(field(as_object(field(settings, "image_config")), "image_size") or ""),
        media=made,
        caption=made == "IMAGE" and (not kinds or "TEXT" in kinds),
        tools=_tools(request),
        cached=bool(field(request, "cached_content")),
        tier=named_tier(field(request, "service_tier")),
    )


def tier_of(value: object) -> ServiceTier | None:
    """Read a service tier, in any case and with or without `SERVICE_TIER_`; None for a word that is no tier."""
    return "standard" if value is None else _TIERS.get(_plain(value))


def named_tier(value: object) -> ServiceTier | None:
    """The tier that the `service_tier` of a request names; None where it leaves that open or names none that exists."""
    return None if value is None or _plain(value) == "unspecified" else tier_of(value)


def _plain(value: object) -> str:
    return value.strip().lower().removeprefix("service_tier_") if isinstance(value, str) else ""


def _thinking(settings: dict[str, Any]) -> int | str | None:
    config = as_object(field(settings, "thinking_config"))
    budget, level = field(config, "thinking_budget"), field(config, "thinking_level")
    if (number := number_in(budget)) is not None and isfinite(number):
        return int(number) if number >= 0 else None
    return level.lower().removeprefix("thinking_level_") if isinstance(level, str) else None


def _tools(request: dict[str, Any]) -> frozenset[str]:
    names = (name for tool in items(request.get("tools")) for name in as_object(tool))
    return frozenset(_TOOLS.get(name, name) for name in names)


def _count(value: Any) -> int | None:
    number = number_in(value)
    return int(number) if number is not None and isfinite(number) and number >= 1 else None
