"""Asking the index: by key, by the order of the requests, by outcome, by the beginning of a key."""

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cached_property, lru_cache, partial
from itertools import compress, islice, pairwise
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from genai_batch.resources.jobs import OUTCOMES, Outcome
from genai_batch.resources.lines import MAX_KEY
from genai_batch.resources.results_index.pieces import Checked
from genai_batch.resources.results_index.records import CODE, MEDIA, UNKNOWN, Runs, TextRates, Why
from genai_batch.resources.results_index.requests import PLACE
from genai_batch.resources.results_index.runs import BETWEEN

_SLICE = 256 * 1024
_NEAR = 100
_GROUPS = 16
"""Groups of rows that are held: rows mostly come in the order of their requests."""


class Entry(NamedTuple):
    """What is known of one request, by its 1-based number `n`.

    `offset` and `length` are bytes in results.jsonl, which a missing row has not; `request` is where the line begins in
    requests.jsonl. `cost` is USD, exactly; `attempt` the one the row came from, 0 for a missing one; `error` the code
    or name of what went wrong; `media` whether there are pictures or sounds.
    """

    n: int
    key: str
    outcome: Outcome
    offset: int | None
    length: int | None
    finish_reason: str | None
    input: int | None
    output: int | None
    thinking: int | None
    cached: int | None
    cost: str | None
    attempt: int
    error: str | None
    media: bool
    request: int


class Columns(NamedTuple):
    """Some rows: how many ended with an outcome and a code of an error; in columns their bytes and their tokens."""

    ends: Mapping[tuple[Outcome, str | None], int]
    length: Sequence[int]
    input: Sequence[int]
    output: Sequence[int]
    thinking: Sequence[int]
    cached: Sequence[int]


