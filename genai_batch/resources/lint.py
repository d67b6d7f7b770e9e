"""What is wrong with one request, before Google says so: shape, place and spelling of its fields.

A request is a GenerateContentRequest as JSON (for an embedding model an EmbedContentRequest). protobuf JSON takes
snake_case and camelCase, but never both for one field, and refuses a field it does not know.
"""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, NamedTuple

from genai_batch.resources.models import Model
from genai_batch.resources.untyped import as_list, is_list, is_object, kind_of

MAX_DEPTH = 100
"""Levels of nesting that Google's JSON parser accepts."""

REQUEST = frozenset({
    "contents", "system_instruction", "tools", "tool_config", "safety_settings", "generation_config", "cached_content",
    "model", "labels", "service_tier", "store",
})  # fmt: skip
EMBEDDING = frozenset({"content", "task_type", "title", "output_dimensionality", "model", "embed_content_config"})
GENERATION = frozenset({
    "stop_sequences", "response_mime_type", "response_schema", "response_json_schema", "response_modalities",
    "candidate_count", "max_output_tokens", "temperature", "top_p", "top_k", "seed", "presence_penalty",
    "frequency_penalty", "response_logprobs", "logprobs", "enable_enhanced_civic_answers", "speech_config",
    "thinking_config", "image_config", "media_resolution", "audio_timestamp", "routing_config",
    "model_selection_config", "response_format", "enable_affective_dialog", "translation_config",
})  # fmt: skip
MISPLACED = frozenset({
    "config", "contents", "system_instruction", "tools", "tool_config", "safety_settings", "generation_config",
    "cached_content", "response_schema", "response_json_schema", "response_mime_type", "max_output_tokens",
    "thinking_config", "response_modalities", "speech_config", "image_config",
})  # fmt: skip
"""Names that beside `request` can only be a mistake; others may be the user's own columns."""
_THINKING = frozenset({"thinking_budget", "thinking_level", "include_thoughts"})
_OPEN = frozenset({
    "response_schema", "response_json_schema", "parameters", "parameters_json_schema", "response", "args", "labels",
})  # fmt: skip
"""Fields whose content is the user's own, where any name may stand."""


class Fault(NamedTuple):
    """What is wrong and how to mend it."""

    problem: str
    fix: str | None = None


class Shape(NamedTuple):
    """What one walk over a decoded value finds."""

    members: int
    depth: int
    clash: tuple[str, str] | None


def snake(name: str) -> str:
    """Spell a field the way this module's tables do."""
    return name if name.islower() else re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def shape(value: Any) -> Shape:
    """Walk a decoded value once: count members, find the depth, and a field given in both spellings."""
    members, deepest, clash = 0, 0, None
    stack: list[tuple[Any, int, bool]] = [(value, 1, True)]
    while stack:
        node, depth, ours = stack.pop()
        deepest = max(deepest, depth)
        if is_object(node):
            members += len(node)
            clash = clash or (ours and _clash(node)) or None
            stack += [
                (v, depth + 1, ours and snake(k) not in _OPEN) for k, v in node.items() if isinstance(v, dict | list)
            ]
        else:
            stack += [(v, depth + 1, ours) for v in node if isinstance(v, dict | list)]
    return Shape(members, deepest, clash)


def faults(request: dict[str, Any], model: Model) -> Iterator[Fault]:
    """Find everything that is wrong with a decoded request."""
    embedding = model.kind == "embedding"
    named = {snake(name): value for name, value in request.items()}
    yield from _misplaced(request, EMBEDDING if embedding else REQUEST)
    yield from _embedded(named) if embedding else _contents(named)
    yield from _settings(named.get("generation_config", {}))


def _clash(node: dict[str, Any]) -> tuple[str, str] | None:
    spelled: dict[str, str] = {}
    for name in node:
        if (other := spelled.setdefault(snake(name), name)) != name:
            return other, name
    return None


def _misplaced(request: dict[str, Any], allowed: frozenset[str]) -> Iterator[Fault]:
    for name in request:
        plain = snake(name)
        if plain in allowed:
            continue
        if plain == "config":
            yield Fault(
                f"{name!r} is the SDK's spelling and is ignored in a batch", "move its fields into generation_config"
            )
        elif plain in GENERATION | _THINKING:
            home = "generation_config.thinking_config" if plain in _THINKING else "generation_config"
            yield Fault(f"{name!r} stands beside contents", f"move it into {home}")
        else:
            near = get_close_matches(plain, allowed, 1)
            yield Fault(f"no such field {name!r} in request", f"did you mean {near[0]!r}?" if near else "remove it")


def _contents(named: dict[str, Any]) -> Iterator[Fault]:
    contents = named.get("contents")
    if contents is None:
        yield Fault("request has no contents", 'add "contents": [{"role": "user", "parts": [{"text": "…"}]}]')
    elif not is_list(contents):
        yield Fault(f"contents is {kind_of(contents)}", "make it a list of {role, parts}")
    elif not contents:
        yield Fault("contents is empty", "add at least one turn with parts")
    else:
        for turn in contents:
            yield from _turn(turn)
    if isinstance(system := named.get("system_instruction"), str):
        yield Fault("system_instruction is a string", f'write {{"parts": [{{"text": {system[:20]!r}}}]}}')


def _turn(turn: Any) -> Iterator[Fault]:
    if not is_object(turn):
        yield Fault(f"a turn of contents is {kind_of(turn)}", 'write {"role": "user", "parts": [{"text": "…"}]}')
    elif not (parts := as_list(turn.get("parts"))):
        yield Fault("a turn of contents has no parts", 'add "parts": [{"text": "…"}]')
    elif wrong := [part for part in parts if not is_object(part)]:
        yield Fault(f"a part is {kind_of(wrong[0])}", 'write {"text": "…"}')


def _embedded(named: dict[str, Any]) -> Iterator[Fault]:
    if "contents" in named:
        yield Fault("an embedding request has one content, not contents", 'write "content": {"parts": [{"text": "…"}]}')
    elif not isinstance(named.get("content"), dict):
        yield Fault("request has no content", 'add "content": {"parts": [{"text": "…"}]}')


def _settings(settings: Any) -> Iterator[Fault]:
    if not is_object(settings):
        yield Fault(f"generation_config is {kind_of(settings)}", "make it an object")
        return
    for name in settings:
        if (plain := snake(name)) in GENERATION:
            continue
        if plain in _THINKING:
            yield Fault(f"{name!r} stands beside thinking_config", "move it into generation_config.thinking_config")
        elif plain in REQUEST:
            yield Fault(f"{name!r} stands inside generation_config", "move it up beside contents")
        else:
            near = get_close_matches(plain, GENERATION, 1)
            yield Fault(
                f"no such field {name!r} in generation_config", f"did you mean {near[0]!r}?" if near else "remove it"
            )
