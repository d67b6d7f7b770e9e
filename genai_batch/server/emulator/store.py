"""The state folder: one SQLite file in WAL mode and folders of blobs, shared by any number of processes."""

import sqlite3
import threading
import time
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from .wire import Object, as_object

SCHEMA = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")
FOLDERS = ("blobs", "inputs", "results", "buckets")


class Store:
    """The database and the blobs of one state folder; one connection, held by one thread at a time."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._connection = _connect(folder / "emulator.db")
        weakref.finalize(self, self._connection.close)

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """Run one statement and fetch all it returns."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """The first row of a statement, if any."""
        with self._lock:
            found: sqlite3.Row | None = self._connection.execute(sql, values).fetchone()
            return found

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All statements inside are one step, across processes; BEGIN IMMEDIATE so that reads in it stay true."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def document(self, name: str) -> Object:
        """A stored JSON document; empty when never written."""
        row = self.row("SELECT body FROM documents WHERE name = ?", name)
        return as_object(msgspec.json.decode(row["body"])) if row else {}

    def keep(self, name: str, body: Object) -> None:
        """Store a JSON document."""
        text = msgspec.json.encode(body).decode()
        self.rows(
            "INSERT INTO documents VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body", name, text
        )

    def clear(self) -> None:
        """Forget everything."""
        tables = [row["name"] for row in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
        with self.transaction():
            for table in tables:
                self.rows(f'DELETE FROM "{table}"')
        for name in FOLDERS:
            _empty(self.folder / name)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    for _ in range(200):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError:  # two processes turn a new file to WAL at once: SQLite does not wait here
            time.sleep(0.02)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.executescript(SCHEMA)
    return connection


def _empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
