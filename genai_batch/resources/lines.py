"""One line of a JSONL source: from its bytes to a key, a request, and what is wrong with them."""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from genai_batch.resources import lint
from genai_batch.resources.answers import brief
from genai_batch.resources.lint import Fault, Verdict
from genai_batch.resources.lint.repair.foreign import can_convert, foreign
from genai_batch.resources.models import Model
from genai_batch.resources.preflight.keys import MAX_KEY
from genai_batch.resources.untyped import as_list, as_object, is_list, is_object, kind_of

_LONG = 4_096
_BASE64 = frozenset(b"+/-_" + bytes(range(48, 58)) + bytes(range(65, 91)) + bytes(range(97, 123)))
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
"""An escape in a string of JSON: a pair of surrogates, half of one, or another, such as that of a backslash."""
_SPACED_COLON = re.compile(rb'"\s+:|\\\\":')
_NOT_A_NUMBER = re.compile(rb"[:\[,]\s*(NaN|-?Infinity)")


class Line(NamedTuple):
    """A parsed line. `sent` and `extra` are what goes to Gemini and what stays here, without newlines."""

    key: str | None
    request: dict[str, Any]
    sent: bytes
    extra: bytes
    faults: tuple[Fault, ...]
    doubts: tuple[Fault, ...] = ()


def parse(raw: bytes, model: Model) -> Line:
    """Read one non-empty line, finding everything that is wrong with it."""
    if isinstance(value := _value(raw), Fault):
        return Line(None, {}, b"", b"", (value,))
    if not is_object(value):
        fault = Fault(f"is {kind_of(value)}, not an object", 'write {"key": …, "request": …}')
        return Line(None, {}, b"", b"", (fault,))
    if (fault := _foreign(value, model)) is not None:
        return Line(None, {}, b"", b"", (fault,))
    key, request = value.get("key"), as_object(value.get("request"))
    found = lint.shape(value)
    judged = lint.judge(request, model) if is_object(value.get("request")) else lint.CLEAN
    faults = (*_key(value), *_form(raw, value, found), *_request(value), *judged.faults)
    good = key if isinstance(key, str) and key else None
    if faults:
        return Line(good, {}, b"", b"", faults)
    return Line(good, request, *_split(raw, value), faults, (*_doubts(value, request, model), *judged.doubts))


_TEXT_COLUMNS = ("prompt", "text", "input", "question", "content", "instruction")
"""Columns that tables of prompts have."""


def _foreign(value: dict[str, Any], model: Model) -> Fault | None:
    """Recognise a line of another API's batch format, in one sentence."""
    if "request" in value:
        return None
    if not ("body" in value or "params" in value):
        return _row(value)
    if (source := foreign(value)) is None:
        return None
    said = f"is a line of {source.api}'s batch format ({brief(source.call, 60)})"
    if not can_convert(source):
        return Fault(f"{said}, for which Gemini has no counterpart", "leave it out")
    if (source.call == "embeddings") != (model.kind == "embedding"):
        wants = "an embedding model" if source.call == "embeddings" else "a model that writes"
        return Fault(f"{said}, for {wants}; {model.name} is none", "put these lines into a file of their own")
    fix = "convert it: `genai-batch estimate FILE --model M --fix NEW.jsonl`, or build_requests with data=FILE"
    return Fault(said, fix)


def _row(value: dict[str, Any]) -> Fault | None:
    """Recognise a chat without an envelope, or a row of a table, which others than requests are made of."""
    if is_list(value.get("messages")):
        fix = 'write {"custom_id": "1", "body": {"messages": […]}}; --fix NEW.jsonl or build_requests converts that'
        return Fault("is a chat as OpenAI has it, outside of its batch format", fix)
    name = next((name for name in _TEXT_COLUMNS if isinstance(value.get(name), str)), None)
    if name is None:
        return None
    fix = f"make requests of the rows: build_requests, or genai-batch build FILE --prompt '{{{{ {name} }}}}'"
    return Fault("is a row of a table, and no request", fix)


def _value(raw: bytes) -> Any:
    """Decode, or say in a reader's words why that failed."""
    try:
        return _decode(raw)
    except (UnicodeDecodeError, RecursionError, msgspec.MsgspecError) as error:
        return _unreadable(raw, error)


def _unreadable(raw: bytes, error: Exception) -> Fault:
    if b"\x00" in raw:
        return Fault("holds NUL bytes; perhaps it is UTF-16 or binary", "save it as UTF-8 text")
    if isinstance(error, RecursionError):
        return Fault(f"is nested deeper than {lint.MAX_DEPTH} levels", "flatten it")
    if not is_utf8(raw):
        return Fault("is not UTF-8", "save the file as UTF-8")
    return _malformed(raw, str(error))


def is_utf8(raw: bytes) -> bool:
    """Whether these bytes are UTF-8; decoders differ in the error that they raise where they are not."""
    if raw.isascii():
        return True
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def whole_pairs(raw: bytes) -> bytes:
    """Put a replacement character in the place of each half of a surrogate pair, which no reader of JSON takes."""
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], raw)


def _malformed(raw: bytes, why: str) -> Fault:
    if found := _NOT_A_NUMBER.search(raw):
        return Fault(f"{found[1].decode()} is not JSON", "use a number or null")
    if whole_pairs(raw) != raw:
        return Fault("holds half of a surrogate pair (\\uD800-\\uDFFF)", "write the character itself, or leave it out")
    if "truncated" in why:
        return Fault("ends in the middle of a value", "write one whole object on one line")
    return Fault(
        why.replace("JSON is malformed", "is not JSON").rstrip("."), "one object a line, nothing between the lines"
    )


