"""What is uploaded: requests with URIs in the places of local files, and a local file that is checked on its way."""

import io
import os
import re
from collections import Counter
from collections.abc import Generator, Mapping
from pathlib import Path

from blake3 import blake3
from typing_extensions import Buffer

from genai_batch.resources import regular
from genai_batch.resources.answers import brief
from genai_batch.resources.errors import FileUnusable
from genai_batch.resources.local_files import NAMED, PREFIX, LocalFile, named_in
from genai_batch.tools.lanes.window import Window

_AT_ONCE = 1024 * 1024
_SIGNS = len(PREFIX) + 64
_ADVICE = "Put it back and resume_job; or create_batch from the source, and resume_job if that finds the same job."
_CHANGED = "was changed since the job was made"
Uris = Mapping[str, str]
"""Of local files, by their content."""


def lines(path: Path, start: int, length: int) -> Generator[bytes]:
    """The lines of a part of a file, one at a time."""
    with Window(path, start, length) as part, io.BufferedReader(part, _AT_ONCE) as file:
        yield from file


def contents(path: Path, start: int, length: int) -> Counter[str]:
    """The local files that requests name, and how often."""
    return Counter(content for line in lines(path, start, length) for content in named_in(line))


def placed(line: bytes, uris: Uris) -> bytes:
    """A request with the URIs of its local files; one whose URI is not given keeps its name."""

    def uri(found: re.Match[bytes]) -> bytes:
        given = uris.get(found[2].decode())
        return found[0] if given is None else found[0].replace(found[1], given.encode())

    return NAMED.sub(uri, line)


class Derived(io.RawIOBase):
    """Requests as they are uploaded, which reads like a file; nothing of it is ever on a disk, or whole in memory."""

    def __init__(self, path: Path, start: int, length: int, uris: Uris, named: Counter[str]) -> None:
        """Put `uris` into a part of a file, which names local files as often as `named` says."""
        self._lines = lines(path, start, length)
        size = length or path.stat().st_size - start
        shift = sum(count * (len(uris[content]) - _SIGNS) for content, count in named.items())
        self._uris, self._size = uris, size + shift
        self._held, self._at = memoryview(b""), 0
        self._read: int = 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """Its end can be looked for, as long as nothing was read."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Say where that would be; it is read from its start on whatever is looked for."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """Say where it stands."""
        return self._at

    def close(self) -> None:
        """Let go of the requests."""
        self._lines.close()
        super().close()

    def readinto(self, buffer: Buffer, /) -> int:
        """Read on."""
        if self._at != self._read:
            raise OSError("requests that are being changed can be read in one go only")
        view, filled = memoryview(buffer).cast("B"), 0
        while filled < len(view):
            if not self._held:
                if (line := next(self._lines, None)) is None:
                    break
                self._held = memoryview(placed(line, self._uris))
            piece = self._held[: len(view) - filled]
            view[filled : filled + len(piece)] = piece
            self._held, filled = self._held[len(piece) :], filled + len(piece)
        self._at = self._read = self._read + filled
        return filled


class Checked(Window):
    """A local file that is held against its hash while it is read: its last piece is given out only if all is right."""

    def __init__(self, file: LocalFile) -> None:
        """Open the file.

        Raises:
            FileUnusable: it is gone, or of another size.
        """
        self._about, self._seen = file, blake3()
        present(file)
        super().__init__(file.path, 0, file.size)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move; what is read from then on is hashed anew."""
        self._seen = blake3()
        return super().seek(offset, whence)

    def readinto(self, buffer: Buffer, /) -> int:
        """Read on.

        Raises:
            FileUnusable: this was the last of it, and all of it is not what it was.
        """
        try:
            read = super().readinto(buffer)
        except OSError as error:
            raise _unusable(self._about, _CHANGED) from error
        self._seen.update(memoryview(buffer).cast("B")[:read])
        if self.tell() == self._about.size and self._seen.hexdigest() != self._about.content:
            raise _unusable(self._about, _CHANGED)
        return read


def present(file: LocalFile) -> None:
    """Refuse a file that is gone, or of another size than it was.

    Raises:
        FileUnusable: it is.
    """
    try:
        with regular.opened(file.path) as found:
            size = regular.size_of(found)
    except OSError as error:
        raise _unusable(file, f"cannot be read any more ({error.strerror})") from error
    if size != file.size:
        raise _unusable(file, _CHANGED)


def _unusable(file: LocalFile, what: str) -> FileUnusable:
    """Say what is the matter with a file, and what can be done."""
    said = f"The file {brief(str(file.path), 200)} (of {brief(file.item, 80)!r}) {what}; nothing of that was sent."
    return FileUnusable(f"{said} {_ADVICE}")
