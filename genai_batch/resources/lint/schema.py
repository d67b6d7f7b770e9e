"""Structured answers: which schema is set, whether a batch heeds it, and whether an answer has room for it."""

from collections.abc import Iterator
from typing import Any

from genai_batch.resources.lint.fault import Fault, doubt, fault
from genai_batch.resources.lint.fields import snake
from genai_batch.resources.models import Model
from genai_batch.resources.untyped import as_list, as_object, is_list, is_object, kind_of, number_in

TYPES = frozenset({"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"})
KEYWORDS = frozenset({
    "type", "format", "title", "description", "nullable", "enum", "items", "max_items", "min_items", "properties",
    "required", "min_properties", "max_properties", "min_length", "max_length", "pattern", "example", "any_of",
    "property_ordering", "default", "minimum", "maximum", "additional_properties",
})  # fmt: skip
"""What a `response_schema` may say; `response_json_schema` takes JSON Schema."""
MIMES = ("application/json", "text/x.enum")
PLAIN = (*MIMES, "text/plain", "application/xml", "application/yaml", "text/x-yaml")
_SHOWN = 60
_DEEP = 50


def structured(settings: dict[str, Any], model: Model) -> Iterator[Fault]:
    """Judge everything about a structured answer."""
    openapi, json_schema = settings.get("response_schema"), _json_schema(settings)
    yield from _mime(settings, model)
    if openapi is not None and json_schema is not None:
        fix = "keep response_schema; a batch has ignored the other"
        yield fault("schema-both", "response_schema and response_json_schema exclude each other", fix)
    elif json_schema is not None:
        said = "response_json_schema has been ignored in batches: answers come back as JSON of any shape"
        yield doubt("json-schema", said, "use response_schema, or try a few rows first")
    if openapi is not None:
        yield from keywords(openapi)
    yield from _room(openapi if openapi is not None else json_schema, settings)


def _json_schema(settings: dict[str, Any]) -> Any:
    """The schema in JSON Schema, under either of its names."""
    plain = settings.get("response_json_schema")
    return plain if plain is not None else settings.get("_response_json_schema")


def _mime(settings: dict[str, Any], model: Model) -> Iterator[Fault]:
    mime = settings.get("response_mime_type")
    given = {"response_schema": settings.get("response_schema"), "response_json_schema": _json_schema(settings)}
    wants = [name for name, schema in given.items() if schema is not None]
    if wants and model.kind == "speech":
        yield fault("schema-speech", f"{model.name} speaks; it takes no {wants[0]}", "remove it")
    elif wants and mime not in MIMES:
        fix = 'add "response_mime_type": "application/json"'
        yield fault("schema-mime", f"{wants[0]} needs response_mime_type application/json", fix)
    elif mime is not None and mime not in PLAIN:
        yield fault("mime", f"no such response_mime_type {str(mime)[:_SHOWN]!r}", f"use one of {', '.join(PLAIN[:3])}")


def keywords(schema: Any) -> Iterator[Fault]:
    """Name each keyword and type, once, that `response_schema` does not have."""
    told: set[str] = set()
    for place, node in nodes(schema):
        if not is_object(node):
            yield fault("schema-shape", f"{place} is {kind_of(node)}", "make it a schema object")
            continue
        for found in _of_node(place, node):
            if found.problem not in told:
                told.add(found.problem)
                yield found


def _of_node(place: str, node: dict[str, Any]) -> Iterator[Fault]:
    for name in node:
        if snake(name) not in KEYWORDS:
            fix = "write the definition out" if name in ("$ref", "$defs", "ref", "defs") else "leave it out"
            yield fault("schema-keyword", f"response_schema knows no {name[:_SHOWN]!r}", fix)
    if "additionalProperties" in node or "additional_properties" in node:
        said = "additionalProperties in a response_schema has been refused"
        yield doubt("schema-additional", said, "leave it out; the model adds no properties")
    yield from _type(place, node)
    yield from _required(place, node)


