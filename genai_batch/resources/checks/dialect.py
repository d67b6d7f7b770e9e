"""Gemini's schemas in the words of JSON Schema.

A `response_schema` is OpenAPI's subset as a protobuf message: types in upper case, `nullable`, either spelling of a
name, int64 as strings, choices always as strings. What only guides the model is left out, and so is what JSON Schema
does not know.
"""

from collections.abc import Callable
from typing import Any

from genai_batch.resources.lint.fields import snake
from genai_batch.resources.untyped import as_list, is_list, is_object, number_in

_COUNTS = {
    "min_items": "minItems", "max_items": "maxItems", "min_length": "minLength", "max_length": "maxLength",
    "min_properties": "minProperties", "max_properties": "maxProperties",
}  # fmt: skip
_TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})


def json_schema(schema: Any) -> Any:
    """Write a schema of Gemini's dialect as JSON Schema; what is no object stays as it is."""
    if not is_object(schema):
        return schema
    given = {snake(name): value for name, value in schema.items() if value is not None}
    made: dict[str, Any] = {}
    for name, value in given.items():
        if write := _WRITERS.get(name):
            made |= write(value)
    if choices := given.get("enum"):
        made["enum"] = _choices(choices, made.get("type"))
    return _or_null(made) if given.get("nullable") is True else made


def _type(value: Any) -> dict[str, Any]:
    kinds = [str(kind).lower() for kind in (value if is_list(value) else [value])]
    known = [kind for kind in kinds if kind in _TYPES]
    return {"type": known if is_list(value) else known[0]} if known else {}


def _choices(choices: Any, kind: Any) -> list[Any]:
    """The choices; those of a number come as strings, for the message has no others."""
    return [_as_number(each) if kind in ("integer", "number") else each for each in as_list(choices)]


def _as_number(choice: Any) -> Any:
    number = number_in(choice)
    return choice if number is None else int(number) if number.is_integer() else number


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The same, or null: each keyword that would refuse null lets it pass."""
    made = dict(schema)
    if isinstance(kind := schema.get("type"), str):
        made["type"] = [kind, "null"]
    if "enum" in schema:
        made["enum"] = [*schema["enum"], None]
    if "anyOf" in schema:
        made["anyOf"] = [*schema["anyOf"], {"type": "null"}]
    return made


def _number(name: str) -> Callable[[Any], dict[str, Any]]:
    return lambda value: {} if (number := number_in(value)) is None else {name: number}


def _count(name: str) -> Callable[[Any], dict[str, Any]]:
    return lambda value: {} if (number := number_in(value)) is None else {name: int(number)}


def _as_is(name: str) -> Callable[[Any], dict[str, Any]]:
    return lambda value: {name: value}


def _inside(name: str) -> Callable[[Any], dict[str, Any]]:
    return lambda value: {name: json_schema(value)}


_WRITERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "type": _type,
    "items": _inside("items"),
    "additional_properties": _inside("additionalProperties"),
    "properties": lambda value: {"properties": {name: json_schema(inner) for name, inner in value.items()}},
    "any_of": lambda value: {"anyOf": [json_schema(each) for each in value]},
    "required": _as_is("required"),
    "pattern": _as_is("pattern"),
    "minimum": _number("minimum"),
    "maximum": _number("maximum"),
    **{name: _count(plain) for name, plain in _COUNTS.items()},
}
