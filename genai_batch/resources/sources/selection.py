"""Some items of a source only: chosen by key, drawn by a seed, the first of them, or those that were changed."""

import random
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from blake3 import blake3
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from genai_batch.resources import equals
from genai_batch.resources.untyped import is_list, items

_encode = msgspec.json.Encoder().encode


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
    """What was sent last under each key, as hashes, in a database that SQLite keeps on disk when it grows."""

    def __init__(self, requests: Iterable[Path]) -> None:
        """Read the requests of jobs, the latest first.

        Raises:
            OSError: they cannot be read.
        """
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(
            "PRAGMA journal_mode = OFF; BEGIN; CREATE TABLE sent (key BLOB PRIMARY KEY, request BLOB) WITHOUT ROWID"
        )
        for each in requests:
            self._db.executemany("INSERT OR IGNORE INTO sent VALUES (?, ?)", _hashes(each))

    def has(self, key: str, request: dict[str, Any]) -> bool:
        """Whether this request is the last that was sent under this key."""
        found = self._db.execute(
            "SELECT 1 FROM sent WHERE key = ? AND request = ?", (_hash(key), equals.digest_of(_encode(request)))
        )
        return found.fetchone() is not None

    def close(self) -> None:
        """Forget it."""
        self._db.close()


def _hashes(requests: Path) -> Iterator[tuple[bytes, bytes]]:
    """Hash each key and its request; a key that got the answer of another row has the request of that."""
    rows = equals.rows(requests.with_name(equals.NAME))
    equal = next(rows, None)
    with requests.open("rb") as file:
        for line in map(_line, file):
            request = equals.digest_of(line.request)
            yield _hash(line.key), request
            while equal and equal.sent_as == line.key:
                yield _hash(equal.key), request
                equal = next(rows, None)


def _hash(key: str) -> bytes:
    return blake3(key.encode()).digest(16)
