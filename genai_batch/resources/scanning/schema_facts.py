"""What verdict and price of a row depend on of its response schema, put together from what is known of its properties.

Schemas that differ from row to row mostly differ in a property or in words. So the facts about each property are kept,
and those of an object follow from them by the same sums that `lint.schema` and `schema_sizes` make over all of it.
"""

from typing import NamedTuple

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from genai_batch.resources import lint
from genai_batch.resources.lint import schema as rules
from genai_batch.resources.local_files import MARK
from genai_batch.resources.scanning.json_pieces import (
    FAILURES,
    decoded,
    encode,
    is_flat,
    members_of,
    repeats_member,
)
from genai_batch.resources.scanning.memo import Memo
from genai_batch.resources.schema_sizes import member_size, object_size, schema_size
from genai_batch.resources.triples import Triple
from genai_batch.resources.untyped import is_object

_DEEPEST = 10
"""Levels up to which neither rule cuts its walk short."""
_WORDS = frozenset({"description", "title"})
_NAMES = frozenset({"propertyOrdering", "property_ordering"})
_OPEN = frozenset({"additionalProperties", "additional_properties"})
_OBJECT = _WORDS | _NAMES | _OPEN | {"type", "properties", "required"}
_strings = msgspec.json.Decoder(list[str]).decode


class Facts(NamedTuple):
    """The facts about a schema that has no fault."""

    additional: bool
    """Whether it has additionalProperties, which raises a doubt."""
    least: float
    """Tokens of the shortest answer."""
    size: Triple
    """Tokens of an answer."""
    member: Triple
    """The same as a member of an object."""
    height: int


class _Leaf(Struct, forbid_unknown_fields=True, gc=False):
    """A schema without schemas inside it, of which the words do not matter."""

    type: str
    description: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    format: str | UnsetType = UNSET
    enum: list[str] | UnsetType = UNSET


_leaf = msgspec.json.Decoder(_Leaf).decode


class SchemaFacts:
    """Knows schemas of one kind: `response_schema`, or JSON Schema."""

    def __init__(self, *, openapi: bool) -> None:
        """Know none yet."""
        self._openapi = openapi
        self._facts = Memo(self._work_out)
        self._leaves: dict[tuple[object, ...], Facts | None] = {}

    def of(self, piece: bytes) -> Facts | None:
        """The facts, or None where a rule finds a fault or there is any doubt."""
        if b"$" in piece:  # a reference, which nothing but the whole schema resolves
            return self._of_any(piece)
        return self._facts[piece]

    def _work_out(self, piece: bytes) -> Facts | None:
        try:
            if b'"properties"' in piece:
                return self._of_object(piece, members_of(piece)) or self._of_any(piece)
            return self._of_leaf(piece, _leaf(piece))
        except FAILURES:
            return self._of_any(piece)

    def _of_leaf(self, piece: bytes, leaf: _Leaf) -> Facts | None:
        choices = () if leaf.enum is UNSET else leaf.enum
        words = [word for word in (leaf.description, leaf.title, leaf.format) if word is not UNSET]
        strings = 2 + 2 * len(words) + len(choices) + (leaf.enum is not UNSET)
        if piece.count(b'"') != 2 * strings:
            return self._of_any(piece)
        kind = (leaf.type, leaf.description is UNSET, leaf.title is UNSET, leaf.format is UNSET, not choices,
                leaf.enum is UNSET)  # fmt: skip
        if kind not in self._leaves:
            if len(self._leaves) > 1_000:
                self._leaves.clear()
            self._leaves[kind] = self._of_any(piece)
        return self._leaves[kind]

    def _of_object(self, piece: bytes, members: dict[str, Raw]) -> Facts | None:
        """The facts about an object from those about its properties; None where it is not so simple."""
        if "properties" not in members or not members.keys() <= _OBJECT or str(members.get("type", b'"object"'), "utf-8").lower() != '"object"':
            return None
        properties = members_of(members["properties"])
        if not properties or not (is_flat(piece, members) and is_flat(bytes(members["properties"]), properties)):
            return None
        additional = False
        for name in members.keys() - {"type", "properties", "required"}:
            additional = additional or name in _OPEN
            if not _is_simple(name, bytes(members[name])):
                return None
        required = _strings(members["required"]) if "required" in members else []
        inner: dict[str, Facts] = {}
        for name, raw in properties.items():
            if (facts := self._facts[bytes(raw)]) is None:
                return None
            inner[name] = facts
        height = 1 + max([facts.height for facts in inner.values()])
        if height > _DEEPEST or (self._openapi and not properties.keys() >= set(required)):
            return None
        needed = [2 + len(name) / 4 + inner[name].least for name in required if name in inner]
        size = object_size({name: facts.member for name, facts in inner.items()}, required)
        return Facts(additional or any([f.additional for f in inner.values()]), 1 + sum(needed), size, member_size(size), height)

    def _of_any(self, piece: bytes) -> Facts | None:
        """The facts about any schema, by the rules themselves."""
        try:
            schema = decoded(piece)
        except ValueError:
            return None
        if not is_object(schema) or not schema or MARK in piece or repeats_member(piece, encode(schema).count(b'"')):
            return None
        verdict = lint.verdict(rules.keywords(schema) if self._openapi else ())
        if verdict.faults:
            return None
        least = rules.least_tokens(schema)
        size = schema_size(schema)
        return Facts(bool(verdict.doubts), least, size, member_size(size), lint.shape(schema).depth)


def _is_simple(name: str, piece: bytes) -> bool:
    """Whether a member of an object schema is of the type that it should have, so that nothing depends on its words."""
    if name in _OPEN:
        return piece in (b"true", b"false")
    return isinstance(decoded(piece), str) if name in _WORDS else bool(_strings(piece))
