"""How much an emulated model writes, thinks and searches, drawn anew for each request and always the same for it."""

from math import exp
from random import Random

import msgspec

from .wire import Object, as_list, as_object

LEVELS = {"none": 0.0, "off": 0.0, "minimal": 0.05, "low": 0.3, "medium": 0.7, "high": 1.0}
"""Share of the drawn thinking that each thinking level leaves."""


class Drawn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Log-normal lengths in tokens, and searches; a median of None leaves that part as it is without this setting."""

    output_tokens: float | None = None
    output_sigma: float = 0.6
    thought_tokens: float | None = None
    thought_sigma: float = 0.8
    searches: float = 0.0
    """Mean number of a request that has Google Search; a third of such requests make none."""

    def output(self, seed: bytes) -> int | None:
        """Tokens of an answer in free text."""
        return _length(seed + b"output", self.output_tokens, self.output_sigma)

    def thoughts(self, seed: bytes, config: Object) -> int | None:
        """Tokens of thinking at the level that is asked for."""
        drawn = _length(seed + b"thoughts", self.thought_tokens, self.thought_sigma)
        level = str(as_object(config.get("thinkingConfig")).get("thinkingLevel") or "high").lower()
        return None if drawn is None else round(drawn * LEVELS.get(level.removeprefix("thinking_level_"), 1.0))

    def queries(self, seed: bytes, request: Object) -> list[str]:
        """What was searched for, where the request lets the model search."""
        if not any("googleSearch" in as_object(tool) for tool in as_list(request.get("tools"))):
            return []
        dice = Random(seed + b"searches")  # noqa: S311 - a repeatable draw, not a secret
        count = 0 if dice.random() < 1 / 3 else _poisson(dice, self.searches * 1.5)
        return [f"emulated search {number + 1}" for number in range(count)]


def _length(seed: bytes, median: float | None, sigma: float) -> int | None:
    if median is None:
        return None
    return max(1, round(median * exp(Random(seed).gauss(0, sigma))))  # noqa: S311 - a repeatable draw, not a secret


def _poisson(dice: Random, mean: float) -> int:
    count, left = 0, dice.random()
    while left > exp(-mean) and count < 100:
        left *= dice.random()
        count += 1
    return count
