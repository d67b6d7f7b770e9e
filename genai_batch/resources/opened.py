"""The results of the jobs read last, kept open between reads.

Opening a job's index costs more than finding a row in it. An index that has been made again, torn or deleted since, and
a job that has changed, are noticed by what the files say of themselves, before every read.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TypeVar

from genai_batch.resources import jobs
from genai_batch.resources.errors import BatchError
from genai_batch.resources.jobs import Job
from genai_batch.resources.results import Results, read_results

T = TypeVar("T")
_File = tuple[int, int, int]
_Files = tuple[_File | None, ...]
_FILES = ("results.db", "results.jsonl")


class OpenResults:
    """The open results of one home, for any number of threads; a job is read by one of them at a time."""

    def __init__(self, home: Path, most: int = 8) -> None:
        """Keep at most `most` jobs open."""
        self._home, self._most = home, most
        self._slots: OrderedDict[str, _Slot] = OrderedDict()
        self._lock = Lock()

    def read(self, job: Job, read: Callable[[Results], T]) -> T:
        """Read in the results of a job that is over; see `read_results`.

        Raises:
            LedgerError: the disk does not take, or not give, the index.
        """
        slot = self._slot(job)
        with slot.lock, slot.closed_when_retired():
            try:
                return read(slot.open(job))
            except BatchError:
                raise
            except Exception:  # noqa: BLE001 - a torn index, or a bug, which the next line raises again
                slot.close()
        return read_results(self._home, job, read)

    def read_now(self, job: Job, read: Callable[[Results], T]) -> T | None:
        """Read as `read` does where the job is open and nobody else reads in it; otherwise do nothing.

        It does not wait for another thread, and makes no index. A torn one is left to `read`.
        """
        slot = self._slot(job)
        if not slot.lock.acquire(blocking=False):
            return None
        try:
            with slot.closed_when_retired():
                return read(slot.results) if slot.results and slot.is_of(job) else None
        except BatchError:
            raise
        except Exception:  # noqa: BLE001 - as above
            return None
        finally:
            slot.lock.release()

    def close(self) -> None:
        """Let go of every file."""
        with self._lock:
            slots = [*self._slots.values()]
            self._slots.clear()
        for slot in slots:
            slot.retire()

    def _slot(self, job: Job) -> "_Slot":
        """Find or make the place of a job, retiring the one that was not read for the longest time."""
        with self._lock:
            slot = self._slots.setdefault(job.id, _Slot(self._home))
            self._slots.move_to_end(job.id)
            oldest = self._slots.popitem(last=False)[1] if len(self._slots) > self._most else None
        if oldest:
            oldest.retire()
        return slot


class _Slot:
    """The place of one job: its results while they are open. Everything but `retire` is for who holds the lock."""

    def __init__(self, home: Path) -> None:
        self.lock = Lock()
        self.results: Results | None = None
        self._home = home
        self._paths: list[str] = []
        self._files: _Files = ()
        self._retired = False

    def is_of(self, job: Job) -> bool:
        """Whether the open results are still those of the job as it is now."""
        return self.results is not None and self.results.job == job and self._files == self._look()

    def open(self, job: Job) -> Results:
        """Give the open results, opened anew where something has changed."""
        if self.results is None or not self.is_of(job):
            self.close()
            self._paths = [str(jobs.folder(self._home, job.id) / name) for name in _FILES]
            self._files = self._look()  # before: what changes meanwhile is noticed next time
            self.results = Results(self._home, job)
        return self.results

    def close(self) -> None:
        """Let go of the files."""
        if self.results:
            self.results.__exit__()
        self.results = None

    def retire(self) -> None:
        """Close now, or when whoever reads is done."""
        self._retired = True
        if self.lock.acquire(blocking=False):
            self.close()
            self.lock.release()

    @contextmanager
    def closed_when_retired(self) -> Generator[None]:
        """Close at the end if it has been retired meanwhile."""
        try:
            yield
        finally:
            if self._retired:
                self.close()

    def _look(self) -> _Files:
        """Which files these are, how long, and when they were written last."""
        return tuple(map(_file, self._paths))


def _file(path: str) -> _File | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path costs more than the question, and it is asked at every read
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
