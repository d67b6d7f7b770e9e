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
    """Yield the lines between two places, some at a time.

    With them comes where the first begins, and the bytes they take. A line that is very long, or has no newline, is
    not read: it comes alone, as no line.
    """
    if not path.exists():
        return
    with path.open("rb", buffering=0) as file:
        offset, rest = file.seek(start), b""
        while block := file.read(min(_BLOCK, max(0, end - file.tell()))):
            stream = BytesIO(block)
            rest += stream.readline()
            if not rest.endswith(b"\n"):
                if len(rest) > LONG:
                    size, rest = len(rest) + _rest_of_line(file, end), b""
                    yield offset, [], size
                    offset += size
                continue
            lines = [rest]
            while lines or (lines := stream.readlines(AT_ONCE)):
                rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
                size = sum(map(len, lines))
                if lines:
                    yield offset, lines, size
                offset += size
                lines = []
        if rest:
            yield offset, [], len(rest)


def _rest_of_line(file: FileIO, end: int) -> int:
    """Go on behind the next newline, or to `end`, and return how many bytes that were."""
    passed = 0
    while block := file.read(min(AT_ONCE, end - file.tell())):
        if size := block.find(b"\n") + 1:
            file.seek(size - len(block), 1)
            return passed + size
        passed += len(block)
    return passed
