"""Uploading the local files that requests name: each content once for all who need it, a few at a time.

What is there is in the ledger as soon as it is there, so a crash costs at most the files that were in flight.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial

from genai_batch.resources import uploads
from genai_batch.resources.answers import brief
from genai_batch.resources.errors import FileUnusable, LedgerError, ProviderError
from genai_batch.resources.ledger import LEASE_S, Ledger
from genai_batch.resources.local_files import LocalFile
from genai_batch.resources.uploads import Upload
from genai_batch.tools.lanes.derived import Checked
from genai_batch.tools.lanes.gemini import Gemini
from genai_batch.tools.lanes.wire import Stored

log = logging.getLogger("genai_batch")
BATCH_S, LIVE_S = 24 * 3600, 3600
"""Seconds that an upload must live on to be used again: a batch may wait for most of a day, a call leaves now."""
_AT_ONCE = 3
_PROCESS_S = 600
"""Seconds that Gemini may take to make a video ready; what takes longer is looked at again later."""
_LOOKS_S = (0.2, 5.0)
_GONE = ("missing", "permission")


class Uploads:
    """The uploads of one key by this process."""

    def __init__(self, ledger: Ledger, gemini: Gemini, now: Callable[[], float]) -> None:
        """Use a clock of seconds since 1970."""
        self._ledger, self._gemini, self._now = ledger, gemini, now
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._tasks: dict[str, asyncio.Task[Upload]] = {}
        self.sending: dict[str, LocalFile] = {}
        """What is just being uploaded here."""

    async def get(self, file: LocalFile, least_s: float) -> Upload:
        """Find an upload of a file that lives `least_s` seconds on, or make one; whoever comes meanwhile shares it.

        Raises:
            FileUnusable: the file was changed, is gone, or Gemini cannot read it.
            ProviderError: Gemini does not take it now, or at all.
        """
        while task := self._tasks.get(file.content):
            found = await asyncio.shield(task)
            if self.lives(found, least_s):
                return found
        task = self._tasks[file.content] = asyncio.create_task(self._found(file, least_s))
        task.add_done_callback(partial(self._ended, file.content))
        return await asyncio.shield(task)

    def lives(self, upload: Upload, least_s: float) -> bool:
        """Whether an upload is there for so many seconds more."""
        return upload.expires_at - self._now() >= least_s

    def known(self, content: str, least_s: float) -> bool:
        """Whether an upload of a content was made that lives so long."""
        found = uploads.find(self._ledger, content, self._gemini.account)
        return found is not None and self.lives(found, least_s)

    def forget(self, upload: Upload) -> None:
        """Do not use an upload again, which Gemini does not show any more."""
        uploads.forget(self._ledger, upload)

    def words(self) -> str | None:
        """What is just being uploaded, for a person; None where nothing is."""
        files = list(self.sending.values())
        if not files:
            return None
        names = ", ".join(file.path.name[:40] for file in files)
        return f"Uploading {names} ({sum(file.size for file in files) / 1e6:,.0f} MB)."

    async def close(self) -> None:
        """Leave what is under way; the next process begins it anew."""
        for task in (tasks := list(self._tasks.values())):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, content: str, task: asyncio.Task[Upload]) -> None:
        """Let go of a task; its failure is not lost when nobody waits for it any more."""
        del self._tasks[content]
        if not task.cancelled() and (error := task.exception()):
            log.debug("%s", error)

    async def _found(self, file: LocalFile, least_s: float) -> Upload:
        async with self._room:
            upload, stored = await self._standing(file, least_s) or await self._made(file, least_s)
        await self._processed(file, upload, stored)
        return upload

    async def _standing(self, file: LocalFile, least_s: float) -> tuple[Upload, Stored] | None:
        """An upload that was made before, if it lives long enough and Gemini still shows it."""
        known = uploads.find(self._ledger, file.content, self._gemini.account)
        if known is None or not self.lives(known, least_s):
            return None
        try:
            stored = await self._gemini.file(known.name)
        except ProviderError as error:
            if error.reason not in _GONE:
                raise
            self.forget(known)
            return None
        return (known, stored) if stored.state != "FAILED" else None

    async def _made(self, file: LocalFile, least_s: float) -> tuple[Upload, Stored]:
        """Upload a file, unless another process does; then wait for that."""
        while not uploads.claim(self._ledger, file, self._gemini.account, self._now()):
            await asyncio.sleep(_LOOKS_S[0])
            if found := await self._standing(file, least_s):
                return found
        async with self._renewed(file):
            return (await self._standing(file, least_s)) or await self._uploaded(file)

    async def _uploaded(self, file: LocalFile) -> tuple[Upload, Stored]:
        began = self._now()
        self.sending[file.content] = file
        try:
            title = f"genai-batch {file.content[:16]}"
            stored = await self._gemini.upload_file(partial(Checked, file), file.mime_type, title)
        except ProviderError as error:
            said = f"The file {_named(file)} could not be uploaded. {error}"
            raise ProviderError(said, reason=error.reason, retry_after_s=error.retry_after_s) from error
        finally:
            del self.sending[file.content]
        made = Upload(file.content, self._gemini.account, stored.name, stored.uri, began, began + stored.lives_s)
        uploads.keep(self._ledger, made)
        return made, stored

    async def _processed(self, file: LocalFile, upload: Upload, stored: Stored) -> None:
        """Wait until Gemini has made a file ready."""
        waited, pause = 0.0, _LOOKS_S[0]
        while stored.state == "PROCESSING":
            if waited > _PROCESS_S:
                said = f"Gemini still works on the file {_named(file)}, which was uploaded. Nothing was charged."
                raise ProviderError(said, reason="outage")
            await asyncio.sleep(pause)
            waited, pause = waited + pause, min(_LOOKS_S[1], 2 * pause)
            stored = await self._gemini.file(upload.name)
        if stored.state == "FAILED":
            self.forget(upload)
            said = f"Gemini could not read the file {_named(file)}: {stored.error or 'no reason given'}."
            raise FileUnusable(
                f"{said} Nothing of that was sent. resume_job uploads it once more; or convert it, and create_batch."
            )

    @asynccontextmanager
    async def _renewed(self, file: LocalFile) -> AsyncGenerator[None]:
        renewing = asyncio.create_task(self._renew(file))
        try:
            yield
        finally:
            renewing.cancel()
            uploads.release(self._ledger, file.content, self._gemini.account)

    async def _renew(self, file: LocalFile) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 3)
            try:
                uploads.claim(self._ledger, file, self._gemini.account, self._now())
            except LedgerError as error:
                log.warning("%s", error)  # the next try may come in time


def _named(file: LocalFile) -> str:
    return f"{brief(str(file.path), 200)} (of {brief(file.item, 80)!r})"
