"""Lines with columns beside the request, or with parts that are not text: decoded whole, and judged piece by piece."""

from typing import Any, NamedTuple

from genai_batch.resources import lint
from genai_batch.resources.lines import columns_verdict, parted, repeated, without_media
from genai_batch.resources.lint import Fault, Verdict
from genai_batch.resources.lint.media import INLINE
from genai_batch.resources.local_files import MARK, LocalFiles, named_in
from genai_batch.resources.models import Model
from genai_batch.resources.scanning.json_pieces import (
    FAILURES,
    decode,
    encode,
    is_deep,
    repeats_member,
)
from genai_batch.resources.scanning.plain_lines import PlainLines, is_good
from genai_batch.resources.scanning.settings import Entry, SettingsMemo
from genai_batch.resources.scanning.turns import Said, TurnsMemo
from genai_batch.resources.untyped import is_object

LONG = 32 * 1024
"""Bytes of a line from which on it is not encoded again to look for repeated members, since it holds media."""
_SHAPES = 1_024


class Rich(NamedTuple):
    """A line without a fault. `sent` and `extra` are what goes to Gemini and what stays here, without newlines."""

    key: str
    request: dict[str, Any]
    entry: Entry
    said: Said
    beside: tuple[Fault, ...]
    sent: bytes
    extra: bytes


class Columns(NamedTuple):
    """A line that is plain but for its columns, parted; and the doubts about their names."""

    sent: bytes
    extra: bytes
    doubts: tuple[Fault, ...]


class RichLines:
    """Reads lines of requests to one model, which may name `files`."""

    def __init__(
        self, model: Model, settings: SettingsMemo, turns: TurnsMemo, plain: PlainLines, files: LocalFiles | None = None
    ) -> None:
        """Know nothing yet; `plain` knows which members there are, and is told of more."""
        self._settings, self._turns, self._plain, self._files = settings, turns, plain, files
        self._turns_in, self._other = ("content", "contents") if model.kind == "embedding" else ("contents", "content")
        self._columns: dict[tuple[str, ...], Verdict] = {}

    def read(self, line: bytes) -> Rich | None:
        """Read a line; None where it has a fault, or whenever it may have one."""
        if len(line) > INLINE:
            return None
        try:
            value = decode(line)
        except FAILURES:
            return None
        if not is_object(value):
            return None
        key, request = value.get("key"), value.get("request")
        if not isinstance(key, str) or not is_good(key) or not is_object(request) or self._other in request:
            return None
        beside = self._beside(tuple(value))
        members = {name: member for name, member in request.items() if name != self._turns_in}
        entry = self._entry(encode(members), request)
        if beside.faults or entry.settings is None:
            return None
        turns = request.get(self._turns_in)
        said = self._turns.judge([turns] if self._turns_in == "content" else turns, entry.settings.level)
        if said is None:
            return None
        sent, extra = parted(value) if len(value) > 2 else (b"", b"")
        if not self._is_exact(line, value, sent, extra):
            return None
        return Rich(key, request, entry, said, beside.doubts, sent, extra)

    def _entry(self, members: bytes, request: dict[str, Any]) -> Entry:
        """What is known of the members of a request, encoded without its turns."""
        quotes = members.count(b'"')
        is_new = True
        while is_new:
            form = self._plain.form
            try:
                entry = self._settings.of(form, form.members(form.alone(members)))
            except FAILURES:
                break
            if entry.settings and entry.quotes == quotes:
                return entry
            is_new = self._plain.learn(request)
        return self._settings.of_bytes(members)

    def columns(self, line: bytes, quotes: int) -> Columns | None:
        """Part a line of which the request is known to be good, if `quotes` marks are all that is sent with its key."""
        try:
            value = decode(line)
        except FAILURES:
            return None
        beside = self._beside(tuple(value))
        if beside.faults or len(value) == 2:
            return None
        sent = encode({"key": value["key"], "request": value.pop("request")})
        extra = encode(value)
        if sent.count(b'"') != quotes or b"local:" in extra or is_deep(extra):
            return None
        if repeats_member(line, quotes + extra.count(b'"') - _key_quotes(value)):
            return None
        return Columns(sent, extra, beside.doubts)

    def _beside(self, names: tuple[str, ...]) -> Verdict:
        """What there is to say of the names that stand beside the request."""
        if names not in self._columns:
            if len(self._columns) >= _SHAPES:
                self._columns.clear()
            self._columns[names] = columns_verdict(names)
        return self._columns[names]

    def _is_exact(self, line: bytes, value: dict[str, Any], sent: bytes, extra: bytes) -> bool:
        """Whether no member stands twice, nothing is nested too deep, and every local file is known."""
        if len(line) > LONG:
            form, bare = lint.shape(value), without_media(line, value)
            if form.depth > lint.MAX_DEPTH or form.clash or repeated(bare, form.members):
                return False
            return MARK not in bare or self._are_known(bare)
        if is_deep(line) and lint.shape(value).depth > lint.MAX_DEPTH:
            return False
        quotes = sent.count(b'"') + extra.count(b'"') - _key_quotes(value) if sent else encode(value).count(b'"')
        return not repeats_member(line, quotes) and (b"local:" not in line or self._are_known(line))

    def _are_known(self, line: bytes) -> bool:
        return all(self._files and self._files.find(content) for content in named_in(line))


def _key_quotes(value: dict[str, Any]) -> int:
    """Quotation marks of the key, which is both sent and kept."""
    return 4 + value["key"].count('"')
