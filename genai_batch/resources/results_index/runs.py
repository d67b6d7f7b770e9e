"""Reading a stretch of lines: plain rows become columns, and keys are laid apart by their sums.

A helping process loads this module, `batches` and `plain`, so they import nothing else of ours but `tiers`.
"""

from array import array
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from zlib import crc32

import msgspec
from msgspec import Struct

from genai_batch.resources.results_index import plain
from genai_batch.resources.results_index.batches import batches

STRETCH = 9 * 1024 * 1024
"""Bytes of rows that make a run."""
REQUESTS = STRETCH // 3
"""The same of requests, which are shorter."""
BETWEEN = b"\xff"
"""Stands behind each key; UTF-8 has no such byte."""
GROUP = 64
"""Rows whose columns lie beside each other."""
CODES = "QIIIII"
"""Columns of a plain row: where it begins, its length, tokens asked, written (thought too), thought, cached."""
MORE = "qHBB"
"""Columns of any other row behind these: units of cost, the number of its reason, its code, its marks."""


class Parted(Struct, array_like=True):
    """Keys laid apart: how many each part has, in how many bytes; by part their places in the run, sums, and texts."""

    counts: bytes
    sizes: bytes
    places: bytes
    sums: bytes
    keys: bytes


class Run(Struct, array_like=True):
    """What a stretch of rows holds: plain rows as columns in groups, with their keys.

    Their tokens are summed for the price; `fresh` are those asked beyond the cached. Of the other rows it says where
    each begins, and its length.
    """

    count: int
    columns: bytes
    keys: Parted
    fresh: int
    written: int
    cached: int
    odd: list[tuple[int, int]]


class Asked(Struct, array_like=True):
    """What a stretch of requests holds: where each line begins, the keys in their order, their sizes, and by part."""

    count: int
    places: bytes
    text: bytes
    sizes: bytes
    keys: Parted


class Stretch(Struct, array_like=True):
    """Lines to read: those of a file that begin between two places, as requests or as rows.

    `base` is how many bytes will stand before the file where its rows are kept; places are told with it.
    """

    path: str
    start: int
    end: int
    parts: int
    longest: int
    requests: bool
    base: int = 0

    @property
    def covers(self) -> tuple[int, int]:
        """Which bytes these are where they are kept."""
        return self.start + self.base, self.end + self.base

    def read(self) -> Run | Asked:
        """Read them.

        Raises:
            OSError: they are not all there.
        """
        found = _asked(self) if self.requests else _run(self)
        if Path(self.path).stat().st_size < self.end:  # also a file that has been moved away, and read as empty
            raise OSError(f"{self.path} is shorter than {self.end} bytes")
        return found


class _Found:
    """The rows of a stretch so far."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.odd: list[tuple[int, int]] = []
        self.columns: list[array[int]] = [array(code) for code in CODES]

    def add(self, offset: int, lines: list[bytes], size: int, longest: int) -> None:
        """Read some more."""
        if not lines:
            self.odd.append((offset, size))
            return
        lengths = list(map(len, lines))
        places = list(accumulate(lengths, initial=offset))
        rows, odd = plain.read(lines)
        for place in reversed(odd):
            self.odd.append((places.pop(place), lengths.pop(place)))
        del places[len(rows) :]
        keys = [row.key.encode() for row in rows]
        if keys and max(map(len, keys)) > longest:
            self.odd += zip(places, lengths, strict=True)
            return
        self.keys += keys
        usages = [row.response.usage_metadata for row in rows]
        asked = [usage.prompt_token_count for usage in usages]
        written = [usage.candidates_token_count + usage.thoughts_token_count for usage in usages]
        thought = [usage.thoughts_token_count for usage in usages]
        cached = [usage.cached_content_token_count for usage in usages]
        for column, more in zip(self.columns, (places, lengths, asked, written, thought, cached), strict=True):
            column.extend(more)


def _run(stretch: Stretch) -> Run:
    found = _Found()
    for offset, lines, size in batches(Path(stretch.path), stretch.start, stretch.end):
        found.add(offset + stretch.base, lines, size, stretch.longest)
    _, _, asked, written, _, cached = found.columns
    fresh = sum(max(0, a - c) for a, c in zip(asked, cached, strict=True)) if any(cached) else sum(asked)
    keys = parted(found.keys, stretch.parts)
    return Run(len(found.keys), grouped(found.columns), keys, fresh, sum(written), sum(cached), found.odd)


def _asked(stretch: Stretch) -> Asked:
    places, keys = array("Q"), list[bytes]()
    for offset, lines, size in batches(Path(stretch.path), stretch.start, stretch.end):
        places.extend(accumulate(map(len, lines[:-1]), initial=offset))
        keys += keys_of(lines or [_line(stretch.path, offset, size)])
    return asked_of(keys, places, stretch.parts)


def asked_of(keys: list[bytes], places: "array[int]", parts: int) -> Asked:
    """Requests with these keys, whose lines begin at these places."""
    text, sizes = BETWEEN.join([*keys, b""]), array("H", map(len, keys))
    return Asked(len(keys), places.tobytes(), text, sizes.tobytes(), parted(keys, parts))


class _Keyed(Struct, gc=False):
    key: str


_decode = msgspec.json.Decoder(_Keyed).decode
_BEGINNINGS = (b'{"key":"', b'{"key": "')


def keys_of(lines: list[bytes]) -> list[bytes]:
    """The key of each line, as UTF-8, without reading what follows it. The lines have been found good."""
    for beginning in _BEGINNINGS:
        if lines[0].startswith(beginning):
            return _cut_out(lines, beginning)
    return [_decode(line).key.encode() for line in lines]


def _cut_out(lines: list[bytes], beginning: bytes) -> list[bytes]:
    """Keys up to the next quotation mark, where the lines are written alike and no key has an escape."""
    size = len(beginning)
    found = [line[size : line.index(b'"', size)] for line in lines if line.startswith(beginning)]
    if len(found) < len(lines) or b"\\" in b"".join(found):
        return [_decode(line).key.encode() for line in lines]
    return found


def _line(path: str, offset: int, size: int) -> bytes:
    with Path(path).open("rb", buffering=0) as file:
        file.seek(offset)
        return file.read(size)


def grouped(columns: Sequence["array[int]"]) -> bytes:
    """Lay columns out in groups of rows, so that what is known of one row lies close together."""
    count = len(columns[0])
    return b"".join(column[at : at + GROUP].tobytes() for at in range(0, count, GROUP) for column in columns)


def parts_for(keys: int) -> int:
    """How many parts suit so many keys: a power of two."""
    return min(4096, 1 << max(0, (keys // 4096).bit_length()))


def parted(keys: list[bytes], parts: int) -> Parted:
    """Lay keys apart by the low bits of their sums."""
    places = [list[int]() for _ in range(parts)]
    put, last = [each.append for each in places], parts - 1
    totals = list(map(crc32, keys))
    for place, total in enumerate(totals):
        put[total & last](place)
    texts = [BETWEEN.join([*map(keys.__getitem__, each), b""]) for each in places]
    order = array("I")
    for each in places:
        order.extend(each)
    counts, sizes = array("I", map(len, places)), array("I", map(len, texts))
    sums = array("I", map(totals.__getitem__, order))
    return Parted(counts.tobytes(), sizes.tobytes(), order.tobytes(), sums.tobytes(), b"".join(texts))
