"""Rows on their way to the disk: all that arrive during one write are the next write, and then they count."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from anyio import to_thread

from genai_batch.resources.whole import sync_folder

_GATHER_S = 0.01
"""Seconds from one write to the next, so that slow trickles do not pay for a write each."""


class Journal:
    """Appends rows to a file. `rows` counts those that would survive a power cut, `waiting` the others."""

    def __init__(self, path: Path) -> None:
        """Open the file."""
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        sync_folder(path.parent)
        self.told: Callable[[], None] = lambda: None
        """Called after each write."""
        self._pending: list[bytes] = []
        self._writing: asyncio.Task[None] | None = None
        self._refused: list[bytes] = []
        self.rows = self.waiting = 0
        self.trouble: OSError | None = None

    @property
    def unstored(self) -> list[bytes]:
        """The rows that the disk did not take, or not certainly."""
        return [*self._refused, *self._pending]

    def add(self, row: bytes) -> None:
        """Take a row, whole and with its newline; it counts once `rows` says so."""
        self._pending.append(row)
        self.waiting += 1
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Wait until everything is written, and let go of the file.

        Raises:
            OSError: the disk did not take it.
        """
        try:
            while self._writing and not self._writing.done():
                await asyncio.wait([self._writing])
        finally:
            os.close(self._file)
        if self.trouble:
            raise self.trouble

    async def _write(self) -> None:
        """Write until nothing is left, in threads that nothing interrupts; after a failure nothing more."""
        try:
            while self._pending and not self.trouble:
                await asyncio.sleep(_GATHER_S)
                rows, self._pending = self._pending, []
                self._refused = rows
                await to_thread.run_sync(_append, self._file, rows)
                self._refused = []
                self.rows += len(rows)
                self.waiting -= len(rows)
                self.told()
        except OSError as error:
            self.trouble = error
        finally:
            self._writing = None
            self.told()


def _append(file: int, rows: list[bytes]) -> None:
    left = memoryview(b"".join(rows))
    while left:
        left = left[os.write(file, left) :]
    getattr(os, "fdatasync", os.fsync)(file)
