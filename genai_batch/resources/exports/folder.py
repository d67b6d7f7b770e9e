"""An export as a folder: a table, and each picture, sound or text as a file of its own.

A file is named by the `output` that stood beside its request, else by its key. An output that leaves the folder, means
a device, or is another row's already, is not honoured: the row's file is named by its key, and the output is told.

A file whose content is not what was written last is its user's: it is kept, and a new answer lies beside it, as
`name.new.md`. Only the answer of a row that is ok is a finished file; what else a row has to show is named by its
outcome, as `name.truncated.md`, and leaves the finished file of an earlier run as it is.
"""

import os
import sqlite3
from collections import Counter
from itertools import chain, count
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import msgspec

from genai_batch.resources import uris
from genai_batch.resources.answers import brief
from genai_batch.resources.errors import PathNotAllowed
from genai_batch.resources.exports.earlier import EarlierExport, WrittenFile, hash_of
from genai_batch.resources.exports.journal import Journal
from genai_batch.resources.exports.rows import Fields
from genai_batch.resources.jobs import OUTCOMES
from genai_batch.resources.media import names
from genai_batch.resources.media.decoding import decode, kind
from genai_batch.resources.media.kept import write
from genai_batch.resources.media.kinds import SUFFIXES, Kind, same
from genai_batch.resources.results import Entry

_NAMED = 3
Existing = Literal["refuse", "keep", "replace"]
"""What becomes of a file with other content that is there already: the export stops, keeps it, or replaces it."""
_UNFINISHED = tuple(outcome for outcome in OUTCOMES if outcome != "ok")
_TEXT, _JSON = Kind("text/plain", "txt"), Kind("application/json", "json")


