"""The local files of a shard: uploaded before its requests are, which then carry their URIs."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from anyio import to_thread

from genai_batch.resources.errors import LedgerError
from genai_batch.resources.jobs import Job, Shard
from genai_batch.resources.local_files import LocalFile, LocalFiles
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


async def attached(means: Means, job: Job, shard: Shard, requests: Path) -> Attached:
    """Have all files of a shard at Gemini for long enough.

    Raises:
        FileUnusable: one was changed, is gone, or Gemini cannot read it.
        ProviderError: Gemini does not take one now, or at all.
        LedgerError: it is not known which file is meant.
        OSError: the requests cannot be read.
    """
    if (files := LocalFiles.beside(requests)) is None:
        return Attached()
    with files:
        named = await to_thread.run_sync(contents, requests, shard.start, shard.length)
        wanted = [_found(files, content) for content in named]
    for file in wanted:
        if not means.uploads.known(file.content, BATCH_S):
            present(file)
    progress = _Progress(means, job, wanted)
    left = iter(wanted)
    workers = [asyncio.create_task(_work(means, left, progress)) for _ in range(min(_WORKERS, len(wanted)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
    return Attached(named, progress.uris, progress.made_at)


class _Progress:
    """What is uploaded so far, told now and then."""

    def __init__(self, means: Means, job: Job, wanted: list[LocalFile]) -> None:
        self._means, self._job, self._all = means, job, (len(wanted), sum(file.size for file in wanted))
        self._bytes, self._told = 0, 0.0
        self.uris: dict[str, str] = {}
        self.made_at = 0.0

    def add(self, file: LocalFile, uri: str, made_at: float) -> None:
        self.uris[file.content] = uri
        self._bytes += file.size
        self.made_at = max(self.made_at, made_at)

    def tell(self) -> None:
        if time.monotonic() - self._told >= _TELL_S:
            self._told = time.monotonic()
            count, size = self._all
            done = f"{len(self.uris)} of {count} files are uploaded, {self._bytes / 1e6:,.0f} of {size / 1e6:,.0f} MB"
            said = f"{done}; the requests follow."
            self._means.ledger.advance(self._job.id, self._means.now(), self._job.attempt, notice=said)


async def _work(means: Means, left: Iterator[LocalFile], progress: _Progress) -> None:
    for file in left:
        if not means.uploads.known(file.content, BATCH_S):
            progress.tell()
        upload = await means.uploads.get(file, BATCH_S)
        progress.add(file, upload.uri, upload.made_at)


def _found(files: LocalFiles, content: str) -> LocalFile:
    if (file := files.find(content)) is None:
        said = f"{files.path} does not say which local file {content[:16]}… is; it was changed. Nothing was sent."
        raise LedgerError(f"{said} cancel_job and create_batch again.")
    return file