class Index:
    """An index that was made. Every answer raises `Torn` where the file is not as it was written."""

    def __init__(self, path: Path, begins: tuple[int, ...]) -> None:
        """Open it; `begins` is where the second and later attempts begin in results.jsonl."""
        self._file = Checked(path)
        self._begins = begins
        self.about = self._file.about
        self.count = self._file.size("outcomes")
        """Requests."""
        self._whys = [Why(*why) for why in self.about["whys"]]
        self._rates = TextRates(*self.about["rates"])
        read = lru_cache(_GROUPS)(partial(self._file.read, "rows"))
        self._runs = Runs(self.about["runs"], read)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def find(self, key: str) -> Entry | None:
        """The entry of a key."""
        for number in self._summed(crc32(key.encode(errors="replace"))):
            places, keys = self._requests(number, 1)
            if keys == [key]:
                return self._entry(number + 1, places[0], key, self._number("chosen", number))
        return None

    def summed(self, total: int) -> str | None:
        """The first key, in no order, that has a CRC-32."""
        return next((self._requests(number, 1)[1][0] for number in self._summed(total)), None)

    def _summed(self, total: int) -> Iterator[int]:
        """The numbers, from 0, of the keys that have a CRC-32."""
        parts: int = self.about["parts"]
        part = total & (parts - 1)
        first, end = self._starts[part], self._starts[part + 1]
        sums, needle = self._file.read("sums", 4 * first, 4 * (end - first)), total.to_bytes(4, "little")
        at = sums.find(needle)
        while at >= 0:
            if not at % 4:
                yield self._number("numbers", first + at // 4)
            at = sums.find(needle, at + 1)

    def page(self, outcome: Outcome | None, after: int, limit: int) -> list[Entry]:
        """Entries in the order of the requests, behind number `after`."""
        if outcome is None:
            return self._entries(after, max(0, min(limit, self.count - after)))
        return [self._entries(number, 1)[0] for number in islice(self._having(outcome, after), limit)]

    def columns(self) -> Iterator[Columns]:
        """What is known of the rows that stand for a request, some at a time and in no order."""
        stands = self._standing()
        for first, columns in self._runs.columns():
            here = stands[first : first + len(columns[0])]
            _, length, given, made, thinking, cached, *more = (list(compress(column, here)) for column in columns)
            pairs = Counter(zip(more[2], more[1], strict=True)) if more else {(0, 0): len(length)} if length else {}
            yield Columns(self._ends(pairs), length, given, made, thinking, cached)

    def _ends(self, pairs: Mapping[tuple[int, int], int]) -> dict[tuple[Outcome, str | None], int]:
        """Name outcomes and errors; a plain row is of the first of both."""
        found: dict[tuple[Outcome, str | None], int] = {}
        for (code, why), count in pairs.items():
            end = (OUTCOMES[code], self._whys[why].error)
            found[end] = found.get(end, 0) + count
        return found

    def _standing(self) -> bytearray:
        """For each row whether it stands for a request."""
        stands = bytearray()
        for start in range(0, self.count, _SLICE):
            chosen = array("I", self._file.read("chosen", 4 * start, 4 * min(_SLICE, self.count - start)))
            stands.extend(bytes(max(0, max(chosen) + 1 - len(stands))))
            for row in chosen:
                stands[row] = 1
        return stands

    def keys(self, prefix: str, limit: int) -> list[str]:
        """Keys that begin with `prefix`, in the order of the requests."""
        return list(islice(self._keys(prefix.encode(errors="replace")), limit))

    def near(self, key: str) -> list[str]:
        """Keys that begin as much like `key` as any do."""
        wanted = key.encode(errors="replace")[:MAX_KEY]
        common = 0
        for text in self._texts():
            while common < len(wanted) and BETWEEN + wanted[: common + 1] in text:
                common += 1
        found: dict[str, None] = {}
        for least in (common, max(0, common - 2)):
            found |= dict.fromkeys(islice(self._keys(wanted[:least]), _NEAR))
        return list(found)

    def _having(self, outcome: Outcome, after: int) -> Iterator[int]:
        """The numbers, from 0, of entries of an outcome."""
        code = bytes([CODE[outcome]])
        for start in range(after, self.count, _SLICE):
            codes = self._file.read("outcomes", start, min(_SLICE, self.count - start))
            at = codes.find(code)
            while at >= 0:
                yield start + at
                at = codes.find(code, at + 1)

    def _texts(self) -> Iterator[bytes]:
        """All keys, some at a time, each between two bytes that no key has."""
        size, rest = self._file.size("keys"), BETWEEN
        for start in range(0, size, _SLICE):
            text = rest + self._file.read("keys", start, min(_SLICE, size - start))
            end = text.rfind(BETWEEN)
            yield text[: end + 1]
            rest = text[end:]

    def _keys(self, prefix: bytes) -> Iterator[str]:
        for text in self._texts():
            at = text.find(BETWEEN + prefix)
            while 0 <= at < len(text) - 1:
                end = text.index(BETWEEN, at + 1)
                yield text[at + 1 : end].decode()
                at = text.find(BETWEEN + prefix, end)

    def _entries(self, first: int, count: int) -> list[Entry]:
        """Entries from a number on."""
        if not count:
            return []
        places, keys = self._requests(first, count)
        chosen = array("I", self._file.read("chosen", 4 * first, 4 * count))
        numbers = range(first + 1, first + count + 1)
        return [self._entry(*each) for each in zip(numbers, places, keys, chosen, strict=True)]

    def _entry(self, n: int, place: int, key: str, number: int) -> Entry:
        if number == self.about["none"]:
            nothing = (None,) * 8
            return Entry(n, key, "missing", *nothing, attempt=0, error=None, media=False, request=place)
        row = self._runs.row(number)
        why = self._whys[row.why]
        units = row.units(self._rates)
        cost = None if units == UNKNOWN else str(Decimal(units).scaleb(-self.about["digits"]).normalize())
        return Entry(
            n, key, OUTCOMES[row.code], row.offset, row.length, why.finish_reason,
            row.asked, row.written, row.thought, row.cached, cost,
            bisect_right(self._begins, row.offset) + 1, why.error, bool(row.marks & MEDIA), place,
        )  # fmt: skip

    def _number(self, section: str, at: int) -> int:
        return int.from_bytes(self._file.read(section, 4 * at, 4), "little")

    def _requests(self, first: int, count: int) -> tuple[list[int], list[str]]:
        """Where the lines of requests begin, and their keys."""
        behind = first + count < self.count
        both = array("Q", self._file.read("requests", PLACE * first, PLACE * (count + behind)))
        begins = [*both[1::2], *([] if behind else [self._file.size("keys")])]
        text = self._file.read("keys", begins[0], begins[-1] - begins[0])
        keys = [text[begin - begins[0] : end - begins[0] - 1].decode() for begin, end in pairwise(begins)]
        return list(both[: 2 * count : 2]), keys

    @cached_property
    def _starts(self) -> list[int]:
        """Where the parts begin, counted in keys."""
        return list(array("I", self._file.read("starts", 0, self._file.size("starts"))))
