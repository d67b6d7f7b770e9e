"""A source in blocks of whole lines, read once and never held whole."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO

from genai_batch.resources.preflight.findings import Findings

MAX_LINE = 32 * 1024 * 1024
"""Bytes of one line; what is longer is refused without being held in memory."""
BLOCK = 1024 * 1024
"""Bytes read at once. A block is at most this and the line that began before it."""
_FREED = 16 * BLOCK
"""Once so much was freed at a time, glibc keeps the memory of blocks and lines for the next ones, where else it would
give each back to the system and have its pages made again. It is never touched, so it takes no memory."""
_BOM = b"\xef\xbb\xbf"


class Blocks:
    """Iterates over a source: a block is whole lines, each ended by a newline; None is a line that is too long.

    CRLF, a byte order mark and a missing last newline are mended on the way and told.
    """

    def __init__(self, source: Path, findings: Findings) -> None:
        """Read `source`, telling `findings` what is odd about it."""
        self._source, self._findings = source, findings
        self.open_end = False
        """Whether the last line had no newline."""

    def __iter__(self) -> Iterator[bytes | None]:
        """Read on."""
        returns = 0
        for block in self._raw():
            if block and b"\r" in block:
                mended = block.replace(b"\r\n", b"\n")
                returns += len(block) - len(mended)
                yield mended
            else:
                yield block
        if returns:
            self._findings.warn(f"{returns:,} lines end in CRLF; read as newlines")

    def _raw(self) -> Iterator[bytes | None]:
        _ = bytes(_FREED)
        del _
        held, room = 0, bytearray(BLOCK)
        with self._source.open("rb", buffering=0) as file:
            start = self._start(file)
            room[: len(start)], held = start, len(start)
            while read := file.readinto(memoryview(room)[held:]):
                first, held = held, held + read
                if end := room.rfind(b"\n", first, held) + 1:
                    yield bytes(memoryview(room)[:end])
                    room[: held - end], held = room[end:held], held - end
                elif held >= MAX_LINE:
                    yield None
                    rest = self._behind(file)
                    room[: len(rest)], held = rest, len(rest)
                elif held == len(room):
                    room += bytes(min(held, MAX_LINE - held))
            if held:
                last = bytes(memoryview(room)[:held])
                self.open_end = not last.endswith(b"\n")
                yield last + b"\n" * self.open_end

    def _start(self, file: IO[bytes]) -> bytes:
        start = file.read(3)
        if start != _BOM:
            return start
        self._findings.warn("a byte order mark was left out", line=1)
        return b""

    def _behind(self, file: IO[bytes]) -> bytes:
        """Pass over the rest of a line without holding it, and return what was read of the next."""
        while more := file.read(BLOCK):
            if b"\n" in more:
                return more[more.find(b"\n") + 1 :]
        self.open_end = True
        return b""
