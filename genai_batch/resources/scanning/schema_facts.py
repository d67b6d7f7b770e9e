"""What verdict and price of a row depend on of its response schema, put together from what is known of its properties.

Schemas that differ from row to row mostly differ in a property or in words. So the facts about each property are kept,
and those of an object follow from them by the same sums that `lint.schema` and `schema_sizes` make over all of it.
"""

from typing import NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

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


class _Node(Struct, forbid_unknown_fields=True, gc=False, omit_defaults=True):
    """A schema whose words do not matter: a leaf, or an object of such."""

    type: str
    description: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    format: str | UnsetType = UNSET
    enum: list[str] | UnsetType = UNSET
    properties: "dict[str, _Node] | UnsetType" = UNSET
    required: list[str] | UnsetType = UNSET
    propertyOrdering: list[str] | UnsetType = UNSET  # noqa: N815 - as Gemini spells it


_node = msgspec.json.Decoder(_Node).decode


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
            node = _node(piece)
        except FAILURES:
            return self._of_any(piece)
        facts, strings = self._of_node(node, 1)
        if facts is None or piece.count(b'"') != 2 * strings:
            return self._of_any(piece)
        return facts

    def _of_node(self, node: _Node, depth: int) -> tuple[Facts | None, int]:
        """The facts about a schema, None where it is not so simple; and how many strings it has without repetitions."""
        enum, required, order = node.enum, node.required, node.propertyOrdering
        strings = 2
        if node.description is not UNSET:
            strings += 2
        if node.title is not UNSET:
            strings += 2
        if enum is not UNSET:
            strings += 1 + len(enum)
        if order is not UNSET:
            strings += 1 + len(order)
        if node.properties is UNSET:
            kind = (node.type, node.description is UNSET, node.title is UNSET, node.format, not enum, enum is UNSET,
                    order is UNSET)  # fmt: skip
            strings += 2 * (node.format is not UNSET)
            return (self._of_leaf(kind, node) if required is UNSET else None), strings
        if not node.properties or enum is not UNSET or node.format is not UNSET or depth > _DEEPEST:
            return None, 0
        if node.type not in ("OBJECT", "object"):
            return None, 0
        inner: dict[str, Facts] = {}
        for name, child in node.properties.items():
            facts, more = self._of_node(child, depth + 1)
            if facts is None:
                return None, 0
            inner[name] = facts
            strings += 1 + more
        needed: list[str] = []
        if required is not UNSET:
            needed = required
            strings += 1 + len(needed)
            if self._openapi and not inner.keys() >= {*needed}:
                return None, 0
        least = 1 + sum([2 + len(name) / 4 + inner[name].least for name in needed if name in inner])
        size = object_size({name: facts.member for name, facts in inner.items()}, needed)
        return Facts(False, least, size, member_size(size)), strings + 1

    def _of_leaf(self, kind: tuple[object, ...], leaf: _Node) -> Facts | None:
        if kind not in self._leaves:
            if len(self._leaves) > _LEAVES:
                self._leaves.clear()
            self._leaves[kind] = self._of_any(encode(leaf))
        return self._leaves[kind]

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
        return Facts(bool(verdict.doubts), least, size, member_size(size))
