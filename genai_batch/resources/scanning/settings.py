"""The members of a request beside its turns: their verdict and shape, remembered by what these depend on.

Rows mostly share these members, byte for byte. Where they differ they mostly differ in what no rule looks at: the words
of a system instruction, a seed, a temperature that is within its range. So each member is reduced to what decides its
verdict, and the rules run once for all rows that are the same then. A member that is unknown here is reduced to its
bytes.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

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
    is_deep,
    is_flat,
    members_of,
    repeats_member,
)
from genai_batch.resources.scanning.line_form import ABSENT, SCHEMAS, Form, System
from genai_batch.resources.scanning.memo import Memo
from genai_batch.resources.scanning.schema_facts import SchemaFacts
from genai_batch.resources.schema_sizes import rounded
from genai_batch.resources.shapes import Shape, shape_of
from genai_batch.resources.tokens.media import Resolution, level_of
from genai_batch.resources.triples import Triple
from genai_batch.resources.untyped import as_object, field

Kinds = dict[str, float]
_ENTRIES, _BYTES = 2_048, 4 * 1024 * 1024
_SETTINGS, _RECENT, _PATIENCE = 16_384, 6, 64
_strings = msgspec.json.Decoder(list[str]).decode
_words = msgspec.json.Decoder(str).decode


class Varying(NamedTuple):
    """Values of a row that its shape depends on and its verdict does not."""

    bound: int | None
    budget: int | None
    size: Triple | None


class Settings:
    """What rows share that have the same verdict and shape by their members beside the turns, and how many they are."""

    level: Resolution | None
    """That of the media in the turns."""
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
        if varying.size is not None:
            changed["answer"] = rounded(varying.size)
        return self._shape._replace(**changed)


class Entry(Struct, gc=False):
    """What is known of members of these bytes."""

    settings: Settings | None
    """None where a line that has them is to be read exactly."""
    quotes: int
    """Quotation marks in them, their names included."""
    kinds: Kinds | None = None
    """Their tokens, once they have been counted."""


_ODD = Entry(None, 0)


class _Function(Struct, forbid_unknown_fields=True, gc=False):
    name: str
    description: str | UnsetType = UNSET
    parameters: dict[str, Any] | UnsetType = UNSET
    parameters_json_schema: dict[str, Any] | UnsetType = UNSET
    parametersJsonSchema: dict[str, Any] | UnsetType = UNSET  # noqa: N815 - as Gemini spells it


class _Tool(Struct, forbid_unknown_fields=True, gc=False):
    """A tool that declares functions and does nothing else."""

    function_declarations: list[_Function] | UnsetType = UNSET
    functionDeclarations: list[_Function] | UnsetType = UNSET  # noqa: N815 - the same


_tools = msgspec.json.Decoder(list[_Tool]).decode


class _Member(NamedTuple):
    """What verdict and shape depend on of members that are no numbers, no schemas and no system instruction."""

    kind: int
    """The number of what their verdict depends on."""
    quotes: int
    budget: int | None
    """The thinking budget, where that is remarkable in no way."""
    thought: float
    """Tokens that thinking may well take."""
    is_opaque: bool
    """Whether there is a schema of which nothing is known."""
    is_sized: bool
    """Whether the schema decides how long an answer is."""


class SettingsMemo:
    """Judges the members of requests for one model."""

    def __init__(self, model: Model) -> None:
        """Know none yet."""
        self._model = model
        self._budgets = (1, 2**31) if model.era >= 3 else model.budget or (1, 0)
        self._form: Form | None = None
        self._calls, self._patience = 0, _PATIENCE
        """How many more times it is worth a look whether the same members were met just before."""
        self._recent: deque[tuple[tuple[Any, ...], Entry]] = deque(maxlen=_RECENT)
        self._members: dict[bytes, _Member | None] = {}
        self._kinds: dict[Hashable, int] = {}
        self._thought = thought_tokens({}, model)
        self._bytes = 0
        self._reduced: dict[str, Memo[Hashable]] = {}
        self._settings: dict[Hashable, dict[Hashable, Settings] | None] = {}
        self._odd: dict[bytes, Settings | None] = {}
        self._odd_bytes = 0
        self._count = 0
        self._facts = {name: SchemaFacts(openapi=openapi) for name, openapi in SCHEMAS.items()}

    @property
    def is_full(self) -> bool:
        """Whether it is time to `take` what has been counted."""
        return self._count > _SETTINGS or self._odd_bytes > _BYTES

    def take(self) -> Iterator[Settings]:
        """All settings that rows were counted for, which are forgotten here."""
        alike = [*self._settings.values()]
        odd = [*self._odd.values()]
        self._settings.clear()
        self._odd.clear()
        self._kinds.clear()
        self._members.clear()
        self._recent.clear()
        self._count = self._odd_bytes = 0
        for each in alike:
            yield from (settings for settings in (each or {}).values() if settings.rows)
        yield from (settings for settings in odd if settings and settings.rows)

    def of_bytes(self, piece: bytes) -> Entry:
        """The entry of members that no form decodes, by their bytes."""
        if piece not in self._odd:  # it holds what was counted, so only `take` forgets it
            self._odd[piece] = self._judged(members_of(piece))
            self._odd_bytes += len(piece)
            self._count += 1
        return Entry(self._odd[piece], piece.count(b'"'))

    def of(self, form: Form, members: tuple[Any, ...]) -> Entry:
        """The entry of members that a form has decoded."""
        if self._form is not form:
            self._form = form
            self._members.clear()
            self._recent.clear()
        self._calls += 1
        if self._patience or self._calls % _PATIENCE == 0:
            for known, entry in self._recent:
                if known == members:
                    self._patience = _PATIENCE
                    return entry
            self._patience = max(0, self._patience - 1)
        entry = self._work_out(form, members)
        self._recent.append((members, entry))
        return entry

    def _work_out(self, form: Form, members: tuple[Any, ...]) -> Entry:
        config, camel, system, camelled, *raws = members if form.has_settings else (None, None, None, None, *members)
        spelled = config is None, system is None
        if (config and camel) or (system and camelled):
            return _ODD
        config, system = config or camel, system or camelled
        if config:
            raws += form.others_of(config)
        held = self._member(form, raws, has_config=bool(config))
        marks = _system_quotes(system) if system else 0
        if held is None or marks is None:
            return _ODD
        kind, quotes = (held.kind, spelled, bool(system)), held.quotes + marks
        if config:
            return self._with_config(form, members, config, kind, quotes, held)
        return Entry(self._found(kind, Varying(None, None, None), form, members), quotes)

    def _with_config(
        self, form: Form, members: tuple[Any, ...], config: Any, kind: Hashable, quotes: int, held: _Member
    ) -> Entry:
        """The entry of members with a generation_config: of that the numbers and the schema decide too."""
        numbers = form.numbers_of(config)
        present = tuple([number if number is UNSET or number is None else 0 for number in numbers])
        quotes += 2 + 2 * (len(present) - present.count(UNSET))
        facts, schema = None, None
        for name, raw in zip(form.schemas, form.schemas_of(config), strict=True):
            if raw is not ABSENT:
                if facts or (facts := self._facts[lint.snake(name)].of(bytes(raw))) is None:
                    return _ODD
                quotes += 2 + bytes(raw).count(b'"')
                schema = name, facts.additional
        bound, *remarkable = form.remarkable(numbers)
        if bound is not None:
            if bound > self._model.most_output or held.is_opaque or (facts and facts.least > bound):
                return _ODD
            remarkable.append(held.thought >= bound)
        size = facts.size if facts and held.is_sized else None
        varying = Varying(bound, held.budget, size)
        return Entry(self._found((kind, present, schema, *remarkable), varying, form, members), quotes)

    def _member(self, form: Form, raws: list[Raw], *, has_config: bool) -> _Member | None:
        """What is known of members by their bytes, None where nothing is."""
        joined = b"\n".join(raws)
        if joined not in self._members:
            self._bytes += len(joined)
            if len(self._members) >= _ENTRIES or self._bytes > _BYTES:
                self._members.clear()
                self._bytes = len(joined)
            self._members[joined] = self._take_apart(form, raws, has_config=has_config)
        return self._members[joined]

    def _found(self, kind: Hashable, varying: Varying, form: Form, members: tuple[Any, ...]) -> Settings | None:
        """The settings of a row of a kind; the rules run if it is the first."""
        if kind not in self._settings:
            self._count += 1
            first = self._judged(form.named(members))
            self._settings[kind] = first and {varying: first}
        if (alike := self._settings[kind]) is None:
            return None
        if (settings := alike.get(varying)) is None:
            self._count += 1
            settings = alike[varying] = next(iter(alike.values())).varied(varying)
        return settings

    def _judged(self, members: dict[str, Any]) -> Settings | None:
        """Judge members by the rules themselves; None where one of them finds a fault."""
        piece = encode(members)
        try:
            request = decode(piece)
        except FAILURES:
            return None
        form = lint.shape({"request": request})
        if form.clash or form.depth > MAX_BRACKETS or repeats_member(piece, encode(request).count(b'"')):
            return None
        verdict = lint.settings(request, self._model)
        if verdict.faults or MARK in piece:
            return None
        level = level_of(field(as_object(field(request, "generation_config")), "media_resolution"))
        doubts = (*row_model(request, self._model), *verdict.doubts)
        return Settings(doubts, shape_of(request, self._model), level)

    def _take_apart(self, form: Form, raws: list[Raw], *, has_config: bool) -> _Member | None:
        """Reduce members to what their verdict depends on."""
        names = [*form.names.members, *(form.others if has_config else ())]
        kind: list[Hashable] = []
        quotes, budget, is_opaque, is_sized = 0, None, False, True
        thinking: dict[str, Any] = {}
        try:
            for name, raw in zip(names, raws, strict=True):
                if raw is ABSENT:
                    continue
                plain, piece = lint.snake(name), bytes(raw)
                if plain == "thinking_config":
                    reduced, budget = self._reduce_thinking(piece)
                    thinking = {plain: decoded(piece)}
                else:
                    if plain not in self._reduced:
                        self._reduced[plain] = Memo(_REDUCE.get(plain, _as_it_is))
                    reduced = self._reduced[plain][piece]
                is_opaque = is_opaque or plain == "_response_json_schema"
                is_sized = is_sized and not (plain == "response_mime_type" and _is_enum(piece))
                quotes += 2 + piece.count(b'"')
                kind += name, reduced
        except FAILURES:
            return None
        thought = thought_tokens(thinking, self._model) if thinking else self._thought
        number = self._kinds.setdefault(tuple(kind), len(self._kinds))
        return _Member(number, quotes, budget, thought, is_opaque, is_sized)

    def _reduce_thinking(self, piece: bytes) -> tuple[Hashable, int | None]:
        """Leave a budget out that is within the range of the model."""
        members = members_of(piece) if piece.startswith(b"{") else {}
        for name, raw in members.items():
            if lint.snake(name) == "thinking_budget" and is_flat(piece, members):
                budget = _integer(bytes(raw))
                if budget is not None and self._budgets[0] <= budget <= self._budgets[1]:
                    others = tuple((other, None if other == name else bytes(members[other])) for other in members)
                    return others, budget
        return piece, None


def _system_quotes(system: System) -> int | None:
    """Quotation marks of a system instruction; None where it says nothing."""
    text = "".join([part.text for part in system.parts])
    if not text.strip():
        return None
    return 4 + 4 * len(system.parts) + text.count('"') + (0 if system.role is UNSET else 4)


def _as_it_is(piece: bytes) -> Hashable:
    return piece


def _integer(piece: bytes) -> int | None:
    digits = piece.removeprefix(b"-")
    return int(piece) if digits.isdigit() and len(digits) < 12 else None


def _is_enum(piece: bytes) -> bool:
    return decode(piece) == "text/x.enum"


def _reduce_tools(piece: bytes) -> Hashable:
    """Leave out what declares a function: only that it has a name is looked at."""
    if MARK in piece or is_deep(piece):
        return piece
    try:
        tools = _tools(piece)
    except FAILURES:
        return piece
    for tool in tools:
        functions = tool.function_declarations or tool.functionDeclarations or []
        if not (tool.function_declarations is UNSET or tool.functionDeclarations is UNSET):
            return piece
        for function in functions:
            if not (function.parameters_json_schema is UNSET or function.parametersJsonSchema is UNSET):
                return piece
    if repeats_member(piece, encode(tools).count(b'"')):
        return piece
    return tuple([(tool.function_declarations is UNSET, tool.functionDeclarations is UNSET) for tool in tools])


def _reduce_labels(piece: bytes) -> Hashable:
    labels = decoded(piece)
    return piece if repeats_member(piece, encode(labels).count(b'"')) or MARK in piece else isinstance(labels, dict)


def _reduce_stops(piece: bytes) -> Hashable:
    return len(_strings(piece)) if piece.startswith(b"[") else piece


def _reduce_title(piece: bytes) -> Hashable:
    return bool(_words(piece)) if piece.startswith(b'"') else piece


_REDUCE: Mapping[str, Callable[[bytes], Hashable]] = {
    "tools": _reduce_tools, "labels": _reduce_labels,
    "stop_sequences": _reduce_stops, "title": _reduce_title,
}  # fmt: skip