class Folder:
    """A folder that is being filled.

    `files` counts what was put there, `unfinished` what of it is no finished file, and `not_ok` the rows that are not
    ok by their outcome; `refused` are the outputs that were not honoured, `held_by_others` those of them that rows of
    other keys have in the table; `kept` are the files of the user's that lie there
    with other content.
    """

    def __init__(self, path: Path, tables: list[str], job_id: str, earlier: EarlierExport, existing: Existing) -> None:
        """Fill `path` with the files of a job; the names of its `tables` are taken."""
        self.files = self.unfinished = self.refused = self.kept = self.held_by_others = 0
        self.not_ok = Counter[str]()
        self.refused_outputs: list[str] = []
        self.kept_files: list[str] = []
        self._path, self._job_id, self._earlier, self._existing = path.resolve(), job_id, earlier, existing
        self._claims = _Claims()
        self._tables = tables
        self._journal = Journal(self._path)
        for noted in self._journal.read():
            earlier.add_noted(*noted)
        for table in tables:
            self._claims.take(table)

    def put(self, entry: Entry, beside: Fields, text: str | None, blobs: list[Fields]) -> Fields:
        """Write the pieces of a row, or its text where it has none, and say where, relative to the folder.

        Raises:
            PathNotAllowed: another file is there already and may not be replaced.
            OSError: a file cannot be written.
        """
        if entry.outcome != "ok":
            self.not_ok[entry.outcome] += 1
        wanted = self._wanted(entry, beside.get("output"))
        if blobs:
            return {"media": [self._piece(entry, wanted, index, blob) for index, blob in enumerate(blobs)]}
        if not text:
            return {}
        return self._write(entry, wanted, 0, text.encode("utf-8", "replace"), _kind_of(text))

    def close(self) -> None:
        """Leave the folder; what is noted of it stays noted unless it was finished."""
        self._journal.close()

    def finish(self) -> None:
        """Note, once the table is written, which files of ours lie there that it does not name.

        Raises:
            OSError: the note cannot be written.
        """
        left = self._earlier.no_longer_named()
        self._journal.keep(file for file in left if not self._claims.has(file[1]) and (self._path / file[1]).is_file())

    def _wanted(self, entry: Entry, output: Any) -> str | None:
        if output is None:
            return None
        why = names.fault(output) if isinstance(output, str) else "it is no text"
        if not why and not self._is_inside(str(output)):
            why = "it leaves the folder by a link"
        if not why and self._is_barred(str(output)):
            why = "a file is in the place of its folder"
        if why:
            self._refuse(entry, output, why)
        return None if why else output

    def _refuse(self, entry: Entry, output: Any, why: str) -> None:
        self.refused += 1
        if len(self.refused_outputs) < _NAMED:
            self.refused_outputs.append(f"output {brief(str(output), 60)!r} of {brief(entry.key, 40)!r}: {why}")

    def _is_inside(self, output: str) -> bool:
        return (self._path / output).parent.resolve().is_relative_to(self._path)

    def _is_barred(self, output: str) -> bool:
        folders = [*PurePosixPath(output).parents][:-1]
        return any(os.path.lexists(path) and not path.is_dir() for path in (self._path / folder for folder in folders))

    def _piece(self, entry: Entry, wanted: str | None, index: int, blob: Fields) -> Fields:
        found = {"uri": uris.media(self._job_id, entry.key, index), "mime_type": kind(blob).mime_type}
        try:
            whole = decode(blob)
        except ValueError:  # no base64: its address says so when it is read
            return found
        return found | self._write(entry, wanted, index, whole.content, whole.kind)

    def _write(self, entry: Entry, wanted: str | None, index: int, content: bytes, kind: Kind) -> Fields:
        """Write a file, unless its user has edited it; return its path and the hash of what belongs there."""
        finished = self._claimed(entry, wanted, index, kind)
        name = ordinary = marked(finished, _mark(entry))
        sha256 = hash_of(content)
        self.files += 1
        self.unfinished += entry.outcome != "ok"
        if not self._put(entry, name, content, sha256):
            self.kept += 1
            if len(self.kept_files) < _NAMED:
                self.kept_files.append(name)
            name = self._put_beside(entry, name, content, sha256)
        if name == ordinary:
            self._remove_unfinished(entry, finished, name)
        return {"path": name, "sha256": sha256}

    def _put_beside(self, entry: Entry, name: str, content: bytes, sha256: str) -> str:
        """Write an answer beside the file that its user has edited, unless they have had this answer before."""
        delivered = self._earlier.delivered(entry.key, sha256)
        if delivered is None:
            names_beside = (marked(name, mark) for mark in chain(("new",), (f"new{n}" for n in count(2))))
            return next(free for free in names_beside if self._takes(free) and self._put(entry, free, content, sha256))
        is_there = delivered != name and (self._path / delivered).exists() and self._takes(delivered)
        return delivered if is_there else name

    def _remove_unfinished(self, entry: Entry, finished: str, name: str) -> None:
        """Remove what was written of an earlier answer that was no finished one, if nobody has changed it."""
        for mark in _UNFINISHED:
            written = self._earlier.at(marked(finished, mark))
            if written and written.path != name and written.key == entry.key and not self._is_changed(written):
                (self._path / written.path).unlink(missing_ok=True)

    def _put(self, entry: Entry, name: str, content: bytes, sha256: str) -> bool:
        """Write a file; False where somebody else has written what lies there, or has changed it since.

        Raises:
            PathNotAllowed: they have, and the export is to stop then.
        """
        path = self._path / name
        there = hash_of(path.read_bytes()) if path.is_file() else None
        if there == sha256:
            return True
        is_taken = path.is_dir() or (self._existing != "replace" and (path.exists() or path.is_symlink()))
        if is_taken and not self._earlier.has_written(name, there):
            if self._existing == "refuse":
                raise PathNotAllowed(f"{path} exists with other content and is not replaced. Choose a new output_path.")
            return False
        self._journal.note(entry.key, name, sha256)
        write(path, content)
        return True

    def _is_changed(self, written: WrittenFile) -> bool:
        path = self._path / written.path
        return not path.is_file() or not self._earlier.has_written(written.path, hash_of(path.read_bytes()))

    def _takes(self, name: str) -> bool:
        """Take a name, unless it is another row's, here or among the rows that stay from an earlier export."""
        earlier = self._earlier.at(name)
        return not (earlier and earlier.stays) and self._claims.take(name)

    def _holder_of(self, wanted: str, name: str) -> str:
        """Name what has the name that a row wanted for its file."""
        if names.one_form(wanted).startswith((*self._tables,)):
            return "the table of results"
        earlier = self._earlier.at(name)
        if earlier is None or not earlier.stays:
            return "another row"
        self.held_by_others += 1
        return f"{brief(earlier.key, 40)!r} in the table"

    def _claimed(self, entry: Entry, wanted: str | None, index: int, kind: Kind) -> str:
        """Take the first name that is free, with the mark of the row's outcome; return it without."""
        mark = _mark(entry)
        if wanted is not None:
            if self._takes(marked(name := ended(wanted, index, kind), mark)):
                return name
            self._refuse(entry, wanted, f"{self._holder_of(wanted, marked(name, mark))} has that name")
        stems = chain((names.stem(entry.key),), (names.hashed(f"{entry.key} {n}") for n in count(2)))
        ordinary = (names.numbered(stem, index, kind.suffix) for stem in stems)
        return next(plain for plain in ordinary if self._takes(marked(plain, mark)))


def _mark(entry: Entry) -> str:
    """What stands in the name of a file that is no finished one."""
    return "" if entry.outcome == "ok" else entry.outcome


def marked(path: str, mark: str) -> str:
    """Put a mark before the ending of a path: `a/name.new.md`."""
    plain = PurePosixPath(path)
    return str(plain.with_name(f"{plain.stem}.{mark}{plain.suffix}")) if mark else path


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

    def has(self, path: str) -> bool:
        """Whether a path is taken."""
        return self._kind(names.one_form(path)) is not None

    def _kind(self, name: str) -> int | None:
        found = self._db.execute("SELECT is_file FROM taken WHERE name = ?", (name,)).fetchone()
        return found and found[0]
