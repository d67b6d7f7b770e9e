"""Lines of a large file, some at a time, without ever holding a long one."""

from collections.abc import Iterator
from io import BytesIO, FileIO
from pathlib import Path

AT_ONCE = 32 * 1024
"""Bytes of lines that are given together."""
LONG = 1024 * 1024
"""Bytes of a line from which on it is not read among others."""
_BLOCK = 512 * 1024


def batches(path: Path, start: int, end: int) -> Iterator[tuple[int, list[bytes], int]]:
    """Yield the lines that begin between two places, some at a time.

    With them comes where the first begins, and the bytes they take. A line that is very long, or has no newline, is
    not read: it comes alone, as no line.
    """
    if not path.exists():
        return
    with path.open("rb", buffering=0) as file:
        offset, rest, lines = _first(file, start, end), b"", list[bytes]()
        while offset < end and (block := file.read(_BLOCK)):
            stream = BytesIO(block)
            rest += stream.readline()
            if rest.endswith(b"\n"):
                lines = [rest]
            elif len(rest) > LONG:
                size, rest = len(rest) + _rest_of_line(file), b""
                yield offset, [], size
                offset = file.seek(offset + size)
            while lines or (lines := stream.readlines(AT_ONCE)):
                rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
                size = sum(map(len, lines))
                if lines and offset < end:
                    yield offset, _before(lines, size, end - offset), size
                offset += size
                lines = []
        if rest and offset < end:
            yield offset, [], len(rest)


def _first(file: FileIO, start: int, end: int) -> int:
    """Where the first line begins at or behind a place, or behind `end`; one under way belongs to a stretch before.

    It is looked for no further than `end`, or a line over many stretches would be read once for each of them.
    """
    before = max(0, start - 1)
    file.seek(before)
    begin = start and before + _rest_of_line(file, end - before)
    return file.seek(begin)


def _rest_of_line(file: FileIO, most: int | None = None) -> int:
    """Bytes up to and with the next newline, or the end of the file, of `most` at most."""
    passed = 0
    while (most is None or passed < most) and (more := file.read(AT_ONCE)):
        if end := more.find(b"\n") + 1:
            return passed + end
        passed += len(more)
    return passed


def _before(lines: list[bytes], size: int, end: int) -> list[bytes]:
    """Leave out lines that begin at or behind a place, counted from the first."""
    while lines and size - len(lines[-1]) >= end:
        size -= len(lines.pop())
    return lines
