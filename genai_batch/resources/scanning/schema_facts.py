"""What verdict and price of a row depend on of its response schema, put together from what is known of its properties.

Schemas that differ from row to row mostly differ in a property or in words. So the facts about each property are kept,
and those of an object follow from them by the same sums that `lint.schema` and `schema_sizes` make over all of it.
"""

from typing import Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from genai_batch.resources import lint
from genai_batch.resources.lint import schema as rules
from genai_batch.resources.local_files import MARK
from genai_batch.resources.scanning.json_pieces import (
    FAILURES,
    decoded,
    encode,
    repeats_member,
)
from genai_batch.resources.scanning.memo import Memo
from genai_batch.resources.schema_sizes import member_size, object_size, schema_size
from genai_batch.resources.triples import Triple
from genai_batch.resources.untyped import is_object

_DEEPEST = 10
"""Levels up to which neither rule cuts its walk short."""
_LEAVES = 1_000


class Facts(Struct, gc=False):
    """The facts about a schema that has no fault."""

    additional: bool
    """Whether it has additionalProperties, which raises a doubt."""
    least: float
    """Tokens of the shortest answer."""
    size: Triple
    """Tokens of an answer."""
    member: Triple
    """The same as a member of an object."""
    quotes: int
    """Quotation marks in it."""
    height: int
    """Levels of schemas in it, or more."""


class _Leaf(Struct, forbid_unknown_fields=True, gc=False, omit_defaults=True):
    """A schema without schemas inside it, of which the words do not matter."""

    type: str
    description: str | UnsetType = UNSET
    enum: list[str] | UnsetType = UNSET


class _Object(Struct, forbid_unknown_fields=True, gc=False):
    """An object of which the words do not matter."""

    type: Literal["OBJECT", "object"]
    properties: dict[str, Raw]
    description: str | UnsetType = UNSET
    required: list[str] | UnsetType = UNSET
    propertyOrdering: list[str] | UnsetType = UNSET  # noqa: N815 - as Gemini spells it


_leaf = msgspec.json.Decoder(_Leaf).decode
_object = msgspec.json.Decoder(_Object).decode


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
        """Find the facts about a schema from those about its properties, or else about all of it."""
        try:
            if b'"properties"' in piece:
                return self._of_object(piece, _object(piece)) or self._of_any(piece)
            return self._of_leaf(piece, _leaf(piece))
        except FAILURES:
            return self._of_any(piece)

    def _of_object(self, piece: bytes, schema: _Object) -> Facts | None:
        required: list[str] = [] if schema.required is UNSET else schema.required
        order: list[str] = [] if schema.propertyOrdering is UNSET else schema.propertyOrdering
        names = 2 + (schema.required is not UNSET) + (schema.propertyOrdering is not UNSET)
        quotes = 2 * (names + 1 + len(required) + len(order)) + (0 if schema.description is UNSET else 4)
        inner: dict[str, Facts] = {}
        for name, raw in schema.properties.items():
            if (facts := self._facts[bytes(raw)]) is None:
                return None
            inner[name] = facts
            quotes += facts.quotes + 2
        if not inner or quotes != piece.count(b'"'):
            return None
        if self._openapi and not inner.keys() >= {*required}:
            return None
        if (height := 1 + max([facts.height for facts in inner.values()])) > _DEEPEST:
            return None
        least = 1 + sum([2 + len(name) / 4 + inner[name].least for name in required if name in inner])
        size = object_size({name: facts.member for name, facts in inner.items()}, required)
        additional = True in [facts.additional for facts in inner.values()]
        return Facts(additional, least, size, member_size(size), quotes, height)

    def _of_leaf(self, piece: bytes, leaf: _Leaf) -> Facts | None:
        strings = 2 + 2 * (leaf.description is not UNSET) + (0 if leaf.enum is UNSET else 1 + len(leaf.enum))
        if piece.count(b'"') != 2 * strings:
            return self._of_any(piece)
        is_blank = leaf.enum is not UNSET and "" in leaf.enum
        kind = (leaf.type, leaf.description is UNSET, leaf.enum is UNSET, not leaf.enum, is_blank)
        if kind not in self._leaves:
            if len(self._leaves) > _LEAVES:
                self._leaves.clear()
            self._leaves[kind] = self._of_any(piece)
        facts = self._leaves[kind]
        if facts is None or facts.quotes == 2 * strings:
            return facts
        return Facts(facts.additional, facts.least, facts.size, facts.member, 2 * strings, 1)

    def _of_any(self, piece: bytes) -> Facts | None:
        """The facts about any schema, by the rules themselves."""
        try:
            schema = decoded(piece)
        except FAILURES:
            return None
        quotes = piece.count(b'"')
        if not is_object(schema) or not schema or MARK in piece or repeats_member(piece, encode(schema).count(b'"')):
            return None
        verdict = lint.verdict(rules.keywords(schema) if self._openapi else ())
        if verdict.faults:
            return None
        size = schema_size(schema)
        least, height = rules.least_tokens(schema), lint.shape(schema).depth
        return Facts(bool(verdict.doubts), least, size, member_size(size), quotes, height)
