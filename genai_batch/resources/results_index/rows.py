"""One pass over the rows that came back: each is judged once, and what it amounts to is kept in runs of columns."""

import mmap
from array import array
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from typing import Any

import msgspec

from genai_batch.resources import outcomes
from genai_batch.resources.lines import MAX_KEY, whole_pairs
from genai_batch.resources.outcomes import Verdict
from genai_batch.resources.results_index.batches import LONG
from genai_batch.resources.results_index.known import Seen, see
from genai_batch.resources.results_index.pieces import Section
from genai_batch.resources.results_index.plain import UNFIT
from genai_batch.resources.results_index.pricing import Pricing
from genai_batch.resources.results_index.records import CODE, MEDIA, MISSING, PLAIN, Row, Runs, Why
from genai_batch.resources.results_index.runs import CODES, MORE, Run, grouped, parted
from genai_batch.resources.results_index.spread import Spread
from genai_batch.resources.untyped import as_object, is_object

_decode = msgspec.json.Decoder().decode
_decode_far = msgspec.json.Decoder(float_hook=float).decode
_HELD = 8_192
"""Rows that are not plain which are held before they become a run."""
_REASONS = 60_000
NOT_JSON = "a row that is not JSON, perhaps cut off"
NO_KEY = "a row without a key"
STRANGER = "answers no request of this job"


def read_row(line: bytes) -> dict[str, Any] | None:
    """Decode a row as it came; what is no object reads as None.

    Half a surrogate pair, and a byte that is not UTF-8, read as a replacement character: the rest was paid for.
    """
    try:
        row = _decode(line)
    except UNFIT:
        row = _leniently(line)
    return row if is_object(row) else None


def _leniently(line: bytes) -> Any:
    for text in _readings(line):
        with suppress(*UNFIT):
            return _decode_far(text)
    return None


def _readings(line: bytes) -> Iterator[bytes]:
    yield line
    whole = whole_pairs(line)
    yield whole
    yield whole.decode(errors="replace").encode()


def key_of_row(line: bytes) -> str | None:
    """The key of a row as it came, where it has one."""
    return outcomes.key_of(read_row(line) or {})


class Rows:
    """The rows read so far: what is known of each, their keys in a spread, and what they cost together."""

    def __init__(self, columns: Section, keys: Spread, parts: int, pricing: Pricing) -> None:
        """Begin with none."""
        self.codes = bytearray()
        """What each row is, by its number."""
        self.cost = 0
        self.whys: dict[Why, int] = {PLAIN: 0}
        self.keyless = {NOT_JSON: 0, NO_KEY: 0}
        self.runs: list[list[int]] = []
        self._columns, self._keys, self._parts, self._pricing = columns, keys, parts, pricing
        self._held: list[tuple[bytes, Row]] = []
        self._long: list[tuple[int, int]] = []

    def none(self) -> int:
        """Number a row that is missing."""
        self.settle()
        self.codes.append(MISSING)
        return len(self.codes) - 1

    def reader(self) -> Runs:
        """What is known of the rows up to now."""
        self.settle()
        return Runs(list(self.runs), self._columns.read)

    def add(self, rows: list[Row]) -> int:
        """Put rows behind the others, without a key, and give the number of the first."""
        self.settle()
        first = len(self.codes)
        self._put([(b"", row) for row in rows])
        return first

    def why(self, why: Why) -> int:
        """Number a reason; of a great many the last are one."""
        if why not in self.whys and len(self.whys) >= _REASONS:
            why = Why(None, "other")
        return self.whys.setdefault(why, len(self.whys))

    def take(self, run: Run, start: int, file: FileIO) -> None:
        """Take a run of the rows from byte `start` on, and judge those of it that are not plain."""
        if run.count:
            self._begin(run.count, plain=True)
            self._columns.add(run.columns)
            self._keys.add(len(self.codes), run.keys)
            self.codes.extend(bytes(run.count))
        self.cost += self._pricing.of_text(run.fresh, run.written, run.cached, start)
        for offset, length in run.odd:
            if length > LONG:
                self._long.append((offset, length))
            else:
                file.seek(offset)
                self._odd(file.read(length), offset)

    def take_long(self, file: FileIO) -> None:
        """Judge the long rows that were left for the end, one at a time, in memory that is given back at once."""
        for offset, length in self._long:
            file.seek(offset)
            with mmap.mmap(-1, length) as memory, memoryview(memory) as view:
                file.readinto(view)
                self._odd(view, offset)

    def _begin(self, count: int, *, plain: bool) -> None:
        self.runs.append([len(self.codes), self._columns.size, count, plain])

    def settle(self) -> None:
        """Make a run of the rows that are held, in the order of their places."""
        held, self._held = self._held, []
        self._put(sorted(held, key=lambda each: each[1].offset))

    def _put(self, held: list[tuple[bytes, Row]]) -> None:
        if not held:
            return
        self._begin(len(held), plain=False)
        rows = [row for _, row in held]
        columns = [array(code, column) for code, column in zip(CODES + MORE, zip(*rows, strict=True), strict=True)]
        self._columns.add(grouped(columns))
        self._keys.add(len(self.codes), parted([key for key, _ in held], self._parts))
        self.codes.extend(row.code for row in rows)

    def _odd(self, line: bytes | memoryview, offset: int) -> None:
        """Take a row that is not plain."""
        if (seen := see(line)) is None:
            self._exactly(bytes(line), offset)
        else:
            self._keep(len(line), offset, seen, self._pricing.of(seen.usage, {}, offset))

    def _exactly(self, line: bytes, offset: int) -> None:
        if not line.strip():
            return
        if (row := read_row(line)) is None:
            self.keyless[NOT_JSON] += 1
            return
        verdict = outcomes.judge(row)
        cost = self._pricing.of(verdict.usage, as_object(row.get("response")), offset)
        self._keep(len(line), offset, _seen(row, verdict), cost)

    def _keep(self, length: int, offset: int, seen: Seen, cost: int) -> None:
        if seen.outcome == "ok" and seen.finish_reason is None and not seen.usage.input:  # an embedding
            cost = self._pricing.untold()
        self.cost += max(0, cost)
        key, use = seen.key.encode(), seen.usage
        if not 0 < len(key) <= MAX_KEY:
            self.keyless[NO_KEY] += 1
            return
        why = self.why(Why(seen.finish_reason, seen.why))
        code, marks = CODE[seen.outcome], MEDIA * seen.media
        tokens = (use.input, use.output, seen.thinking, use.cached)
        self._held.append((key, Row(offset, length, *tokens, cost, why, code, marks)))
        if len(self._held) >= _HELD:
            self.settle()


def _seen(row: dict[str, Any], verdict: Verdict) -> Seen:
    """The same as `see` tells, of a row that was read exactly."""
    error = outcomes.error(row, verdict)
    media = bool(outcomes.media(as_object(row.get("response"))))
    key, why = verdict.key or "", str(error.code) if error else None
    return Seen(key, verdict.outcome, verdict.finish_reason, why, verdict.usage, verdict.thinking, media)
