"""The turns of a request: their shape, their roles, their parts."""

from collections.abc import Iterator
from typing import Any

from genai_batch.resources.lint import media
from genai_batch.resources.lint.fault import Fault, doubt, fault
from genai_batch.resources.lint.fields import CONTENT, KINDS, PART, meant, named, snake
from genai_batch.resources.models import Model
from genai_batch.resources.untyped import as_list, is_list, is_object, kind_of

_ROLES = ("user", "model", "function")
_EXAMPLE = 'write {"role": "user", "parts": [{"text": "…"}]}'


def conversation(request: dict[str, Any], model: Model) -> Iterator[Fault]:
    """Judge `contents`."""
    contents = request.get("contents")
    if "content" in request:
        yield fault("unknown-field", "no such field 'content' in request", "did you mean 'contents'?")
    if contents is None:
        yield fault(
            "no-contents", "request has no contents", 'add "contents": [{"role": "user", "parts": [{"text": "…"}]}]'
        )
    elif not is_list(contents):
        yield fault("contents-shape", f"contents is {kind_of(contents)}", "make it a list of {role, parts}")
    elif not contents:
        yield fault("no-contents", "contents is empty", "add at least one turn with parts")
    else:
        if unusual := [turn for turn in contents if not _is_plain(turn)]:
            for turn in unusual:
                yield from _turn(turn, model)
            yield from media.weight(unusual)
            yield from media.videos(unusual)
        yield from sequence(contents, model)


def embedded(request: dict[str, Any], model: Model) -> Iterator[Fault]:
    """Judge `content` of an embedding request."""
    content = request.get("content")
    if "contents" in request:
        several = len(as_list(request["contents"])) > 1
        fix = "write a line for each content" if several else 'write "content": {"parts": [{"text": "…"}]}'
        yield fault("embedding-contents", "an embedding request has one content, not contents", fix)
    elif isinstance(content, str):
        yield fault(
            "content-shape", "content is a string", f'write "content": {{"parts": [{{"text": {content[:20]!r}}}]}}'
        )
    elif not is_object(content):
        yield fault("no-contents", "request has no content", 'add "content": {"parts": [{"text": "…"}]}')
    else:
        yield from _turn(content, model)


def _turn(turn: Any, model: Model) -> Iterator[Fault]:
    if not is_object(turn):
        yield fault("turn-shape", f"a turn of contents is {kind_of(turn)}", _EXAMPLE)
        return
    if turn.keys() - CONTENT:
        yield from _members(turn)
    role, parts = turn.get("role"), turn.get("parts")
    if role is not None and role not in _ROLES:
        yield fault("role", f"no such role {str(role)[:30]!r}", _role(str(role)))
    if parts is not None and not is_list(parts):
        yield fault("parts-shape", f"parts is {kind_of(parts)}", 'write [{"text": "…"}]')
    elif not parts:
        yield fault("no-parts", "a turn of contents has no parts", 'add "parts": [{"text": "…"}]')
    else:
        for part in parts:
            yield from _part(part, model)
        yield from _said(parts)


def _members(turn: dict[str, Any]) -> Iterator[Fault]:
    for name in turn:
        if (plain := snake(name)) not in CONTENT:
            fix = 'write "parts": [{"text": "…"}]' if plain in ("content", "text") else meant(plain, CONTENT)
            yield fault("unknown-field", f"no such field {name!r} in a turn of contents", fix)


def _role(role: str) -> str:
    if role == "assistant":
        return 'write "model"'
    return "move it into system_instruction" if role == "system" else 'write "user" or "model"'


def _part(part: Any, model: Model) -> Iterator[Fault]:
    if not is_object(part):
        yield fault("part-shape", f"a part is {kind_of(part)}", 'write {"text": "…"}')
        return
    if len(part) == 1 and isinstance(part.get("text"), str):
        return
    given = {name: value for name, value in named(part).items() if value is not None}  # null is as good as absent
    kinds = [name for name in given if name in KINDS]
    if not kinds and (other := foreign_part(part)):
        yield fault("foreign-part", f"holds a part as {other} writes it ({part['type']})", FIXES)
        return
    yield from _kinds(part, given, kinds)
    yield from media.of_part(given, model)


def _kinds(part: dict[str, Any], given: dict[str, Any], kinds: list[str]) -> Iterator[Fault]:
    for name in part:
        if (plain := snake(name)) not in PART:
            yield fault("unknown-field", f"no such field {name!r} in a part", meant(plain, PART))
    if len(kinds) > 1:
        yield fault("part-both", f"a part is {kinds[0]} and {kinds[1]} at once", "write a part for each")
    elif not kinds and "thought_signature" not in given:
        yield fault("part-empty", "a part holds nothing", 'write {"text": "…"}')
    if "text" in given and not isinstance(given["text"], str):
        yield fault("text-shape", f"text is {kind_of(given['text'])}", "make it a string")


FIXES = "write it as Gemini does; `genai-batch estimate FILE --model M --fix NEW.jsonl` does so"


def foreign_part(part: dict[str, Any]) -> str | None:
    """Whose API writes a part like this, if it is one that holds media and can be converted."""
    kind = part.get("type")
    if kind == "image" and is_object(part.get("source")):
        return "Anthropic"
    return "OpenAI" if kind in ("image_url", "input_image") and named(part).get("image_url") else None


def _said(parts: list[Any]) -> Iterator[Fault]:
    """Text that says nothing is refused."""
    if all(is_object(part) and part.keys() == {"text"} and part["text"] == "" for part in parts):
        yield fault("text-empty", "a turn of contents has only empty text", "write a prompt, or leave the line out")


def _is_plain(turn: Any) -> bool:
    """Whether a turn is of the usual form: one part, which is text."""
    return (
        is_object(turn)
        and turn.get("role") in ("user", "model", None)
        and len(turn) == 1 + ("role" in turn)
        and is_list(parts := turn.get("parts"))
        and len(parts) == 1
        and is_object(part := parts[0])
        and len(part) == 1
        and isinstance(text := part.get("text"), str)
        and text != ""
    )


def sequence(contents: list[Any], model: Model) -> Iterator[Fault]:
    """Judge the roles of turns in their order."""
    last = contents[-1]
    if is_object(last) and last.get("role") == "model":
        if model.ends_with_user:
            yield fault(
                "ends-in-model",
                f"{model.name} refuses contents that end in a turn of the model",
                "end in a turn of the user",
            )
        else:
            yield doubt("ends-in-model", "contents end in a turn of the model", "end in a turn of the user")
    if len(contents) > 1 and any(is_object(turn) and "role" not in turn for turn in contents):
        said = "several turns, and not all have a role; rows of this shape have come back as errors"
        yield doubt("no-role", said, 'put text and media into the parts of one turn with "role": "user"')
