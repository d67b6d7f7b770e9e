"""How many input tokens a request can cost at most, where `counting` tells how many it probably does."""

from genai_batch.resources.tokens.coefficients import coefficients
from genai_batch.resources.tokens.media import UNSEEN

_UNSEEN = frozenset(UNSEEN.values())


def largest_count(kinds: dict[str, float], *, evened: float = 1) -> dict[str, float]:
    """The most tokens of each kind, for counts by kind of one row, or of many whose own errors even out so far."""
    share = coefficients()["bound"]
    unseen: dict[str, float] = share["unseen"]
    return {
        kind: count * (unseen[kind] if kind in unseen else 1 + share["job"][kind] + share["item"][kind] * evened)
        for kind, count in kinds.items()
    }


def largest_row(kinds: dict[str, float]) -> float:
    """The most tokens that a row of these counts can have."""
    return sum(largest_count(kinds).values()) + uncounted_tokens()


def uncounted_tokens() -> float:
    """Tokens that a row may cost beside what is counted of it."""
    return coefficients()["bound"]["row"]


def has_unseen(kinds: dict[str, float]) -> bool:
    """Whether a medium of unknown size is among the counts."""
    return not _UNSEEN.isdisjoint(kinds)
