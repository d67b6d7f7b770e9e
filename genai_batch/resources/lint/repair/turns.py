"""Give turns, roles and parts their shape."""

import re
from collections.abc import Iterator
from typing import Any

from genai_batch.resources.lint import media
from genai_batch.resources.lint.fields import KINDS, snake
from genai_batch.resources.lint.repair.foreign import medium_of
from genai_batch.resources.lint.repair.moving import get, put, rename, spelled
from genai_batch.resources.untyped import as_list, as_object, is_list, is_object

_DATA_URI = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=-]+)*?;base64,")
_MIXED = str.maketrans("-_", "+/")
_BLANKS = str.maketrans("", "", media.BLANKS)


def contents(request: dict[str, Any]) -> Iterator[str]:
    """`contents` as a list of turns, each a list of parts."""
    if (name := spelled(request, "contents")) is None:
        if (name := next((each for each in ("messages", "content") if each in request), None)) is None:
            return
        rename(request, name, "contents")
        yield f"renamed {name!r} to 'contents'"
        name = "contents"
    given = request[name]
    if (isinstance(given, str) and given) or is_object(given):
        request[name] = [given]
        yield "made contents a list"
    for i, turn in enumerate(as_list(request[name])):
        if isinstance(turn, str) and turn:
            request[name][i] = {"role": "user", "parts": [{"text": turn}]}
            yield "made a turn of a string"
        elif is_object(turn):
            yield from _turn(turn)
    yield from _system_turn(request, name)


def one_content(request: dict[str, Any]) -> Iterator[str]:
    """The one content of an embedding request."""
    several: object = request.get("contents")
    if "content" not in request and (isinstance(several, str) or is_object(several) or len(as_list(several)) == 1):
        request["contents"] = several[0] if is_list(several) else several
        rename(request, "contents", "content")
        yield "made contents the one content"
    if isinstance(text := request.get("content"), str) and text:
        request["content"] = {"parts": [{"text": text}]}
        yield "made a content of a string"
    if is_object(turn := request.get("content")):
        yield from _turn(turn)


def system(request: dict[str, Any]) -> Iterator[str]:
    """`system_instruction` as a content; an empty one is left out."""
    if (name := spelled(request, "system_instruction")) is None:
        return
    given = request[name]
    if is_list(given) and given and all(isinstance(text, str) for text in given):
        request[name] = {"parts": [{"text": text} for text in given]}
        yield "made system_instruction a content"
    elif isinstance(given, str) and given.strip():
        request[name] = {"parts": [{"text": given}]}
        yield "made system_instruction a content"
    elif is_object(given) and "parts" not in given and given.keys() == {"text"}:
        request[name] = {"parts": [given]}
        yield "made system_instruction a content"
    elif _is_silent(given):
        del request[name]
        yield "left out an empty system_instruction"


def _is_silent(instruction: Any) -> bool:
    parts = as_list(instruction.get("parts")) if is_object(instruction) else []
    texts = [as_object(part).get("text") for part in parts]
    said = "".join(text for text in texts if isinstance(text, str))
    if isinstance(instruction, str):
        return not instruction.strip()
    return bool(parts) and all(isinstance(text, str) for text in texts) and not said.strip()


def _turn(turn: dict[str, Any]) -> Iterator[str]:
    if turn.get("role") == "assistant":
        turn["role"] = "model"
        yield "wrote the role 'assistant' as 'model'"
    for other in ("content", "text"):
        if "parts" not in turn and isinstance(text := turn.get(other), str):
            rename(turn, other, "parts")
            turn["parts"] = [{"text": text}]
            yield f"made {other!r} of a turn a part"
    parts = turn.get("parts")
    if (isinstance(parts, str) and parts) or is_object(parts):
        turn["parts"] = [parts]
        yield "made parts a list"
    if is_list(turn.get("parts")):
        turn["parts"] = [each for part in turn["parts"] for each in _apart(part)]
        yield from _parts(turn["parts"], before=len(as_list(parts)))


