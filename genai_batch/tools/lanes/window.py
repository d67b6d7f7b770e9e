"""A part of a file that reads like a file of its own, so that a batch can be uploaded without being copied out."""

import io
import os
from pathlib import Path

from typing_extensions import Buffer

from genai_batch.resources import regular


class Window(io.RawIOBase):
    """`length` bytes of a file from `start`; a length of 0 means all from there."""

    def __init__(self, path: Path, start: int = 0, length: int = 0) -> None:
        """Open the file."""
        self._file = regular.opened(path)
        self._start = start
        self._length = length or self._file.seek(0, os.SEEK_END) - start
        self.seek(0)

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be moved in."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move within the window."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._length}[whence]
        return self._file.seek(self._start + max(0, base + offset)) - self._start

    def tell(self) -> int:
        """Say where in the window it stands."""
        return self._file.tell() - self._start

    def readinto(self, buffer: Buffer, /) -> int:
        """Read up to the end of the window."""
        view = memoryview(buffer).cast("B")
        left = max(0, self._length - self.tell())
        read = self._file.readinto(view[: min(len(view), left)])
        if left and len(view) and not read:
            raise OSError(f"{self._file.name} ends before it should")
        return read

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
