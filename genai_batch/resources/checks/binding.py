"""A short id in each request that its answer has to carry back, so that swapped answers are noticed.

Free text is asked for it at the end of the last turn, where it leaves a prefix that rows share as it is, and goes with
a cache, beside which no system instruction may stand. A structured answer gets a member of its own with one choice.
"""

import re
from base64 import b32encode
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from genai_batch.resources.lint.schema import MIMES
from genai_batch.resources.models import Model
from genai_batch.resources.untyped import as_list, as_object, field, is_object, items

MEMBER = "ref"
"""The member of a structured answer that carries the id."""
LENGTH = 7
_TAG = re.compile(r"[*_`]{0,3}\[\s{0,4}ref\s{0,4}:\s{0,4}([a-z2-7]{7})\s{0,4}\][*_`]{0,3}", re.IGNORECASE)
_GAP = r"\s{0,80}"
_PLAIN = (None, "", "text/plain")


class Unbindable(NamedTuple):
    """Why a request cannot carry an id, and what to do."""

    problem: str
    fix: str


def ref(key: str) -> str:
    """The id of a key, the same in every job: its CRC-32."""
    return b32encode(crc32(key.encode()).to_bytes(4, "little")).decode()[:LENGTH].lower()


def instruction(key: str) -> str:
    """What free text is asked for."""
    return f"End the answer with this tag, alone on its last line: [ref: {ref(key)}]"


def bind(key: str, request: dict[str, Any], model: Model) -> Unbindable | None:
    """Put the id into a request that lint has passed, in its own spelling; or leave it as it is, and say why."""
    settings = as_object(field(request, "generation_config"))
    if why := _other(request, settings, model):
        return why
    mime = field(settings, "response_mime_type")
    if mime in MIMES:
        return _into_schema(key, settings)
    if mime not in _PLAIN:
        return Unbindable(f"the answer is {str(mime)[:40]}, where an id has no place", "ask for text or JSON")
    return _into_turns(key, as_list(request.get("contents")))


def _other(request: dict[str, Any], settings: dict[str, Any], model: Model) -> Unbindable | None:
    """Why a request that does not ask for text cannot carry an id."""
    made = {str(kind).upper() for kind in items(field(settings, "response_modalities"))}
    calls = as_object(field(as_object(field(request, "tool_config")), "function_calling_config"))
    what = None
    if model.kind == "embedding" or "content" in request:
        what = "an embedding"
    elif model.kind in ("image", "speech") or made & {"IMAGE", "AUDIO"}:
        what = "a picture" if model.kind == "image" or "IMAGE" in made else "sound"
    elif str(calls.get("mode")).upper() == "ANY":
        what = "a function call"
    return Unbindable(f"the answer is {what}, which carries no id", "create without check_binding") if what else None


def _into_schema(key: str, settings: dict[str, Any]) -> Unbindable | None:
    name = next((each for each in _SCHEMAS if is_object(settings.get(each))), None)
    schema = as_object(settings.get(name)) if name else {}
    if str(schema.get("type")).upper() != "OBJECT":
        said = "the answer is JSON whose schema is no object at the top, so an id has no place"
        return Unbindable(said, "give it a response_schema of type OBJECT")
    if MEMBER in as_object(schema.get("properties")):
        return Unbindable(f"the schema has a member {MEMBER!r} of its own", "give that another name")
    upper = schema["type"].isupper()
    wanted = {"type": "STRING" if upper else "string", "enum": [ref(key)]}
    schema["properties"] = {**as_object(schema.get("properties")), MEMBER: wanted}
    schema["required"] = [*as_list(schema.get("required")), MEMBER]
    for order in ("propertyOrdering", "property_ordering"):
        if order in schema:
            schema[order] = [*as_list(schema[order]), MEMBER]
    return None


_SCHEMAS = (
    "response_schema", "responseSchema", "response_json_schema", "responseJsonSchema", "_responseJsonSchema",
    "_response_json_schema",
)  # fmt: skip


def _into_turns(key: str, turns: list[Any]) -> Unbindable | None:
    last = as_object(turns[-1]) if turns else {}
    parts = as_list(last.get("parts"))
    if last.get("role", "user") != "user" or any(field(as_object(part), "function_response") for part in parts):
        return Unbindable("the last turn is not the user's words, so an id has no place", "end with a user turn")
    last["parts"] = [*parts, {"text": instruction(key)}]
    return None


def carried(text: str, *, structured: bool) -> list[str]:
    """The ids that an answer carries: the tags of free text, the member of a structured one."""
    if not structured:
        return [found[1].lower() for found in _TAG.finditer(text)]
    try:
        found = as_object(msgspec.json.decode(text)).get(MEMBER)
    except (msgspec.MsgspecError, RecursionError):
        return []
    return [found.lower()] if isinstance(found, str) else []


def stripped(text: str, key: str) -> str:
    """An answer without the id of its key; anything else, another row's id too, stays."""
    own = ref(key)
    left = _TAG.sub(lambda found: "" if found[1].lower() == own else found[0], text)
    if left != text:
        return left.rstrip()
    pair = rf'"{MEMBER}"{_GAP}:{_GAP}"{own}"'
    return re.sub(rf"{pair}{_GAP},{_GAP}|{_GAP},{_GAP}{pair}|{pair}", "", text, count=1)
