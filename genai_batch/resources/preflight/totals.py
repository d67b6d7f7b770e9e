"""What the rows of a source add up to while it is read."""

from collections.abc import Iterator
from math import fsum

from genai_batch.resources.preflight.parts import Cut, Cutter
from genai_batch.resources.shapes import Shape
from genai_batch.resources.tally import Tier
from genai_batch.resources.tiers import LONG

Kinds = dict[str, float]


class Totals:
    """Rows, their tokens by price, and the parts they are cut into."""

    def __init__(self, cut: Cut) -> None:
        """Start with none."""
        self.requests = 0
        self.short, self.long = Tier(), Tier()
        self.cutter = Cutter(cut)
        self._counted = _Sample()

    def row(self, kinds: Kinds, shape: Shape) -> None:
        """Price a row that was counted for itself; where it lies comes by `run`."""
        tokens = sum(kinds.values())
        tier = self.long if tokens > LONG else self.short
        tier.add(1, tokens, shape)
        tier.sample(kinds)

    def rows(self, rows: int, shape: Shape) -> None:
        """Price rows whose tokens come by `run`."""
        self.short.add(rows, 0, shape)

    def sample(self, kinds: Kinds, weight: float) -> None:
        """Tell of a row that was looked at, and stands for `weight` rows whose tokens come by `run`."""
        self.short.sample(kinds, weight)
        if weight > 1:
            self._counted.add(weight * sum(kinds.values()))

    def rise(self, kinds: Kinds, shape: Shape) -> None:
        """Charge one row of a run, which stands for itself, at the higher rate."""
        tokens = sum(kinds.values())
        self.short.add(-1, -tokens, shape)
        self.long.add(1, tokens, shape)
        self.long.sample(kinds)

    def run(self, laid: "Laid") -> None:
        """Lay neighbouring rows into parts."""
        sampled = fsum(laid.samples)
        self.short.input += sampled
        self.requests += laid.count
        if not self.cutter.splits(laid.size, sampled + laid.counted):
            if laid.count:
                self.cutter.add(laid.size, sampled + laid.counted, laid.count)
            return
        for size, tokens in laid.each():
            self.cutter.add(size, sampled * size / laid.sampled if tokens is None else tokens)

    def forget(self, size: int, kinds: Kinds, shape: Shape) -> None:
        """Take a row out again that is not sent; the parts are for nothing then."""
        tokens = sum(kinds.values())
        (self.long if tokens > LONG else self.short).add(-1, -tokens, shape)
        self.requests -= 1
        self.cutter.size -= size

    def settle(self) -> None:
        """Note how far the sums may be off because only a sample was counted: its standard error, doubled."""
        if self.short.input > 0:
            self.short.unsure = min(1, 2 * self._counted.error / self.short.input)


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


class Laid:
    """Neighbouring rows: where they lie, and what was counted of them."""

    def __init__(self) -> None:
        """Begin with none."""
        self.samples: list[float] = []
        """Tokens of rows that were looked at, each times the rows it stands for."""
        self.count = self.size = self.sampled = 0
        self.counted = 0.0
        self._items: list[tuple[memoryview | int, float]] = []

    def rows(self, block: bytes, start: int, end: int, rows: int) -> None:
        """Add rows of which samples are counted."""
        if not rows:
            return
        self.count += rows
        self.size += end - start
        self.sampled += end - start
        self._items.append((memoryview(block)[start:end], 0))

    def one(self, size: int, tokens: float) -> None:
        """Add a row that was counted for itself."""
        self.count += 1
        self.size += size
        self.counted += tokens
        self._items.append((size, tokens))

    def each(self) -> Iterator[tuple[int, float | None]]:
        """Every row: its bytes, and its tokens where they were counted."""
        for held, tokens in self._items:
            if isinstance(held, int):
                yield held, tokens
            else:
                yield from ((len(line) + 1, None) for line in bytes(held[:-1]).split(b"\n"))
