"""An export as a folder: a table, and each picture, sound or text as a file of its own.

A file is named by the `output` that stood beside its request, else by its key. An output that leaves the folder, means
a device, or is another row's already, is not honoured: the row's file is named by its key, and the output is told.
"""

import sqlite3
from itertools import chain, count
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from genai_batch.resources import uris
from genai_batch.resources.answers import brief
from genai_batch.resources.errors import PathNotAllowed
from genai_batch.resources.exports.rows import Fields
from genai_batch.resources.media import names
from genai_batch.resources.media.decoding import decode, kind
from genai_batch.resources.media.kept import write
from genai_batch.resources.media.kinds import SUFFIXES, Kind, same
from genai_batch.resources.results import Entry

_TOLD = 3
_TEXT, _JSON = Kind("text/plain", "txt"), Kind("application/json", "json")


class Folder:
    """A folder that is being filled. `files` counts what was put there; `refused`, the outputs not honoured."""

    def __init__(self, path: Path, table: str, job_id: str, *, may_replace: bool) -> None:
        """Fill `path` with the files of a job; the name `table` is taken in it."""
        self.files = self.refused = 0
        self.told: list[str] = []
        self._path, self._job_id, self._may_replace = path.resolve(), job_id, may_replace
        self._claims = _Claims()
        self._table = table
        self._claims.take(table)

    def put(self, entry: Entry, beside: Fields, text: str | None, blobs: list[Fields]) -> Fields:
        """Write the pieces of a row, or its text where it has none, and say where, relative to the folder.

        Raises:
            PathNotAllowed: another file is there already and may not be replaced.
            OSError: a file cannot be written.
        """
        wanted = self._wanted(entry, beside.get("output"))
        if blobs:
            return {"media": [self._piece(entry, wanted, index, blob) for index, blob in enumerate(blobs)]}
        if not text:
            return {}
        return {"path": self._write(entry, wanted, 0, text.encode("utf-8", "replace"), _kind_of(text))}

    def _wanted(self, entry: Entry, output: Any) -> str | None:
        if output is None:
            return None
        why = names.fault(output) if isinstance(output, str) else "it is no text"
        if not why and not self._is_inside(str(output)):
            why = "it leaves the folder by a link"
        if why:
            self._refuse(entry, output, why)
        return None if why else output

    def _refuse(self, entry: Entry, output: Any, why: str) -> None:
        self.refused += 1
        if len(self.told) < _TOLD:
            self.told.append(f"output {brief(str(output), 60)!r} of {brief(entry.key, 40)!r}: {why}")

    def _is_inside(self, output: str) -> bool:
        return (self._path / output).parent.resolve().is_relative_to(self._path)

    def _piece(self, entry: Entry, wanted: str | None, index: int, blob: Fields) -> Fields:
        found = {"uri": uris.media(self._job_id, entry.key, index), "mime_type": kind(blob).mime_type}
        try:
            whole = decode(blob)
        except ValueError:  # no base64: its address says so when it is read
            return found
        return found | {"path": self._write(entry, wanted, index, whole.content, whole.kind)}

    def _write(self, entry: Entry, wanted: str | None, index: int, content: bytes, kind: Kind) -> str:
        name = self._claimed(entry, wanted, index, kind)
        path = self._path / name
        self.files += 1
        if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
            return name
        if not self._may_replace and (path.exists() or path.is_symlink()):
            raise PathNotAllowed(f"{path} exists with other content and is not replaced. Choose a new output_path.")
        write(path, content)
        return name

    def _claimed(self, entry: Entry, wanted: str | None, index: int, kind: Kind) -> str:
        """Take the first name that is free."""
        if wanted is not None:
            if self._claims.take(name := ended(wanted, index, kind)):
                return name
            holder = "the table of results" if names.one_form(wanted).startswith(self._table) else "another row"
            self._refuse(entry, wanted, f"{holder} has that name")
        stems = chain((names.stem(entry.key),), (names.hashed(f"{entry.key} {n}") for n in count(2)))
        return next(name for stem in stems if self._claims.take(name := names.numbered(stem, index, kind.suffix)))


def ended(path: str, index: int, kind: Kind) -> str:
    """Give a path that a user chose the ending of what it holds.

    One that is right stays, one of another medium is replaced, and where there is none it is added; a text may have any
    ending but that of a medium. Further pieces of a result are numbered.
    """
    whole = PurePosixPath(path)
    suffix = whole.suffix[1:]
    is_text = kind in (_TEXT, _JSON)
    if suffix.lower() in SUFFIXES and not same(suffix, kind):
        whole, suffix = whole.with_suffix(""), ""
    if not suffix or not (is_text or same(suffix, kind)):
        return str(whole.with_name(names.numbered(whole.name, index, kind.suffix)))
    return str(whole.with_name(names.numbered(whole.stem, index, suffix)))


def _kind_of(text: str) -> Kind:
    """Tell JSON, which structured answers are, from other text."""
    if text.lstrip()[:1] not in ("{", "["):
        return _TEXT
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return _TEXT
    return _JSON


class _Claims:
    """The names that are taken, in a database that SQLite keeps on disk when it grows."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(
            "PRAGMA journal_mode = OFF; BEGIN;CREATE TABLE taken (name TEXT PRIMARY KEY, is_file INTEGER) WITHOUT ROWID"
        )

    def take(self, path: str) -> bool:
        """Take a path, unless it or a folder of it is a file already, or it is a folder, on any file system."""
        name = names.one_form(path)
        folders = [str(folder) for folder in PurePosixPath(name).parents][:-1]
        if self._kind(name) is not None or any(self._kind(folder) for folder in folders):
            return False
        self._db.executemany("INSERT OR IGNORE INTO taken VALUES (?, 0)", ((folder,) for folder in folders))
        self._db.execute("INSERT INTO taken VALUES (?, 1)", (name,))
        return True

    def _kind(self, name: str) -> int | None:
        found = self._db.execute("SELECT is_file FROM taken WHERE name = ?", (name,)).fetchone()
        return found and found[0]
