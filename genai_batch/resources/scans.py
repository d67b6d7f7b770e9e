"""Scans that are kept: what reading a source has shown, so that the same file, unchanged, is not read again.

A kept scan is a folder below `scans`: a record of what a `Preflight` holds, the requests as they would be sent, and
what stands beside them. It is found by all that it depended on, the source's path, size, times and inode among them,
and whoever takes its requests over holds them against the digest of the record.
"""

import io
import os
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from blake3 import blake3

from genai_batch import __version__
from genai_batch.resources.answers import Problem
from genai_batch.resources.grouping import Groups
from genai_batch.resources.requests import Outcome, Preflight
from genai_batch.resources.sources.settings import Settings

REQUESTS, EXTRAS = "requests.jsonl", "extras.jsonl"
"""What would be sent, and what stands beside it, in the folder of a scan as in that of a job."""
_RECORD = "scan"
_LIMIT, _BYTES = 4, 2_000_000_000
"""Scans that are kept, and the bytes of all of them together; the newest stay."""
_SHARE = 4
"""A scan that would take more than one part in so many of what is free on the disk is not kept."""
_AGE_S = 86_400
RACY_S = 2.0
"""A source written so shortly before it is read may be written again without another time: it is not trusted."""


class _Record(msgspec.Struct, array_like=True):
    """What is kept of a scan beside its requests; problems and warnings as JSON."""

    outcome: Outcome
    problems: list[str]
    warnings: list[str]
    count: int
    extras_digest: str


class Spare(io.FileIO):
    """A file that may be given up: what the disk does not take of it is not missed."""

    lost = False

    def write(self, data: Any, /) -> int:
        """Write, or pretend to."""
        if not self.lost:
            with suppress(OSError):
                return super().write(data)
            self.lost = True
        return memoryview(data).nbytes


class Scan:
    """The scan of one source for one model, which may have been made before."""

    def __init__(self, home: Path, source: Preflight) -> None:
        """Look for it by what the file says of itself before it is read."""
        self._source, self._home = source, home / "scans"
        path, self._stamp = source.source.absolute(), _stamp(source.source)
        parts = (__version__, str(path), self._stamp, repr(source.model), source.cut)
        self._folder = self._home / blake3(repr(parts).encode()).hexdigest()[:32]
        is_file_of_user = source.about == Settings() and not path.is_relative_to(home)
        self._is_trusted = is_file_of_user and max(self._stamp[-2:]) / 1e9 < time.time() - RACY_S

    def run(self) -> None:
        """Read the source unless that was done before, and keep what was found where there is room."""
        if self._restored():
            return
        if not self._has_room():
            self._source.run()
            return
        folder = self._home / f".{secrets.token_hex(8)}"
        try:
            folder.mkdir(mode=0o700, parents=True)
            requests, extras = Spare(folder / REQUESTS, "wb"), Spare(folder / EXTRAS, "wb")
        except OSError:
            self._source.run()
            return
        try:
            with io.BufferedWriter(requests) as sent, io.BufferedWriter(extras) as beside:
                self._source.run(sent, beside)
            if not requests.lost and not extras.lost:
                self._keep(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def copy_to(self, folder: Path) -> None:
        """Have what would be sent, and what stands beside it, in `folder`, and on the disk if nothing is wrong.

        Raises:
            OSError: the folder does not take it.
        """
        if not self._adopted(folder):
            with (folder / REQUESTS).open("wb") as sent, (folder / EXTRAS).open("wb") as beside:
                self._source.run(sent, beside)
            self._offer(folder)
        if not self._source.findings.count:
            for name in (REQUESTS, EXTRAS):
                with (folder / name).open("rb+") as file:
                    os.fsync(file.fileno())

    def _adopted(self, folder: Path) -> bool:
        """Take over the files of a kept scan, if they hold what was scanned."""
        if (record := self._read()) is None:
            return False
        try:
            for name in (REQUESTS, EXTRAS):
                _link(self._folder / name, folder / name)
            digests = _digest_of(folder / REQUESTS), _digest_of(folder / EXTRAS)
        except OSError:
            digests = None
        if record.count or digests == (record.outcome.digest, record.extras_digest):
            self._restore(record)
            return True
        for name in (REQUESTS, EXTRAS):
            (folder / name).unlink(missing_ok=True)
        return False

    def _restored(self) -> bool:
        record = self._read()
        if record is None:
            return False
        self._restore(record)
        return True

    def _restore(self, record: _Record) -> None:
        findings = self._source.findings
        findings.problems = [Problem.model_validate_json(text) for text in record.problems]
        findings.warnings = [Problem.model_validate_json(text) for text in record.warnings]
        findings.count, findings.groups = record.count, Groups(findings.problems)
        self._source.outcome = record.outcome

    def _read(self) -> _Record | None:
        """The record of a kept scan; None where there is none that can be used."""
        if not self._is_trusted:
            return None
        try:
            return msgspec.msgpack.decode((self._folder / _RECORD).read_bytes(), type=_Record)
        except (OSError, msgspec.MsgspecError):
            return None

    def _has_room(self) -> bool:
        if not self._is_trusted:
            return False
        try:
            free = shutil.disk_usage(self._home.parent).free
        except OSError:
            return False
        return 2 * self._source.source.stat().st_size < min(_BYTES, free / _SHARE)

    def _offer(self, folder: Path) -> None:
        """Keep a scan whose files are those of a draft, which go their own way."""
        if not self._has_room():
            return
        part = self._home / f".{secrets.token_hex(8)}"
        try:
            part.mkdir(mode=0o700, parents=True)
            for name in (REQUESTS, EXTRAS):
                _link(folder / name, part / name)
            self._keep(part)
        except OSError:
            pass  # the next one reads the source again
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _keep(self, folder: Path) -> None:
        """Write the record and give the folder its name in one step; the oldest scans make room."""
        findings = self._source.findings
        if _stamp(self._source.source) != self._stamp or findings.count > len(findings.problems):
            return
        with suppress(OSError, OverflowError, msgspec.MsgspecError):
            record = _Record(
                self._source.outcome,
                [problem.model_dump_json() for problem in findings.problems],
                [warning.model_dump_json() for warning in findings.warnings],
                findings.count,
                _digest_of(folder / EXTRAS),
            )
            (folder / _RECORD).write_bytes(msgspec.msgpack.encode(record))
            for file in folder.iterdir():
                file.chmod(0o600)
            folder.rename(self._folder)
        sweep(self._home, time.time())


def sweep(folder: Path, now: float) -> None:
    """Remove the kept scans that are older than a day, and the oldest of those that are more than may be kept."""
    scans: list[tuple[float, int, Path]] = []
    for path in folder.glob("*"):
        with suppress(OSError):  # another process may be sweeping too
            scans.append((path.stat().st_mtime, sum(file.stat().st_size for file in path.iterdir()), path))
    total = 0
    for place, (made_at, size, path) in enumerate(sorted(scans, reverse=True)):
        total += size
        is_part = path.name.startswith(".")
        if now - made_at > _AGE_S or (not is_part and (place >= _LIMIT or total > _BYTES)):
            shutil.rmtree(path, ignore_errors=True)


def _link(file: Path, target: Path) -> None:
    """Give a file that nobody writes to a second name, or where the file system has none, copy it."""
    try:
        target.hardlink_to(file)
    except (OSError, NotImplementedError):
        shutil.copyfile(file, target)


def _digest_of(file: Path) -> str:
    return blake3().update_mmap(file).hexdigest()


def _stamp(source: Path) -> tuple[int, ...]:
    """What a file says of itself; whoever writes to it changes that."""
    status = source.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
