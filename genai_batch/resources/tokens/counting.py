"""Tokens of a whole request, by what they are, so that each can have its own price and its own doubt."""

from typing import Any

from genai_batch.resources.models import Model
from genai_batch.resources.tokens import declared, media
from genai_batch.resources.tokens.declared import Provider, Way
from genai_batch.resources.tokens.media import Medium, Resolution, See, unseen
from genai_batch.resources.tokens.text import Share, share
from genai_batch.resources.untyped import as_object, field, is_object, items

Kind = str
KINDS: tuple[Kind, ...] = (
    *Share._fields, "turns", "declared", "image", "audio", "video", "document", *media.UNSEEN.values(),
)  # fmt: skip
"""What tokens are counted apart: text by how well it is known, turns, tools, media seen, and media not seen by kind."""


def of_request(request: dict[str, Any], model: Model, provider: Provider = "developer", see: See = unseen) -> float:
    """Tokens of all a request sends: every turn, the system instruction, the schema and the tools."""
    return sum(by_kind(request, model, provider, see).values())


def by_kind(
    request: dict[str, Any], model: Model, provider: Provider = "developer", see: See = unseen
) -> dict[Kind, float]:
    """Tokens of a request, counted apart; `see` knows files that are only named."""
    counts: dict[Kind, float] = {}
    settings = as_object(field(request, "generation_config"))
    general, how = media.level_of(field(settings, "media_resolution")), declared.way(model, provider)
    turns = [*items(request.get("contents") or request.get("content")), *items(field(request, "system_instruction"))]
    for turn in turns:
        for part in items(turn.get("parts")) if is_object(turn) else [turn]:
            _add(counts, part, model, provider, how, general, see)
    if model.era >= 2.5 and provider == "developer" and model.kind != "embedding":
        counts["turns"] = len(turns)
    extra = declared.of_schema(settings, model, provider)
    if tools := request.get("tools"):
        extra += declared.of_tools(tools, how).tokens(how)
    if extra:
        _put(counts, "declared", extra)
    return counts


def _add(
    counts: dict[Kind, float], part: Any, model: Model, provider: Provider, how: Way, general: Resolution | None,
    see: See,
) -> None:  # fmt: skip
    text = part.get("text") if is_object(part) else part
    if isinstance(text, str):
        for kind, tokens in zip(Share._fields, share(text), strict=True):
            if tokens:
                _put(counts, kind, tokens)
    if not is_object(part):
        return
    level, clip = media.level_of(field(part, "media_resolution"), general), media.clip_of(part)
    if is_object(blob := field(part, "inline_data")):
        put_medium(counts, media.of_inline(blob, model, provider, level, clip))
    elif is_object(file := field(part, "file_data")):
        put_medium(counts, media.of_file(file, model, provider, level, see, clip))
    elif not isinstance(text, str):
        _put(counts, "declared", _of_call(part, how))


def _of_call(part: dict[str, Any], how: Way) -> float:
    if is_object(call := field(part, "function_call")):
        return declared.of_call(call).tokens(how)
    if is_object(response := field(part, "function_response")):
        return declared.of_response(response).tokens(how)
    return declared.of_json(part)


def put_medium(counts: dict[Kind, float], medium: Medium) -> None:
    """Add the tokens of a medium under what they are."""
    if not medium.measured:
        _put(counts, media.UNSEEN[medium.modality], medium.tokens)
    elif medium.modality == "text":
        _put(counts, "latin", medium.tokens)
    else:
        if picture := medium.tokens - medium.sound:
            _put(counts, medium.modality, picture)
        if medium.sound:
            _put(counts, "audio", medium.sound)


def _put(counts: dict[Kind, float], kind: Kind, tokens: float) -> None:
    counts[kind] = counts.get(kind, 0) + tokens
