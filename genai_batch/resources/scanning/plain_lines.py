"""Lines that hold a key, turns of text, and members that are judged by `settings`: most lines of most sources.

A typed decoder takes a line without looking at what it does not know. That there is nothing else in it, and no member
twice, shows in the number of its quotation marks: each name and each string has two, and those inside texts are counted
where there are any. A line that holds more marks than its decoded parts account for is not plain.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Raw

from genai_batch.resources import lint
from genai_batch.resources.lint import Fault
from genai_batch.resources.lint.turns import sequence
from genai_batch.resources.models import Model
from genai_batch.resources.preflight.keys import MAX_KEY
from genai_batch.resources.scanning.json_pieces import FAILURES, decode, encode
from genai_batch.resources.scanning.settings import Entry, Kinds, SettingsMemo
from genai_batch.resources.scanning.token_sample import of_texts
from genai_batch.resources.tokens.counting import by_kind

LONG = 1_500
"""Bytes of a line from which on its texts are not decoded."""
_HEAD = 256
_NONE = Raw(b"")
_UNREAD = Entry(None, 0)
_FRAME = 8
"""Quotation marks of the key, its name, and the names of the request and its turns."""


class Batch(NamedTuple):
    """Neighbouring lines: of each its decoded row, and what is known of its settings, None if it is not plain."""

    rows: list[Any]
    entries: list[Entry | None]
    doubts: dict[int, tuple[Fault, ...]]
    """Doubts about the order of the turns, by the index of the line."""


class PlainLines:
    """Reads plain lines of requests to one model."""

    def __init__(self, model: Model, settings: SettingsMemo) -> None:
        """Know the one member that almost every request has."""
        self._model, self._settings = model, settings
        self._turns = "content" if model.kind == "embedding" else "contents"
        self._allowed = (lint.EMBEDDING if model.kind == "embedding" else lint.REQUEST) - {"content", "contents"}
        self._names: list[str] = []
        self._orders: dict[tuple[bool, bool], tuple[Fault, ...] | None] = {}
        self.learn(("task_type", "taskType") if model.kind == "embedding" else ("generation_config", "generationConfig"))

    def learn(self, names: Iterable[str]) -> None:
        """Look at these members of a request too from now on, if they are Gemini's."""
        new = [name for name in names if name not in self._names and lint.snake(name) in self._allowed]
        if new:
            self._names += new
            self._members = attrgetter(*(f"member{n}" for n in range(len(self._names))))
            self._short, self._long = self._decoder(Annotated[str, Meta(min_length=1)]), self._decoder(Raw)

    def _decoder(self, text: Any) -> Callable[[bytes], Any]:
        some, role = Meta(min_length=1), Literal["user", "model"]
        part = msgspec.defstruct("Part", [("text", text)], gc=False)
        parts = Annotated[list[part], some]
        turn = msgspec.defstruct("Turn", [("parts", parts), ("role", role | None, None)], gc=False)
        turns: Any = turn if self._model.kind == "embedding" else Annotated[list[turn], some]
        members = [(f"member{n}", Raw, _NONE) for n in range(len(self._names))]
        rename = {"turns": self._turns, **{f"member{n}": name for n, name in enumerate(self._names)}}
        request = msgspec.defstruct("Request", [("turns", turns), *members], gc=False, rename=rename)
        row = msgspec.defstruct("Row", [("key", str), ("request", request)], gc=False)
        return msgspec.json.Decoder(row).decode

    def read(self, lines: Sequence[bytes], block: bytes, start: int, end: int) -> Batch:
        """Read lines together, which are these bytes of a block."""
        is_long = end - start > LONG * len(lines)
        rows = _decoded(lines, self._long if is_long else self._short)
        batch, expected = self._judged(rows)
        entries = batch.entries
        if not is_long and None not in entries and block.count(b'"', start, end) == sum(expected):
            if are_plain([row.key for row in rows]):
                return batch
        holds = _holds_long if is_long else _holds
        for index, entry in enumerate(entries):
            if entry and not holds(lines[index], rows[index], self.texts(rows[index]), expected[index]):
                entries[index] = None
        return batch

    def kinds(self, row: Any, entry: Entry) -> Kinds:
        """Tokens of a row, its long texts counted by windows."""
        if entry.kinds is None:
            members = self._named(self._members(row.request))
            entry.kinds = by_kind({**decode(encode(members)), self._turns: []}, self._model)
        texts = self.texts(row)
        if texts and not isinstance(texts[0], str):
            texts = [decode(text) for text in texts]
        kinds = of_texts(texts, entry.kinds)
        if "turns" in kinds:
            kinds["turns"] += len(self.turns(row))
        return kinds

    def texts(self, row: Any) -> list[Any]:
        """The texts of a row, as they were decoded."""
        return [part.text for turn in self.turns(row) for part in turn.parts]

    def turns(self, row: Any) -> Sequence[Any]:
        """The turns of a row."""
        turns = row.request.turns
        return turns if isinstance(turns, list) else (turns,)

    def _judged(self, rows: list[Any]) -> tuple[Batch, list[int]]:
        """Judge decoded rows; and of each the quotation marks that it has if it is plain."""
        batch, expected = Batch(rows, [], {}), list[int]()
        entry, last, frame, others, is_list = _UNREAD, None, 0, self._members, self._turns == "contents"
        for row in rows:
            if row is None:
                batch.entries.append(None)
                expected.append(0)
                continue
            request = row.request
            if (members := others(request)) != last:
                entry, last = self._entry(members), members
                frame = _FRAME + entry.quotes
            turns = request.turns if is_list else (request.turns,)
            if len(turns) == 1 and (role := turns[0].role) != "model":
                expected.append(frame + (6 if role else 2) + 4 * len(turns[0].parts))
            else:
                expected.append(frame + sum([(6 if turn.role else 2) + 4 * len(turn.parts) for turn in turns]))
                if not self._order(len(expected) - 1, turns, batch):
                    batch.entries.append(None)
                    continue
            batch.entries.append(entry if entry.settings else None)
        return batch, expected

    def _entry(self, members: tuple[Raw, ...]) -> Entry:
        return self._settings.of(b"\n".join(members), lambda: self._named(members))

    def _named(self, members: Iterable[Raw]) -> dict[str, Raw]:
        return {name: raw for name, raw in zip(self._names, members, strict=True) if raw is not _NONE}

    def _order(self, index: int, turns: Sequence[Any], batch: Batch) -> bool:
        """Note the doubts about the order of turns; whether there is no fault in it."""
        if self._model.kind == "embedding":
            return True
        form = turns[-1].role == "model", len(turns) > 1 and any([turn.role is None for turn in turns])
        if form not in self._orders:
            held = [{"role": turn.role} if turn.role else {} for turn in turns]
            verdict = lint.verdict(sequence(held, self._model))
            self._orders[form] = None if verdict.faults else verdict.doubts
        if doubts := self._orders[form]:
            batch.doubts[index] = doubts
        return doubts is not None


