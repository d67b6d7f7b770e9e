"""The requests of an attempt, one after another in the order of their file, those that are answered left out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

_AT_ONCE = 1024 * 1024


class Item:
    """A request on its way: its key and its body as they stand in the file, and what became of it so far."""

    __slots__ = ("body", "bound", "due", "error", "failed_at", "key", "sent_at", "tries")

    def __init__(self, key: bytes, body: bytes) -> None:
        """Nothing has been tried."""
        self.key, self.body = key, body
        self.tries, self.due, self.error = 0, 0.0, b""
        self.sent_at: float | None = None
        self.failed_at: float | None = None
        self.bound: float | None = None
        """USD that one call can cost at most, once that is known."""

    def __lt__(self, other: "Item") -> bool:
        return self.due < other.due

    def row(self, what: bytes, content: bytes) -> bytes:
        """The line of results.jsonl that says what came back."""
        return b'{"key":%b,"%b":%b}\n' % (self.key, what, content)


class _Line(msgspec.Struct):
    key: msgspec.Raw
    request: msgspec.Raw


_LINE: Any = msgspec.json.Decoder(_Line)


def items(path: Path, answered: bytearray | None) -> Iterator[Item]:
    """Read the requests; `answered` says of each, by its place, whether it is to be left out.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb", buffering=_AT_ONCE) as file:
        for number, line in enumerate(file):
            if answered is None or not answered[number]:
                read: _Line = _LINE.decode(line)
                yield Item(bytes(read.key), bytes(read.request))
