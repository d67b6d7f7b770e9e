"""Complete and correct settings."""

from collections.abc import Iterator
from typing import Any

from genai_batch.resources.lint.making import RESOLUTIONS, SIZES
from genai_batch.resources.lint.repair import schemas
from genai_batch.resources.lint.repair.moving import get, inner, put, spelled
from genai_batch.resources.lint.schema import MIMES
from genai_batch.resources.models import Model
from genai_batch.resources.untyped import as_list, is_object


def generation(settings: dict[str, Any], model: Model) -> Iterator[str]:
    """A schema without its type, a size in lower case, logprobs without its switch."""
    wants = spelled(settings, "response_schema") or spelled(settings, "response_json_schema")
    mime = get(settings, "response_mime_type")
    if (
        wants
        and model.kind != "speech"
        and mime not in MIMES
        and mime in (None, "json", "text/json", "application/JSON")
    ):
        put(settings, "response_mime_type", "application/json")
        yield "set response_mime_type to application/json"
    if (name := spelled(settings, "response_schema")) and is_object(settings[name]):
        yield from schemas.openapi(settings, name)
    if get(settings, "logprobs") is not None and get(settings, "response_logprobs") is None:
        put(settings, "response_logprobs", value=True)
        yield "set response_logprobs"
    if isinstance(stop := get(settings, "stop_sequences"), str):
        put(settings, "stop_sequences", [stop])
        yield "made stop_sequences a list"
    if isinstance(kind := get(settings, "response_modalities"), str):
        put(settings, "response_modalities", [kind])
        yield "made response_modalities a list"
    level = f"MEDIA_RESOLUTION_{str(get(settings, 'media_resolution')).upper()}"
    if level in RESOLUTIONS:
        put(settings, "media_resolution", level)
        yield f"wrote media_resolution as {level}"
    yield from _size(get(settings, "image_config"))


def _size(image: Any) -> Iterator[str]:
    size = get(image, "image_size") if is_object(image) else None
    if isinstance(size, str) and size not in SIZES and size.upper() in SIZES:
        put(image, "image_size", size.upper())
        yield f"wrote image_size {size!r} as {size.upper()!r}"


def speaks(request: dict[str, Any], model: Model) -> Iterator[str]:
    """The one modality a model of speech has."""
    settings = get(request, "generation_config")
    missing = not is_object(settings) or get(settings, "response_modalities") is None
    if model.kind == "speech" and missing and (settings := inner(request, "generation_config")) is not None:
        put(settings, "response_modalities", ["AUDIO"])
        yield "set response_modalities to AUDIO"


def _is_category(name: str, level: Any) -> bool:
    return name.startswith("HARM_CATEGORY_") and isinstance(level, str)


def tools(request: dict[str, Any]) -> Iterator[str]:
    """`tools` and `safety_settings` as lists; the search of older models under its new name."""
    safety = get(request, "safety_settings")
    if is_object(safety) and safety and all(_is_category(name, level) for name, level in safety.items()):
        settings = [{"category": name, "threshold": level} for name, level in safety.items()]
        put(request, "safety_settings", settings)
        yield "made safety_settings a list"
    for name in ("tools", "safety_settings"):
        if is_object(one := get(request, name)) and one:
            put(request, name, [one])
            yield f"made {name} a list"
    for tool in as_list(get(request, "tools")):
        old = spelled(tool, "google_search_retrieval") if is_object(tool) else None
        if old and not tool[old] and not spelled(tool, "google_search"):
            del tool[old]
            tool["google_search"] = {}
            yield f"wrote {old!r} as 'google_search'"
