"""Some items of a source only: chosen by key, drawn by a seed, the first of them, or those that were changed."""

import random
import re
import sqlite3
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from blake3 import blake3
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from genai_batch.resources import equals
from genai_batch.resources.untyped import is_list, items

_encode = msgspec.json.Encoder().encode
NUMBERED = r"row-\d{6,}(?:-\d+)?"
"""Keys that we make of the number of a row, and of a variant of it; another row may have that number next time."""
_is_numbered = re.compile(NUMBERED).fullmatch


class _Line(msgspec.Struct):
    key: str
    request: msgspec.Raw


_line = msgspec.json.Decoder(_Line).decode


def _keys(given: Any) -> Any:
    return tuple(map(str, items(given))) if given is None or is_list(given) or isinstance(given, str) else given


class Selection(BaseModel):
    """Which items are meant; several rules narrow each other in the order in which they stand here."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    only: Annotated[
        tuple[str, ...], BeforeValidator(_keys), Field(description="Keys; all of them have to be there")
    ] = ()
    sample: Annotated[int | None, Field(ge=1, description="So many at random, in their order")] = None
    seed: Annotated[int, Field(description="Of the sample; the same seed draws the same items")] = 0
    limit: Annotated[int | None, Field(ge=1, description="The first so many")] = None
    changed_since: Annotated[
        str | None, Field(description="A job: only requests that it, or those before it, did not send just so")
    ] = None

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return not (self.only or self.sample or self.limit or self.changed_since)

    def over(self, other: "Selection | None") -> "Selection":
        """This, and where it says nothing, the other."""
        given = self.model_dump(exclude_defaults=True)
        return Selection.model_validate({**(other.model_dump(exclude_defaults=True) if other else {}), **given})

    def drawn(self, count: int) -> frozenset[int] | None:
        """Which of `count` items the sample holds; None for all."""
        if self.sample is None or self.sample >= count:
            return None
        return frozenset(random.Random(self.seed).sample(range(count), self.sample))  # noqa: S311 - a repeatable draw


class Sent:
    """What was sent last under each key, as hashes, in a database that SQLite keeps on disk when it grows.

    A request under a numbered key counts as sent where an equal one was sent under another number, once for each.
    `moved` counts those.
    """

    def __init__(self, jobs: Iterable[Iterable[bytes]]) -> None:
        """Read the lines of the requests of jobs, the latest first.

        Raises:
            OSError: they cannot be read.
        """
        self.moved = 0
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(
            "PRAGMA journal_mode = OFF; BEGIN; CREATE TABLE sent (key BLOB PRIMARY KEY, request BLOB) WITHOUT ROWID; "
            "CREATE TABLE numbered (request BLOB PRIMARY KEY, rows INTEGER) WITHOUT ROWID"
        )
        for lines in jobs:
            for line in lines:
                self._add(_line(line))

    def _add(self, line: _Line) -> None:
        request = equals.digest_of(line.request)
        self._db.execute("INSERT OR IGNORE INTO sent VALUES (?, ?)", (_hash(line.key), request))
        if _is_numbered(line.key):
            more = "INSERT INTO numbered VALUES (?, 1) ON CONFLICT DO UPDATE SET rows = rows + 1"
            self._db.execute(more, (request,))

    def has(self, key: str, request: dict[str, Any]) -> bool:
        """Whether this request is the last that was sent under this key, or under any where the key is a number."""
        digest = equals.digest_of(_encode(request))
        found = self._db.execute("SELECT 1 FROM sent WHERE key = ? AND request = ?", (_hash(key), digest))
        is_same = found.fetchone() is not None
        if not _is_numbered(key):
            return is_same
        taken = self._db.execute("UPDATE numbered SET rows = rows - 1 WHERE request = ? AND rows > 0", (digest,))
        self.moved += taken.rowcount > 0 and not is_same
        return taken.rowcount > 0

    def close(self) -> None:
        """Forget it."""
        self._db.close()


def _hash(key: str) -> bytes:
    return blake3(key.encode()).digest(16)
