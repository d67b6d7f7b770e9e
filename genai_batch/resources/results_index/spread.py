"""Keys laid apart on disk, run after run, and given back some parts at a time, so that all are never held at once."""

from array import array
from itertools import accumulate
from typing import NamedTuple

from genai_batch.resources.results_index.laid import Laid, Parts, Piece, pieces
from genai_batch.resources.results_index.pieces import Section
from genai_batch.resources.results_index.runs import Parted


class Part(NamedTuple):
    """The keys of one part, and their numbers."""

    keys: list[bytes]
    numbers: list[int]


class Spread:
    """Numbered keys in parts."""

    def __init__(self, section: Section) -> None:
        """Begin with none."""
        self.section = section
        self.runs: list[Laid] = []

    def add(self, first: int, keys: Parted) -> None:
        """Take a run of keys, whose numbers begin with `first`."""
        counts = array("I", accumulate(array("I", keys.counts), initial=0))
        sizes = array("I", accumulate(array("I", keys.sizes), initial=0))
        self.runs.append(Laid(first, self.section.size, counts.tobytes(), sizes.tobytes()))
        self.section.add(keys.places)
        self.section.add(keys.sums)
        self.section.add(keys.keys)

    def pieces(self, parts: Parts) -> list[Piece]:
        """Some parts, as they lie in each run."""
        return pieces(self.runs, self.section.read, parts)


def part_of(given: list[Piece], number: int) -> Part:
    """One part of those in these pieces, counted from the first of them; its numbers ascend."""
    part = Part([], [])
    for piece in given:
        begin, end = piece.ends[number], piece.ends[number + 1]
        part.keys.extend(piece.keys[begin:end])
        part.numbers.extend(piece.numbers[begin:end])
    return part
