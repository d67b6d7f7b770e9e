"""Lines that hold a key, turns of text, and members that are judged by `settings`: most lines of most sources.

A typed decoder takes a line without looking at what it does not know. That there is nothing else in it, and no member
twice, shows in the number of its quotation marks: each name and each string has two, and those inside texts are counted
where there are any. A line that holds more marks than its decoded parts account for is not plain.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

from msgspec import Raw

from genai_batch.resources.lines import is_utf8
from genai_batch.resources.lint.media import VIDEOS
from genai_batch.resources.models import Model
from genai_batch.resources.preflight.keys import MAX_KEY
from genai_batch.resources.scanning.json_pieces import FAILURES, decode, encode
from genai_batch.resources.scanning.line_form import ABSENT, Form, Names, has_quotes
from genai_batch.resources.scanning.settings import Entry, Kinds, Settings, SettingsMemo
from genai_batch.resources.scanning.token_sample import of_texts
from genai_batch.resources.scanning.turns import Said, TurnsMemo, holds_films, together
from genai_batch.resources.tokens.counting import by_kind

LONG = 1_500
"""Bytes of a line from which on its texts are not decoded."""
_HEAD = 256
_UNREAD = Entry(None, 0)
_FRAME = 8
"""Quotation marks of the key, its name, and the names of the request and its turns."""


class Batch(NamedTuple):
    """Neighbouring lines: of each its decoded row, and what is known of its settings, None if it is not plain."""

    rows: list[Any]
    entries: list[Entry | None]
    said: dict[int, Said]
    """What there is to say of turns that are not of the usual form, by the index of the line."""
    more: dict[int, tuple[Entry, int]]
    """Lines that are plain but for columns, if they have any: what is known of their settings, and the quotation marks
    of what is sent."""
    form: Form

    @classmethod
    def of_none(cls, lines: int, form: Form) -> Self:
        """Take no line for plain."""
        return cls([None] * lines, [None] * lines, {}, {}, form)


class PlainLines:
    """Reads plain lines of requests to one model."""

    def __init__(self, model: Model, settings: SettingsMemo, turns: TurnsMemo) -> None:
        """Know no member yet but the turns."""
        self._model, self._settings, self._memo = model, settings, turns
        self._is_embedding = model.kind == "embedding"
        self.form = Form(Names(), is_embedding=self._is_embedding)

    def learn(self, request: Mapping[str, Any]) -> bool:
        """Look at the members of this request too from now on, as far as they are Gemini's; whether any is new."""
        names = self.form.names.with_those_of(request, is_embedding=self._is_embedding)
        if names == self.form.names:
            return False
        self.form = Form(names, is_embedding=self._is_embedding)
        return True

    def read(self, lines: Sequence[bytes], block: bytes, start: int, end: int) -> Batch:
        """Read lines together, which are these bytes of a block."""
        is_long = end - start > LONG * len(lines)
        batch, expected = self._judged(_decoded(lines, self.form.long if is_long else self.form.short), is_long=is_long)
        if not is_long and self._hold(batch, block, start, end, sum(expected)):
            return batch
        for index, entry in enumerate(batch.entries):
            if entry and not self._holds(batch, index, lines[index], expected[index], is_long=is_long):
                batch.entries[index] = None
        return batch

    @staticmethod
    def _hold(batch: Batch, block: bytes, start: int, end: int, marks: int) -> bool:
        """Whether all lines together hold no more than was decoded, so that each has to be as it seems."""
        if None in batch.entries or block.count(b'"', start, end) != marks:
            return False
        has_escapes = block.find(b"\\", start, end) >= 0 and block.find(b"u0022", start, end) >= 0
        return not has_escapes and are_plain([row.key for row in batch.rows])

    def _holds(self, batch: Batch, index: int, line: bytes, marks: int, *, is_long: bool) -> bool:
        """Whether a line holds no more than was decoded; if not, it may be because of columns."""
        row, entry = batch.rows[index], batch.entries[index]
        if not is_good(row.key):
            return False
        if is_long:
            is_written_out = not has_quotes(row.request) or b"u0022" not in line
            return is_written_out and _holds_long(line, self.texts(row), marks)
        if (count := line.count(b'"')) != marks:
            marks += row.key.count('"') + sum([text.count('"') for text in self.texts(row)])
        if count == marks and (b"\\" not in line or b"u0022" not in line):
            return True
        if entry:
            batch.more[index] = entry, marks
        return False

    def kinds(self, row: Any, entry: Entry, form: Form) -> Kinds:
        """Tokens of a row of texts, long ones counted by windows."""
        if entry.kinds is None:
            members = decode(encode(form.named(form.members(row.request))))
            entry.kinds = by_kind({**members, "content" if self._is_embedding else "contents": []}, self._model)
        texts = self.texts(row)
        if not isinstance(texts[0], str):
            texts = [decode(text) for text in texts]
        kinds = of_texts(texts, entry.kinds)
        if "turns" in kinds:
            kinds["turns"] += len(self.turns(row))
        return kinds

    def texts(self, row: Any) -> list[Any]:
        """The texts of a row, as they were decoded."""
        return [part.text for turn in self.turns(row) for part in turn.parts if part.text]

    def turns(self, row: Any) -> Sequence[Any]:
        """The turns of a row."""
        return (row.request.turns,) if self._is_embedding else row.request.turns

    def _judged(self, rows: list[Any], *, is_long: bool) -> tuple[Batch, list[int]]:
        """Judge decoded rows; and of each the quotation marks that it has if it is plain."""
        batch, expected = Batch(rows, [], {}, {}, self.form), list[int]()
        form, is_list, entry, last, frame = self.form, not self._is_embedding, _UNREAD, None, 0
        kinds, others = form.names.parts and not is_long, form.members
        for row in rows:
            if row is None:
                batch.entries.append(None)
                expected.append(0)
                continue
            request = row.request
            if (members := others(request)) != last:
                entry, last = self._settings.of(form, members), members
                frame = _FRAME + entry.quotes
            turns = request.turns if is_list else (request.turns,)
            marks, settings = frame, entry.settings
            for turn in turns:
                marks += (6 if turn.role else 2) + 4 * len(turn.parts)
            if settings and (kinds or len(turns) > 1 or turns[0].role == "model"):
                more = self._said(turns, settings, batch) if kinds else self._order(turns, batch)
                if more is None:
                    settings = None
                else:
                    marks += more
            expected.append(marks)
            batch.entries.append(entry if settings else None)
        return batch, expected

    def _order(self, turns: Sequence[Any], batch: Batch) -> int | None:
        """Note the doubts about the order of turns; None where there is a fault in it."""
        doubts = self._memo.order(tuple([turn.role or 0 for turn in turns]))
        if doubts:
            batch.said[len(batch.entries)] = Said(doubts, {}, is_text=True)
        return None if doubts is None else 0

    def _said(self, turns: Sequence[Any], settings: Settings, batch: Batch) -> int | None:
        """Note what there is to say of turns; how many more quotation marks they have than if all were text.

        None where a part is not known well.
        """
        more, said, form = 0, list[Said](), self.form
        for turn in turns:
            for part in turn.parts:
                text, *held = form.parts(part)
                if tuple(held) == form.no_parts:
                    if not text:
                        return None
                    continue
                if text or (found := self._part(held, settings)) is None:
                    return None
                said.append(found[0])
                more += found[1] - 4
        if not said:
            return self._order(turns, batch)
        doubts = self._memo.order(tuple([turn.role or 0 for turn in turns]))
        if doubts is None or (len(said) > VIDEOS and holds_films(said)):
            return None
        batch.said[len(batch.entries)] = together(said, doubts)
        return more

    def _part(self, held: list[Raw], settings: Settings) -> tuple[Said, int] | None:
        """What there is to say of a part that is not text, and its quotation marks."""
        present = [(name, raw) for name, raw in zip(self.form.names.parts, held, strict=True) if raw is not ABSENT]
        if len(present) != 1:
            return None
        name, piece = present[0][0], bytes(present[0][1])
        said = None if b"local:" in piece else self._memo.piece(name, piece, settings.level)
        return said and (said, 2 + piece.count(b'"'))


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


def _holds_long(line: bytes, texts: list[Raw], marks: int) -> bool:
    """Whether a line holds so many quotation marks beside its texts, which are strings of UTF-8 not yet decoded.

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
    return marks == line.count(b'"', start) and is_utf8(line)


def is_good(key: str) -> bool:
    """Whether there can be nothing wrong with a key."""
    return key.isprintable() and bool(key.strip()) and len(key.encode()) <= MAX_KEY


def are_plain(keys: list[str]) -> bool:
    """Whether keys are so simple that there can be nothing wrong with any."""
    together = "".join(keys)
    plain = together.isprintable() and " " not in together and all(keys) and max(map(len, keys)) <= MAX_KEY // 4
    return plain or all(map(is_good, keys))
