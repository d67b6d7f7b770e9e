"""A file of named sections, checked piece by piece as it is read: what was cut or overwritten is never shown."""

import json
import os
import struct
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Self
from zlib import crc32

PIECE = 1024
_AT_ONCE = 1024 * PIECE
_WAITING = 256 * 1024
_MAGIC = b"genai-batch 01\r\n"
_HEAD = struct.Struct("<16sQQI")
"""The magic, where the description begins, its length and its sum."""


class Torn(Exception):
    """The file is not as it was written."""


class Section:
    """Bytes that grow at the end, in a file without a name; what was written can be read again."""

    def __init__(self, file: IO[bytes]) -> None:
        """Use an unbuffered file."""
        self._file, self._waiting, self._held = file, list[bytes](), 0
        self.size = 0

    def add(self, content: bytes) -> None:
        """Put bytes behind the rest."""
        self._waiting.append(content)
        self.size += len(content)
        self._held += len(content)
        if self._held >= _WAITING:
            self._settle()

    def read(self, start: int, length: int) -> bytes:
        """Read bytes that were added."""
        if self._held:
            self._settle()
        self._file.seek(start)
        return self._file.read(length)

    def settled(self) -> int:
        """Put what was added where another process can read it, and return the number of the open file."""
        self._settle()
        return self._file.fileno()

    def _settle(self) -> None:
        left = memoryview(b"".join(self._waiting))
        self._waiting, self._held = [], 0
        self._file.seek(0, 2)
        while left:  # a raw file may take less than all
            left = left[self._file.write(left) :]


class Sections:
    """The sections of a file that is being made, and other bytes that are needed only until then."""

    def __init__(self, folder: Path) -> None:
        """Keep them beside each other in `folder`, where they are gone with this process."""
        self._folder, self._stack = folder, ExitStack()
        self._named: dict[str, Section] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def new(self, name: str = "") -> Section:
        """Begin a section; without a name it does not become part of the file."""
        file = TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - closed with the others
        section = Section(self._stack.enter_context(file))
        if name:
            self._named[name] = section
        return section

    def write(self, target: Path, about: dict[str, Any]) -> None:
        """Write the file: a head, the sections, the sums of their pieces, and what is to be said about it all."""
        sums, places = array("I"), dict[str, tuple[int, int]]()
        with target.open("wb") as file:
            file.write(bytes(PIECE))
            for name, section in self._named.items():
                places[name] = (file.tell(), section.size)
                for content in _whole_pieces(section):
                    sums.extend(crc32(content[at : at + PIECE]) for at in range(0, len(content), PIECE))
                    file.write(content)
            end = file.tell()
            file.write(sums.tobytes())
            said = {**about, "sections": places, "sums": [end, len(sums), crc32(sums.tobytes())]}
            text = json.dumps(said).encode()
            at = file.tell()
            file.write(text)
            file.seek(0)
            file.write(_HEAD.pack(_MAGIC, at, len(text), crc32(text)))


def _whole_pieces(section: Section) -> Iterator[bytes]:
    """The content of a section, filled up to a multiple of `PIECE`."""
    for start in range(0, section.size, _AT_ONCE):
        content = section.read(start, min(_AT_ONCE, section.size - start))
        yield content + bytes(-len(content) % PIECE)


class Checked:
    """Such a file, open for reading. Everything that is read raises `Torn` where it is not as it was written."""

    def __init__(self, path: Path) -> None:
        """Open it and read what is said about it."""
        self._file = path.open("rb", buffering=0)
        try:
            self._size = os.fstat(self._file.fileno()).st_size
            self.about = self._about()
            self._places: dict[str, list[int]] = self.about["sections"]
            self._sums = self._all_sums()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def size(self, name: str) -> int:
        """Bytes of a section."""
        return self._places[name][1]

    def read(self, name: str, start: int, length: int) -> bytes:
        """Read a part of a section."""
        begin, size = self._places[name]
        if start < 0 or start + length > size:
            raise Torn(f"{name} has {size} bytes, not {start + length}")
        if not length:
            return b""
        begin += start
        first, end = begin // PIECE, (begin + length - 1) // PIECE + 1
        content = self._bytes(first * PIECE, (end - first) * PIECE)
        if end - first == 1:
            if crc32(content) != self._sums[first - 1]:
                raise Torn(f"{name} is not as it was written")
            begin -= first * PIECE
            return content[begin : begin + length]
        pieces = (content[at : at + PIECE] for at in range(0, len(content), PIECE))
        if array("I", map(crc32, pieces)) != self._sums[first - 1 : end - 1]:
            raise Torn(f"{name} is not as it was written")
        begin -= first * PIECE
        return content[begin : begin + length]

    def _about(self) -> dict[str, Any]:
        magic, at, length, total = _HEAD.unpack(self._bytes(0, _HEAD.size))
        if magic != _MAGIC or crc32(text := self._bytes(at, length)) != total:
            raise Torn("no index")
        return json.loads(text)

    def _all_sums(self) -> "array[int]":
        at, count, total = self.about["sums"]
        sums = array("I", self._bytes(at, count * 4))
        if crc32(sums.tobytes()) != total:
            raise Torn("the sums are not as they were written")
        return sums

    def _bytes(self, at: int, length: int) -> bytes:
        if at + length > self._size:  # a damaged head may ask for more than there is memory
            raise Torn("cut")
        self._file.seek(at)
        content = self._file.read(length)
        if len(content) < length:
            raise Torn("cut")
        return content
