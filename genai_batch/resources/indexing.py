"""Making the index of a job's results: a pass over the requests for the keys, a pass over the rows that came back."""

import json
import secrets
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import msgspec

from genai_batch.resources import charges, outcomes, prices
from genai_batch.resources.errors import LedgerError, UnknownModel
from genai_batch.resources.jobs import OUTCOMES, Job, Outcome
from genai_batch.resources.lines import SURROGATE
from genai_batch.resources.models import Model
from genai_batch.resources.outcomes import Verdict
from genai_batch.resources.untyped import as_object, is_object

_decode = msgspec.json.Decoder().decode
VERSION = 1
"""Of the index; another one is made again."""
_SCHEMA = """
CREATE TABLE result (
    n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, outcome TEXT NOT NULL, offset INTEGER, length INTEGER,
    finish_reason TEXT, input INTEGER, output INTEGER, thinking INTEGER, cached INTEGER, cost TEXT,
    attempt INTEGER NOT NULL DEFAULT 0);
CREATE TABLE unmatched (offset INTEGER, length INTEGER, key TEXT, why TEXT NOT NULL);
CREATE TABLE total (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


def make_index(path: Path, job: Job, folder: Path) -> None:
    """Make the index of a job's results at `path`, whole or not at all."""
    part = path.with_suffix(f".db.{secrets.token_hex(6)}.part")  # others may be making it too
    db = sqlite3.connect(part, isolation_level=None)
    try:
        db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;" + _SCHEMA)
        _Builder(db, job).build(folder)
        db.execute("INSERT INTO total VALUES ('made of', ?)", (made_of(job),))
        db.execute("COMMIT")
        db.close()
        part.replace(path)
    finally:
        db.close()
        part.unlink(missing_ok=True)


def made_of(job: Job) -> str:
    """What an index is made of; when this has changed it is made again."""
    return f"{VERSION} {job.results_bytes}"


def read_row(line: bytes) -> dict[str, Any] | None:
    """Decode a row as it came; half a surrogate pair reads as a replacement character, what is no object as None."""
    for text in (line, SURROGATE.sub(rb"\\ufffd", line)):
        try:
            row = _decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        return row if is_object(row) else None
    return None


_RANK: dict[Outcome, int] = {"ok": 2, "truncated": 1}
"""Of several answers the better one is kept, of equally good ones the latest."""


class _Builder:
    """Fills a new index from the files of a job."""

    def __init__(self, db: sqlite3.Connection, job: Job) -> None:
        self._db, self._job, self._model = db, job, Model(name=job.model)
        self._day = datetime.fromtimestamp(job.created_at, UTC).date()
        self._cost: Decimal | None = Decimal(0)
        self._repeated = 0
        self._adopted = False

    def build(self, folder: Path) -> None:
        requests = folder / "requests.jsonl"
        self._adopted = not requests.exists()
        if not self._adopted:
            if self._job.bytes and requests.stat().st_size != self._job.bytes:
                raise LedgerError(
                    f"{requests} is not what was sent; it was changed or cut. Put it back, then try again."
                )
            with requests.open("rb", buffering=2**22) as file:
                keys = ((_decode(line)["key"],) for line in file)
                self._db.executemany("INSERT INTO result (key, outcome) VALUES (?, 'missing')", keys)
        for offset, line in _rows(folder / "results.jsonl", self._job.results_bytes):
            self._add(offset, line)
        self._finish()

    def _add(self, offset: int, line: bytes) -> None:
        row = read_row(line)
        if row is None:
            self._unmatched(offset, line, None, "a row that is not JSON, perhaps cut off")
            return
        verdict = outcomes.judge(row)
        cost = self._price(verdict.usage, as_object(row.get("response")))
        if verdict.key is None:
            self._unmatched(offset, line, None, "a row without a key")
        else:
            self._match(offset, line, verdict, cost)

    def _price(self, usage: prices.Usage, response: dict[str, Any]) -> Decimal | None:
        """USD of one row; None for an adopted job on a model without a known price, whose cost stays unknown."""
        try:
            cost = prices.cost(self._job.model, self._job.lane, self._day, usage)
            cost += charges.of_response(response, self._model)
        except UnknownModel:
            self._cost = None
            return None
        self._cost = None if self._cost is None else self._cost + cost
        return cost

    def _match(self, offset: int, line: bytes, verdict: Verdict, cost: Decimal | None) -> None:
        if self._adopted:
            self._db.execute("INSERT OR IGNORE INTO result (key, outcome) VALUES (?, 'missing')", (verdict.key,))
        known = self._db.execute("SELECT outcome, attempt FROM result WHERE key = ?", (verdict.key,)).fetchone()
        if known is None:
            self._unmatched(offset, line, verdict.key, "answers no request of this job")
            return
        outcome, attempt = known
        self._repeated += attempt > self._job.attempt
        if _RANK.get(verdict.outcome, 0) < _RANK.get(outcome, 0):
            self._db.execute("UPDATE result SET attempt = ? WHERE key = ?", (attempt + 1, verdict.key))
            return
        use = verdict.usage
        found = (
            offset,
            len(line),
            verdict.finish_reason,
            use.input,
            use.output,
            verdict.thinking,
            use.cached,
            None if cost is None else str(cost),
        )
        self._db.execute(
            "UPDATE result SET outcome = ?, offset = ?, length = ?, finish_reason = ?, input = ?, output = ?,"
            " thinking = ?, cached = ?, cost = ?, attempt = ? WHERE key = ?",
            (verdict.outcome, *found, attempt + 1, verdict.key),
        )

    def _unmatched(self, offset: int, line: bytes, key: str | None, why: str) -> None:
        self._db.execute("INSERT INTO unmatched VALUES (?, ?, ?, ?)", (offset, len(line), key, why))

    def _finish(self) -> None:
        counts = dict(self._db.execute("SELECT outcome, count(*) FROM result GROUP BY outcome"))
        totals = {
            "counts": json.dumps({name: counts[name] for name in OUTCOMES if name in counts}),
            "cost": str("" if self._cost is None else self._cost),
        }
        self._db.executemany("INSERT INTO total VALUES (?, ?)", [*totals.items(), ("repeated", str(self._repeated))])
        self._db.execute("CREATE INDEX result_by_outcome ON result (outcome, n)")


def _rows(path: Path, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield offset and bytes of each row within the first `end` bytes."""
    if not path.exists():
        return
    with path.open("rb", buffering=2**22) as file:
        yield from _offsets(file, end)


def _offsets(file: IO[bytes], end: int) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset < end and (line := file.readline()):
        if line.strip():
            yield offset, line
        offset += len(line)
