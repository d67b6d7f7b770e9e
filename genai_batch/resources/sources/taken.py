"""Names that may stand once: keys, and paths of outputs, in a database that SQLite keeps on disk when it grows."""

import sqlite3

from genai_batch.resources.media.names import one_form

_REMEMBERED = 10_000


class Taken:
    """Who has which key, and which path."""

    def __init__(self) -> None:
        """Start with none."""
        self._folders: set[str] = set()
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(
            "PRAGMA journal_mode = OFF; BEGIN;"
            "CREATE TABLE keys (name TEXT PRIMARY KEY, place TEXT) WITHOUT ROWID;"
            "CREATE TABLE paths (name TEXT PRIMARY KEY, place TEXT, is_file INTEGER) WITHOUT ROWID;"
        )

    def key(self, key: str, place: str) -> str | None:
        """Take a key; or tell the place that has it already."""
        try:
            self._db.execute("INSERT INTO keys VALUES (?, ?)", (key, place))
        except sqlite3.IntegrityError:
            return str(self._db.execute("SELECT place FROM keys WHERE name = ?", (key,)).fetchone()[0])
        return None

    def path(self, path: str, place: str) -> str | None:
        """Take a path of a file; or tell the place whose path is the same on some file system, or is its folder."""
        name = one_form(path)
        folder = name.rpartition("/")[0]
        if folder and folder not in self._folders:
            if found := self._within(folder, place):
                return found
            if len(self._folders) < _REMEMBERED:
                self._folders.add(folder)
        try:
            self._db.execute("INSERT INTO paths VALUES (?, ?, 1)", (name, place))
        except sqlite3.IntegrityError:
            return str(self._db.execute("SELECT place FROM paths WHERE name = ?", (name,)).fetchone()[0])
        return None

    def _within(self, folder: str, place: str) -> str | None:
        """Take a folder and those it lies in, unless one of them is a file."""
        steps = folder.split("/")
        for count in range(1, len(steps) + 1):
            name = "/".join(steps[:count])
            found = self._db.execute("SELECT place FROM paths WHERE name = ? AND is_file", (name,)).fetchone()
            if found:
                return str(found[0])
            self._db.execute("INSERT OR IGNORE INTO paths VALUES (?, ?, 0)", (name, place))
        return None

    def close(self) -> None:
        """Forget them all."""
        self._db.close()
