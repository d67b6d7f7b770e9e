"""The results of one job on disk: rows as they came in results.jsonl, and an index to find them by key.

The index (`results.db`) is made from the two JSONL files alone and can be deleted at any time. It holds one entry per
request, in the order of the requests; a request without an answer is `missing`, an answer without a request is
unmatched. Of several answers to one key that of the newest attempt stands unless it is worse than an earlier one.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import Any, Self, TypeVar

from genai_batch.resources import jobs, outcomes
from genai_batch.resources.answers import Answer, brief, short
from genai_batch.resources.checks.binding import stripped
from genai_batch.resources.checks.checking import UNVERIFIED, Look
from genai_batch.resources.errors import LedgerError, UnknownResult
from genai_batch.resources.jobs import Job, Outcome
from genai_batch.resources.local_files import MARK
from genai_batch.resources.media.kept import Kept
from genai_batch.resources.outcomes import MISSING, Media, RowError, Tokens
from genai_batch.resources.results_index.build import STRANGER, available_bytes, file_stamps, made_of, make_index
from genai_batch.resources.results_index.decode import read_row
from genai_batch.resources.results_index.query import Columns, Entry, Index, Torn, Total
from genai_batch.resources.status import OFFLINE
from genai_batch.resources.untyped import as_object

__all__ = ["Entry", "Result", "Results", "read_results"]

T = TypeVar("T")
_OF_FILE = re.compile(r"\bfile\b", re.IGNORECASE)


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


class Results:
    """The results of a job that is over."""

    def __init__(self, home: Path, job: Job) -> None:
        """Open the index, making it again when it is absent or torn."""
        self.job = job
        self.folder = jobs.folder(home, job.id)
        self.media = Kept(self.folder, job.id)
        self._path = self.folder / "results.db"
        self._index = self._open() or self._made_again()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._index.close()
        if "_rows" in self.__dict__:
            self._rows.close()

    @property
    def has_requests(self) -> bool:
        """Whether the requests lie here as they were sent."""
        requests = jobs.requests_of(self.folder)
        return requests.exists() and requests.stat().st_size == self.job.bytes

    @property
    def counts(self) -> dict[Outcome, int]:
        """Rows by outcome, zeros left out."""
        return self._index.about["counts"]

    @property
    def cost(self) -> Decimal | None:
        """USD of all rows, failed ones too; None where the model has no known price."""
        return Decimal(cost) if (cost := self._index.about["cost_usd"]) else None

    @property
    def repeated(self) -> int:
        """Answers beyond the first to the same key in one attempt."""
        return self._index.about["repeated"]

    @property
    def repeated_keys(self) -> list[str]:
        """The first keys, a hundred at most, that were answered more than once in an attempt."""
        return self._index.about["repeated_keys"]

    @property
    def labelled(self) -> int:
        """Answers of an adopted batch that came without a key of ours and are named by their metadata or number."""
        return self._index.about["labelled"]

    @property
    def findings(self) -> dict[str, tuple[int, list[str], str]]:
        """What the checks found, by code: how many answers, the first keys, and the first message."""
        return {code: (count, keys, said) for code, (count, keys, said) in self._index.about["findings"].items()}

    @property
    def tiers(self) -> list[tuple[str, str, int]]:
        """Rows by the tiers at which they were asked for and served, where one is not that of their lane."""
        return [(asked, served, rows) for asked, served, rows in self._index.about["tiers"]]

    @property
    def totals(self) -> list[Total]:
        """How all rows ended, with their tokens; missing ones too."""
        return self._index.totals()

    def columns(self) -> Iterator[Columns]:
        """What is known of all rows that answer a request, in columns and in the order of the requests."""
        return self._index.columns()

    @property
    def loss(self) -> str | None:
        """What to know when rows that were brought home are not there any more; they are shown as missing."""
        held: int = self._index.about["results_bytes"]
        then, now = _answered(self.job.counts or {}), _answered(self.counts)
        if held < self.job.results_bytes:
            what = f"was cut: {held:,} of {self.job.results_bytes:,} bytes are left"
        elif self.job.is_over and now < then:
            what = f"was changed: {now:,} of the {then:,} answers are left"
        else:
            return None
        said = f"{self.folder / 'results.jsonl'} {what}, and what was lost counts as missing."
        return f"{said} Put the file back, or resume_job(rows='missing') pays for it again."

    def unmatched(self, most: int = 5) -> tuple[int, list[str]]:
        """Count the answers that belong to no request, and say why, with some of their keys."""
        by_reason: dict[str, int] = self._index.about["unmatched"]
        said = [f"{brief(key, 60)!r} {STRANGER}" for key in self._index.about["unmatched_keys"]]
        keyless = [why + f" ({count} times)" * (count > 1) for why, count in by_reason.items() if count]
        return sum(by_reason.values()), [*(each for each in keyless if STRANGER not in each), *said][:most]

    def page(self, outcome: Outcome | None, after: int, limit: int) -> list[Entry]:
        """List entries in the order of the requests, behind number `after`."""
        return self._index.page(outcome, after, limit)

    def find(self, key: str) -> Entry | None:
        """Find the entry of a key, or None."""
        return self._index.find(key)

    def entry(self, key: str) -> Entry:
        """Find the entry of a key.

        Raises:
            UnknownResult: with the nearest keys.
        """
        if (entry := self.find(key)) is None:
            raise UnknownResult(key, self._index.near(key))
        return entry

    def keys(self, prefix: str, limit: int) -> list[str]:
        """List keys that begin with `prefix`, in the order of the requests."""
        return self._index.keys(prefix, limit)

    def request(self, entry: Entry) -> bytes:
        """Read the line of an entry's request as it was first sent; empty where the requests are not known."""
        if not self.has_requests:
            return b""
        with jobs.requests_of(self.folder).open("rb") as file:
            file.seek(entry.request)
            return file.readline()

    def row(self, entry: Entry) -> dict[str, Any]:
        """Read the row behind an entry as it came; a missing one is empty.

        Raises:
            Torn: it is not there any more.
        """
        if entry.offset is None or entry.length is None:
            return {}
        line = b""
        with suppress(FileNotFoundError):
            self._rows.seek(entry.offset)
            line = self._rows.read(entry.length)
        row = read_row(line) or {}
        key = row.get("key") if row.get("key") == entry.sent_key else outcomes.key_of(row)
        is_labelled = key is None and bool(row) and not self.job.bytes
        if key != entry.sent_key and not is_labelled:
            raise Torn(f"{self.folder / 'results.jsonl'} was changed: {brief(entry.key, 80)!r} is not where it was")
        return row

    def result(self, entry: Entry) -> Result:
        """Tell what came back for an entry, with the whole row."""
        row = self.row(entry)
        response = as_object(row.get("response"))
        found = self.media.listed(entry.key, entry.attempt, outcomes.media(response))
        return Result(
            key=entry.key,
            outcome=entry.outcome,
            finish_reason=entry.finish_reason,
            text=self.text(entry, response),
            error=None if entry.outcome == "ok" else self.error(entry, row),
            media=found or None,
            usage=_tokens(entry) if row else None,
            cost_usd=float(entry.cost) if entry.cost else None,
            model_version=_version(response),
            attempt=entry.attempt or None,
            backend=self.job.backend,
            notice=" ".join(self._notices(entry, response)) or None,
            response=row or None,
        )

    def text(self, entry: Entry, response: dict[str, Any]) -> str | None:
        """The words of an answer, without an id that was asked for to check it."""
        text = outcomes.text(response)
        return stripped(text, entry.sent_key) if text and self.job.is_bound else text

    def error(self, entry: Entry, row: dict[str, Any]) -> RowError | None:
        """Why a row is not ok; of one that only a check has found to be wrong, what the check said."""
        if not row:
            return MISSING
        verdict = outcomes.judge(row)
        if verdict.outcome == entry.outcome or verdict.outcome != "ok":
            return self._with_files(entry, outcomes.error(row, verdict))
        message = entry.check or "The answer does not stand up to a check."
        return RowError(code=entry.error or "error", message=message, retryable=True)

    def _with_files(self, entry: Entry, error: RowError | None) -> RowError | None:
        """The same; a row that failed for a local file may succeed again, since that is uploaded anew."""
        if error is None or error.retryable or entry.outcome != "error" or not _OF_FILE.search(error.message):
            return error
        return error.model_copy(update={"retryable": MARK in self.request(entry)})

    def _notices(self, entry: Entry, response: dict[str, Any]) -> Iterator[str]:
        if self.job.backend == "emulator":
            yield OFFLINE
        if self.job.is_bound and entry.outcome == "ok":
            finding = Look(_nobody).look(entry.sent_key, response, self.request(entry))
            if finding and finding.code == UNVERIFIED:
                yield finding.message

    @cached_property
    def _rows(self) -> FileIO:
        return FileIO(self.folder / "results.jsonl")

    def _made_again(self) -> Index:
        try:
            make_index(self._path, self.job, self.folder)
            return Index(self._path)
        except FileNotFoundError as error:  # whoever ended the job meanwhile has cleared away what was not finished
            raise Torn(str(error)) from error
        except (sqlite3.Error, OSError) as error:  # the disk, not the content
            raise _unusable(self.folder, error) from error

    def _open(self) -> Index | None:
        try:
            index = Index(self._path)
        except Torn:
            return None
        if index.about["made_of"] == made_of(self.job) and self._is_of_these_files(index):
            return index
        index.close()
        return None

    def _is_of_these_files(self, index: Index) -> bool:
        """Whether nobody has written to the files since, as far as they say; a row that is read says it for itself."""
        stamps = zip(index.about["files"], file_stamps(self.folder, self.job), strict=True)
        if any(None not in both and both[0] != both[1] for both in stamps):
            return False
        return index.about["results_bytes"] == available_bytes(self.folder / "results.jsonl", self.job)


def read_results(home: Path, job: Job, read: Callable[[Results], T]) -> T:
    """Open the results of a job and read in them; an index that turns out to be torn is made again.

    Raises:
        LedgerError: the disk does not take, or not give, the index.
    """
    try:
        return _read(home, job, read)
    except Torn:
        jobs.folder(home, job.id).joinpath("results.db").unlink(missing_ok=True)
    try:
        return _read(home, job, read)
    except Torn as error:
        raise _unusable(jobs.folder(home, job.id), error) from error


def _read(home: Path, job: Job, read: Callable[[Results], T]) -> T:
    with Results(home, job) as results:
        return read(results)


def _unusable(folder: Path, error: Exception) -> LedgerError:
    said = f"The index of {folder} cannot be made or read: {error}."
    return LedgerError(f"{said} The results are safe; free space or mend the folder, then try again.")


def _nobody(_: str) -> None:
    """Find no owner of an id: an answer that carries that of another row is not ok, and was found when it came."""


def _answered(counts: Mapping[Outcome, int]) -> int:
    return sum(count for outcome, count in counts.items() if outcome != "missing")


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