def _parts(parts: list[Any], before: int) -> Iterator[str]:
    if before and len(parts) > before:
        yield "gave each kind of a part a part of its own"
    for i, part in enumerate(parts):
        if isinstance(part, str) and part:
            parts[i] = {"text": part}
            yield "made a part of a string"
        elif is_object(part):
            yield from _part(part)


def _apart(part: Any) -> list[Any]:
    """A part of text and media as one part each, when it is nothing else."""
    if not is_object(part) or len(part) < 2 or not all(snake(name) in KINDS for name in part):
        return [part]
    if len({snake(name) for name in part}) < len(part):
        return [part]
    return [{name: value} for name, value in part.items()]


def _part(part: dict[str, Any]) -> Iterator[str]:
    yield from _medium(part)
    if part.get("type") == "text" and isinstance(part.get("text"), str) and len(part) == 2:
        del part["type"]
        yield "left out the type of a text part"
    if isinstance(number := part.get("text"), int | float) and not isinstance(number, bool):
        part["text"] = str(number)
        yield "wrote a text as a string"
    if is_object(blob := get(part, "inline_data")):
        yield from _blob(blob)
    for name in ("inline_data", "file_data"):
        if is_object(held := get(part, name)):
            yield from _mime(held)


def _medium(part: dict[str, Any]) -> Iterator[str]:
    """A picture as another API writes it, and a data: URI in the place of a link."""
    kind = part.get("type")
    if kind in ("image_url", "input_image", "image") and (medium := medium_of(part)):
        part.clear()
        part.update(medium)
        yield f"wrote the {kind!r} of another API as {next(iter(medium))}"
    link = get(part, "file_data")
    uri = get(link, "file_uri") if is_object(link) else None
    is_inline = isinstance(uri, str) and uri.startswith("data:")
    if is_inline and (medium := medium_of({"type": "image_url", "image_url": uri})):
        rename(part, str(spelled(part, "file_data")), "inline_data")
        part["inline_data"] = medium["inlineData"]
        yield "wrote a data: URI as inline_data"


def _blob(blob: dict[str, Any]) -> Iterator[str]:
    data = blob.get("data")
    if not isinstance(data, str):
        return
    if found := _DATA_URI.match(data):
        data = data[found.end() :]
        if found[1] and not get(blob, "mime_type"):
            put(blob, "mime_type", found[1])
        yield "took base64 out of a data: URI"
    if data.isascii() and any(blank in data for blank in media.BLANKS):
        data = data.translate(_BLANKS)
        yield "took line breaks out of base64"
    if ("+" in data or "/" in data) and ("-" in data or "_" in data):
        data = data.translate(_MIXED)
        yield "wrote base64 in one alphabet"
    blob["data"] = data
    if not get(blob, "mime_type") and (true := media.sniffed(data)):
        put(blob, "mime_type", true)
        yield f"set mime_type to {true}, as the data begins"


def _mime(held: dict[str, Any]) -> Iterator[str]:
    name = spelled(held, "mime_type")
    if name and isinstance(mime := held[name], str) and (better := media.SPELLINGS.get(mime.lower())):
        held[name] = better
        yield f"wrote mime_type {mime!r} as {better}"


def _system_turn(request: dict[str, Any], name: str) -> Iterator[str]:
    """A first turn of the role system is the system instruction."""
    turns = as_list(request[name])
    first = as_object(turns[0]) if turns else {}
    others = any(as_object(turn).get("role") == "system" for turn in turns[1:])
    if first.get("role") != "system" or len(turns) < 2 or others or spelled(request, "system_instruction"):
        return
    if not is_list(first.get("parts")) or not all(as_object(part).keys() == {"text"} for part in first["parts"]):
        return
    request["system_instruction"] = {"parts": first["parts"]}
    del turns[0]
    yield "made the turn of the role system the system_instruction"
