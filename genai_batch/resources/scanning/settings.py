"""The members of a request beside its turns: their verdict and shape, remembered by what these depend on.

Rows mostly share these members, byte for byte. Where they differ they mostly differ in what no rule looks at: the words
of a system instruction, a seed, a temperature that is within its range. So each member is reduced to what decides its
verdict, and the rules run once for all rows that are the same then. A member that is unknown here is reduced to its
bytes.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Raw, Struct

from genai_batch.resources import lint
from genai_batch.resources.lines import row_model
from genai_batch.resources.lint import Fault
from genai_batch.resources.lint.thinking import EATEN, eaten, thought_tokens
from genai_batch.resources.local_files import MARK
from genai_batch.resources.models import Model
from genai_batch.resources.scanning.json_pieces import (
    FAILURES,
    MAX_BRACKETS,
    decode,
    decoded,
    encode,
    is_flat,
    members_of,
    repeats_member,
)
from genai_batch.resources.scanning.memo import Memo
from genai_batch.resources.scanning.schema_facts import Facts, SchemaFacts
from genai_batch.resources.schema_sizes import rounded
from genai_batch.resources.shapes import Shape, shape_of
from genai_batch.resources.tokens.media import Resolution, level_of
from genai_batch.resources.untyped import as_object, field

Kinds = dict[str, float]
_ENTRIES, _BYTES = 2_048, 4 * 1024 * 1024
_SETTINGS, _NAMES = 16_384, 64
_NONE = Raw(b"")
_SCHEMAS = {"response_schema": True, "response_json_schema": False}
_DECLARED = frozenset({"name", "description", "parameters", "parameters_json_schema", "parametersJsonSchema"})
_strings = msgspec.json.Decoder(list[str]).decode
_words = msgspec.json.Decoder(str).decode


class Varying(Struct, gc=False):
    """Values of one row that its verdict does not depend on, or its shape alone."""

    bound: int | None = None
    budget: int | None = None
    schema: Facts | None = None
    is_opaque: bool = False
    """Whether there is a schema of which nothing is known."""
    is_sized: bool = True
    """Whether the schema decides how long an answer is."""
    thinking: bytes = b"null"
    """The thinking_config."""

    def joined(self, other: "Varying") -> "Varying":
        """What varies by this and another member of one generation_config."""
        return Varying(
            None, self.budget or other.budget, self.schema or other.schema,
            self.is_opaque or other.is_opaque or bool(self.schema and other.schema),
            self.is_sized and other.is_sized, self.thinking if other.thinking == b"null" else other.thinking,
        )  # fmt: skip


class Settings:
    """What rows share that have the same verdict and shape by their members beside the turns, and how many they are."""

    __slots__ = ("_doubts", "_shape", "_varying", "alike", "key", "level", "line", "rows")

    def __init__(
        self, doubts: tuple[Fault, ...], shape: Shape, level: Resolution | None, varying: "Varying | None" = None
    ) -> None:
        """Begin with no row; `doubts` and `shape` are those of rows that differ from these as `varying` says."""
        self._doubts, self._shape, self.level, self._varying = doubts, shape, level, varying
        self.rows = self.alike = self.line = 0
        self.key = ""

    def add(self, rows: int, line: int, key: str) -> None:
        """Count rows that are alike in all their doubts; `line` and `key` are those of their first."""
        if not self.alike or line < self.line:
            self.line, self.key = line, key
        self.rows += rows
        self.alike += rows

    def varied(self, varying: "Varying") -> "Settings":
        """Settings for rows that differ from these in what their verdict does not depend on."""
        return Settings(self._doubts, self._shape, self.level, varying)

    @property
    def doubts(self) -> tuple[Fault, ...]:
        """The doubts about each row."""
        if self._varying and (bound := self._varying.bound):
            return tuple([eaten(bound) if doubt.code == EATEN else doubt for doubt in self._doubts])
        return self._doubts

    @property
    def shape(self) -> Shape:
        """The shape of each row."""
        if (varying := self._varying) is None:
            return self._shape
        changed: dict[str, Any] = {}
        if varying.bound is not None:
            changed["bound"] = varying.bound
        if varying.budget is not None:
            changed["thinking"] = varying.budget
        if varying.schema and varying.is_sized:
            changed["answer"] = rounded(varying.schema.size)
        return self._shape._replace(**changed)


class Entry(Struct, gc=False):
    """What is known of members of these bytes."""

    settings: Settings | None
    """None where a line that has them is to be read exactly."""
    quotes: int
    """Quotation marks in them, their names included."""
    kinds: Kinds | None = None
    """Their tokens, once they have been counted."""


class _Text(Struct, forbid_unknown_fields=True, gc=False):
    text: str


class _System(Struct, forbid_unknown_fields=True, gc=False):
    parts: list[_Text]


_system = msgspec.json.Decoder(_System).decode


_Share = Annotated[float, Meta(ge=0, le=1)] | None
_Penalty = Annotated[float, Meta(ge=-2, le=2)] | None
_Count = Annotated[float, Meta(ge=0, le=10**6)] | None
_Most = Annotated[int, Meta(ge=1, le=2**31 - 1)] | None


class _Numbers(Struct, gc=False):
    """The numbers of a generation_config in either spelling, each in the range that `lint.sampling` gives it.

    In it the verdict on a number is the same, but for what `_Numbers.kind` tells apart.
    """

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: _Share = None
    topP: _Share = None  # noqa: N815 - as Gemini spells it
    top_k: _Count = None
    topK: _Count = None  # noqa: N815 - the same
    seed: Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    presence_penalty: _Penalty = None
    presencePenalty: _Penalty = None  # noqa: N815 - the same
    frequency_penalty: _Penalty = None
    frequencyPenalty: _Penalty = None  # noqa: N815 - the same
    max_output_tokens: _Most = None
    maxOutputTokens: _Most = None  # noqa: N815 - the same

    def present(self) -> tuple[bool, ...]:
        """Which are there."""
        return tuple([number is not None for number in _all_numbers(self)])

    def kind(self) -> Hashable:
        """What the rules tell apart."""
        penalties = self.presence_penalty, self.presencePenalty, self.frequency_penalty, self.frequencyPenalty
        return self.temperature is not None and self.temperature < 1, any(penalties)


_all_numbers = attrgetter(*_Numbers.__struct_fields__)
_NUMBERS = frozenset(_Numbers.__struct_fields__)


_USUAL = Varying()


class _Member(NamedTuple):
    """What verdict and shape depend on of a member of a generation_config that is no number."""

    kind: Hashable
    varying: Varying | None
    quotes: int


class Configs:
    """Takes each generation_config apart: into its numbers, and into the members that were met so far."""

    def __init__(self, reduce: Callable[[str, bytes, Varying], Hashable]) -> None:
        """Know none yet; `reduce` tells what the verdict on a member depends on."""
        self._reduce = reduce
        self._names: list[str] = []
        self._known: list[Memo[_Member]] = []
        self._learn(("response_mime_type", "responseMimeType"))

    def _learn(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._names and name not in _NUMBERS:
                self._names.append(name)
                self._known.append(Memo(self._member(name)))
        fields: list[Any] = [(f"member{n}", Raw, _NONE) for n in range(len(self._names))]
        rename = {f"member{n}": name for n, name in enumerate(self._names)}
        config = msgspec.defstruct("Config", fields, bases=(_Numbers,), gc=False, rename=rename)
        self._decode = msgspec.json.Decoder(config).decode
        self._members = attrgetter(*rename)

    def _member(self, name: str) -> Callable[[bytes], _Member]:
        def known(piece: bytes) -> _Member:
            varying = Varying()
            kind = name, self._reduce(lint.snake(name), piece, varying)
            if lint.snake(name) == "thinking_config":
                varying.thinking = piece
            return _Member(kind, None if varying == _USUAL else varying, 2 + piece.count(b'"'))

        return known

    def read(self, piece: bytes) -> tuple[list[Hashable], Varying, _Numbers] | None:
        """Its kind, what varies, and its numbers; None where one is out of its range, or a member may stand twice."""
        try:
            config = self._decode(piece)
        except FAILURES:
            return None
        present = config.present()
        kind: list[Hashable] = [present]
        varying, quotes = _USUAL, 2 * sum(present)
        for known, raw in zip(self._known, self._members(config), strict=True):
            if raw is not _NONE:
                member = known[bytes(raw)]
                kind.append(member.kind)
                quotes += member.quotes
                if member.varying:
                    varying = member.varying if varying is _USUAL else varying.joined(member.varying)
        if quotes == piece.count(b'"'):
            return kind, varying, config
        named = members_of(piece)
        if len(self._names) > _NAMES or not named.keys() - {*self._names} - _NUMBERS:
            return None
        self._learn(named)
        return self.read(piece)


class SettingsMemo:
    """Judges the members of requests for one model."""

    def __init__(self, model: Model) -> None:
        """Know none yet."""
        self._model = model
        self._entries: dict[bytes, Entry] = {}
        self._size = 0
        self._settings: dict[Hashable, dict[Hashable, Settings] | None] = {}
        self._count = 0
        self._configs = Configs(self._reduce_member)
        self._last: tuple[bytes, Hashable, Varying] = b"", None, _USUAL
        self._thoughts = Memo(lambda piece: thought_tokens({"thinking_config": decoded(piece)}, model))
        self._facts = {name: SchemaFacts(openapi=openapi) for name, openapi in _SCHEMAS.items()}

    def of(self, joined: bytes, members: Callable[[], dict[str, Raw]]) -> Entry:
        """The entry of members; `joined` are their bytes, in which their names are told apart."""
        if (entry := self._entries.get(joined)) is None:
            entry = self._work_out(members())
            self._size += len(joined)
            if len(self._entries) >= _ENTRIES or self._size > _BYTES:
                self._entries.clear()
                self._size = len(joined)
            self._entries[joined] = entry
        return entry

    @property
    def is_full(self) -> bool:
        """Whether it is time to `take` what has been counted."""
        return self._count > _SETTINGS

    def take(self) -> Iterator[Settings]:
        """All settings that rows were counted for, which are forgotten here."""
        alike = [*self._settings.values()]
        self._settings.clear()
        self._entries.clear()
        self._count = 0
        for each in alike:
            yield from (settings for settings in (each or {}).values() if settings.rows)

    def _work_out(self, members: dict[str, Raw]) -> Entry:
        quotes = 2 * len(members) + b"".join(members.values()).count(b'"')
        try:
            kind, varying = self._reduce_request(members)
        except FAILURES:
            return Entry(None, quotes)
        return Entry(self._found(kind, members, varying), quotes)

    def _found(self, kind: Hashable, members: dict[str, Raw], varying: Varying) -> Settings | None:
        """The settings of a row of a kind; the rules run if it is the first."""
        shaped = varying.bound, varying.budget, varying.schema.size if varying.schema else None
        alike = self._settings.get(kind, self)
        if alike is self:
            self._count += 1
            first = self._judged(members)
            self._settings[kind] = first and {shaped: first}
            return first
        if not isinstance(alike, dict):
            return None
        if shaped not in alike:
            self._count += 1
            alike[shaped] = next(iter(alike.values())).varied(varying)
        return alike[shaped]

    def _judged(self, members: dict[str, Raw]) -> Settings | None:
        """Judge members by the rules themselves; None where one of them finds a fault."""
        piece = encode(members)
        if MARK in piece:
            return None
        try:
            request = decode(piece)
        except FAILURES:
            return None
        form = lint.shape({"request": request})
        if form.clash or form.depth > MAX_BRACKETS or repeats_member(piece, encode(request).count(b'"')):
            return None
        verdict = lint.settings(request, self._model)
        if verdict.faults:
            return None
        level = level_of(field(as_object(field(request, "generation_config")), "media_resolution"))
        doubts = (*row_model(request, self._model), *verdict.doubts)
        return Settings(doubts, shape_of(request, self._model), level)

    def _reduce_request(self, members: dict[str, Raw]) -> tuple[Hashable, Varying]:
        kind: list[Hashable] = []
        varying = _USUAL
        for name, raw in members.items():
            piece = bytes(raw)
            if name in ("generation_config", "generationConfig"):
                if piece != self._last[0]:
                    self._last = piece, *self._reduce_config(piece)
                _, reduced, varying = self._last
            else:
                reduced = _reduce(lint.snake(name), piece)
            kind += name, reduced
        return tuple(kind), varying

    def _reduce_config(self, piece: bytes) -> tuple[Hashable, Varying]:
        config = self._configs.read(piece) if piece.startswith(b"{") else None
        if config is None:
            return piece, _USUAL
        kind, varying, numbers = config
        kind.append(numbers.kind())
        if (most := numbers.max_output_tokens or numbers.maxOutputTokens) is not None:
            if most > self._model.most_output or varying.is_opaque or (varying.schema and varying.schema.least > most):
                return piece, _USUAL
            thought = self._thoughts[varying.thinking] if varying.budget is None else varying.budget
            kind.append(thought >= most)
            varying = Varying(most, varying.budget, varying.schema, is_sized=varying.is_sized)
        return tuple(kind), varying

    def _reduce_member(self, plain: str, piece: bytes, varying: Varying) -> Hashable:
        """Reduce a member that is no number."""
        if plain in _SCHEMAS:
            return self._reduce_schema(plain, piece, varying)
        if plain == "thinking_config":
            return self._reduce_thinking(piece, varying)
        if plain == "_response_json_schema":
            varying.is_opaque = True
        elif plain == "response_mime_type":
            varying.is_sized = not _is_enum(piece)
        return _reduce(plain, piece)

    def _reduce_schema(self, plain: str, piece: bytes, varying: Varying) -> Hashable:
        facts = self._facts[plain].of(piece)
        if facts is None or varying.schema:
            varying.is_opaque = True
            return piece
        varying.schema = facts
        return facts.additional

    def _reduce_thinking(self, piece: bytes, varying: Varying) -> Hashable:
        """Leave a budget out that is within the range of the model."""
        model = self._model
        low, high = (1, 2**31) if model.era >= 3 else model.budget or (1, 0)
        members = members_of(piece) if piece.startswith(b"{") else {}
        for name, raw in members.items():
            if lint.snake(name) == "thinking_budget" and is_flat(piece, members):
                budget = _integer(bytes(raw))
                if budget is not None and low <= budget <= high:
                    varying.budget = budget
                    return tuple((other, None if other == name else bytes(members[other])) for other in members)
        return piece


def _reduce(plain: str, piece: bytes) -> Hashable:
    reduce = _REDUCE.get(plain)
    return reduce(piece) if reduce else piece


def _integer(piece: bytes) -> int | None:
    digits = piece.removeprefix(b"-")
    return int(piece) if digits.isdigit() and len(digits) < 12 else None


def _reduce_system(piece: bytes) -> Hashable:
    """Leave the words out."""
    try:
        system = _system(piece)
    except FAILURES:
        return piece
    text = "".join([part.text for part in system.parts])
    inside = text.count('"')
    if not text.strip() or piece.count(b'"') != 2 + 4 * len(system.parts) + inside or (inside and b"u0022" in piece):
        return piece
    return None


def _is_enum(piece: bytes) -> bool:
    return decode(piece) == "text/x.enum"


def _reduce_tools(piece: bytes) -> Hashable:
    """Leave out what declares a function: only its name is looked at."""
    tools = decoded(piece)
    if not isinstance(tools, list) or repeats_member(piece, encode(tools).count(b'"')) or MARK in piece:
        return piece
    names: list[str] = []
    for tool in tools:
        name = next(iter(tool), "") if isinstance(tool, dict) and len(tool) == 1 else ""
        if lint.snake(name) != "function_declarations" or not isinstance(tool[name], list):
            return piece
        if not all([_is_declaration(function) for function in tool[name]]):
            return piece
        names.append(name)
    return tuple(names)


def _is_declaration(function: Any) -> bool:
    if not isinstance(function, dict) or not function.keys() <= _DECLARED or not isinstance(function.get("name"), str):
        return False
    return not {"parameters_json_schema", "parametersJsonSchema"} <= function.keys()


def _reduce_labels(piece: bytes) -> Hashable:
    labels = decoded(piece)
    return piece if repeats_member(piece, encode(labels).count(b'"')) or MARK in piece else isinstance(labels, dict)


def _reduce_stops(piece: bytes) -> Hashable:
    return len(_strings(piece)) if piece.startswith(b"[") else piece


def _reduce_title(piece: bytes) -> Hashable:
    return bool(_words(piece)) if piece.startswith(b'"') else piece


_REDUCE: Mapping[str, Callable[[bytes], Hashable]] = {
    "system_instruction": _reduce_system, "tools": _reduce_tools, "labels": _reduce_labels,
    "stop_sequences": _reduce_stops, "title": _reduce_title,
}  # fmt: skip
