"""Making the index: the requests and the rows go into tables of their own, and are joined by their keys."""

import itertools
import json
import mmap
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import lru_cache
from importlib.resources import files
from io import FileIO
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import Any

from genai_batch.resources import equals, jobs, outcomes
from genai_batch.resources.checks.checking import Checks, Finding, checks_of
from genai_batch.resources.checks.swaps import key_in
from genai_batch.resources.errors import LedgerError
from genai_batch.resources.jobs import OUTCOMES, Job
from genai_batch.resources.lines import MAX_KEY
from genai_batch.resources.prices import Lane, default_tier
from genai_batch.resources.results_index.batches import batches
from genai_batch.resources.results_index.decode import Facts, Plain, facts_of, read_plain, read_row, request_keys
from genai_batch.resources.results_index.pricing import Pricing, billed_tier
from genai_batch.resources.results_index.resolve import Answer, Repeats, Rules, resolve
from genai_batch.resources.untyped import as_object
from genai_batch.resources.whole import new_file

VERSION = 12
"""Of the index; one of another version is made again."""
NOT_JSON = "a row that is not JSON, perhaps cut off"
NO_KEY = "a row without a key"
STRANGER = "answers no request of this job"
_NAMED = 100
"""Keys of rows without a request that are kept by name."""
_BLOCK = 64 * 1024
_REVIEWED = 1_000
"""Rows that are held while they are checked."""
_SETTINGS = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -4000;
PRAGMA temp.page_size = 16384;
PRAGMA temp.journal_mode = OFF;
PRAGMA temp.cache_size = -4000;
"""
"""Nobody sees the file before it is finished. A larger cache makes it no faster, larger pages do."""
_REQUEST = "INSERT INTO request (line, key, offset) VALUES (?, ?, ?)"
_EQUAL = "INSERT INTO equal VALUES (?, ?, ?)"
_PLAIN = """
INSERT INTO answer (key, outcome, finish_reason, input_tokens, output_tokens, thinking_tokens, cached_tokens, cost_usd,
                    has_media, attempt, offset, length)
VALUES (?, 'ok', 'STOP', ?, ?, ?, ?, ?, 0, ?, ?, ?)
"""
_OTHER = "INSERT INTO answer VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ANSWER_INDEX = """
CREATE INDEX temp.answer_key ON answer (
    key, attempt DESC, outcome, finish_reason, error_code, input_tokens, output_tokens, thinking_tokens, cached_tokens,
    cost_usd, has_media, offset, length
)
"""
"""It holds all columns, since rows that lie in the order of their keys are found in half the time."""
_JOIN = """
INSERT OR IGNORE INTO rows
SELECT request.line, request.key, ifnull(outcome, 'missing'), finish_reason, error_code, input_tokens, output_tokens,
       thinking_tokens, cached_tokens, cost_usd, has_media, attempt, answer.offset, length, request.offset, NULL, NULL
FROM request LEFT JOIN answer INDEXED BY answer_key USING (key)
"""
_JOIN_EQUAL = """
INSERT INTO rows
SELECT equal.line, equal.key, outcome, finish_reason, error_code, iif(length, 0, NULL), iif(length, 0, NULL),
       iif(length, 0, NULL), iif(length, 0, NULL), iif(length, 0, NULL), has_media, attempt, offset, length,
       request_offset, check_message, rows.key
FROM equal JOIN rows ON rows.key = equal.sent_as
"""
"""What the answer took and cost is counted for the row that was sent."""
_ANSWERED = """
SELECT (SELECT count(*) FROM request) - (SELECT count(*) FROM rows WHERE outcome = 'missing' AND outcome <> 'ok')
"""
_TOTALS = """
INSERT INTO totals
SELECT outcome, error_code, count(*), total(input_tokens), total(output_tokens), total(thinking_tokens),
       total(cached_tokens), iif(count(cost_usd) = count(*), round(sum(cost_usd), 12), NULL)
