"""Tables as files: JSON lines, CSV and SQLite. Each is written row by row and holds no more than a few."""

import csv
import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from genai_batch.resources.column_types import quoted
from genai_batch.resources.exports.columns import Column
from genai_batch.resources.exports.rows import Fields
from genai_batch.resources.exports.spool import Spool

FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""Text that a spreadsheet might take for a formula, the signs of East Asian width among it.

In CSV such a text begins with one apostrophe more; who reads it back takes one off where this still matches behind it.
"""
_SUSPECT = frozenset("'=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_CHANGED = frozenset({str, bool})
_BOOLEANS = {True: "true", False: "false"}
_BY_KEY = "CREATE UNIQUE INDEX results_by_key ON results (key)"
_BY_OUTCOME = "CREATE INDEX results_by_outcome ON results (outcome)"
INDEXES = f"{_BY_KEY}; {_BY_OUTCOME};"
"""The indexes of a database of results."""
_SQL = {str: "TEXT", int: "INTEGER", float: "REAL", bool: "BOOLEAN"}


def jsonl(path: Path, rows: Iterable[Fields]) -> int:
    """Write a line of JSON a row, and return how many."""
    encoder, line = msgspec.json.Encoder(), bytearray()
    count = 0
    with path.open("xb", buffering=2**20) as file:
        for count, row in enumerate(rows, 1):  # noqa: B007 - the last count is the number of rows
            encoder.encode_into(row, line)
            line += b"\n"
            file.write(line)
    return count


def comma_separated(path: Path, spool: Spool, columns: list[Column], encoding: str = "utf-8") -> None:
    """Write CSV as RFC 4180 has it; a foreign text that looks like a formula begins with an apostrophe."""
    with path.open("x", newline="", encoding=encoding, buffering=2**20) as file:
        table = csv.writer(file)
        table.writerow([_plain(column.name) for column in columns])
        for cells in spool.cells(columns):
            table.writerow([_plain(value) if type(value) in _CHANGED else value for value in cells])


def database(path: Path, spool: Spool, columns: list[Column]) -> None:
    """Write a SQLite database with one table `results`, found by key and by outcome.

    Raises:
        OSError: it cannot be written.
    """
    declared = ", ".join(f"{quoted(column.name)} {_SQL[column.type]}" for column in columns)
    insert = f"INSERT INTO results VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - only question marks
    with closing(_Database(path)) as db:
        db.run("PRAGMA journal_mode = OFF")
        db.run("PRAGMA synchronous = OFF")
        db.run("BEGIN")
        db.run(f"CREATE TABLE results ({declared})")
        for cells in spool.cells(columns):
            db.run(insert, tuple(cells))
        db.run(_BY_KEY)
        db.run(_BY_OUTCOME)
        db.run("COMMIT")


class _Database:
    """A new database. Its errors are those of a file: they say nothing of the index that is read meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None

    def close(self) -> None:
        if self._db:
            self._db.close()

    def run(self, sql: str, values: tuple[Any, ...] = ()) -> None:
        try:
            self._db = self._db or sqlite3.connect(self._path, isolation_level=None)
            self._db.execute(sql, values)
        except sqlite3.Error as error:
            raise OSError(0, str(error)) from error


def without_apostrophe(cell: str) -> str:
    """What was written for a cell of CSV, before it was made safe for spreadsheets."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell[1:]) else cell


def _plain(cell: Any) -> Any:
    """Defuse a text; what is read back with `'` taken off such texts is what was written."""
    if isinstance(cell, str):
        return f"'{cell}" if cell[:1] in _SUSPECT and FORMULA.match(cell) else cell
    return _BOOLEANS.get(cell) if isinstance(cell, bool) else cell
