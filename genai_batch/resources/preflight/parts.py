"""Cutting a job into batches."""

from dataclasses import dataclass
from typing import NamedTuple

MAX_FILE = 2_000_000_000
"""Bytes of one input file that the Batch API takes; a larger source becomes several batches."""


class Cut(NamedTuple):
    """At most how much goes into one batch: bytes of its file, and estimated input tokens."""

    bytes: int = MAX_FILE
    tokens: float = float("inf")


@dataclass
class Part:
    """A run of lines that becomes one batch: where it lies in requests.jsonl, how many rows, how many tokens."""

    start: int
    length: int = 0
    requests: int = 0
    tokens: float = 0


class Cutter:
    """Lays rows into parts, each as full as the cut allows."""

    def __init__(self, cut: Cut) -> None:
        """Start with no part."""
        self.cut = cut
        self.parts: list[Part] = []
        self.size = 0

    def add(self, size: int, tokens: float, rows: int = 1) -> None:
        """Lay rows that stay together into the last part, or into a new one where they do not fit."""
        if not self.parts or not self.fits(size, tokens):
            self.parts.append(Part(self.size))
        part = self.parts[-1]
        part.length, part.requests, part.tokens = part.length + size, part.requests + rows, part.tokens + tokens
        self.size += size

    def fits(self, size: int, tokens: float) -> bool:
        """Whether rows fit into the last part."""
        part = self.parts[-1] if self.parts else Part(0)
        return part.length + size <= self.cut.bytes and part.tokens + tokens <= self.cut.tokens
