"""A number that is not known exactly: its low, likely and high end."""

from collections.abc import Iterable
from math import ceil
from typing import NamedTuple, Self

from genai_batch.resources.answers import Range


class Triple(NamedTuple):
    """A number at its low, likely and high end."""

    low: float = 0
    likely: float = 0
    high: float = 0

    @property
    def width(self) -> float:
        """From low to high."""
        return self.high - self.low

    def times(self, factor: float) -> "Triple":
        """Scale all three."""
        return Triple(self.low * factor, self.likely * factor, self.high * factor)

    def plus(self, other: "Triple") -> "Triple":
        """Add end to end, as for numbers that may all be high at once."""
        return Triple(self.low + other.low, self.likely + other.likely, self.high + other.high)

    def at_most(self, bound: float | None) -> "Triple":
        """Cut off above."""
        return self if bound is None else Triple(*(min(end, bound) for end in self))

    def within(self, other: "Triple") -> "Triple":
        """What this and another statement about the same number leave open; where they disagree, this one."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Triple(low, min(max(self.likely, low), high), high) if low <= high else self

    def answer(self, digits: int | None = None) -> Range:
        """Round for the reader; without `digits` to whole numbers."""
        return Range(low=round(self.low, digits), likely=round(self.likely, digits), high=round(self.high, digits))

    def up_to(self, bound: float) -> Range:
        """Round to whole numbers for the reader, with an upper bound in the place of the high end."""
        return self.answer().model_copy(update={"high": ceil(max(bound, self.high))})

    def bounded(self, bound: float) -> Range:
        """Round USD for the reader, with an upper bound beside the likely range; upwards, so that it stays one."""
        high = ceil(max(bound, self.high) * 1e6) / 1e6
        return self.answer(6).model_copy(update={"likely_high": round(self.high, 6), "high": high})

    @classmethod
    def sum(cls, each: Iterable["Triple"]) -> Self:
        """Add end to end."""
        ends = [*each]
        return cls(*(sum(values) for values in zip(*ends, strict=True))) if ends else cls()

    @classmethod
    def independent(cls, each: Iterable["Triple"]) -> Self:
        """Add numbers that err each on its own: their distances from the likely end add as squares do."""
        ends = [*each]
        likely = sum(end.likely for end in ends)
        below = sum((end.likely - end.low) ** 2 for end in ends) ** 0.5
        above = sum((end.high - end.likely) ** 2 for end in ends) ** 0.5
        return cls(max(likely - below, 0), likely, likely + above)
