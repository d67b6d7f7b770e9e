"""What an earlier export left in a folder: which files there are ours, and rows that stay in its table.

A table of results names the files of a row and their SHA-256. A file whose content has another hash was edited by
somebody, and is theirs.
"""

import csv
import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from genai_batch.resources.column_types import quoted
from genai_batch.resources.errors import BatchError
from genai_batch.resources.exports.tables import without_apostrophe
from genai_batch.resources.exports.workbook import rows_of
from genai_batch.resources.media.names import one_form
from genai_batch.resources.untyped import as_list, as_object

Cells = dict[str, Any]
_FILES = ("key", "path", "sha256", "media")
_LONGEST_CELL = 2**31 - 1
"""Bytes of a cell of CSV, which Python otherwise limits to 128 KiB."""
_NO_TABLE = (
    "{} is no table of results that can be read ({}), so that nobody knows which files beside it were edited. Name "
    "another folder, or replace what is there with --overwrite."
)
_SCHEMA = """
PRAGMA journal_mode = OFF;
CREATE TABLE file (
    name TEXT PRIMARY KEY, key TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT, stays INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX file_by_key ON file (key);
CREATE TABLE content (name TEXT, sha256 TEXT, PRIMARY KEY (name, sha256)) WITHOUT ROWID;
CREATE TABLE elsewhere (key TEXT PRIMARY KEY) WITHOUT ROWID;
BEGIN;
"""
Use = Literal["written", "left_out", "other"]
"""What becomes of a row of an earlier table: it is written anew, or stays; that of this job as one left out."""


class WrittenFile(NamedTuple):
    """A file that an earlier export wrote. `stays` says that its row is not written now and stays in the table."""

    key: str
    path: str
    sha256: str | None
    stays: bool


class EarlierExport:
    """The files that tables of earlier exports name, in a database that SQLite keeps on disk when it grows.

    `stay` counts the rows of the table that is merged which stay as they are.
    """

    def __init__(self) -> None:
        """Know no file yet."""
        self.stay: dict[Use, int] = {"left_out": 0, "other": 0}
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(_SCHEMA)

    @property
    def elsewhere(self) -> int:
        """How many rows would stay, but stand only in tables of other forms."""
        return self._db.execute("SELECT count(*) FROM elsewhere").fetchone()[0]

    def read(self, table: Path, use_of: Callable[[str], Use], *, is_base: bool) -> None:
        """Read a table of results; of two the last counts. `is_base` says that its rows can be taken over.

        Raises:
            BatchError: the table cannot be read, so that nobody knows which files are whose.
        """
        for cells in read_table(table):
            key, use = cells["key"], use_of(cells["key"])
            if is_base:
                self._db.execute("DELETE FROM elsewhere WHERE key = ?", (key,))
            if use != "written":
                if is_base:
                    self.stay[use] += 1
                else:
                    self._db.execute("INSERT OR IGNORE INTO elsewhere VALUES (?)", (key,))
            for path, sha256 in _files_of(cells):
                self._add(WrittenFile(key, path, sha256, use != "written"))

    def add_noted(self, key: str, path: str, sha256: str) -> None:
        """Take a file as ours that an export noted which did not come to write its table."""
        self._db.execute("INSERT OR IGNORE INTO content VALUES (?, ?)", (one_form(path), sha256))
        self._db.execute("INSERT OR IGNORE INTO file VALUES (?, ?, ?, NULL, 0)", (one_form(path), key, path))

    def _add(self, file: WrittenFile) -> None:
        name = one_form(file.path)
        self._db.execute("INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?)", (name, *file))
        if file.sha256:
            self._db.execute("INSERT OR IGNORE INTO content VALUES (?, ?)", (name, file.sha256))

    def at(self, path: str) -> WrittenFile | None:
        """The file that was written at a path of the folder."""
        sql = "SELECT key, path, sha256, stays FROM file WHERE name = ?"
        row = self._db.execute(sql, (one_form(path),)).fetchone()
        return WrittenFile(*row) if row else None

    def has_written(self, path: str, sha256: str | None) -> bool:
        """Whether content that lies at a path of the folder was written there."""
        sql = "SELECT 1 FROM content WHERE name = ? AND sha256 = ?"
        return self._db.execute(sql, (one_form(path), sha256)).fetchone() is not None

    def delivered(self, key: str, sha256: str) -> str | None:
        """Where a file of this content was written for a row of this key, if one was."""
        sql = "SELECT path FROM file WHERE key = ? AND sha256 = ? ORDER BY path LIMIT 1"
        row = self._db.execute(sql, (key, sha256)).fetchone()
        return row and row[0]

    def no_longer_named(self) -> Iterator[tuple[str, str, str]]:
        """Yield key, path and hash of the files that were written for rows which are written anew now."""
        sql = "SELECT key, path, content.sha256 FROM file JOIN content USING (name) WHERE NOT stays"
        yield from self._db.execute(sql)


