"""Asking the index: by key, by the order of the requests, by outcome, by the beginning of a key."""

import json
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from genai_batch.resources.jobs import OUTCOMES, Outcome
from genai_batch.resources.lines import MAX_KEY

_ROW = """
SELECT line, key, outcome, offset, length, finish_reason, input_tokens, output_tokens, thinking_tokens, cached_tokens,
       cost_usd, attempt, error_code, has_media, request_offset, check_message, sent_as
FROM rows
"""
_ABOUT = "SELECT name, value FROM about"
_TOTALS = """
SELECT outcome, error_code, rows, input_tokens, output_tokens, thinking_tokens, cached_tokens FROM totals
"""
_COLUMNS = """
SELECT line, length, input_tokens, output_tokens, thinking_tokens FROM rows
WHERE line > ? AND outcome <> 'missing' AND sent_as IS NULL ORDER BY line LIMIT ?
"""
_FIRST_KEYS = """
SELECT line, key FROM rows WHERE key >= CAST(? AS TEXT) AND key < CAST(? AS TEXT) LIMIT ?
"""
_KEYS_IN_ORDER = """
SELECT key FROM rows NOT INDEXED WHERE key >= CAST(? AS TEXT) AND key < CAST(? AS TEXT) ORDER BY line LIMIT ?
"""
_KEY_BEFORE = "SELECT key FROM rows WHERE key <= CAST(? AS TEXT) ORDER BY key DESC LIMIT 1"
_KEY_BEHIND = "SELECT key FROM rows WHERE key >= CAST(? AS TEXT) ORDER BY key LIMIT 1"
_AT_ONCE = 10_000
_FEW = 5_000
"""Keys that are sorted to find the first of them; where more begin alike, the first come soon in any case."""
_NEAR = 100


class Torn(Exception):
    """The file is not as it was written."""


class Entry(NamedTuple):
    """What is known of one request, by its 1-based number `n`.

    `offset` and `length` are bytes in results.jsonl, which a missing row has not; `request` is where the line begins in
    requests.jsonl. `cost` is USD, exactly; `attempt` the one the row came from, 0 for a missing one; `error` the code
    or name of what went wrong; `media` whether there are pictures or sounds; `check` what a check said of an answer
    that it turned down. `sent_as` is the key of the row whose request is equal and was sent in its place, if one was.
    """

    n: int
    key: str
    outcome: Outcome
    offset: int | None
    length: int | None
    finish_reason: str | None
    input: int | None
    output: int | None
    thinking: int | None
    cached: int | None
    cost: str | None
    attempt: int
    error: str | None
    media: bool
    request: int
    check: str | None
    sent_as: str | None = None

    @property
    def sent_key(self) -> str:
        """The key under which its request was sent."""
        return self.sent_as or self.key


class Total(NamedTuple):
    """How many rows that were sent ended with an outcome and a code of an error, and their tokens."""

    outcome: Outcome
    error: str | None
    rows: int
    input: int
    output: int
    thinking: int
    cached: int


class Columns(NamedTuple):
    """The bytes and the tokens of some rows that answer a request."""

    length: tuple[int, ...]
    input: tuple[int, ...]
    output: tuple[int, ...]
    thinking: tuple[int, ...]


class Index:
    """An index that was made. Every answer raises `Torn` where the file is not as it was written."""

    def __init__(self, path: Path) -> None:
        """Open it; a file that was written to since it was made counts as torn.

        It is never changed, only replaced, so it is read without locks, and by one thread at a time.
        """
        with _torn():
            uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
            self._db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        try:
            with _torn():
                self.about: dict[str, Any] = {name: json.loads(value) for name, value in self._rows(_ABOUT)}
            self._need_unchanged(path)
        except BaseException:
            self._db.close()
            raise

    def _need_unchanged(self, path: Path) -> None:
        with _torn():
            changed_at = path.stat().st_mtime
        if changed_at != self.about.get("made_at"):
            raise Torn(f"{path} was changed")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def find(self, key: str) -> Entry | None:
        """The entry of a key."""
        entries = self._entries(f"{_ROW} WHERE key = ?", key.encode(errors="replace").decode())
        return next((entry for entry in entries if entry.key == key), None)

    def page(self, outcome: Outcome | None, after: int, limit: int) -> list[Entry]:
        """Entries in the order of the requests, behind number `after`."""
        if outcome is None:
            return self._entries(f"{_ROW} WHERE line > ? ORDER BY line LIMIT ?", after, limit)
        indexed = "" if outcome == "ok" else "AND outcome <> 'ok'"
        sql = f"{_ROW} WHERE outcome = ? {indexed} AND line > ? ORDER BY line LIMIT ?"
        return self._entries(sql, outcome, after, limit)

    def totals(self) -> list[Total]:
        """How all rows ended, missing ones too."""
        return [Total(*row) for row in self._rows(_TOTALS)]

    def columns(self) -> Iterator[Columns]:
        """What is known of the rows that answer a request, some at a time and in their order."""
        last = 0
        while rows := self._rows(_COLUMNS, last, _AT_ONCE):
            lines, *columns = zip(*rows, strict=True)
            last = lines[-1]
            yield Columns(*columns)

    def keys(self, prefix: str, limit: int) -> list[str]:
        """Keys that begin with `prefix`, in the order of the requests."""
        return self._keys(prefix.encode(errors="replace"), limit)

    def near(self, key: str) -> list[str]:
        """Keys that begin as much like `key` as any do."""
        wanted = key.encode(errors="replace")[:MAX_KEY]
        neighbours = [row[0].encode() for sql in (_KEY_BEFORE, _KEY_BEHIND) for row in self._rows(sql, wanted)]
        common = max((_common(wanted, neighbour) for neighbour in neighbours), default=0)
        nearest: dict[str, None] = {}
        for size in (common, max(0, common - 2)):
            nearest |= dict.fromkeys(self._keys(wanted[:size], _NEAR))
        return list(nearest)

    def _keys(self, prefix: bytes, limit: int) -> list[str]:
        between = prefix, prefix + b"\xff"  # which no UTF-8 has
        few = self._rows(_FIRST_KEYS, *between, _FEW)
        if len(few) < _FEW:
            return [key for _, key in sorted(few)[:limit]]
        return [key for (key,) in self._rows(_KEYS_IN_ORDER, *between, limit)]

    def _entries(self, sql: str, *values: Any) -> list[Entry]:
        return [_entry(row) for row in self._rows(sql, *values)]

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with _torn():
            return self._db.execute(sql, values).fetchall()


@contextmanager
def _torn() -> Generator[None]:
    """Take what SQLite cannot read for a torn file, which a damaged page shows itself as in many ways."""
    try:
        yield
    except (sqlite3.Error, OSError, ValueError, KeyError) as error:
        raise Torn(str(error)) from error


def _entry(row: tuple[Any, ...]) -> Entry:
    entry = Entry(*row)
    if entry.outcome not in OUTCOMES:
        raise Torn(f"{entry.outcome!r} is no outcome")
    cost = None if entry.cost is None else str(Decimal(repr(entry.cost)).normalize())
    return entry._replace(cost=cost, attempt=entry.attempt or 0, media=bool(entry.media))


def _common(first: bytes, second: bytes) -> int:
    """How many bytes both begin with."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(first), len(second)))
