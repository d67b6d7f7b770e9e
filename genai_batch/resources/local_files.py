"""The local files that a job's requests name by their content: `local:` and a BLAKE3 hash, in the place of a URI.

Whoever sends such a request uploads the file first and puts its URI there. Which content is which file is kept in a
small database beside the requests, so that neither a million rows nor their files are ever held.
"""

import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple, Self

import msgspec
from blake3 import blake3

from genai_batch.resources import regular
from genai_batch.resources.tokens.headers import Seen, of_path
from genai_batch.resources.whole import beside, sync_folder

PREFIX = "local:"
FILE = "files.db"
"""What the database is called in the folder of a job."""
NAMED = re.compile(rb'(?<!\\)"(?:fileUri|file_uri)"\s*:\s*"(local:([0-9a-f]{64}))"')
"""Where raw JSON names a local file; inside a string the quotation marks would be escaped."""
MARK = b'"local:'
"""What a line holds that may name one: quick to look for."""
_NAME = re.compile(r"local:[0-9a-f]{64}")
_PIECE = 1024 * 1024
_FILE = "content TEXT PRIMARY KEY, path TEXT, size INTEGER, mime_type TEXT, item TEXT, seen TEXT"
_SCHEMA = (
    f"CREATE TABLE IF NOT EXISTS file ({_FILE}) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS hashed (path TEXT PRIMARY KEY, content TEXT) WITHOUT ROWID",
)


class BeingWritten(OSError):
    """A file that had another size when it was looked at than when it was read."""


class LocalFile(NamedTuple):
    """A file by its content: where it was found, its bytes, the first item that names it, what its header tells."""

    content: str
    path: Path
    size: int
    mime_type: str
    item: str
    seen: Seen


def is_local(uri: str) -> bool:
    """Whether it has the form of a name of ours."""
    return _NAME.fullmatch(uri) is not None


def named_in(raw: bytes) -> Iterator[str]:
    """The contents that raw JSON names, as often as it does."""
    if MARK in raw:
        for found in NAMED.finditer(raw):
            yield found[2].decode()


class LocalFiles:
    """Files by their content. It is made while requests are compiled, and only read from then on."""

    def __init__(self, path: Path, *, new: bool = False) -> None:
        """Open the database, or begin one.

        Raises:
            OSError: there is none, or it cannot be read or written.
        """
        self.path = path
        try:
            where = f"{path.absolute().as_uri()}?mode={'rwc' if new else 'ro'}"
            self._db = sqlite3.connect(where, uri=True, isolation_level=None, check_same_thread=False)
            for statement in ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", *_SCHEMA) if new else ():
                self._db.execute(statement)
            self._db.execute("SELECT 1 FROM file LIMIT 1")
        except sqlite3.Error as error:
            raise OSError(0, str(error), str(path)) from error

    @classmethod
    def beside(cls, requests: Path) -> Self | None:
        """Those of the requests in the same folder; None where these name none."""
        path = requests.with_name(FILE)
        return cls(path) if path.exists() else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self._db.close()

    @property
    def total(self) -> tuple[int, int]:
        """How many files, and their bytes."""
        return self._db.execute("SELECT count(*), coalesce(sum(size), 0) FROM file").fetchone()

    def add(self, path: Path, size: int, mime_type: str, item: str) -> str:
        """Take a file up, reading it unless the same path was, and return its name for a request.

        Raises:
            BeingWritten: it has another size by now.
            OSError: it cannot be read.
        """
        known = self._db.execute("SELECT content FROM hashed WHERE path = ?", (str(path),)).fetchone()
        if known is not None:
            return PREFIX + known[0]
        content = _hashed(path, size)
        seen = msgspec.json.encode(of_path(path, mime_type)).decode()
        row = (content, str(path), size, mime_type, item, seen)
        self._db.execute("INSERT OR IGNORE INTO file VALUES (?, ?, ?, ?, ?, ?)", row)
        self._db.execute("INSERT INTO hashed VALUES (?, ?)", (str(path), content))
        return PREFIX + content

    def find(self, content: str) -> LocalFile | None:
        """The file of a content."""
        row = self._db.execute("SELECT * FROM file WHERE content = ?", (content,)).fetchone()
        return row and LocalFile(row[0], Path(row[1]), row[2], row[3], row[4], Seen(*msgspec.json.decode(row[5])))

    def lie_as(self, other: "LocalFiles") -> bool:
        """Whether the same contents lie at the same places."""
        return all(own == others for own, others in zip_longest(self.places(), other.places()))

    def places(self) -> Iterator[tuple[str, str]]:
        """The contents in their order, and where each was found."""
        yield from self._db.execute("SELECT content, path FROM file ORDER BY content")

    def seen(self, uri: str) -> Seen | None:
        """What the header of a file tells that a request names."""
        found = self.find(uri.removeprefix(PREFIX)) if uri.startswith(PREFIX) else None
        return found.seen if found else None


def _hashed(path: Path, size: int) -> str:
    """The hash of a file of `size` bytes, read in pieces: of a mapped file that somebody cuts, reading is fatal."""
    seen, left = blake3(), size
    with regular.opened(path) as file:
        while left >= 0 and (piece := file.read(_PIECE)):
            seen.update(piece)
            left -= len(piece)
        if left or regular.size_of(file) != size:
            raise BeingWritten(0, "is being written", str(path))
    return seen.hexdigest()


def keep(files: Path, target: Path) -> None:
    """Copy which content is which local file, so that it is on the disk, whole, or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with beside(target) as part:
        shutil.copyfile(files, part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
    sync_folder(target.parent)


def renew(found: Path, folder: Path) -> bool:
    """Have the job of a folder read its files where `found` says that they lie; False where it does already.

    Raises:
        OSError: it cannot be written.
    """
    target = folder / FILE
    if not found.exists() or not folder.is_dir():
        return False
    with suppress(OSError), LocalFiles(found) as new, LocalFiles(target) as old:
        if new.lie_as(old):
            return False
    keep(found, target)
    return True
