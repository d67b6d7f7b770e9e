"""What the rows of a source add up to while it is read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import fsum

from genai_batch.resources.preflight.parts import Cut, Cutter
from genai_batch.resources.shapes import Shape
from genai_batch.resources.tally import Tier
from genai_batch.resources.tiers import LONG

Kinds = dict[str, float]
_MEDIA = 4_096
"""Sizes of media that are told apart before they are added up."""


class Tally:
    """Rows, their tokens by price, and the parts they are cut into."""

    def __init__(self, cut: Cut) -> None:
        """Start with none."""
        self.requests = 0
        self.short, self.long = Tier(), Tier()
        self.cutter = Cutter(cut)
        self._sample = _Sample()
        self._media = Counter[tuple[tuple[str, float], ...]]()

    def count(self, kinds: Kinds, shape: Shape) -> float:
        """Price a row of which everything was counted; its tokens."""
        tokens = sum(kinds.values())
        tier = self.long if tokens > LONG else self.short
        tier.add(1, tokens, shape)
        tier.sample(kinds)
        return tokens

    def rows(self, rows: int, shape: Shape) -> None:
        """Price rows whose tokens come by `sample` and `media`."""
        self.short.add(rows, 0, shape)

    def media(self, kinds: Kinds) -> float:
        """Add the tokens of the media of one row; most rows of a source have media of few sizes."""
        alike = tuple(kinds.items())
        self._media[alike] += 1
        if len(self._media) > _MEDIA:
            self._settle_media()
        return sum(kinds.values())

    def _settle_media(self) -> None:
        for alike, rows in self._media.items():
            kinds = dict(alike)
            self.short.input += rows * sum(kinds.values())
            self.short.note_near(kinds, rows)
            for kind, count in alike:
                self.short.kinds[kind] = self.short.kinds.get(kind, 0) + rows * count
        self._media.clear()

    def sample(self, kinds: Kinds, weight: float, media: float = 0) -> float:
        """Count a row, but for its media, as one of `weight` rows like it; the tokens of all of them."""
        tokens = weight * sum(kinds.values())
        self.short.input += tokens
        self.short.sample(kinds, weight, media)
        if weight > 1:
            self._sample.add(tokens)
        return tokens

    def rise(self, kinds: Kinds, shape: Shape) -> float:
        """Charge a row at the higher rate, which is so long that it stands for itself in a sample; its tokens."""
        tokens = sum(kinds.values())
        self.short.add(-1, 0, shape)
        self.long.add(1, tokens, shape)
        self.long.sample(kinds)
        return tokens

    def lay(
        self, sizes: Sequence[int], sampled: float, counted: Mapping[int, float], media: Mapping[int, float]
    ) -> None:
        """Lay neighbouring rows into parts: the bytes of each that are sent, 0 where none are, and the tokens.

        `counted` are the tokens of rows that were counted whole, `media` those of the media of others; all else of the
        others is `sampled`, together.
        """
        rows, size = len(sizes) - sizes.count(0), sum(sizes)
        if not rows:
            return
        self.requests += rows
        tokens = sampled + fsum(counted.values()) + fsum(media.values())
        if self.cutter.fits(size, tokens):
            self.cutter.add(size, tokens, rows)
            return
        share = sampled / max(1, size - sum(sizes[index] for index in counted))
        for index, each in enumerate(sizes):
            if each:
                own = counted[index] if index in counted else each * share + media.get(index, 0)
                self.cutter.add(each, own)

    def forget(self, size: int, kinds: Kinds, shape: Shape) -> None:
        """Take a row out again that is not sent; the parts are for nothing then."""
        tokens = sum(kinds.values())
        (self.long if tokens > LONG else self.short).add(-1, -tokens, shape)
        self.requests -= 1
        self.cutter.size -= size

    def settle(self) -> None:
        """Add up what is left, and note the doubled standard error of the sums, since only a sample was counted."""
        self._settle_media()
        if self.short.input > 0:
            self.short.unsure = min(1, 2 * self._sample.error / self.short.input)


class _Sample:
    """What the rows of a sample stand for, one by one."""

    def __init__(self) -> None:
        self._count = self._sum = self._squares = 0.0

    def add(self, tokens: float) -> None:
        self._count, self._sum, self._squares = self._count + 1, self._sum + tokens, self._squares + tokens**2

    @property
    def error(self) -> float:
        """Standard error of their sum; of a sample of one nothing is known."""
        if self._count <= 1:
            return self._sum
        variance = max(0, self._squares - self._sum**2 / self._count)
        return (variance * self._count / (self._count - 1)) ** 0.5