def _key(value: dict[str, Any]) -> Iterator[Fault]:
    key = value.get("key")
    if "key" not in value:
        other = next((name for name in ("custom_id", "id", "customId") if name in value), None)
        yield Fault("has no key", f"rename {other!r} to 'key'" if other else 'add "key": a unique string')
    elif not isinstance(key, str):
        yield Fault(
            f"key is {kind_of(key)}",
            f'write "key": "{brief(str(key), 40)}"' if isinstance(key, int | float) else "use a string",
        )
    elif not key.strip():
        yield Fault("key is empty", "give each request a unique name")
    elif (size := len(key.encode())) > MAX_KEY:
        yield Fault(
            f"key is {size:,} bytes long; at most {MAX_KEY}", "use a short id and keep the rest in a field beside it"
        )
    elif any(unicodedata.category(character) == "Cc" for character in key):
        yield Fault("key holds control characters", "use printable characters")


def _form(raw: bytes, value: dict[str, Any], found: lint.Shape) -> Iterator[Fault]:
    if found.depth > lint.MAX_DEPTH:
        yield Fault(f"is nested {found.depth} levels deep; Gemini reads {lint.MAX_DEPTH}", "flatten it")
    elif twice := repeated(without_media(raw, value), found.members):
        yield Fault(f"has the member {twice!r} twice in one object", "keep one of them")
    if found.clash:
        yield Fault(f"has both {found.clash[0]!r} and {found.clash[1]!r}, which are one field", "keep one spelling")
    yield from _misplaced(value)


def _misplaced(names: Iterable[str]) -> Iterator[Fault]:
    for name in names:
        plain = lint.snake(name)
        if plain in lint.MISPLACED:
            home = "generation_config" if plain in lint.GENERATION or plain == "config" else "request"
            yield Fault(f"{name!r} stands beside request, where it is ignored", f"move it into {home}")


def _request(value: dict[str, Any]) -> Iterator[Fault]:
    request = value.get("request")
    if "request" not in value:
        yield Fault("has no request", 'add "request": {"contents": […]}')
    elif not is_object(request):
        yield Fault(f"request is {kind_of(request)}", "make it an object with contents")


def columns_verdict(names: Iterable[str]) -> Verdict:
    """Judge the names that stand in a line."""
    return Verdict(tuple(_misplaced(names)), tuple(_unsent(names)))


def _unsent(names: Iterable[str]) -> Iterator[Fault]:
    for name in names:
        if lint.snake(name) in lint.GENERATION:
            yield Fault(
                f"{name!r} stands beside request and is not sent",
                "a setting belongs into generation_config",
                "not-sent",
            )


def _doubts(value: dict[str, Any], request: dict[str, Any], model: Model) -> Iterator[Fault]:
    yield from _unsent(value)
    yield from row_model(request, model)


def row_model(request: dict[str, Any], model: Model) -> Iterator[Fault]:
    """Doubt a row that names another model than that of its job."""
    named = request.get("model")
    if isinstance(named, str) and named.removeprefix("models/") != model.name:
        yield Fault(
            f"names the model {brief(named, 60)!r}; the job runs on {model.name}",
            "leave model out of the request",
            "row-model",
        )


def _split(raw: bytes, value: dict[str, Any]) -> tuple[bytes, bytes]:
    """Part what is sent from what is kept; a line without extra fields is sent byte for byte."""
    return (raw, b"") if len(value) == 2 else parted(value)


def parted(value: dict[str, Any]) -> tuple[bytes, bytes]:
    """Part what is sent from the columns beside it."""
    extra = {name: field for name, field in value.items() if name != "request"}
    return _encode({"key": value["key"], "request": value["request"]}), _encode(extra)


def repeated(bare: bytes, members: int) -> str | None:
    """Find a member that stands twice in one object.

    A decoder keeps one of the two, so fewer members come out than `":` went in. That count can be off only where a
    colon is spaced or a string begins with one; then the line is read again, slowly and exactly.
    """
    if bare.count(b'":') == members and not _SPACED_COLON.search(bare):
        return None
    return repeated_member(bare)


def repeated_member(raw: bytes) -> str | None:
    """Find a member that stands twice in one object by reading all of it, slowly."""
    twice: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        twice.extend(name for name in names if names.count(name) > 1)
        return {}

    json.loads(raw, object_pairs_hook=look)
    return brief(twice[0], 60) if twice else None


def without_media(raw: bytes, value: dict[str, Any]) -> bytes:
    """Leave inline data out of a line: a string without an escape or a quotation mark says nothing of its structure.

    It begins with a sign of base64, none of which can follow a quotation mark outside a string.
    """
    if len(raw) <= _LONG:
        return raw
    for data in _data(value):
        content = data.encode()
        start = raw.find(content[:_LONG])
        end = start + len(content)
        found = raw[start - 1 : start] == raw[end : end + 1] == b'"' and raw.startswith(content, start)
        if found and content[0] in _BASE64 and b'"' not in content and b"\\" not in content:
            raw = raw[:start] + raw[end:]
    return raw


def _data(value: dict[str, Any]) -> Iterator[str]:
    for turn in as_list(as_object(value.get("request")).get("contents")):
        for part in as_list(as_object(turn).get("parts")):
            for blob in as_object(part).values():
                if isinstance(data := as_object(blob).get("data"), str) and len(data) >= _LONG:
                    yield data
