"""What an answer holds beside its text: thoughts, logprobs, sources, further candidates, the members of its JSON.

Each kind that comes up becomes a field of the export. None takes a name that the user's fields or ours have: it gets
`answer_` before its own.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

import msgspec

from genai_batch.resources import outcomes
from genai_batch.resources.answers import brief
from genai_batch.resources.untyped import as_list, as_object, is_object

MAX_COLUMNS = 500
"""Members of structured answers that become fields; further ones stand in the text alone."""
DEEPEST = 8
"""Objects within objects whose members become fields."""
_SHOWN = 5
_CANDIDATE = {
    "avgLogprobs": "avg_logprobs", "logprobsResult": "logprobs", "groundingMetadata": "grounding",
    "citationMetadata": "citations", "urlContextMetadata": "url_context",
}  # fmt: skip
"""What is exported of a candidate as it came, by the name that it gets."""
_INT64 = 2**63
Path = tuple[str, ...]
_decode = msgspec.json.Decoder().decode


class Details:
    """Fields of answers, each under one name in the whole export. `types` are those of the values of each field."""

    def __init__(self, taken: Callable[[], Iterable[str]], *, members: bool) -> None:
        """Take none of the `taken` names, asked for once needed; with `members`, JSON answers become fields too."""
        self._find_taken, self.has_members = taken, members
        self._names: dict[Path, str] = {}
        self._is_full = False
        self.types: dict[str, set[type]] = {}

    def of(self, response: dict[str, Any], text: str | None, media: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the fields of one answer; its `text` where it is ok, and its `media` as they are exported."""
        fields: dict[str, Any] = {}
        for path, value in self._values(response, text, media):
            if name := self._name(path):
                fields[name] = value
                self.types[name].add(type_of(value))
        return fields

    @property
    def notice(self) -> str | None:
        """What a reader has to know of the names; None where nothing is to be said."""
        renamed = [f"{brief('.'.join(path), 60)} is {brief(name, 60)}"
                   for path, name in self._names.items() if name != ".".join(path)]  # fmt: skip
        notes: list[str] = []
        if renamed:
            more = f" and {len(renamed) - _SHOWN} more" if len(renamed) > _SHOWN else ""
            notes.append(f"Names that were taken got a prefix: {', '.join(renamed[:_SHOWN])}{more}.")
        if self._is_full:
            notes.append(f"Answers have more than {MAX_COLUMNS} members; further ones stand in text alone.")
        return " ".join(notes) or None

    @cached_property
    def _taken(self) -> set[str]:
        return {name.lower() for name in self._find_taken()}

    def declare(self, path: Path, kind: type) -> None:
        """Have a field for a member that answers are to have, of the type that their schema says."""
        if name := self._name(path):
            self.types[name].add(kind)

    def _values(self, response: dict[str, Any], text: str | None, media: list[Any]) -> Iterator[tuple[Path, Any]]:
        candidates = [as_object(candidate) for candidate in as_list(response.get("candidates"))]
        if candidates:
            yield from _of_candidate(candidates[0])
        for number, candidate in enumerate(candidates[1:], 2):
            if other := outcomes.text({"candidates": [candidate]}):
                yield (f"text_{number}",), other
        if media and text is not None:
            yield ("parts",), list(_in_order(response, media))
        if self.has_members and text and text.lstrip()[:1] == "{":
            yield from _members(text)

    def _name(self, path: Path) -> str | None:
        """Return the one name of a field; None for one more than there may be."""
        if path in self._names:
            return self._names[path]
        if len(self._names) >= MAX_COLUMNS:
            self._is_full = True
            return None
        plain = ".".join(path).replace("\0", "") or "_"
        name, number = plain, 1
        while name.lower() in self._taken:
            name = f"answer_{plain}" + f"_{number}" * (number > 1)
            number += 1
        self._taken.add(name.lower())
        self._names[path] = name
        self.types[name] = set()
        return name


def _of_candidate(candidate: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
    parts = as_list(as_object(candidate.get("content")).get("parts"))
    thoughts = [part["text"] for part in map(as_object, parts) if part.get("thought") and part.get("text")]
    if thoughts:
        yield ("thoughts",), "".join(map(str, thoughts))
    for name, ours in _CANDIDATE.items():
        if (value := candidate.get(name)) not in (None, {}):
            yield (ours,), value


def _in_order(response: dict[str, Any], media: list[Any]) -> Iterator[Any]:
    """Yield texts and media as they follow each other in an answer."""
    left = iter(media)
    for part in outcomes.parts(response):
        if isinstance(part.get("text"), str) and part["text"]:
            yield {"text": part["text"]}
        elif outcomes.media({"candidates": [{"content": {"parts": [part]}}]}):
            yield next(left, None)


def _members(text: str) -> Iterator[tuple[Path, Any]]:
    """Yield the members of an answer in JSON, those of objects within it too."""
    try:
        answer = _decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return
    if is_object(answer):
        yield from _flat(answer, ())


def _flat(answer: dict[str, Any], above: Path) -> Iterator[tuple[Path, Any]]:
    for name, value in answer.items():
        path = (*above, name)
        if is_object(value) and value and len(path) < DEEPEST:
            yield from _flat(value, path)
        else:
            yield path, value


def type_of(value: Any) -> type:
    """Return the type of the column that holds a value; one of str holds whatever is no number and no truth."""
    if isinstance(value, bool) or value is None:
        return type(value)
    if isinstance(value, int):
        return int if -_INT64 <= value < _INT64 else str
    return float if isinstance(value, float) else str
