"""Tools and what they bill, cached content, safety settings."""

from collections.abc import Iterator
from typing import Any

from genai_batch.resources.lint.fault import Fault, doubt, fault
from genai_batch.resources.lint.fields import SAFETY, TOOL, VERTEX, named, snake, unknown
from genai_batch.resources.models import Model, catalogue
from genai_batch.resources.untyped import as_list, as_object, is_list, is_object, kind_of

_CATEGORIES = frozenset({
    "HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT", "CIVIC_INTEGRITY", "JAILBREAK",
    "UNSPECIFIED", "IMAGE_HATE", "IMAGE_DANGEROUS_CONTENT", "IMAGE_HARASSMENT", "IMAGE_SEXUALLY_EXPLICIT",
})  # fmt: skip
_THRESHOLDS = frozenset({
    "HARM_BLOCK_THRESHOLD_UNSPECIFIED", "BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH",
    "BLOCK_NONE", "OFF",
})  # fmt: skip


def tools(request: dict[str, Any], model: Model) -> Iterator[Fault]:
    """Judge `tools`: their names, what goes together, what is billed beside the tokens."""
    if (given := request.get("tools")) is None:
        return
    if not is_list(given):
        yield fault("tools-shape", f"tools is {kind_of(given)}", 'write [{"google_search": {}}]')
        return
    names: list[str] = []
    for tool in given:
        if is_object(tool):
            names += map(snake, tool)
            yield from _tool(tool)
        else:
            yield fault("tools-shape", f"a tool is {kind_of(tool)}", 'write {"google_search": {}}')
    yield from _together(names, named(as_object(request.get("generation_config"))), model)
    yield from _billed(names, model)


def _tool(tool: dict[str, Any]) -> Iterator[Fault]:
    if vertex := [name for name in tool if snake(name) in VERTEX]:
        yield fault("vertex-only", f"{vertex[0]!r} is known to Vertex AI only", "remove it")
        return
    yield from unknown(tool, TOOL, "a tool")
    given = named(tool)
    if "google_search_retrieval" in given:
        yield fault("search-retrieval", "google_search_retrieval is of Gemini 1.5", 'write {"google_search": {}}')
    for function in as_list(given.get("function_declarations")):
        if not isinstance(as_object(function).get("name"), str):
            yield fault("function-name", "a function declaration has no name", 'add "name"')


def _together(names: list[str], settings: dict[str, Any], model: Model) -> Iterator[Fault]:
    if model.era >= 3:
        return
    if "function_declarations" in names and len(set(names)) > 1:
        yield fault("tools-mixed", f"{model.name} takes functions or another tool, not both", "keep one kind")
    if names and settings.get("response_mime_type") == "application/json":
        said = f"{model.name} takes no tools together with response_mime_type application/json"
        yield fault("tools-json", said, "use a model of Gemini 3, or ask for JSON in the prompt")


def _billed(names: list[str], model: Model) -> Iterator[Fault]:
    fees: dict[str, str] = catalogue()["fees"]["3" if model.era >= 3 else "2"]
    for name in dict.fromkeys(names):
        if fee := fees.get(name):
            yield doubt(
                f"billed-{name}",
                f"{name} is billed beside the answer: {fee}",
                "leave the tool out where the prompt can do without",
            )


def cache(request: dict[str, Any]) -> Iterator[Fault]:
    """Judge `cached_content`."""
    if (name := request.get("cached_content")) is None:
        return
    if not isinstance(name, str) or not name.startswith("cachedContents/"):
        yield fault("cache-name", f"cached_content is {str(name)[:40]!r}", 'write "cachedContents/…"')
    if held := [name for name in ("system_instruction", "tools", "tool_config") if request.get(name) is not None]:
        yield fault("cache-clash", f"cached_content cannot stand beside {held[0]}", "put it into the cache instead")
    said = "cached_content must live as long as the job (48 h), and has failed in batches before"
    yield doubt("cache", said, "give the cache 48 h to live, and try a few rows first")


def safety(request: dict[str, Any]) -> Iterator[Fault]:
    """Judge `safety_settings`."""
    given = request.get("safety_settings")
    if given is not None and not is_list(given):
        fix = 'write [{"category": "HARM_CATEGORY_…", "threshold": "BLOCK_NONE"}]'
        yield fault("safety-shape", f"safety_settings is {kind_of(given)}", fix)
    for each in as_list(given):
        if is_object(each):
            yield from unknown(each, SAFETY, "a safety setting")
            yield from _safety(named(each))
        else:
            yield fault("safety-shape", f"a safety setting is {kind_of(each)}", 'write {"category": …, "threshold": …}')


def _safety(given: dict[str, Any]) -> Iterator[Fault]:
    category, threshold = str(given.get("category")), str(given.get("threshold"))
    if category.removeprefix("HARM_CATEGORY_") not in _CATEGORIES or not category.startswith("HARM_CATEGORY_"):
        yield fault("safety-category", f"no such safety category {category[:40]!r}", "use HARM_CATEGORY_HARASSMENT, …")
    if threshold not in _THRESHOLDS:
        yield fault(
            "safety-threshold", f"no such safety threshold {threshold[:40]!r}", "use BLOCK_ONLY_HIGH, BLOCK_NONE, …"
        )