FROM rows WHERE outcome <> 'ok' GROUP BY outcome, error_code
"""
_TOTAL_OF_OK = _TOTALS.replace("<> 'ok' GROUP BY outcome, error_code", "= 'ok' HAVING count(*) > 0")
_WITHOUT_MEDIA = """
SELECT line, offset, length, request_offset FROM rows
WHERE outcome = 'ok' AND NOT has_media AND line > ? ORDER BY line LIMIT ?
"""
_COUNT_UNMATCHED = "SELECT count(*) FROM answer WHERE NOT EXISTS (SELECT 1 FROM rows WHERE rows.key = answer.key)"
_UNMATCHED = """
SELECT DISTINCT key FROM answer WHERE NOT EXISTS (SELECT 1 FROM rows WHERE rows.key = answer.key) ORDER BY key LIMIT ?
"""


def make_index(path: Path, job: Job, folder: Path) -> None:
    """Make the index of a job's results at `path`, completely or not at all.

    It is made in a temporary file of SQLite's own that ends with this process, and copied when it is finished.

    Raises:
        LedgerError: the requests are not those that were sent.
    """
    for suffix in ("-journal", "-shm", "-wal"):  # of a program that has written to an earlier one
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    with (
        closing(sqlite3.connect("", isolation_level=None, cached_statements=1_000)) as db,
        new_file(path, may_replace=True) as part,
    ):
        db.executescript(_SETTINGS)
        db.executescript(files("genai_batch.resources.results_index").joinpath("schema.sql").read_text("utf-8"))
        made_at = int(time.time()) // 2 * 2 - 2  # every file system can keep it, and no later change leaves it
        db.execute("BEGIN")
        _Builder(db, job, folder).build(made_at)
        db.execute("COMMIT")
        with closing(sqlite3.connect(part)) as target:
            target.executescript(_SETTINGS)
            db.backup(target)
        os.utime(part, (made_at, made_at))


def made_of(job: Job) -> str:
    """What an index is made of; when this has changed it is made again."""
    return f"{VERSION} {job.results_bytes} {job.begins} {job.lanes}"


def available_bytes(path: Path, job: Job) -> int:
    """How many bytes of the rows of a job are there: all, unless its file was cut or is gone."""
    return min(path.stat().st_size, job.results_bytes) if path.exists() else 0


def file_stamps(folder: Path, job: Job) -> list[list[int] | None]:
    """Which files the requests and the rows of a job are, and when they were written last, in ns.

    None where one is gone, or still grows.
    """
    results = folder / "results.jsonl"
    grows = results.exists() and results.stat().st_size > job.results_bytes  # an attempt is under way
    return [_stamp(jobs.requests_of(folder)), None if grows else _stamp(results)]


class _Builder:
    """Fills the tables of a new index from the files of a job."""

    def __init__(self, db: sqlite3.Connection, job: Job, folder: Path) -> None:
        self._db, self._job = db, job
        self._requests, self._results = jobs.requests_of(folder), folder / "results.jsonl"
        self._equal = folder / equals.NAME
        self._sent = _size_of_requests(self._requests, job.bytes)
        self._held = available_bytes(self._results, job)
        self._stamps = file_stamps(folder, job)
        self._pricing = Pricing(job)
        self._checks = checks_of(job, folder)
        self._keyless = {NOT_JSON: 0, NO_KEY: 0}
        self._labels = Labels() if job.bytes == 0 else None
        self._answers = self._strangers = self._cost = 0
        self._tiers = Counter[tuple[str, str]]()
        self._files: dict[Path, FileIO] = {}

    def build(self, made_at: int) -> None:
        """Fill all tables."""
        with ExitStack() as stack:
            for path in (self._requests, self._results):
                if path.exists():
                    self._files[path] = stack.enter_context(path.open("rb", buffering=0))
            if self._checks:
                stack.enter_context(self._checks)
            self._load_requests()
            self._load_answers()
            self._db.execute(_ANSWER_INDEX)
            if not self._sent:
                self._adopt()
            self._join()
            repeats = self._resolve()
            if self._checks:
                self._review(self._checks)
            self._sum_up(repeats, made_at)
            self._join_equal()

    def _load_requests(self) -> None:
        self._load_equal()
        numbers = self._numbers()
        for offset, lines, size in batches(self._requests, 0, self._sent):
            keys = request_keys(lines or [self._read(self._requests, offset, size)])
            offsets = accumulate(map(len, lines[:-1]), initial=offset)
            _insert(self._db, _REQUEST, list(islice(numbers, len(keys))), keys, list(offsets))

    def _load_equal(self) -> None:
        """Load the rows that get the answer of another.

        Raises:
            LedgerError: they are not those that were recorded.
        """
        if self._job.rows is None:
            return
        rows = ((row.line, row.key, row.sent_as) for row in equals.rows(self._equal))
        count = self._db.executemany(_EQUAL, rows).rowcount
        if count != self._job.rows - self._job.requests:
            raise LedgerError(f"{self._equal} is not what was recorded; put it back, then try again.")

    def _numbers(self) -> Iterator[int]:
        """Number the requests by their place in the source, where those rows stand between them that were not sent."""
        last = 0
        for (line,) in self._db.execute("SELECT line FROM equal ORDER BY line"):
            yield from range(last + 1, line)
            last = line
        yield from itertools.count(last + 1)

    def _adopt(self) -> None:
        """Take the keys of what came back, in their own order, for the requests nobody here has seen."""
        self._db.execute("INSERT INTO request SELECT NULL, key, 0 FROM answer GROUP BY key ORDER BY key")

    def _load_answers(self) -> None:
        begins = [min(begin, self._held) for begin in (0, *self._job.begins, self._held)]
        for attempt, (begin, end) in enumerate(pairwise(begins)):
            lane = self._job.lane_of(attempt)
            load = _Loader(self._db, self._pricing, self._keyless, attempt + 1, lane, self._labels)
            for offset, lines, size in batches(self._results, begin, end):
                if lines:
                    load.lines(offset, lines)
                else:
                    self._load_long(load, offset, size)
            self._answers += load.count
            self._cost += load.cost
            self._tiers += load.other_tiers

    def _load_long(self, load: "_Loader", offset: int, length: int) -> None:
        """Load a long line, in memory that is given back at once."""
        file = self._files[self._results]
        file.seek(offset)
        with mmap.mmap(-1, length) as memory, memoryview(memory) as line:
            file.readinto(line)
            load.others([(offset, line)])

    def _join(self) -> None:
        """Make a row of each request, with an answer of the latest attempt that has one."""
        self._db.execute(_JOIN)
        try:
            self._db.execute("CREATE UNIQUE INDEX rows_key ON rows (key)")
        except sqlite3.IntegrityError:
            said = "requests.jsonl holds a key twice; it was changed. Put it back, then try again."
            raise LedgerError(said) from None
        self._db.execute("CREATE INDEX rows_not_ok ON rows (outcome) WHERE outcome <> 'ok'")

    def _join_equal(self) -> None:
        """Make a row of each that gets the answer of another, which is in no sum."""
        self._db.execute(_JOIN_EQUAL)

    def _resolve(self) -> Repeats:
        """Choose where a request has several answers, and count the answers that belong to none."""
        answered = self._db.execute(_ANSWERED).fetchone()[0]
        if answered == self._answers:
            return Repeats()
        self._strangers = self._db.execute(_COUNT_UNMATCHED).fetchone()[0]
        if answered + self._strangers == self._answers:
            return Repeats()
        return resolve(self._db, Rules(self._is_turned_down, self._content, has_checks=self._checks is not None))

    def _is_turned_down(self, answer: Answer) -> bool:
        if self._checks is None:
            return False
        finding = self._find(self._checks, self._request(answer.request_offset), answer.offset, answer.length)
        return finding is not None and finding.is_error

    def _request(self, offset: int) -> bytes:
        """Read the request that begins at a byte; empty where the requests are not here."""
        if (file := self._files.get(self._requests)) is None:
            return b""
        file.seek(offset)
        return _read_line(file)

    def _content(self, answer: Answer) -> bytes:
        return self._read(self._results, answer.offset, answer.length).strip()

    def _review(self, checks: Checks) -> None:
        """Check the rows that are ok; those that are not after all become errors."""
        if not checks.reads_texts:
            self._review_without_media(checks)
            return
        select = "SELECT line, outcome, offset, length FROM rows WHERE line > ? ORDER BY line LIMIT ?"
        last = 0
        with self._requests.open("rb", buffering=1024 * 1024) as requests:
            while rows := self._db.execute(select, (last, _REVIEWED)).fetchall():
                for (line, outcome, offset, length), request in zip(rows, requests, strict=False):
                    if outcome == "ok" and (finding := self._find(checks, request, offset, length)):
                        checks.note(key_in(request), finding)
                        self._apply(line, finding)
                    last = line

    def _review_without_media(self, checks: Checks) -> None:
        """Check only the rows without a picture or sound, where nothing else is checked: requests may be long."""
        last = 0
        while rows := self._db.execute(_WITHOUT_MEDIA, (last, _REVIEWED)).fetchall():
            for line, offset, length, request_offset in rows:
                request = self._request(request_offset)
                if finding := self._find(checks, request, offset, length):
                    checks.note(key_in(request), finding)
                    self._apply(line, finding)
                last = line

    def _apply(self, line: int, finding: Finding) -> None:
        if finding.is_error:
            self._db.execute(
                "UPDATE rows SET outcome = 'error', error_code = ?, check_message = ? WHERE line = ?",
                (*finding, line),
            )

    def _find(self, checks: Checks, request: bytes, offset: int, length: int) -> Finding | None:
        response = as_object((read_row(self._read(self._results, offset, length)) or {}).get("response"))
        return checks.look(key_in(request), response, request)

    def _sum_up(self, repeats: Repeats, made_at: int) -> None:
        self._db.execute(_TOTALS)
        self._db.execute(_TOTAL_OF_OK)
        counts = dict(self._db.execute("SELECT outcome, sum(rows) FROM totals GROUP BY outcome"))
        unmatched = self._db.execute(_UNMATCHED, (_NAMED * bool(self._strangers),)).fetchall()
        about: dict[str, Any] = {
            "made_of": made_of(self._job),
            "made_at": made_at,
            "results_bytes": self._held,
            "files": self._stamps,
            "counts": {outcome: counts[outcome] for outcome in OUTCOMES if outcome in counts},
            "cost_usd": str(self._pricing.usd(self._cost)) if self._pricing.is_known else None,
            "repeated": repeats.answers,
            "repeated_keys": repeats.keys,
            "unmatched": {**self._keyless, STRANGER: self._strangers},
            "unmatched_keys": [key for (key,) in unmatched],
            "labelled": self._labels.count if self._labels else 0,
            "findings": self._checks.told if self._checks else {},
            "tiers": [[*tiers, rows] for tiers, rows in sorted(self._tiers.items())],
        }
        named = ((name, json.dumps(value)) for name, value in about.items())
        self._db.executemany("INSERT INTO about VALUES (?, ?)", named)

    def _read(self, path: Path, offset: int, length: int) -> bytes:
        file = self._files[path]
        file.seek(offset)
        return file.read(length)


class Labels:
    """Keys for the rows of an adopted batch whose requests had none of ours, so that each can be found and exported."""

    def __init__(self) -> None:
        """Begin with no row."""
        self.count = 0
        self._taken: set[str] = set()

    def of(self, row: dict[str, Any]) -> str:
        """Name the next row by its metadata, else by its number; of equal names the second and later get a number."""
        self.count += 1
        number = f"row-{self.count:06}"
        if (label := outcomes.label_of(row)) is None:
            return number
        if label in self._taken:
            label = f"{label[: MAX_KEY // 4 - len(number)]} {number}"
        self._taken.add(label)
        return label


class _Loader:
    """Puts the rows of one attempt into the table of answers, counts them and sums up what they cost."""

    def __init__(
        self,
        db: sqlite3.Connection,
        pricing: Pricing,
        keyless: dict[str, int],
        attempt: int,
        lane: Lane,
        labels: "Labels | None",
    ) -> None:
        self._labels = labels
        self.count = self.cost = 0
        self._db, self._pricing, self._keyless, self._attempt = db, pricing, keyless, attempt
        self._lane: Lane = lane
        self._scale = 10**pricing.digits
        self._tiers = Counter[tuple[str | None, str | None]]()

    @property
    def other_tiers(self) -> Counter[tuple[str, str]]:
        """Rows by the tiers at which they were asked for and served, where one is not that of the lane."""
        usual, counted = default_tier(self._lane), Counter[tuple[str, str]]()
        for (asked, served), rows in self._tiers.items():
            billed = billed_tier(self._lane, served) or (served or usual)[:60]
            counted[billed_tier(self._lane, asked or billed) or usual, billed] += rows
        del counted[usual, usual]
        return counted

    def lines(self, offset: int, lines: list[bytes]) -> None:
        """Load whole lines."""
        lengths = list(map(len, lines))
        offsets = list(accumulate(lengths, initial=offset))
        offsets.pop()
        rows, odd = read_plain(lines)
        keys = [row.key for row in rows]
        if any(len(key.encode()) > MAX_KEY for key in keys if len(key) > MAX_KEY // 4):
            rows, odd = [], list(range(len(lines)))
        others = [(offsets[place], lines[place]) for place in odd]
        for place in reversed(odd):
            del offsets[place], lengths[place]
        if rows:
            self._plain(keys, rows, offsets, lengths)
        if others:
            self.others(others)

    def _plain(self, keys: list[str], rows: list[Plain], offsets: list[int], lengths: list[int]) -> None:
        usages = [row.response.usage_metadata for row in rows]
        asked = [usage.prompt_token_count for usage in usages]
        thought = [usage.thoughts_token_count for usage in usages]
        written = [usage.candidates_token_count + usage.thoughts_token_count for usage in usages]
        cached = [usage.cached_content_token_count for usage in usages]
        served: list[str | None] = []
        if self._lane != "batch":
            served = [row.service_tier or usage.service_tier for row, usage in zip(rows, usages, strict=True)]
            self._tiers.update(zip([row.asked_tier for row in rows], served, strict=True))
        costs, attempts = self._costs(asked, written, cached, served), [self._attempt] * len(keys)
        if 0 in written:
            costs = [
                cost if more or some else self._pricing.unknown()
                for cost, some, more in zip(costs, asked, written, strict=True)
            ]
        _insert(self._db, _PLAIN, keys, asked, written, thought, cached, costs, attempts, offsets, lengths)
        self.count += len(keys)

    def _costs(
        self, asked: list[int], written: list[int], cached: list[int], served: list[str | None]
    ) -> list[float | None]:
        """USD of rows whose tokens are all text; `served` names the tier of each, in a lane that has tiers."""
        tiers = set(served) or {None}
        if len(tiers) > 1:
            rows = zip(asked, written, cached, served, strict=True)
            return [self._costs([some], [more], [held], [tier])[0] for some, more, held, tier in rows]
        rates = self._pricing.text_rates(self._lane, tiers.pop())
        if rates is None:
            return [None] * len(asked)
        of_asked, of_written, of_cached = rates
        units = [some * of_asked + more * of_written for some, more in zip(asked, written, strict=True)]
        if any(cached):
            units = [
                unit + held * of_cached - min(some, held) * of_asked
                for unit, some, held in zip(units, asked, cached, strict=True)
            ]
        self.cost += sum(units)
        return [unit / self._scale for unit in units]

    def others(self, lines: Iterable[tuple[int, bytes | memoryview]]) -> None:
        """Load rows that are not plain, or long."""
        rows: list[tuple[Any, ...]] = []
        for offset, line in lines:
            if facts := facts_of(line):
                if self._labels and not 0 < len(facts.key.encode()) <= MAX_KEY:
                    facts = facts._replace(key=self._labels.of(read_row(bytes(line)) or {}))
                cost = self._cost_of(facts)
                if self._lane != "batch" and facts.usage.input:
                    self._tiers[facts.tiers] += 1
                if 0 < len(facts.key.encode()) <= MAX_KEY:
                    rows.append(self._row(facts, cost, offset, len(line)))
                else:
                    self._keyless[NO_KEY] += 1
            elif bytes(line).strip():
                self._keyless[NOT_JSON] += 1
        self._db.executemany(_OTHER, rows)
        self.count += len(rows)

    def _cost_of(self, facts: Facts) -> float | None:
        if _lacks_counts(facts):
            return self._pricing.unknown()
        units = self._pricing.of(facts.usage, facts.response or {}, self._lane, facts.tiers[1])
        self.cost += units or 0
        return None if units is None else units / self._scale

    def _row(self, facts: Facts, cost: float | None, offset: int, length: int) -> tuple[Any, ...]:
        usage = facts.usage
        tokens = usage.input, usage.output, facts.thinking, usage.cached
        ended = facts.outcome, facts.finish_reason, facts.error_code
        return (facts.key, *ended, *tokens, cost, facts.media, self._attempt, offset, length)


def _lacks_counts(facts: Facts) -> bool:
    """Whether a row holds an answer, which was paid for, without the counts of its tokens."""
    if facts.usage.input or facts.usage.output:
        return False
    is_answer = facts.outcome == "ok" or facts.finish_reason is not None
    return is_answer or bool((facts.response or {}).get("candidates"))


def _insert(db: sqlite3.Connection, sql: str, *columns: Sequence[Any]) -> None:
    """Insert rows by one statement, which takes half the time of as many statements."""
    rows, width = len(columns[0]), len(columns)
    values: list[Any] = [None] * (rows * width)
    for place, column in enumerate(columns):
        values[place::width] = column
    db.execute(_repeated(sql, rows), values)


@lru_cache
def _repeated(sql: str, rows: int) -> str:
    """A statement that inserts so many rows, of one that inserts one."""
    head, values = sql.split("VALUES")
    return f"{head} VALUES {', '.join([values] * rows)}"


def _read_line(file: FileIO) -> bytes:
    """Read a line of an unbuffered file, which itself reads lines byte by byte."""
    line = b""
    while block := file.read(_BLOCK):
        line += block
        if end := line.find(b"\n") + 1:
            return line[:end]
    return line


def _stamp(path: Path) -> list[int] | None:
    if not path.exists():
        return None
    status = path.stat()
    return [status.st_ino, status.st_mtime_ns]


def _size_of_requests(path: Path, sent: int) -> int:
    """Bytes of the requests; 0 where there are none.

    Raises:
        LedgerError: they are not those that were sent.
    """
    size = path.stat().st_size if path.exists() else 0
    if path.exists() and sent and size != sent:
        raise LedgerError(f"{path} is not what was sent; it was changed or cut. Put it back, then try again.")
    return size
