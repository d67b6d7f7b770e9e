"""Names that may stand once: keys, and paths of outputs, in a database that SQLite keeps on disk when it grows."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator

from genai_batch.resources.answers import Problem, brief
from genai_batch.resources.media.names import one_form

TABLE = "the table of results"
"""Who has the names that no output can be given: the results of a folder are listed in one of them."""
_TABLES = ("results.jsonl", "results.csv", "results.parquet", "results.sqlite")
_REMEMBERED = 10_000
_READ_AND_WRITTEN = f"SELECT name FROM read JOIN paths USING (name) WHERE is_file AND place != '{TABLE}'"  # noqa: S608 - ours


class Taken:
    """Who has which key, and which path; and which files are read."""

    def __init__(self) -> None:
        """Start with the names of our own."""
        self._folders: set[str] = set()
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(
            "PRAGMA journal_mode = OFF; BEGIN;"
            "CREATE TABLE keys (name TEXT PRIMARY KEY, place TEXT) WITHOUT ROWID;"
            "CREATE TABLE paths (name TEXT PRIMARY KEY, place TEXT, is_file INTEGER) WITHOUT ROWID;"
            "CREATE TABLE read (name TEXT PRIMARY KEY) WITHOUT ROWID;"
        )
        for table in _TABLES:
            self.path(table, TABLE)

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

    def read(self, path: str) -> None:
        """Note a file that is read, by its path from where outputs are thought to begin."""
        self._db.execute("INSERT OR IGNORE INTO read VALUES (?)", (one_form(path),))

    def overwritten(self) -> tuple[int, str]:
        """Count the paths of outputs that are read too, and name one, in its folded form."""
        count, name = self._db.execute(f"SELECT count(*), min(name) FROM ({_READ_AND_WRITTEN})").fetchone()  # noqa: S608 - ours
        return count, name or ""

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


def shared(stages: Iterable[tuple[str, Iterable[str]]]) -> Iterator[Problem]:
    """Name an output that several stages have: each has a folder of its own, but put together they would clash."""
    taken = Taken()
    for name, outputs in stages:
        found, counts = dict[str, str](), Counter[str]()
        for output in outputs:
            if (place := taken.path(output, name)) not in (None, name, TABLE):
                found.setdefault(str(place), output)
                counts[str(place)] += 1
        for place, output in found.items():
            more = f", and {counts[place] - 1:,} more" if counts[place] > 1 else ""
            said = f"output {brief(output, 60)!r} is one of stage {place!r} and of stage {name!r}{more}"
            yield Problem(problem=said, fix="write each stage to a folder of its own, as `run --output folder/` does")
    taken.close()
