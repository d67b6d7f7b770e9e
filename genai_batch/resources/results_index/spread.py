"""Keys laid apart on disk, run after run, and given back part by part, so that all are never held at once."""

from array import array
from itertools import accumulate
from typing import NamedTuple

from genai_batch.resources.results_index.pieces import Section
from genai_batch.resources.results_index.runs import BETWEEN, Parted

_GROUP = 4
"""Parts that are read together."""


class _Written(NamedTuple):
    """A run of keys on disk: the number of its first, where its parts begin, counted in keys and in bytes."""

    first: int
    at: int
    counts: "array[int]"
    sizes: "array[int]"


class Part(NamedTuple):
    """The keys of one part, their numbers and their sums."""

    keys: list[bytes]
    numbers: list[int]
    sums: "array[int]"


class Spread:
    """Numbered keys in parts."""

    def __init__(self, section: Section, parts: int) -> None:
        """Begin with none."""
        self._section, self._parts = section, parts
        self._runs: list[_Written] = []
        self._ready: dict[int, Part] = {}

    def add(self, first: int, keys: Parted) -> None:
        """Take a run of keys, whose numbers begin with `first`."""
        counts = array("I", accumulate(array("I", keys.counts), initial=0))
        sizes = array("I", accumulate(array("I", keys.sizes), initial=0))
        self._runs.append(_Written(first, self._section.size, counts, sizes))
        self._section.add(keys.places)
        self._section.add(keys.sums)
        self._section.add(keys.keys)

    def part(self, number: int) -> Part:
        """A part. They are asked for in order."""
        if number not in self._ready:
            self._ready = self._read(number, min(number + _GROUP, self._parts))
        return self._ready[number]

    def _read(self, start: int, end: int) -> dict[int, Part]:
        found = {part: Part([], [], array("I")) for part in range(start, end)}
        for run in self._runs:
            counts, sizes, total = run.counts, run.sizes, 4 * run.counts[-1]
            first, many = counts[start], counts[end] - counts[start]
            places = array("I", self._section.read(run.at + 4 * first, 4 * many))
            sums = array("I", self._section.read(run.at + total + 4 * first, 4 * many))
            texts = self._section.read(run.at + 2 * total + sizes[start], sizes[end] - sizes[start])
            keys, numbers = texts.split(BETWEEN), list(map(run.first.__add__, places))
            for part, held in found.items():
                begin, stop = counts[part] - first, counts[part + 1] - first
                held.keys.extend(keys[begin:stop])
                held.numbers.extend(numbers[begin:stop])
                held.sums.extend(sums[begin:stop])
        return found
