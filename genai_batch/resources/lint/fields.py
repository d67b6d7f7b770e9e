"""The fields of a request by message, spelled in snake_case, and what only other APIs know."""

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from genai_batch.resources.lint.fault import Fault, fault

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
    "audio_transcription_config", "_response_json_schema",
})  # fmt: skip
VERTEX = frozenset({
    "audio_timestamp", "routing_config", "model_selection_config", "retrieval", "enterprise_web_search",
    "parallel_ai_search", "exa_ai_search",
})  # fmt: skip
"""Settings and tools that the SDK refuses to send to the Developer API."""
MISPLACED = frozenset({
    "config", "contents", "system_instruction", "tools", "tool_config", "safety_settings", "generation_config",
    "cached_content", "response_schema", "response_json_schema", "response_mime_type", "max_output_tokens",
    "thinking_config", "response_modalities", "speech_config", "image_config",
})  # fmt: skip
"""Names that beside `request` can only be a mistake; others may be the user's own columns."""
THINKING = frozenset({"thinking_budget", "thinking_level", "include_thoughts"})
CONTENT = frozenset({"role", "parts"})
KINDS = frozenset({
    "text", "inline_data", "file_data", "function_call", "function_response", "executable_code",
    "code_execution_result", "tool_call", "tool_response", "audio_transcription",
})  # fmt: skip
"""What a part can be; a part is one of them."""
PART = KINDS | {
    "thought", "thought_signature", "video_metadata", "media_resolution", "part_metadata", "media_processing",
    "speech_metadata", "audio_metadata", "document_metadata", "spreadsheet_metadata",
}  # fmt: skip
BLOB = frozenset({"mime_type", "data", "display_name"})
FILE = frozenset({"mime_type", "file_uri", "display_name"})
TOOL = frozenset({
    "function_declarations", "google_search", "google_search_retrieval", "code_execution", "url_context",
    "computer_use", "google_maps", "file_search", "mcp_servers",
})  # fmt: skip
SAFETY = frozenset({"category", "threshold"})
SPEECH = frozenset({"voice_config", "multi_speaker_voice_config", "language_code"})
IMAGE = frozenset({
    "aspect_ratio", "image_size", "person_generation", "prominent_people", "output_mime_type",
    "output_compression_quality", "image_output_options",
})  # fmt: skip
OPEN = frozenset({
    "response_schema", "response_json_schema", "parameters", "parameters_json_schema", "response", "args", "labels",
    "part_metadata",
})  # fmt: skip
"""Fields whose content is the user's own, where any name may stand."""
ALIASES: Mapping[str, str] = {
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "stop": "stop_sequences",
    "n": "candidate_count",
    "json_schema": "response_json_schema",
    "system_instructions": "system_instruction",
    "system": "system_instruction",
    "messages": "contents",
    "modalities": "response_modalities",
}
"""What other APIs and older SDKs call a field of this one."""
_HOMES: Mapping[str, str] = {
    **dict.fromkeys(GENERATION, "generation_config"),
    **dict.fromkeys(THINKING, "generation_config.thinking_config"),
    **dict.fromkeys(REQUEST, "request"),
}


@lru_cache(4096)
def snake(name: str) -> str:
    """Spell a field the way this module's tables do."""
    return name if name.islower() else re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def named(node: Mapping[str, Any]) -> dict[str, Any]:
    """The members of an object under their snake_case names."""
    return {snake(name): value for name, value in node.items()}


def unknown(node: Iterable[str], allowed: frozenset[str], place: str) -> Iterator[Fault]:
    """Name each field that the message at `place` does not have, with the nearest that it has."""
    for name in node:
        if (plain := snake(name)) not in allowed:
            yield fault("unknown-field", f"no such field {name!r} in {place}", meant(plain, allowed))


def meant(plain: str, allowed: frozenset[str]) -> str:
    """What may have been meant by a name, or that it has to go."""
    if (alias := ALIASES.get(plain)) in allowed:
        return f"rename it to {alias!r}"
    near = get_close_matches(plain, allowed, 1)
    return f"did you mean {near[0]!r}?" if near else "remove it"


def home(plain: str) -> str | None:
    """Where in a line a field belongs, if it is one that Gemini knows."""
    return _HOMES.get(plain)
