"""The results of the jobs read last, kept open between reads.

Opening a job's index costs more than finding a row in it. An index that has been made again, torn or deleted since, and
a job that has changed, are noticed by what the files say of themselves, before every read.
"""

import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import NamedTuple, TypeVar

from genai_batch.resources import jobs
from genai_batch.resources.errors import BatchError
from genai_batch.resources.jobs import Job
from genai_batch.resources.results import Results, read_results

T = TypeVar("T")
_Stamp = tuple[int, int, int] | None
_FILES = ("results.db", "results.jsonl")


class _Open(NamedTuple):
    """Open results, their files, and what those said of themselves before they were opened."""

    results: Results
    files: list[str]
    stamps: list[_Stamp]

    def is_of(self, job: Job) -> bool:
        """Whether these are still the results of the job as it is now."""
        same = self.results.job is job or self.results.job == job
        return same and self.stamps == [_stamp(file) for file in self.files]


class OpenResults:
    """The open results of one home that nobody reads in just now, for any number of threads."""

    def __init__(self, home: Path, limit: int = 8) -> None:
        """Keep those of at most `limit` jobs, which were read last."""
        self._home, self._limit = home, limit
        self._idle: OrderedDict[str, _Open] = OrderedDict()
        self._lock = Lock()

    def read(self, job: Job, read: Callable[[Results], T]) -> T:
        """Read in the results of a job that is over; see `read_results`.

        Raises:
            LedgerError: the disk does not take, or not give, the index.
        """
        try:
            return self._read(self._take(job) or self._open(job), read)
        except BatchError:
            raise
        except Exception:  # noqa: BLE001 - a torn index, or a bug, which the next line raises again
            return read_results(self._home, job, read)

    def read_open(self, job: Job, read: Callable[[Results], T]) -> T | None:
        """Read as `read` does, but only in results that are open and not torn; None where they are not."""
        if (opened := self._take(job)) is None:
            return None
        try:
            return self._read(opened, read)
        except BatchError:
            raise
        except Exception:  # noqa: BLE001 - as above
            return None

    def close(self) -> None:
        """Let go of every file."""
        with self._lock:
            while self._idle:
                self._idle.popitem()[1].results.__exit__()

    def _take(self, job: Job) -> _Open | None:
        """Take open results out of the others; None where there are none, or something has changed since."""
        with self._lock:
            opened = self._idle.pop(job.id, None)
        if opened and not opened.is_of(job):
            opened.results.__exit__()
            return None
        return opened

    def _open(self, job: Job) -> _Open:
        files = [str(jobs.folder(self._home, job.id) / name) for name in _FILES]
        stamps = [_stamp(file) for file in files]  # before: what changes meanwhile is noticed next time
        return _Open(Results(self._home, job), files, stamps)

    def _read(self, opened: _Open, read: Callable[[Results], T]) -> T:
        try:
            answer = read(opened.results)
        except BatchError:
            self._put(opened)
            raise
        except BaseException:
            opened.results.__exit__()
            raise
        self._put(opened)
        return answer

    def _put(self, opened: _Open) -> None:
        """Keep open results for the next read, and close those that were not read for the longest time."""
        job_id = opened.results.job.id
        with self._lock:
            if other := self._idle.pop(job_id, None):
                other.results.__exit__()
            self._idle[job_id] = opened
            if len(self._idle) > self._limit:
                self._idle.popitem(last=False)[1].results.__exit__()


def _stamp(path: str) -> _Stamp:
    """Which file this is, how long, and when it was written last."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path costs more than the question, and it is asked at every read
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
