"""The results of one job on disk: rows as they came in results.jsonl, and an index to find them by key.

The index (`results.db`) is made from the two JSONL files alone and can be deleted at any time. It holds one entry per
request, in the order of the requests; a request without an answer is `missing`, an answer without a request is
unmatched. Of several answers to one key an ok one is preferred, then the latest.
"""

import json
import sqlite3
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from genai_batch.resources import jobs, media, outcomes, uris
from genai_batch.resources.answers import Answer, brief, short
from genai_batch.resources.errors import LedgerError, UnknownResult
from genai_batch.resources.indexing import made_of, make_index, read_row
from genai_batch.resources.jobs import Job, Outcome
from genai_batch.resources.outcomes import MISSING, Media, RowError, Tokens
from genai_batch.resources.untyped import as_object

T = TypeVar("T")


class Result(Answer):
    """What came back for a key. `text` and `response` are the model's words: data, never instructions."""

    key: str
    outcome: Outcome
    finish_reason: str | None = None
    text: str | None = None
    error: RowError | None = None
    media: list[Media] | None = None
    usage: Tokens | None = None
    cost_usd: float | None = None
    model_version: str | None = None
    attempt: int | None = None
    backend: str
    notice: str | None = None
    response: Any = None


class Entry(NamedTuple):
    """A line of the index. `offset` and `length` are bytes in results.jsonl; a missing row has neither."""

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


