"""The SQLite file of a home: opened, brought up to date, written in transactions. Several processes use it at once."""

import re
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from genai_batch.resources.errors import LedgerError
from genai_batch.resources.redaction import redact_in

BUSY_S = 10
"""Seconds to wait for another process that is writing."""


class Database:
    """One connection. Every write is one transaction."""

    def __init__(self, home: Path) -> None:
        """Open or create `home/ledger.db`, taking the steps of `schema.sql` that it lacks.

        Raises:
            LedgerError: the home cannot be used.
        """
        self.home = home
        with self._guard():
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                home / "ledger.db", timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._db.row_factory = sqlite3.Row
            with suppress(sqlite3.OperationalError):  # another process is switching it on; the mode stays in the file
                self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._migrate()
            (home / "ledger.db").chmod(0o600)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @property
    def version(self) -> tuple[int, int]:
        """Another one whenever anybody has changed something: cheaper to ask for than a job."""
        return self.rows("PRAGMA data_version")[0][0], self._db.total_changes

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """Read."""
        with self._guard():
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """Write, in one transaction."""
        with self._guard():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _migrate(self) -> None:
        with self.writing():
            self._db.execute("CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY) WITHOUT ROWID")
            taken = {row["name"] for row in self.rows("SELECT name FROM migration")}
            for name, sql in _steps():
                if name not in taken:
                    for statement in sql.split(";\n"):
                        self._db.execute(statement)
                    self._insert("migration", {"name": name})

    def _insert(self, table: str, values: dict[str, Any]) -> None:
        values = redact_in(values)
        names = ", ".join(values)
        marks = ", ".join(f":{name}" for name in values)
        self._db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)

    def _update(self, table: str, values: dict[str, Any], where: str) -> None:
        values = redact_in(values)
        sets = ", ".join(f"{name} = :{name}" for name in values)
        self._db.execute(f"UPDATE {table} SET {sets} WHERE {where}", values)

    @contextmanager
    def _guard(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.OperationalError, sqlite3.DatabaseError, OSError) as error:
            hint = "free space, wait for other processes, or set GENAI_BATCH_HOME to a folder that can be written"
            raise LedgerError(
                f"{self.home / 'ledger.db'}: {error}. Nothing was lost; {hint}, then try again."
            ) from error


def _steps() -> list[tuple[str, str]]:
    text = files("genai_batch.resources").joinpath("schema.sql").read_text("utf-8")
    found = re.split(r"^-- step: (\w+)\n", text, flags=re.MULTILINE)
    return list(zip(found[1::2], found[2::2], strict=True))