def _type(place: str, node: dict[str, Any]) -> Iterator[Fault]:
    kind: object = node.get("type")
    if is_list(kind):
        yield fault("schema-type", f"{place} has a list of types", 'write one type and "nullable": true')
    elif kind is not None and str(kind).upper() not in TYPES:
        yield fault("schema-type", f"{place} has no type {str(kind)[:_SHOWN]!r}", f"use {', '.join(sorted(TYPES))}")
    if str(kind).upper() == "ARRAY" and "items" not in node:
        yield fault("schema-items", f"{place} is an array without items", 'add "items"')
    if "enum" in node:
        yield from _enum(place, node["enum"], kind)
    if str(kind).upper() == "OBJECT" and not node.get("properties") and not node.keys() & _OPEN:
        fix = "describe its properties, or make it a STRING that holds JSON"
        yield fault("schema-properties", f"{place} is an object without properties, which is refused", fix)


_OPEN = frozenset({"$ref", "anyOf", "any_of", "additionalProperties", "additional_properties"})
"""What may describe an object in the place of properties; some of it is judged by itself."""


def _enum(place: str, values: Any, kind: object) -> Iterator[Fault]:
    if not is_list(values) or not all(isinstance(value, str) for value in values):
        fix = 'write the values as strings with "type": "STRING", or use minimum and maximum'
        yield fault("schema-enum", f"{place} has an enum of other values than strings, which is refused", fix)
    elif "" in values:
        fix = 'leave it out, and write "nullable": true where none may fit'
        yield fault("schema-enum", f"{place} has an empty string in its enum, which is refused", fix)
    elif kind is not None and str(kind).upper() in TYPES - {"STRING"}:
        yield fault("schema-enum", f"{place} has an enum, and is no STRING", 'write "type": "STRING"')


def _required(place: str, node: dict[str, Any]) -> Iterator[Fault]:
    names = as_object(node.get("properties"))
    if missing := [name for name in as_list(node.get("required")) if isinstance(name, str) and name not in names]:
        fix = f"add it to properties: {', '.join(names)[:_SHOWN]}"
        yield fault("schema-required", f"{place} requires {missing[0][:_SHOWN]!r}, which it does not describe", fix)


def nodes(schema: Any) -> Iterator[tuple[str, Any]]:
    """Walk a schema and all schemas inside it, each with its place."""
    stack: list[tuple[str, Any]] = [("response_schema", schema)]
    while stack:
        place, node = stack.pop()
        yield place, node
        if is_object(node):
            stack += reversed(list(_inside(place, node)))


def _inside(place: str, node: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, inner in as_object(node.get("properties")).items():
        yield f"{place}.{name}"[-_SHOWN * 2 :], inner
    if "items" in node:
        yield f"{place}[]", node["items"]
    for inner in as_list(node.get("anyOf") or node.get("any_of")):
        yield place, inner


def _room(schema: Any, settings: dict[str, Any]) -> Iterator[Fault]:
    most = number_in(settings.get("max_output_tokens"))
    if most and schema is not None and (least := least_tokens(schema)) > most:
        said = f"max_output_tokens is {most:,.0f}; the shortest answer to the schema takes about {least:,.0f}"
        yield doubt("output-schema", said, "raise it, or every answer is cut")


def least_tokens(schema: Any, depth: int = 0) -> float:
    """About how many tokens the shortest JSON takes that a schema allows."""
    if depth > _DEEP or not is_object(schema):
        return 1
    names = as_object(schema.get("properties"))
    needed = [name for name in as_list(schema.get("required")) if isinstance(name, str) and name in names]
    fields = sum(2 + len(name) / 4 + least_tokens(names[name], depth + 1) for name in needed)
    items = number_in(schema.get("minItems") or schema.get("min_items")) or 0
    letters = number_in(schema.get("minLength") or schema.get("min_length")) or 0
    each = 1 + least_tokens(schema["items"], depth + 1) if "items" in schema else 0
    return 1 + fields + letters / 6 + items * each
