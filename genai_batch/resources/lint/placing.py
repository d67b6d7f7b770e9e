"""Fields that stand in the wrong place."""

from collections.abc import Iterator
from typing import Any

from genai_batch.resources.lint.fault import Fault, fault
from genai_batch.resources.lint.fields import EMBEDDING, GENERATION, REQUEST, THINKING, VERTEX, meant, snake
from genai_batch.resources.models import Model
from genai_batch.resources.untyped import as_list, is_object, kind_of


def in_request(request: dict[str, Any], model: Model) -> Iterator[Fault]:
    """Judge the names that stand in `request`."""
    allowed = EMBEDDING if model.kind == "embedding" else REQUEST
    for name in request:
        if (plain := snake(name)) not in allowed and plain not in ("content", "contents"):
            yield _beside_contents(name, plain, allowed)


def _beside_contents(name: str, plain: str, allowed: frozenset[str]) -> Fault:
    if plain == "config":
        said, fix = "is the SDK's spelling and is ignored in a batch", "move its fields into generation_config"
        if allowed is EMBEDDING:
            fix = "move its fields up, beside content"
        return fault("sdk-config", f"{name!r} {said}", fix)
    if plain == "generation_config" and allowed is EMBEDDING:
        said = "generation_config means nothing to an embedding model"
        return fault("unknown-field", said, "write task_type and output_dimensionality beside content")
    if plain in GENERATION | THINKING and allowed is REQUEST:
        home = "generation_config.thinking_config" if plain in THINKING else "generation_config"
        return fault("misplaced", f"{name!r} stands beside contents", f"move it into {home}")
    return fault("unknown-field", f"no such field {name!r} in request", meant(plain, allowed))


def in_settings(settings: Any) -> Iterator[Fault]:
    """Judge the names that stand in `generation_config`."""
    if not is_object(settings):
        yield fault("settings-shape", f"generation_config is {kind_of(settings)}", "make it an object")
        return
    for name in settings:
        if found := _in_settings(name, snake(name)):
            yield found


def _in_settings(name: str, plain: str) -> Fault | None:
    if plain in VERTEX:
        return fault("vertex-only", f"{name!r} is known to Vertex AI only", "remove it")
    if plain in GENERATION:
        return None
    if plain in THINKING:
        fix = "move it into generation_config.thinking_config"
        return fault("misplaced", f"{name!r} stands beside thinking_config", fix)
    if plain in REQUEST:
        return fault("misplaced", f"{name!r} stands inside generation_config", "move it up beside contents")
    return fault("unknown-field", f"no such field {name!r} in generation_config", meant(plain, GENERATION))


def system(instruction: Any) -> Iterator[Fault]:
    """Judge the shape of `system_instruction`."""
    if instruction is None:
        return
    if isinstance(instruction, str):
        fix = f'write {{"parts": [{{"text": {instruction[:20]!r}}}]}}'
        yield fault("system-shape", "system_instruction is a string", fix)
    elif not is_object(instruction):
        yield fault("system-shape", f"system_instruction is {kind_of(instruction)}", 'write {"parts": [{"text": "…"}]}')
    elif not (parts := as_list(instruction.get("parts"))):
        yield fault("system-shape", "system_instruction has no parts", 'write {"parts": [{"text": "…"}]}')
    else:
        yield from _system_parts(parts)


def _system_parts(parts: list[Any]) -> Iterator[Fault]:
    texts = [part.get("text") if is_object(part) else None for part in parts]
    if not all(isinstance(text, str) for text in texts):
        yield fault("system-text", "system_instruction holds something else than text", 'write {"text": "…"} parts')
    elif not any(str(text).strip() for text in texts):
        yield fault("system-empty", "system_instruction is empty, which is refused in a batch", "leave it out")
