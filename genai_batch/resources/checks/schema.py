"""Whether an answer has the form that was asked for.

jsonschema-rs judges: a validator is made in about 10 µs and answers in less than one; `$ref` never reaches the network,
and a pattern that would run away is given up. Formats are hints, as in JSON Schema itself. What cannot be judged fits:
no answer is failed for a schema that is not understood.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jsonschema_rs
import msgspec
from jsonschema_rs import ValidationErrorKind as Kind

from genai_batch.resources.answers import brief, short
from genai_batch.resources.checks.answered import MESSAGE
from genai_batch.resources.checks.asked import Asked
from genai_batch.resources.checks.dialect import json_schema
from genai_batch.resources.lines import whole_pairs
from genai_batch.resources.untyped import as_list, as_object, is_list, is_object

LARGEST = 256 * 1024
"""Bytes of a schema that is still compiled."""
_UPPER_CASE = re.compile(rb'"type"\s*:\s*"(STRING|NUMBER|INTEGER|BOOLEAN|ARRAY|OBJECT)"')
_KEPT, _EXCERPT, _VALUE = 64, 60, "the value"
_UNSURE = (Kind.BacktrackLimitExceeded, Kind.RegexEngineFailure, Kind.Referencing)
_PATTERN = jsonschema_rs.FancyRegexOptions(backtrack_limit=100_000)
_NOT_COMPILED = (ValueError, TypeError, AttributeError, OverflowError, RecursionError, jsonschema_rs.ReferencingError)
Validate = Callable[[Any], None]


class Fitting:
    """Judges answers by one schema. `why_unknown` says why it cannot."""

    def __init__(self, asked: Asked, drop: str | None = None) -> None:
        """Compile what was asked for; of its top level, and of each answer's, the member `drop` does not count."""
        self._is_enum, self._drop = asked.mime == "text/x.enum", drop
        self.why_unknown: str | None = None
        self._validate: Validate = lambda _: None
        if len(asked.schema) > LARGEST:
            self.why_unknown = f"it is larger than {LARGEST // 1024} KiB"
        elif asked.schema:
            self._compile(asked)

    def _compile(self, asked: Asked) -> None:
        is_dialect = asked.is_dialect or bool(_UPPER_CASE.search(asked.schema))
        try:
            schema = without(msgspec.json.decode(asked.schema), self._drop)
            schema = json_schema(schema) if is_dialect else schema
            self._validate = _validator(_choices(schema) if self._is_enum else schema)
        except _NOT_COMPILED as error:
            self.why_unknown = brief(str(error).partition("\n")[0], 120)

    def why_not(self, text: str | None) -> str | None:
        """Say where and why an answer does not fit, in `MESSAGE` bytes at most; None for one that fits."""
        if text is None:
            return "The answer has no text."
        if self._is_enum:
            return self._judged(text.strip())
        try:
            value = _read(text)
        except RecursionError:
            return "The text is nested too deeply to be read."
        except msgspec.MsgspecError as error:
            return short(f"The text is not JSON: {error}. It begins with {text[:_EXCERPT]!r}.", MESSAGE)
        if self._drop and is_object(value):
            value.pop(self._drop, None)
        return self._judged(value)

    def _judged(self, value: Any) -> str | None:
        try:
            self._validate(value)
        except jsonschema_rs.ValidationError as error:
            return None if isinstance(error.kind, _UNSURE) else _told(error, value)
        except (ValueError, RecursionError):  # deeper, or a larger number, than it reads
            return None
        return None


@lru_cache(_KEPT)
def fitting(asked: Asked, drop: str | None = None) -> Fitting:
    """What judges answers to a request; kept for the next with the same schema."""
    return Fitting(asked, drop)


def without(schema: Any, name: str | None) -> Any:
    """A schema that says nothing of a member at its top level."""
    if name is None or not is_object(schema):
        return schema
    members = {each: inner for each, inner in as_object(schema.get("properties")).items() if each != name}
    required = [each for each in as_list(schema.get("required")) if each != name]
    return {**schema, "properties": members, "required": required}


def _validator(schema: Any) -> Validate:
    return jsonschema_rs.validator_for(
        schema, offline=True, validate_formats=False, pattern_options=_PATTERN, mask=_VALUE
    ).validate


def _choices(schema: Any) -> Any:
    """What a bare text may be."""
    choices = as_list(as_object(schema).get("enum"))
    return {"enum": [each if isinstance(each, str) else f"{each:g}" for each in choices]} if choices else True


def _read(text: str) -> Any:
    """Decode; half a surrogate pair reads as a replacement character."""
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError:
        raw = text.encode(errors="surrogatepass")
        if (mended := whole_pairs(raw)) == raw:
            raise
        return msgspec.json.decode(mended)


def _told(error: jsonschema_rs.ValidationError, value: Any) -> str:
    where, found = "", value
    for step in error.instance_path:
        where += "/" + str(step).replace("~", "~0").replace("/", "~1")
        found = found[step]
    said = error.message.partition("\n")[0]
    shown = short(where, 120) if where else "The top level"
    return short(f"{shown}: {short(said, 150)}. It is {_excerpt(found)}.", MESSAGE)


def _excerpt(value: Any) -> str:
    if is_object(value):
        return f"an object with {', '.join(repr(name[:20]) for name in list(value)[:4]) or 'no members'}"
    if is_list(value):
        return f"an array of {len(value)}"
    return brief(repr(value[:_EXCERPT] if isinstance(value, str) else value), _EXCERPT)
