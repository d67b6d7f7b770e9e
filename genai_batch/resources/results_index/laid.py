"""Keys laid apart on disk, as a process that matches some of their parts reads them; it loads no more than it must."""

from array import array
from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec import Struct

from genai_batch.resources.results_index.runs import BETWEEN

Read = Callable[[int, int], bytes]
"""So many bytes from a place."""


class Laid(Struct, array_like=True):
    """A run of keys on disk: the number of its first, where it lies, and where its parts begin in keys and in bytes."""

    first: int
    at: int
    counts: bytes
    sizes: bytes


class Piece(NamedTuple):
    """What a run has of some parts: where each of them ends, the keys, their numbers, and their sums."""

    ends: Sequence[int]
    keys: list[bytes]
    numbers: list[int]
    sums: bytes


class Keys(Struct, array_like=True):
    """The keys of a job: of its requests and of the rows."""

    asked: list[Laid]
    answered: list[Laid]


class Parts(Struct, array_like=True):
    """The parts from `start` to before `end`."""

    start: int
    end: int


class Matched(Struct, array_like=True):
    """Parts in which all is plain, so that each row answers a request of its own: who is answered, and by which row.

    Of the requests it has, part by part, how many there are, the sums of their keys, and their numbers. Where anything
    is out of the ordinary it is not `plain`, and nothing is told.
    """

    plain: bool
    counts: list[int] = []
    sums: bytes = b""
    numbers: bytes = b""
    answered: bytes = b""
    rows: bytes = b""


def pieces(runs: Sequence[Laid], read: Read, parts: Parts) -> list[Piece]:
    """What each run has of some parts."""
    return [_piece(run, read, parts) for run in runs]


def _piece(run: Laid, read: Read, parts: Parts) -> Piece:
    counts, sizes = memoryview(run.counts).cast("I"), memoryview(run.sizes).cast("I")
    first, begin, stop = counts[parts.start], sizes[parts.start], sizes[parts.end]
    many, total = counts[parts.end] - first, 4 * counts[-1]
    places = array("I", read(run.at + 4 * first, 4 * many))
    sums = read(run.at + total + 4 * first, 4 * many)
    keys = read(run.at + 2 * total + begin, stop - begin).split(BETWEEN)
    keys.pop()  # what stands behind the last
    ends = [count - first for count in counts[parts.start : parts.end + 1]]
    return Piece(ends, keys, list(map(run.first.__add__, places)), sums)


def match_plainly(parts: Parts, asked: list[Piece], answered: list[Piece]) -> Matched:
    """Match the requests and the rows of some parts, unless anything is out of the ordinary."""
    known: dict[bytes, int] = {}
    for piece in asked:
        known.update(zip(piece.keys, piece.numbers, strict=True))
    if len(known) < sum(len(piece.keys) for piece in asked):
        return Matched(plain=False)
    numbers, rows = array("I"), array("I")
    try:
        for piece in answered:
            numbers.extend(map(known.pop, piece.keys))
            rows.extend(piece.numbers)
    except KeyError:  # a stranger, or a second answer
        return Matched(plain=False)
    found = of_requests(parts, asked)
    found.plain, found.answered, found.rows = True, numbers.tobytes(), rows.tobytes()
    return found


def of_requests(parts: Parts, asked: list[Piece]) -> Matched:
    """Tell only of the requests."""
    numbers = [array("I", piece.numbers).tobytes() for piece in asked]
    counts, sums, ordered = list[int](), list[bytes](), list[bytes]()
    for part in range(parts.end - parts.start):
        spans = [(4 * piece.ends[part], 4 * piece.ends[part + 1]) for piece in asked]
        counts.append(sum(end - begin for begin, end in spans) // 4)
        sums += [piece.sums[begin:end] for piece, (begin, end) in zip(asked, spans, strict=True)]
        ordered += [each[begin:end] for each, (begin, end) in zip(numbers, spans, strict=True)]
    return Matched(plain=False, counts=counts, sums=b"".join(sums), numbers=b"".join(ordered))
