"""Which keys stand twice: 64-bit hashes in buckets while reading, the lines themselves only if hashes agree.

A hash takes eight bytes where a string in a set takes a hundred, and buckets keep the final comparison in the cache.
Python salts its hashes, so keys that collide cannot be prepared; a chance collision costs a second look and no more.
"""

import itertools
from array import array
from collections.abc import Iterable

MAX_KEY = 256
"""Bytes of a key; it travels in URIs and answers."""
BUCKETS = 256
_LAST = BUCKETS - 1


class Keys:
    """The hashes of every key so far. They compare only within one process."""

    def __init__(self) -> None:
        """Start with none."""
        self._buckets = [array("q") for _ in range(BUCKETS)]
        self._append = [bucket.append for bucket in self._buckets]

    def add(self, keys: Iterable[str]) -> None:
        """Note keys."""
        append = self._append
        for value in map(hash, keys):
            append[value & _LAST](value)

    def suspects(self) -> set[int]:
        """Hashes that stand more than once; the buckets are emptied on the way."""
        found: set[int] = set()
        for bucket in self._buckets:
            if len(set(bucket)) < len(bucket):
                ordered = sorted(bucket)
                found.update(one for one, other in itertools.pairwise(ordered) if one == other)
            del bucket[:]
        return found