def _decoded(lines: Sequence[bytes], decode: Callable[[bytes], Any]) -> list[Any]:
    """Decode lines; None is one that has another form."""
    rows: list[Any] = []
    left = iter(lines)
    while len(rows) < len(lines):
        try:
            rows.extend(map(decode, left))
        except FAILURES:
            rows.append(None)
    return rows


def _holds(line: bytes, row: Any, texts: list[str], marks: int) -> bool:
    """Whether a line holds so many quotation marks beside those in its key and texts, and its key is good."""
    count = line.count(b'"')
    if count != marks:
        inside = row.key.count('"') + sum([text.count('"') for text in texts])
        if count != marks + inside or b"u0022" in line:
            return False
    return is_good(row.key)


def _holds_long(line: bytes, row: Any, texts: list[Raw], marks: int) -> bool:
    """The same of a line whose texts are not decoded: they are strings of UTF-8, and are left out of the count.

    Wherever the bytes of a string are met in the line, a quotation mark among them has a backslash before it, so none
    of them ends a name or a string.
    """
    start = 0
    for text in map(bytes, texts):
        place = line.find(text[:_HEAD], start)
        if text[:1] != b'"' or text == b'""' or place < 0 or not line.startswith(text, place):
            return False
        marks -= line.count(b'"', start, place + 1)
        start = place + len(text) - 1
    return marks == line.count(b'"', start) and is_good(row.key) and is_utf8(line)


def is_utf8(line: bytes) -> bool:
    """Whether these bytes are UTF-8."""
    if line.isascii():
        return True
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_good(key: str) -> bool:
    """Whether there can be nothing wrong with a key."""
    return key.isprintable() and bool(key.strip()) and len(key.encode()) <= MAX_KEY


def are_plain(keys: list[str]) -> bool:
    """Whether keys are so simple that there can be nothing wrong with any."""
    together = "".join(keys)
    plain = together.isprintable() and " " not in together and all(keys) and max(map(len, keys)) <= MAX_KEY // 4
    return plain or all(map(is_good, keys))
