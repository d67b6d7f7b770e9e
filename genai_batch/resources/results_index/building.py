"""Making the index: a pass over the requests for the keys, a pass over the rows, and then which answers which."""

import sqlite3
from array import array
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from io import FileIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from genai_batch.resources import jobs
from genai_batch.resources.checks.checking import Checks, Finding, checks_of
from genai_batch.resources.checks.swaps import key_in
from genai_batch.resources.errors import LedgerError
from genai_batch.resources.helping import processors
from genai_batch.resources.jobs import Job
from genai_batch.resources.lines import MAX_KEY
from genai_batch.resources.results_index.ahead import LARGE, VERSION, read_ahead
from genai_batch.resources.results_index.batches import batches
from genai_batch.resources.results_index.covered import Covered
from genai_batch.resources.results_index.joining import Matching, join
from genai_batch.resources.results_index.matching import Matches, Source
from genai_batch.resources.results_index.pieces import Sections
from genai_batch.resources.results_index.pool import Pool, Reading
from genai_batch.resources.results_index.pricing import Pricing
from genai_batch.resources.results_index.records import CODE, Row, Why
from genai_batch.resources.results_index.requests import Requests
from genai_batch.resources.results_index.rows import STRANGER, Rows, key_of_row, read_row
from genai_batch.resources.results_index.runs import REQUESTS, STRETCH, Asked, Run, Stretch, asked_of, parts_for
from genai_batch.resources.results_index.spread import Spread
from genai_batch.resources.untyped import as_object
from genai_batch.resources.whole import beside

HELPERS = 1
_HELD = 8_192
"""Rows found wanting that are held before they are put behind the others."""
_AT_ONCE = 64 * 1024
MANY = 400_000
"""Requests and rows from which on a process that helps to match them pays."""


def make_index(path: Path, job: Job, folder: Path) -> None:
    """Make the index of a job's results at `path`, whole or not at all.

    Raises:
        LedgerError: the requests are not those that were sent.
    """
    with Sections(folder) as sections, beside(path) as part:
        sections.write(part, _Builder(sections, job, folder).build())


def made_of(job: Job) -> str:
    """What an index is made of; when this has changed it is made again."""
    return f"{VERSION} {job.results_bytes} {job.begins} {job.lanes}"


def held_of(path: Path, job: Job) -> int:
    """How many bytes of the rows of a job are there: all, unless its file was cut or is gone."""
    return min(path.stat().st_size, job.results_bytes) if path.exists() else 0


def files_of(folder: Path, job: Job) -> list[int | None]:
    """When the requests and the rows of a job were written last, in ns; None where one is gone, or still grows."""
    results = folder / "results.jsonl"
    grows = results.exists() and results.stat().st_size > job.results_bytes  # an attempt is under way
    return [_written(jobs.requests_of(folder)), None if grows else _written(results)]


