"""Whose id an answer carries."""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from genai_batch.resources.checks.binding import ref


class _Keyed(msgspec.Struct):
    key: str


_decode = msgspec.json.Decoder(_Keyed).decode


def key_in(request: bytes) -> str:
    """The key of a line of requests."""
    return _decode(request).key


class Refs:
    """The ids of all keys of a job, gathered on disk when one is first asked for."""

    def __init__(self, requests: Path) -> None:
        """Look at nothing yet."""
        self._requests = requests
        self._db: sqlite3.Connection | None = None

    def owner(self, found: str) -> str | None:
        """The first key that has an id."""
        if self._db is None:
            self._db = self._gathered()
        row = self._db.execute("SELECT key FROM ref WHERE ref = ?", (found,)).fetchone()
        return row[0] if row else None

    def _gathered(self) -> sqlite3.Connection:
        db = sqlite3.connect("", check_same_thread=False)  # a file of its own that goes with the connection
        db.execute("CREATE TABLE ref (ref TEXT PRIMARY KEY, key TEXT NOT NULL) WITHOUT ROWID")
        with self._requests.open("rb", buffering=4 * 1024 * 1024) as file:
            keys = map(key_in, file)
            db.executemany("INSERT OR IGNORE INTO ref VALUES (?, ?)", ((ref(key), key) for key in keys))
        return db

    def close(self) -> None:
        """Let go of them."""
        if self._db is not None:
            with closing(self._db):
                self._db = None
