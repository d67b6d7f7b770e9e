"""Requests that are equal but for their key: how many rows of a source have one, and which of them a job sends once.

Two requests are equal if they are the same JSON value: spacing, the order of members and the way a number is written
(1, 1.0, 1e0) make no difference.

A job that sends each request once keeps `equal.jsonl` beside its requests: a line for each row whose request another
row sends, in the order of those, and then of the source.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from blake3 import blake3

NAME = "equal.jsonl"
_BUFFER = 4 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_EXACT = 2**53
"""Above this not every whole number has a float of its own."""
_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
BEGIN;
CREATE TABLE request (digest BLOB PRIMARY KEY, key TEXT, place INTEGER) WITHOUT ROWID;
CREATE TABLE equal (place INTEGER, line INTEGER, key TEXT, sent_as TEXT);
"""
_FIRST = "INSERT OR IGNORE INTO request VALUES (?, ?, ?)"
_EQUAL = "INSERT INTO equal SELECT place, ?, ?, key FROM request WHERE digest = ?"
_EQUAL_ROWS = "SELECT key, sent_as, line FROM equal ORDER BY place, line"


class EqualRow(msgspec.Struct):
    """A row that gets the answer of another: its key, the key of that, and its number among the rows of the source."""

    key: str
    sent_as: str
    line: int


class Equal(NamedTuple):
    """How many rows have a request that an earlier row has too, and the share of the bytes of all requests in them."""

    rows: int
    share: float


NONE = Equal(0, 0)


class _Row(msgspec.Struct):
    request: msgspec.Raw
    key: str = ""


_row = msgspec.json.Decoder(_Row).decode
_equal_row = msgspec.json.Decoder(EqualRow).decode
_encode = msgspec.json.Encoder().encode
_in_order = msgspec.json.Encoder(order="deterministic").encode


def _number(text: str) -> int | float:
    """Read a number with a point or an exponent as the whole number that it may be."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


_value = msgspec.json.Decoder(float_hook=_number).decode


def content(request: bytes | msgspec.Raw) -> bytes:
    """Write a request in the one form that all equal ones have."""
    return _in_order(_value(request))


def count(source: Path) -> Equal:
    """Count the rows of a source without faults whose request stands on an earlier row."""
    rows = size = total = 0
    with closing(_database()) as db, source.open("rb", buffering=_BUFFER) as lines:
        for row in map(_row, _texts(lines)):
            total += (length := len(bytes(row.request)))
            if not db.execute(_FIRST, (_digest(row), None, None)).rowcount:
                rows, size = rows + 1, size + length
    return Equal(rows, size / total) if rows else NONE


def part(source: Path, distinct: Path, equal: Path) -> int:
    """Write the first row of each request to `distinct`, and which rows are equal to it to `equal`.

    `source` holds requests as they would be sent. Returns the number of its rows, 0 where no two requests are equal.
    """
    place = number = 0
    with closing(_database()) as db:
        with source.open("rb", buffering=_BUFFER) as lines, distinct.open("wb", buffering=_BUFFER) as target:
            for number, line in enumerate(lines, 1):
                row = _row(line)
                digest = _digest(row)
                if db.execute(_FIRST, (digest, row.key, place)).rowcount:
                    target.write(line)
                    place += 1
                else:
                    db.execute(_EQUAL, (number, row.key, digest))
        with equal.open("wb", buffering=_BUFFER) as target:
            for row in db.execute(_EQUAL_ROWS):
                target.write(_encode(EqualRow(*row)) + b"\n")
    return number if place < number else 0


def rows(equal: Path) -> Iterator[EqualRow]:
    """Yield the rows that get the answer of another; none where a job has no such file."""
    if equal.exists():
        with equal.open("rb", buffering=_BUFFER) as lines:
            yield from map(_equal_row, lines)


def digest_with(requests: str, equal: Path) -> str:
    """Return the digest of requests together with the rows that get their answers; `requests` is the digest of them."""
    return blake3(requests.encode()).update_mmap(equal).hexdigest()


def _texts(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines that are not blank."""
    for line in lines:
        if text := line.removeprefix(_BOM).strip():
            yield text


def _digest(row: _Row) -> bytes:
    return blake3(content(row.request)).digest(16)


def _database() -> sqlite3.Connection:
    """Open a database that SQLite keeps on disk when it grows."""
    db: Any = sqlite3.connect("", isolation_level=None)
    db.executescript(_TABLES)
    return db
