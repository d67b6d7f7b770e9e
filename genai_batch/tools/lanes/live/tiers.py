"""The service tier of a call: which one a request asks for, and at which one it was served."""

from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from genai_batch.resources.answers import short
from genai_batch.resources.prices import ServiceTier
from genai_batch.resources.shapes import named_tier, tier_of

_NAMES = ("service_tier", "serviceTier")
_FIELDS: Any = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Named(msgspec.Struct):
    snake: Any = msgspec.field(default=None, name="service_tier")
    camel: Any = msgspec.field(default=None, name="serviceTier")


_NAMED = msgspec.json.Decoder(_Named)


def asked_tier(body: bytes) -> ServiceTier | None:
    """The tier that a request names; None where it leaves that to its lane."""
    if b"service" not in body and b"\\u" not in body:  # almost every request, without reading it
        return None
    named = _NAMED.decode(body)
    return named_tier(named.camel if named.snake is None else named.snake)


def with_tier(body: bytes, tier: ServiceTier) -> bytes:
    """The same request at a tier, which it names."""
    fields: dict[str, Any] = _FIELDS.decode(body)
    if any(name in fields for name in _NAMES):
        body = msgspec.json.encode({name: value for name, value in fields.items() if name not in _NAMES})
    return b'{"serviceTier":"%b",%b' % (tier.encode(), body[1:])


class Served(NamedTuple):
    """What a reply says of the tier at which it was served: the word of its header, and that of its usage."""

    header: str = ""
    usage: str = ""

    def tier(self, asked: ServiceTier) -> str:
        """The tier at which it was served, or an unknown word; the one asked for where the reply says nothing."""
        return _known(self.header or self.usage or asked)

    def members(self, asked: ServiceTier, lane_tier: ServiceTier) -> bytes:
        """What its row in results.jsonl says of tiers beside the response, as further members of the JSON object.

        That is the tier at which it was served, where neither usage nor lane tells that, and the tier that was asked
        for, where that is another.
        """
        served, members = self.tier(asked), b""
        if served != _known(self.usage or lane_tier):
            members += b',"service_tier":' + msgspec.json.encode(served)
        if served != asked:
            members += b',"asked_tier":' + msgspec.json.encode(asked)
        return members


@lru_cache(100)
def _known(word: str) -> str:
    return tier_of(word) or short(word, 60)