def read_table(table: Path) -> Iterator[Cells]:
    """Yield the keys of a table of results with what stands there of files.

    Raises:
        BatchError: it is no such table.
    """
    try:
        for cells in _READERS[table.suffix[1:]](table):
            if not isinstance(cells.get("key"), str):
                raise BatchError(_NO_TABLE.format(table, "it has no column key"))
            yield cells
    except (ValueError, sqlite3.Error, csv.Error, msgspec.MsgspecError, RuntimeError) as error:
        raise BatchError(_NO_TABLE.format(table, str(error).partition("\n")[0][:120])) from error


def hash_of(content: bytes) -> str:
    """SHA-256 in hexadecimal, as `sha256sum` prints it."""
    return hashlib.sha256(content).hexdigest()


def _files_of(cells: Cells) -> Iterator[tuple[str, str | None]]:
    media = cells.get("media")
    if isinstance(media, str) and media:
        media = msgspec.json.decode(media)
    for file in (cells, *map(as_object, as_list(media))):
        if isinstance(path := file.get("path"), str) and path:
            yield path, file.get("sha256") or None


def _read_lines(table: Path) -> Iterator[Cells]:
    with table.open("rb") as file:
        for line in file:
            yield as_object(msgspec.json.decode(line))


def _read_csv(table: Path) -> Iterator[Cells]:
    csv.field_size_limit(_LONGEST_CELL)
    with table.open(newline="", encoding="utf-8-sig") as file:
        for cells in csv.DictReader(file):
            yield {name: without_apostrophe(cell) for name in _FILES if (cell := cells.get(name)) is not None}


def _read_database(table: Path) -> Iterator[Cells]:
    with closing(sqlite3.connect(f"{table.resolve().as_uri()}?mode=ro", uri=True)) as db:
        names = [column[1] for column in db.execute("PRAGMA table_info(results)")]
        present = [name for name in _FILES if name in names]
        for row in db.execute(f"SELECT {', '.join(map(quoted, present))} FROM results"):  # noqa: S608 - all is quoted
            yield dict(zip(present, row, strict=True))


def _read_parquet(table: Path) -> Iterator[Cells]:
    import duckdb

    with closing(duckdb.connect()) as db:
        columns = db.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(table)]).fetchall()
        present = [name for name in _FILES if name in {column[0] for column in columns}]
        rows = db.execute(f"SELECT {', '.join(map(quoted, present))} FROM read_parquet(?)", [str(table)])  # noqa: S608 - the same
        while page := rows.fetchmany(1_000):
            for row in page:
                yield dict(zip(present, row, strict=True))


def _read_workbook(table: Path) -> Iterator[Cells]:
    for row in rows_of(table):
        yield {name: row[name] for name in _FILES if row.get(name) is not None}


_READERS: dict[str, Callable[[Path], Iterator[Cells]]] = {
    "jsonl": _read_lines,
    "csv": _read_csv,
    "sqlite": _read_database,
    "parquet": _read_parquet,
    "xlsx": _read_workbook,
}
ENDINGS = tuple(_READERS)
"""The endings of tables that can be read back."""
