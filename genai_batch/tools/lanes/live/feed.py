"""The requests of an attempt, one after another in the order of their file, those that are answered left out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from genai_batch.resources.prices import ServiceTier
from genai_batch.tools.lanes.live.tiers import asked_tier, with_tier

_AT_ONCE = 1024 * 1024


class Item:
    """A request on its way: its key, its body as it is sent, its service tier, and what became of it so far.

    `refusals` counts the calls that found no room at its tier, which are no failures of the row.
    """

    __slots__ = (
        "body", "bound", "due", "error", "failed_at", "key", "lane_tier", "refusals", "sent_at", "tier", "tries",
    )  # fmt: skip

    def __init__(self, key: bytes, body: bytes, lane_tier: ServiceTier = "standard") -> None:
        """Nothing has been tried; a request that names no tier asks for that of its lane."""
        named = asked_tier(body)
        self.key = key
        self.lane_tier: ServiceTier = lane_tier
        self.tier: ServiceTier = named or lane_tier
        self.body = body if named or lane_tier == "standard" else with_tier(body, lane_tier)
        self.tries, self.refusals, self.due, self.error = 0, 0, 0.0, b""
        self.sent_at: float | None = None
        self.failed_at: float | None = None
        self.bound: float | None = None
        """USD that one call can cost at most, once that is known."""

    def __lt__(self, other: "Item") -> bool:
        return self.due < other.due

    def move_to(self, tier: ServiceTier) -> None:
        """Ask at another tier from now on."""
        self.tier, self.body, self.refusals, self.bound = tier, with_tier(self.body, tier), 0, None

    def row(self, what: bytes, content: bytes, members: bytes = b"") -> bytes:
        """The line of results.jsonl that says what came back; `members` go behind it."""
        return b'{"key":%b,"%b":%b%b}\n' % (self.key, what, content, members)


class _Line(msgspec.Struct):
    key: msgspec.Raw
    request: msgspec.Raw


_LINE: Any = msgspec.json.Decoder(_Line)


def items(path: Path, answered: bytearray | None, lane_tier: ServiceTier = "standard") -> Iterator[Item]:
    """Read the requests of a lane; `answered` says of each, by its place, whether it is to be left out.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb", buffering=_AT_ONCE) as file:
        for number, line in enumerate(file):
            if answered is None or not answered[number]:
                read: _Line = _LINE.decode(line)
                yield Item(bytes(read.key), bytes(read.request), lane_tier)