def parts_of(job: Job) -> int:
    """How many parts the keys of a job are laid apart in."""
    return parts_for(job.requests if job.bytes else max(job.requests, job.results_bytes // 1_000))


class _Builder:
    """Fills the sections of a new index from the files of a job."""

    def __init__(self, sections: Sections, job: Job, folder: Path) -> None:
        self._sections, self._job = sections, job
        self._requests_file, self._results_file = jobs.requests_of(folder), folder / "results.jsonl"
        self._parts = parts_of(job)
        self._sent = _size(self._requests_file, job.bytes)
        self._held = held_of(self._results_file, job)
        self._files = files_of(folder, job)
        self._requests = Requests(sections, self._sent)
        self._pricing = Pricing(job)
        self._row_keys = Spread(sections.new())
        self._rows = Rows(sections.new("rows"), self._row_keys, self._parts, self._pricing)
        self._checks = checks_of(job, folder)
        self._lines: dict[Path, FileIO] = {}

    def build(self) -> dict[str, Any]:
        """Fill the sections, and return what is to be said about them."""
        with ExitStack() as stack:
            for path in (self._requests_file, self._results_file):
                if path.exists():
                    self._lines[path] = stack.enter_context(path.open("rb", buffering=0))
            if not self._sent:
                self._adopt()
            self._read()
            if self._checks:
                stack.enter_context(self._checks)
            matches = self._match()
            if self._checks:
                self._review(matches, self._checks)
            return self._about(matches)

    def _read(self) -> None:
        left = self._take_ahead()
        fits = sum(each.end - each.start for each in left) >= LARGE and processors() > 1
        with Pool(left, HELPERS * fits, Reading()) as pool:
            for found in pool.found():
                self._take(*found)
        if self._results_file in self._lines:
            self._rows.take_long(self._lines[self._results_file])

    def _take(self, stretch: Stretch, found: Run | Asked) -> None:
        if isinstance(found, Asked):
            self._requests.take(stretch, found)
        else:
            self._rows.take(found, stretch.covers[0], self._lines[self._results_file])

    def _take_ahead(self) -> list[Stretch]:
        """Take what was read while it arrived, where all is there that did, and say what is left to read."""
        sent, came = Covered(self._sent), Covered(self._held)
        if self._held == self._job.results_bytes and self._lines.keys() >= {self._requests_file, self._results_file}:
            for stretch, found in read_ahead(self._results_file.parent):
                read = sent if stretch.requests else came
                if (stretch.parts, stretch.longest) == (self._parts, MAX_KEY) and read.take(*stretch.covers):
                    self._take(stretch, found)
        return [
            Stretch(str(path), start, end, self._parts, MAX_KEY, read is sent)
            for path, read, step in ((self._requests_file, sent, REQUESTS), (self._results_file, came, STRETCH))
            for start, end in (read.left(step) if read is sent else self._of_one_lane(read.left(step)))
        ]

    def _of_one_lane(self, stretches: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """Cut stretches of rows where another lane, and so another price, begins."""
        begins = [begin for begin, _ in self._job.stretches]
        for start, end in stretches:
            yield from pairwise([start, *(begin for begin in begins if start < begin < end), end])

    def _adopt(self) -> None:
        """Take the keys of what came back, in their own order, for the requests nobody here has seen."""
        with closing(sqlite3.connect("")) as db:  # in a file of its own that is gone with it
            db.execute("CREATE TABLE key (key BLOB PRIMARY KEY) WITHOUT ROWID")
            for offset, lines, size in batches(self._results_file, 0, self._held):
                found = filter(None, map(key_of_row, lines or [self._read_line(offset, size)]))
                db.executemany("INSERT OR IGNORE INTO key VALUES (?)", ((key.encode(),) for key in found))
            rows = db.execute("SELECT key FROM key ORDER BY key")
            while keys := [key for (key,) in rows.fetchmany(10_000)]:
                self._requests.add(asked_of(keys, array("Q", bytes(8 * len(keys))), self._parts))

    def _match(self) -> Matches:
        none = self._rows.none()
        reader = self._rows.reader()
        self._row = reader.row
        source = Source(self._row, self._line, reader.attempts(self._job.begins))
        matches = Matches(self._requests.count, none, source, self._code)
        work = Matching(self._requests.keys, self._row_keys, plainly=len(source.attempts) <= 1)
        large = self._requests.count + len(self._rows.codes) >= MANY and processors() > 1
        join(work, matches, self._sections, self._parts, HELPERS * large)
        return matches

    def _about(self, matches: Matches) -> dict[str, Any]:
        outcomes, chosen = self._sections.new("outcomes"), self._sections.new("chosen")
        counts = [0] * len(CODE)
        for at in range(0, len(matches.chosen), _AT_ONCE):
            some = matches.chosen[at : at + _AT_ONCE]
            found = bytes(map(self._rows.codes.__getitem__, some))
            outcomes.add(found)
            chosen.add(some.tobytes())
            counts = [count + found.count(code) for code, count in enumerate(counts)]
        return {
            "made of": made_of(self._job),
            "held": self._held,
            "files": self._files,
            "rates": self._pricing.rates,
            "runs": self._rows.runs,
            "none": matches.none,
            "sent": bool(self._sent),
            "parts": self._parts,
            "counts": {outcome: counts[code] for outcome, code in CODE.items() if counts[code]},
            "cost": str(self._pricing.usd(self._rows.cost)) if self._pricing.known else None,
            "digits": self._pricing.digits,
            "whys": list(self._rows.whys),
            "repeated": matches.repeated,
            "repeated keys": [self._requests.key(number) for number in matches.repeated_requests],
            "unmatched": {**self._rows.keyless, STRANGER: matches.unmatched},
            "strangers": matches.strangers,
            "findings": self._checks.told if self._checks else {},
        }

    def _code(self, request: int, row: int) -> int:
        """What a row counts as, beside others that answer the same request."""
        code = self._rows.codes[row]
        if self._checks is None or code:
            return code
        found = self._found(self._checks, self._request(request), self._row(row))
        return CODE["error"] if found and found.is_error else code

    def _review(self, matches: Matches, checks: Checks) -> None:
        """Look at the rows that are ok once more; those that are not after all get another record."""
        rows, held = self._rows.reader(), list[tuple[int, Row]]()
        with self._requests_file.open("rb", buffering=1024 * 1024) as lines:
            for request, (number, line) in enumerate(zip(matches.chosen, lines, strict=True)):
                if not self._rows.codes[number] and (row := self._reviewed(checks, line, rows.row(number))):
                    held.append((request, row))
                if len(held) >= _HELD:
                    self._put(matches, held)
        self._put(matches, held)

    def _put(self, matches: Matches, held: list[tuple[int, Row]]) -> None:
        first = self._rows.add([row for _, row in held])
        for number, (request, _) in enumerate(held, first):
            matches.chosen[request] = number
        held.clear()

    def _reviewed(self, checks: Checks, request: bytes, row: Row) -> Row | None:
        """The other record of an ok row, if it is to have one."""
        if (found := self._found(checks, request, row)) is None:
            return None
        checks.note(key_in(request), found)
        if not found.is_error:
            return None
        why = self._rows.why(Why("STOP", found.code))
        return row._replace(cost=row.units(self._pricing.rates), code=CODE["error"], why=why)

    def _found(self, checks: Checks, request: bytes, row: Row) -> Finding | None:
        response = as_object((read_row(self._line(row)) or {}).get("response"))
        return checks.look(key_in(request), response, request)

    def _line(self, row: Row) -> bytes:
        return self._read_line(row.offset, row.length)

    def _read_line(self, offset: int, length: int) -> bytes:
        file = self._lines[self._results_file]
        file.seek(offset)
        return file.read(length)

    def _request(self, number: int) -> bytes:
        """The line of a request; empty where it is not known."""
        if (file := self._lines.get(self._requests_file)) is None:
            return b""
        start, length = self._requests.line(number)
        file.seek(start)
        return file.read(length)


def _written(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.exists() else None


def _size(path: Path, sent: int) -> int:
    """Bytes of the requests; 0 where there are none.

    Raises:
        LedgerError: they are not those that were sent.
    """
    size = path.stat().st_size if path.exists() else 0
    if path.exists() and sent and size != sent:
        raise LedgerError(f"{path} is not what was sent; it was changed or cut. Put it back, then try again.")
    return size
