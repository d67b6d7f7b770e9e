"""Tokens of what a request declares around its text: tools, calls of them and their answers, a response schema.

Two ways of counting were seen. From 2.5 up on the Developer API (and on 3.x) the JSON of a declaration counts; up to
2.0, and on Vertex with 2.5, only its words do, and a JSON Schema costs nothing. A response schema is free on the
Developer API from 2.5 up.
"""

from collections.abc import Iterator
from operator import mul
from typing import Any, Literal, NamedTuple

import msgspec

from genai_batch.resources.models import Model
from genai_batch.resources.tokens.coefficients import coefficients
from genai_batch.resources.tokens.text import of_bytes, of_text
from genai_batch.resources.untyped import as_object, field, is_list, is_object, items

Provider = Literal["developer", "vertex"]
Way = Literal["full", "words"]
_encode = msgspec.json.Encoder(order="deterministic").encode


class Declared(NamedTuple):
    """What tools add up to, in the features that the data file weighs."""

    functions: float = 0
    heads: float = 0
    parameters: float = 0
    calls: float = 0
    call_text: float = 0
    responses: float = 0
    response_text: float = 0

    def tokens(self, way: Way) -> float:
        """Weigh the features."""
        weights = coefficients()["tools"][way]
        return sum(map(mul, self, (weights[name] for name in self._fields)))


def way(model: Model, provider: Provider) -> Way:
    """How declarations are counted."""
    return "words" if model.era < 2.5 or (provider == "vertex" and model.era < 3) else "full"


def of_tools(tools: Any, how: Way) -> Declared:
    """Features of the functions a request declares; built-in tools cost no input of their own."""
    functions = [
        as_object(function)
        for tool in items(tools)
        for function in items(field(as_object(tool), "function_declarations"))
    ]
    heads = sum(of_text(_text(each.get("name"))) + of_text(_text(each.get("description"))) for each in functions)
    return Declared(len(functions), heads, sum(_parameters(each, how) for each in functions))


def of_call(call: dict[str, Any]) -> Declared:
    """Features of a call that stands in the conversation, or in an answer."""
    return Declared(calls=1, call_text=of_text(_text(call.get("name"))) + of_json(call.get("args")))


def of_response(response: dict[str, Any]) -> Declared:
    """Features of what a function gave back."""
    text = of_text(_text(response.get("name"))) + of_json(response.get("response"))
    return Declared(responses=1, response_text=text)


def of_schema(settings: dict[str, Any], model: Model, provider: Provider) -> float:
    """Tokens of a response schema."""
    weights = coefficients()["schema"]
    words, whole = schema_features(settings, model, provider)
    return words * weights["words"] + whole * weights["vertex"]


def schema_features(settings: dict[str, Any], model: Model, provider: Provider) -> tuple[float, float]:
    """Tokens of the schema's words where those count, and of its whole JSON where that counts."""
    own, standard = field(settings, "response_schema"), field(settings, "response_json_schema")
    if 2 <= model.era < 2.5:
        return sum(map(of_text, _words(own))), 0
    if provider == "vertex" and model.era >= 3:
        return 0, of_json(own or standard or None)
    return 0, 0


def of_json(value: Any) -> float:
    """Tokens of a value written as JSON."""
    if value is None:
        return 0
    try:
        return of_bytes(_encode(value))
    except UnicodeEncodeError:
        return of_text(str(value))


def _parameters(function: dict[str, Any], how: Way) -> float:
    own, standard = function.get("parameters"), field(function, "parameters_json_schema")
    if how == "full":
        return of_json(own) + of_json(standard)
    return sum(map(of_text, _words(own)))


def _words(schema: Any, key: str = "") -> Iterator[str]:
    """Property names, descriptions and enum values; the words of the schema language itself are free."""
    if is_object(schema):
        for name, value in schema.items():
            if key in ("properties", "$defs"):
                yield name
            yield from _words(value, "" if key == "properties" else name)
    elif is_list(schema):
        for value in schema:
            yield from _words(value, key)
    elif isinstance(schema, str) and key not in ("type", "title", "format", "$ref", "$schema"):
        yield schema


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
