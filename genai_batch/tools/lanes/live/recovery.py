"""After a stop of any kind: which requests of an attempt are answered, from the rows on the disk alone.

Whole rows are paid and are never asked for again; a last line that was torn is cut off.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec

from genai_batch.resources import outcomes
from genai_batch.resources.results_index.batches import batches
from genai_batch.resources.results_index.decode import read_row

_BLOCK = 64 * 1024


class Recovered(NamedTuple):
    """How many requests there are and how many are answered; which, a byte each, or None where none is."""

    requests: int
    done: int
    answered: bytearray | None


class _Key(msgspec.Struct):
    key: str


_KEY = msgspec.json.Decoder(_Key)


def recover(results: Path, start: int, requests: Path) -> Recovered:
    """Cut off what is torn, and find what is answered behind byte `start` of the results."""
    size = _mend(results, start)
    count = _lines(requests)
    if size <= start:
        return Recovered(count, 0, None)
    with closing(sqlite3.connect("")) as db:  # in a file of its own that is gone with it: memory stays flat
        db.execute("CREATE TABLE key (key TEXT PRIMARY KEY) WITHOUT ROWID")
        db.execute("PRAGMA synchronous = OFF")
        db.executemany("INSERT OR IGNORE INTO key VALUES (?)", ((key,) for key in _keys(results, start, size) if key))
        answered = bytearray(count)
        for number, key in enumerate(_keys(requests, 0, requests.stat().st_size)):
            answered[number] = db.execute("SELECT 1 FROM key WHERE key = ?", (key,)).fetchone() is not None
    return Recovered(count, sum(answered), answered)


def _mend(results: Path, start: int) -> int:
    """Cut the file behind its last newline, but not before `start`, and return its size."""
    if not results.exists():
        return 0
    with results.open("r+b") as file:
        end = size = file.seek(0, os.SEEK_END)
        while end > start:
            begin = max(start, end - _BLOCK)
            file.seek(begin)
            at = file.read(end - begin).rfind(b"\n") + 1
            end = begin + at if at else begin
            if at:
                break
        if end < size and size > start:
            file.truncate(end)
            os.fsync(file.fileno())
        return min(size, end)


def _keys(path: Path, start: int, end: int) -> Iterator[str]:
    """The key of each line; an empty one where none can be read."""
    with path.open("rb", buffering=0) as file:
        for offset, lines, size in batches(path, start, end):
            if not lines:
                file.seek(offset)
                lines = [file.read(size)]
            for line in lines:
                try:
                    yield _KEY.decode(line).key
                except msgspec.MsgspecError:
                    yield outcomes.key_of(read_row(line) or {}) or ""


def _lines(path: Path) -> int:
    count, last = 0, b"\n"
    with path.open("rb", buffering=0) as file:
        while block := file.read(1024 * 1024):
            count += block.count(b"\n")
            last = block[-1:]
    return count + (last != b"\n")
