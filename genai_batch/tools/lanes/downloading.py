"""Bringing a file home in pieces: what is here already is not fetched again, and only a whole file counts.

Pieces are put into one file behind each other. A failed connection, or a killed process, leaves what has come; the
next try asks for the rest. Each answer must continue where the file ends and be of the same whole; one that does not,
because the server knows no ranges or the file is another, begins it anew.
"""

import asyncio
import hashlib
import os
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
from anyio import to_thread

from genai_batch.resources.errors import ProviderError

PIECE = 1024 * 1024
_SETTLED = 128 * 1024 * 1024
"""Bytes after which what has come is settled on the disk while more comes."""


class NotWhole(ProviderError):
    """The provider has, or shows, less than it promised; another time it may be all."""


class Download:
    """A file that is on its way to `path`; `about` is what the provider says of it, as far as it says anything."""

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        """Go on with what lies at `path`."""
        self._path = path
        given = str(about.get("sizeBytes", ""))
        self._promised = int(given) if given.isdecimal() else None
        self._sum = str(about.get("sha256Hash") or "")
        self._mark: str | None = None
        self._continues = self._here() > 0
        """Whether a process that may have died with its machine has left a part of it."""
        self._lines, self._size, self._last = 0, 0, b""

    @property
    def lines(self) -> int:
        """Lines of what is here; a last one that is cut is none."""
        return self._lines + (self._last == b"}")

    async def fetch(
        self, http: httpx2.AsyncClient, url: str, headers: Mapping[str, str], refuse: Callable[[Any], Awaitable[None]]
    ) -> None:
        """Fetch what is not here yet; `refuse` raises for an answer that is none.

        Raises:
            NotWhole: the answer ended, and the file is not what was promised.
            ProviderError: what is here does not go with what came; the next try begins anew.
        """
        start = self._here()
        if start and not self._last:
            await to_thread.run_sync(self._count_here)
        if not start or start != self._promised:
            async with http.stream("GET", url, headers={**headers, **self._wish(start)}) as reply:
                if reply.status_code == 416:
                    raise self._anew("what is here is longer than the file")
                if reply.status_code not in (200, 206):
                    await refuse(reply)
                whole = self._place(reply, start)
                await self._write(reply)
            self._compare(whole)
        if self._continues and self._sum and not await to_thread.run_sync(self._has_sum):
            self._continues = False
            raise self._anew("the part that was here does not belong to it")

    def _wish(self, start: int) -> dict[str, str]:
        wish = {"Accept-Encoding": "identity"}
        if start:
            wish |= {"Range": f"bytes={start}-"} | ({"If-Range": self._mark} if self._mark else {})
        return wish

    def _place(self, reply: httpx2.Response, start: int) -> int | None:
        """Find where the answer belongs and cut the file there; return the size of the whole, if that is told."""
        mark = reply.headers.get("etag", "")
        self._mark = mark if mark.startswith('"') else None
        if reply.status_code == 200:
            self._cut()
            length = reply.headers.get("content-length", "")
            return int(length) if length.isdecimal() and "content-encoding" not in reply.headers else None
        told = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", reply.headers.get("content-range", ""))
        if not told or int(told[1]) != start or int(told[2]) != (self._promised or int(told[2])):
            raise self._anew("the rest that came is not the rest of what is here")
        return int(told[2])

    async def _write(self, reply: httpx2.Response) -> None:
        """Write what comes, a piece while the next is on its way; what has come stays when the rest does not."""
        pieces = reply.aiter_bytes() if "content-encoding" in reply.headers else reply.aiter_raw()
        held, writing = list[bytes](), asyncio.create_task(to_thread.run_sync(self._put, list[bytes]()))
        settling, settled = writing, self._size
        try:
            async for piece in pieces:
                held.append(piece)
                if len(held) * len(piece) >= PIECE:
                    await writing
                    writing = asyncio.create_task(to_thread.run_sync(self._put, held))
                    held = []
                    if settling.done() and self._size - settled >= _SETTLED:
                        settled = self._size
                        settling = asyncio.create_task(to_thread.run_sync(self._settle))
        finally:
            with anyio.CancelScope(shield=True):
                await asyncio.gather(writing, settling)
                await to_thread.run_sync(self._put, held)

    def _settle(self) -> None:
        """Have what is here written to the disk, so that the end of the file does not wait for all of it."""
        with self._path.open("rb", buffering=0) as file, suppress(OSError):
            os.fsync(file.fileno())

    def _put(self, pieces: list[bytes]) -> None:
        """Write all of it, or all that a full disk takes: a gap would be filled with what does not belong there."""
        content = b"".join(pieces)
        with self._path.open("ab", buffering=0) as file:
            while content:
                taken = file.write(content)
                self._count(content[:taken])
                content = content[taken:]

    def _count(self, content: bytes) -> None:
        self._lines += content.count(b"\n")
        self._last = content[-1:] or self._last
        self._size += len(content)

    def _count_here(self) -> None:
        """Count what an earlier process has left."""
        with self._path.open("rb", buffering=0) as file:
            while content := file.read(PIECE):
                self._count(content)

    def _compare(self, whole: int | None) -> None:
        here = self._here()
        for wanted in (whole, self._promised):
            if wanted is not None and here != wanted:
                if here > wanted:
                    self._cut()
                raise NotWhole(f"{here:,} bytes of the file came; Gemini says it has {wanted:,}.", reason="answer")

    def _anew(self, why: str) -> ProviderError:
        self._cut()
        return ProviderError(f"The file is fetched from its beginning: {why}.", reason="answer")

    def _cut(self) -> None:
        self._lines, self._size, self._last = 0, 0, b""
        if self._path.exists():
            os.truncate(self._path, 0)

    def _here(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    def _has_sum(self) -> bool:
        """Whether it has the promised SHA-256, which is base64 of the digest or of its hexadecimal text."""
        with self._path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256")
        return self._sum in (b64encode(found.digest()).decode(), b64encode(found.hexdigest().encode()).decode())
