"""The service tiers of generateContent: how calls at flex fare, and at which tier a call is served."""

from random import Random

import anyio
import msgspec

from . import clock
from .call import Call
from .store import Store
from .wire import ApiError, Object

TIERS = ("standard", "flex", "priority")
SERVER_TIMEOUT_S = 600
"""Seconds after which the server gives a call up, unless X-Server-Timeout says otherwise."""
TIER_HEADER = "x-gemini-service-tier"


class Flex(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How calls at the tier flex fare; drawn for each call by the seed, and the same for a request asked as often."""

    latency_s: tuple[float, float] = (0.0, 0.0)
    """The shortest and the longest, in virtual seconds."""
    no_room: float = 0.0
    """Share of the calls that are refused with 503."""
    downgraded: float = 0.0
    """Share of the calls at flex or priority that are served, and billed, as standard."""
    seed: int = 0

    def dice(self, digest: str, times: int) -> Random:
        """The luck of a request that is asked for so many times."""
        return Random(f"{self.seed} {digest} {times}")  # noqa: S311 - a repeatable draw, not a secret


def tier_of(request: Object) -> str:
    """The tier that a request asks for."""
    word = str(request.get("serviceTier") or "standard").lower().removeprefix("service_tier_")
    tier = "standard" if word == "unspecified" else word
    if tier not in TIERS:
        raise ApiError(400, f"Invalid value at 'service_tier' (ServiceTier), \"{request['serviceTier']}\"")
    return tier


async def serve(call: Call, flex: Flex, request: Object, dice: Random) -> str:
    """Wait as long as a call at the request's tier takes, and say at which tier it is served.

    Raises:
        ApiError: there is no room for it, or it takes longer than the client lets the server try.
    """
    asked = tier_of(request)
    room, luck, length = dice.random(), dice.random(), dice.random()
    if asked == "flex":
        if room < flex.no_room:
            raise ApiError(503, "The model is at capacity for flex. Please try again later.")
        shortest, longest = flex.latency_s
        await _work(call, shortest + (longest - shortest) * length)
    return "standard" if luck < flex.downgraded else asked


async def _work(call: Call, seconds: float) -> None:
    header = call.request.headers.get("x-server-timeout", "")
    patience = float(header) if header.isdigit() else SERVER_TIMEOUT_S
    await _wait(call.store, min(seconds, patience))
    if seconds > patience:
        raise ApiError(504, "Deadline expired before operation could complete.")


async def _wait(store: Store, seconds: float) -> None:
    """Wait for virtual seconds; an operator may let them pass meanwhile."""
    until = clock.now(store) + seconds
    while (left := until - (current := clock.read_clock(store)).now()) > 0:  # noqa: ASYNC110 - the stored clock tells nobody
        await anyio.sleep(0.05 if current.frozen else min(1.0, left / max(current.rate, 1e-9)))
