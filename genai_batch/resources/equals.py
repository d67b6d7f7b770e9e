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
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple

import msgspec
from blake3 import blake3

from genai_batch.resources.scanning.memo import Memo

NAME = "equal.jsonl"
_BUFFER = 4 * 1024 * 1024
_BUCKETS, _ROOM = 64, 4 * 1024 * 1024
_DIGEST, _SIZE = 16, 4
"""Bytes of a digest, and of the size of a request."""
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


def digest_of(request: bytes | msgspec.Raw) -> bytes:
    """Return 16 bytes that requests share only if they are equal."""
    return blake3(_in_order(_value(request))).digest(_DIGEST)


def count(source: Path) -> Equal:
    """Count the rows of a source without faults whose request stands on an earlier row.

    Where a line cannot be read, since somebody writes to the source meanwhile, or the disk takes no temporary files, it
    counts as a source without equal requests: nothing depends on the number.
    """
    total = 0
    digests = Memo(digest_of)
    with closing(_Buckets()) as buckets, source.open("rb", buffering=_BUFFER) as lines:
        try:
            for row in map(_row, _texts(lines)):
                request = bytes(row.request)
                total += len(request)
                buckets.add(digests[request], len(request))
            rows, size = buckets.repeated()
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OSError):
            return NONE
    return Equal(rows, size / total) if rows else NONE


class _Buckets:
    """Digests of requests with their sizes, parted by their first byte so that those of one part fit into memory.

    They are on the disk once they take more than `_ROOM` bytes.
    """

    def __init__(self) -> None:
        self._held = [bytearray() for _ in range(_BUCKETS)]
        self._files: list[IO[bytes]] = []
        self._free = _ROOM

    def add(self, digest: bytes, size: int) -> None:
        """Note a request."""
        self._held[digest[0] % _BUCKETS] += digest + size.to_bytes(_SIZE, "little")
        self._free -= _DIGEST + _SIZE
        if self._free < 0:
            self._write()

    def repeated(self) -> tuple[int, int]:
        """Count the requests that were noted before, and their bytes."""
        rows = total = 0
        for bucket in self._filled():
            seen = set[bytes]()
            for start in range(0, len(bucket), _DIGEST + _SIZE):
                digest = bucket[start : start + _DIGEST]
                if digest in seen:
                    rows += 1
                    total += int.from_bytes(bucket[start + _DIGEST : start + _DIGEST + _SIZE], "little")
                seen.add(digest)
        return rows, total

    def close(self) -> None:
        """Remove what is on the disk."""
        for file in self._files:
            file.close()

    def _write(self) -> None:
        self._files = self._files or [TemporaryFile() for _ in range(_BUCKETS)]  # noqa: SIM115 - `close` closes them
        for file, held in zip(self._files, self._held, strict=True):
            file.write(held)
            held.clear()
        self._free = _ROOM

    def _filled(self) -> Iterator[bytes]:
        if not self._files:
            yield from map(bytes, self._held)
            return
        self._write()
        for file in self._files:
            file.seek(0)
            yield file.read()


def part(source: Path, distinct: Path, equal: Path) -> int:
    """Write the first row of each request to `distinct`, and which rows are equal to it to `equal`.

    `source` holds requests as they would be sent. Returns the number of its rows, 0 where no two requests are equal.
    """
    place = number = 0
    with closing(_database()) as db:
        with source.open("rb", buffering=_BUFFER) as lines, distinct.open("wb", buffering=_BUFFER) as target:
            for number, line in enumerate(lines, 1):
                row = _row(line)
                digest = digest_of(row.request)
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


def lines(requests: Path) -> Iterator[bytes]:
    """Yield the lines of requests, and behind each those of the rows that get its answer, written alike."""
    equal_rows = rows(requests.with_name(NAME))
    equal = next(equal_rows, None)
    with requests.open("rb") as file:
        for line in file:
            yield line
            while equal and equal.sent_as == _row(line).key:
                before, _, behind = line.partition(_encode(equal.sent_as))
                yield before + _encode(equal.key) + behind
                equal = next(equal_rows, None)


def digest_with(requests: str, equal: Path) -> str:
    """Return the digest of requests together with the rows that get their answers; `requests` is the digest of them."""
    return blake3(requests.encode()).update_mmap(equal).hexdigest()


def _texts(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines that are not blank."""
    for number, line in enumerate(lines):
        text = line.strip() if number else line.removeprefix(_BOM).strip()
        if text:
            yield text


def _database() -> sqlite3.Connection:
    """Open a database that SQLite keeps on disk when it grows."""
    db: Any = sqlite3.connect("", isolation_level=None)
    db.executescript(_TABLES)
    return db
