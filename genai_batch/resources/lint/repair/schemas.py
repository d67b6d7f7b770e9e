"""Say in the schema of Gemini what JSON Schema says in words of its own."""

from collections.abc import Iterator
from typing import Any

from genai_batch.resources.lint.schema import nodes
from genai_batch.resources.untyped import as_object, is_list, is_object

_REMARKS = ("$schema", "$id", "$comment")
"""Keywords that constrain nothing."""
_SIZE, _DEPTH = 2_000, 50
"""Nodes that a schema may be written out to, and how deep."""
_DEFINITIONS = ("$defs", "definitions")


class _EndlessError(Exception):
    """A definition that holds itself, is not there, or grows too large."""


def openapi(settings: dict[str, Any], name: str) -> Iterator[str]:
    """Write a `response_schema` without references, remarks and lists of types."""
    if (whole := _written_out(settings[name])) is not None:
        settings[name] = whole
        yield "wrote the definitions of the schema out"
    for _, node in nodes(settings[name]):
        if is_object(node):
            yield from _node(node)


def _node(node: dict[str, Any]) -> Iterator[str]:
    for remark in _REMARKS:
        if remark in node:
            del node[remark]
            yield f"took {remark!r} out of the schema"
    types = node.get("type")
    if is_list(types) and len(types) == 2 and len(real := [kind for kind in types if str(kind).lower() != "null"]) == 1:
        node["type"], node["nullable"] = real[0], True
        yield "wrote a list of types in the schema as nullable"


def _written_out(schema: dict[str, Any]) -> dict[str, Any] | None:
    """The schema with each reference replaced by its definition, or None where there is none or it has no end."""
    defined = {
        f"#/{place}/{name}": node for place in _DEFINITIONS for name, node in as_object(schema.get(place)).items()
    }
    root = {name: node for name, node in schema.items() if name not in _DEFINITIONS}
    try:
        return _Definitions(defined).resolve(root, 0) if defined else None
    except _EndlessError:
        return None


class _Definitions:
    """The definitions of a schema, and how many nodes are left to write."""

    def __init__(self, defined: dict[str, Any]) -> None:
        self._defined, self._left = defined, _SIZE

    def resolve(self, node: Any, depth: int) -> Any:
        """Write a node out, references and all."""
        self._left -= 1
        if self._left < 0 or depth > _DEPTH:
            raise _EndlessError
        if is_list(node):
            return [self.resolve(each, depth + 1) for each in node]
        if not is_object(node):
            return node
        if isinstance(target := node.get("$ref"), str):
            if not is_object(found := self._defined.get(target)):
                raise _EndlessError
            return self.resolve(found | {name: each for name, each in node.items() if name != "$ref"}, depth + 1)
        return {name: self.resolve(each, depth + 1) for name, each in node.items()}