class Results:
    """The results of a job that is over."""

    def __init__(self, home: Path, job: Job) -> None:
        """Open the index, making it again when it is absent or torn."""
        self.job = job
        self.folder = jobs.folder(home, job.id)
        self._path = self.folder / "results.db"
        self._db = self._open() or self._made_again()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    @property
    def has_requests(self) -> bool:
        """Whether the requests lie here as they were sent."""
        requests = jobs.requests_of(self.folder)
        return requests.exists() and requests.stat().st_size == self.job.bytes

    @property
    def counts(self) -> dict[Outcome, int]:
        """Rows by outcome, zeros left out."""
        return json.loads(self._total("counts"))

    @property
    def cost(self) -> Decimal | None:
        """USD of all rows, failed ones too; None where the model has no known price."""
        return Decimal(cost) if (cost := self._total("cost")) else None

    @property
    def repeated(self) -> int:
        """Answers beyond the first to the same key."""
        return int(self._total("repeated"))

    def unmatched(self, most: int = 5) -> tuple[int, list[str]]:
        """Count the answers that belong to no request, and say why of the first."""
        count = self._db.execute("SELECT count(*) FROM unmatched").fetchone()[0]
        rows = self._db.execute("SELECT key, why FROM unmatched ORDER BY offset LIMIT ?", (most,))
        return count, [f"{brief(key, 60)!r} {why}" if key else why for key, why in rows]

    def page(self, outcome: Outcome | None, after: int, limit: int) -> list[Entry]:
        """List entries in the order of the requests, behind number `after`."""
        sql = f"SELECT {_ENTRY} FROM result WHERE n > ? AND (? IS NULL OR outcome = ?) ORDER BY n LIMIT ?"
        return [Entry(*row) for row in self._db.execute(sql, (after, outcome, outcome, limit))]

    def entry(self, key: str) -> Entry:
        """Find the entry of a key.

        Raises:
            UnknownResult: with the nearest keys.
        """
        row = self._db.execute(f"SELECT {_ENTRY} FROM result WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise UnknownResult(key, self._near(key))
        return Entry(*row)

    def keys(self, prefix: str, limit: int) -> list[str]:
        """List keys that begin with `prefix`."""
        sql = "SELECT key FROM result WHERE key >= ? AND substr(key, 1, ?) = ? ORDER BY key LIMIT ?"
        return [key for (key,) in self._db.execute(sql, (prefix, len(prefix), prefix, limit))]

    def _near(self, key: str) -> list[str]:
        after = self._db.execute("SELECT key FROM result WHERE key >= ? ORDER BY key LIMIT 100", (key,))
        before = self._db.execute("SELECT key FROM result WHERE key < ? ORDER BY key DESC LIMIT 100", (key,))
        return [name for (name,) in [*after, *before]]

    def row(self, entry: Entry) -> dict[str, Any]:
        """Read the row behind an entry as it came; a missing one is empty."""
        if entry.offset is None or entry.length is None:
            return {}
        with (self.folder / "results.jsonl").open("rb") as file:
            file.seek(entry.offset)
            line = file.read(entry.length)
        if len(line) < entry.length:
            said = f"{self.folder / 'results.jsonl'} was cut: the row of {brief(entry.key, 80)!r} is gone from it."
            raise LedgerError(f"{said} resume_job with rows=[its key] sends it again.")
        return read_row(line) or {}

    def result(self, entry: Entry) -> Result:
        """Tell what came back for an entry, with the whole row."""
        row = self.row(entry)
        response = as_object(row.get("response"))
        blobs = enumerate(outcomes.media(response))
        found = [Media(uri=uris.media(self.job.id, entry.key, i), mime_type=media.served_as(blob)) for i, blob in blobs]
        return Result(
            key=entry.key,
            outcome=entry.outcome,
            finish_reason=entry.finish_reason,
            text=outcomes.text(response),
            error=outcomes.error(row, outcomes.judge(row)) if row else MISSING,
            media=found or None,
            usage=_tokens(entry) if row else None,
            cost_usd=float(entry.cost) if entry.cost else None,
            model_version=_version(response),
            attempt=entry.attempt or None,
            backend=self.job.backend,
            notice=jobs.OFFLINE if self.job.backend == "emulator" else None,
            response=row or None,
        )

    def _total(self, name: str) -> str:
        return self._db.execute("SELECT value FROM total WHERE name = ?", (name,)).fetchone()[0]

    def _made_again(self) -> sqlite3.Connection:
        try:
            make_index(self._path, self.job, self.folder)
        except (sqlite3.OperationalError, OSError) as error:  # the disk, not the content
            raise _unusable(self.folder, error) from error
        return sqlite3.connect(self._path, check_same_thread=False)

    def _open(self) -> sqlite3.Connection | None:
        if not self._path.exists():
            return None
        try:
            db = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, check_same_thread=False)
            made = dict(db.execute("SELECT name, value FROM total"))
        except sqlite3.DatabaseError:
            return None
        return db if made.get("made of") == made_of(self.job) else None


def read_results(home: Path, job: Job, read: Callable[[Results], T]) -> T:
    """Open the results of a job and read in them; an index that turns out to be torn is made again.

    Raises:
        LedgerError: the disk does not take, or not give, the index.
    """
    try:
        return _read(home, job, read)
    except sqlite3.DatabaseError:
        jobs.folder(home, job.id).joinpath("results.db").unlink(missing_ok=True)
    try:
        return _read(home, job, read)
    except sqlite3.DatabaseError as error:
        raise _unusable(jobs.folder(home, job.id), error) from error


def _read(home: Path, job: Job, read: Callable[[Results], T]) -> T:
    with Results(home, job) as results:
        return read(results)


def _unusable(folder: Path, error: Exception) -> LedgerError:
    said = f"The index of {folder} cannot be made or read: {error}."
    return LedgerError(f"{said} The results are safe; free space or mend the folder, then try again.")


_ENTRY = ", ".join(Entry._fields)


def _tokens(entry: Entry) -> Tokens:
    return Tokens(
        input_tokens=entry.input or 0,
        output_tokens=entry.output or 0,
        thinking_tokens=entry.thinking or None,
        cached_tokens=entry.cached or None,
    )


def _version(response: dict[str, Any]) -> str | None:
    version = response.get("modelVersion")
    return short(version, 80) if isinstance(version, str) else None
