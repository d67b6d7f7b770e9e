"""What a line is decoded into: the members of a request that were met so far, each under the type it should have.

msgspec fills a field for every member that it knows, so it is told only of those that a source has. A line that holds
others shows it by its quotation marks (see `plain_lines`); then a form that knows them too takes over.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from genai_batch.resources import lint
from genai_batch.resources.lint.fields import EMBEDDING, REQUEST
from genai_batch.resources.untyped import as_list, as_object

ABSENT = Raw(b"")
SCHEMAS = {"response_schema": True, "response_json_schema": False}
"""The members that hold a schema; whether it is one of OpenAPI."""
_MOST = 64
_SHARE = Annotated[float, Meta(ge=0, le=1)]
_PENALTY = Annotated[float, Meta(ge=-2, le=2)]
_NUMBERS: Mapping[str, Any] = {
    "temperature": Annotated[float, Meta(ge=0, le=2)],
    "top_p": _SHARE,
    "top_k": Annotated[float, Meta(ge=0, le=10**6)],
    "seed": Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)],
    "logprobs": Annotated[int, Meta(ge=0, le=20)],
    "presence_penalty": _PENALTY,
    "frequency_penalty": _PENALTY,
    "max_output_tokens": Annotated[int, Meta(ge=1, le=2**31 - 1)],
}
"""The numbers of a generation_config, each in the range that `lint.sampling` gives it."""
_PARTS = frozenset({"file_data", "function_call", "function_response"})
_TYPED = ("generation_config", "generationConfig", "system_instruction", "systemInstruction")


class _Text(Struct, forbid_unknown_fields=True, gc=False):
    text: str


class System(Struct, forbid_unknown_fields=True, gc=False):
    """A system instruction of texts."""

    parts: list[_Text]
    role: str | UnsetType = UNSET


def has_quotes(request: Any) -> bool:
    """Whether quotation marks stand in the system instruction of a decoded request."""
    systems = [getattr(request, name, None) for name in _TYPED[2:]]
    return any('"' in part.text for system in systems if system for part in system.parts)


class Names(NamedTuple):
    """Names that were met: in requests, in their generation_config, and in parts that are not text."""

    members: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    def with_those_of(self, request: Mapping[str, Any], *, is_embedding: bool) -> "Names":
        """These names and those of a request, as far as they are Gemini's."""
        allowed = (EMBEDDING if is_embedding else REQUEST) - {"content", "contents"}
        members = [name for name in request if name not in _TYPED and lint.snake(name) in allowed]
        settings = [
            name
            for config in ("generation_config", "generationConfig")
            for name in as_object(request.get(config))
            if lint.snake(name) in lint.GENERATION
        ]
        parts = [name for name in _names_of_parts(request) if lint.snake(name) in _PARTS]
        return Names(_joined(self.members, members), _joined(self.settings, settings), _joined(self.parts, parts))


def _joined(names: tuple[str, ...], more: Iterable[str]) -> tuple[str, ...]:
    joined = tuple(dict.fromkeys((*names, *more)))
    return joined if len(joined) <= _MOST else names


def _names_of_parts(request: Mapping[str, Any]) -> Iterator[str]:
    for turn in as_list(request.get("contents")) or [request.get("content")]:
        for part in as_list(as_object(turn).get("parts")):
            yield from as_object(part)


