"""The local files of a shard: uploaded before its requests are, which then carry their URIs."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from anyio import to_thread

from genai_batch.resources.errors import FileUnusable, LedgerError
from genai_batch.resources.jobs import Shard
from genai_batch.resources.local_files import FILE, LocalFile, LocalFiles
from genai_batch.tools.lanes.aside import aside
from genai_batch.tools.lanes.derived import Uris, contents, present
from genai_batch.tools.lanes.means import Means
from genai_batch.tools.lanes.uploading import BATCH_S

_WORKERS = 3
_TELL_S = 0.5
"""Seconds from one word about the progress to the next."""


class Attached(NamedTuple):
    """The files that requests name: how often, their URIs, and when the youngest was uploaded."""

    named: Counter[str] = Counter()
    uris: Uris = {}
    made_at: float = 0


async def attached(means: Means, shard: Shard, requests: Path) -> Attached | None:
    """Have all files of a shard at Gemini for long enough; None where the job is cancelled meanwhile.

    Raises:
        FileUnusable: one was changed, is gone, or Gemini cannot read it.
        ProviderError: Gemini does not take one now, or at all.
        LedgerError: it is not known which file is meant.
        OSError: the requests cannot be read.
    """
    if not requests.with_name(FILE).exists():
        return Attached()
    named = await to_thread.run_sync(contents, requests, shard.start, shard.length)
    while True:
        wanted = _wanted(requests, named)
        try:
            return await _uploaded(means, shard, named, wanted)
        except FileUnusable:
            if _wanted(requests, named) == wanted:
                raise  # else it is known by now that they lie elsewhere


async def _uploaded(means: Means, shard: Shard, named: Counter[str], wanted: list[LocalFile]) -> Attached | None:
    await _present([file for file in wanted if not means.uploads.known(file.content, BATCH_S)])
    progress = _Progress(means, shard, wanted)
    left = iter(wanted)
    workers = [asyncio.create_task(_work(means, left, progress)) for _ in range(min(_WORKERS, len(wanted)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
    is_whole = len(progress.uris) == len(wanted)
    return Attached(named, progress.uris, progress.made_at) if is_whole else None


class _Progress:
    """What is uploaded so far, told now and then."""

    def __init__(self, means: Means, shard: Shard, wanted: list[LocalFile]) -> None:
        self._means, self._shard, self._all = means, shard, (len(wanted), sum(file.size for file in wanted))
        self._bytes, self._told = 0, 0.0
        self.uris: dict[str, str] = {}
        self.made_at = 0.0

    def add(self, file: LocalFile, uri: str, made_at: float) -> None:
        self.uris[file.content] = uri
        self._bytes += file.size
        self.made_at = max(self.made_at, made_at)

    def goes_on(self) -> bool:
        """Tell how far it is, and whether nobody has cancelled the job."""
        if time.monotonic() - self._told < _TELL_S:
            return True
        self._told = time.monotonic()
        count, size = self._all
        done = f"{len(self.uris)} of {count} files are uploaded, {self._bytes / 1e6:,.0f} of {size / 1e6:,.0f} MB"
        said = f"{done}; the requests follow."
        ledger, shard = self._means.ledger, self._shard
        ledger.mark(shard, error=said)  # what others make the notice of
        return ledger.advance(shard.job_id, self._means.now(), shard.attempt, notice=said).cancelled_at is None


async def _work(means: Means, left: Iterator[LocalFile], progress: _Progress) -> None:
    for file in left:
        if not means.uploads.known(file.content, BATCH_S) and not progress.goes_on():
            return
        upload = await means.uploads.get(file, BATCH_S)
        progress.add(file, upload.uri, upload.made_at)


async def _present(files: list[LocalFile]) -> None:
    """Refuse the first file that is gone or changed, before any is uploaded."""

    def each() -> None:
        for file in files:
            present(file)

    if files:
        await aside(each, f"the {len(files):,} local files of the requests")


def _wanted(requests: Path, named: Counter[str]) -> list[LocalFile]:
    with LocalFiles(requests.with_name(FILE)) as files:
        return [_found(files, content) for content in named]


def _found(files: LocalFiles, content: str) -> LocalFile:
    if (file := files.find(content)) is None:
        said = f"{files.path} does not say which local file {content[:16]}… is; it was changed. Nothing was sent."
        raise LedgerError(f"{said} cancel_job and create_batch again.")
    return file