class Form:
    """Decoders of lines that hold these names, and getters of what they decode.

    `short` decodes a line, `long` one whose texts are left as they are, `alone` a request without its turns.
    """

    def __init__(self, names: Names, *, is_embedding: bool) -> None:
        """Make the decoders."""
        self.names, self._is_embedding, self.has_settings = names, is_embedding, not is_embedding
        self.numbered = [name for name in names.settings if lint.snake(name) in _NUMBERS]
        self.schemas = [name for name in names.settings if lint.snake(name) in SCHEMAS]
        self.others = [name for name in names.settings if name not in self.numbered and name not in self.schemas]
        self._bounds = self._places_of("max_output_tokens")
        self._temperatures = self._places_of("temperature")
        self._penalties = self._places_of("presence_penalty", "frequency_penalty")
        config = self._config()
        request = [
            *((name, config | None, None) for name in _TYPED[:2]),
            *((name, System | None, None) for name in _TYPED[2:]),
        ]
        if is_embedding:
            request = []
        members = [(f"member{n}", Raw, ABSENT) for n in range(len(names.members))]
        self._rename = {f"member{n}": name for n, name in enumerate(names.members)}
        self._fields: list[Any] = [*request, *members]
        self.short, self.long = self._line(str, names.parts), self._line(Raw, ())
        self.alone = msgspec.json.Decoder(self._struct("Request", self._fields, self._rename)).decode
        self.members = _getter([field[0] for field in self._fields])
        self.parts = _getter(["text", *(f"part{n}" for n in range(len(names.parts)))])
        self.no_parts = (ABSENT,) * len(names.parts)

    def _places_of(self, *plain: str) -> list[int]:
        return [place for place, name in enumerate(self.numbered) if lint.snake(name) in plain]

    def named(self, members: tuple[Any, ...]) -> dict[str, Any]:
        """Members by their names, those left out that are not there."""
        names = [*(_TYPED if self.has_settings else ()), *self.names.members]
        return {
            name: member
            for name, member in zip(names, members, strict=True)
            if member is not None and member is not ABSENT
        }

    def remarkable(self, numbers: tuple[Any, ...]) -> tuple[int | None, bool, bool]:
        """What the rules tell apart: `max_output_tokens`, whether the temperature is below 1, and any penalty."""
        bound, is_cool, has_penalty = None, False, False
        for place in self._bounds:
            bound = numbers[place] or bound
        for place in self._temperatures:
            if (temperature := numbers[place]) is not UNSET and temperature is not None:
                is_cool = temperature < 1
        for place in self._penalties:
            has_penalty = has_penalty or bool(numbers[place])
        return bound or None, is_cool, has_penalty

    def _config(self) -> Any:
        unset = None | UnsetType
        numbers = [(f"number{n}", _NUMBERS[lint.snake(name)] | unset, UNSET) for n, name in enumerate(self.numbered)]
        schemas = [(f"schema{n}", Raw, ABSENT) for n in range(len(self.schemas))]
        others = [(f"other{n}", Raw, ABSENT) for n in range(len(self.others))]
        rename = {
            field[0]: name
            for field, name in zip(
                [*numbers, *schemas, *others], [*self.numbered, *self.schemas, *self.others], strict=True
            )
        }
        self.numbers_of = _getter([field[0] for field in numbers])
        self.schemas_of = _getter([field[0] for field in schemas])
        self.others_of = _getter([field[0] for field in others])
        return self._struct("Config", [*numbers, *schemas, *others], rename)

    def _line(self, text: Any, kinds: tuple[str, ...]) -> Callable[[bytes], Any]:
        some, role = Meta(min_length=1), Literal["user", "model"]
        text = Annotated[text, some] if text is str else text
        held: list[Any] = [("text", text, ""), *((f"part{n}", Raw, ABSENT) for n in range(len(kinds)))]
        part = self._struct(
            "Part", held if kinds else [("text", text)], {f"part{n}": name for n, name in enumerate(kinds)}
        )
        turn = self._struct("Turn", [("parts", Annotated[list[part], some]), ("role", role | None, None)])
        turns: Any = turn if self._is_embedding else Annotated[list[turn], some]
        rename = {"turns": "content" if self._is_embedding else "contents", **self._rename}
        request = self._struct("Request", [("turns", turns), *self._fields], rename)
        return msgspec.json.Decoder(self._struct("Row", [("key", str), ("request", request)])).decode

    @staticmethod
    def _struct(name: str, fields: list[Any], rename: dict[str, str] | None = None) -> Any:
        return msgspec.defstruct(name, fields, gc=False, omit_defaults=True, rename=rename)


def _getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Make a getter of a tuple, however many names there are."""
    if len(names) > 1:
        return attrgetter(*names)
    if not names:
        return lambda _: ()
    name = attrgetter(*names)
    return lambda held: (name(held),)
