"""A memory of bounded size for what was worked out about pieces of JSON."""

from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")
_ENTRIES, _BYTES = 4_096, 4 * 1024 * 1024


class Memo(dict[bytes, Value]):
    """Remembers what `work_out` returns for a piece; when it has grown too large it forgets everything."""

    def __init__(self, work_out: Callable[[bytes], Value]) -> None:
        """Remember nothing yet."""
        super().__init__()
        self._work_out, self._bytes = work_out, 0

    def __missing__(self, piece: bytes) -> Value:
        value = self._work_out(piece)
        self._bytes += len(piece)
        if len(self) >= _ENTRIES or self._bytes > _BYTES:
            self.clear()
            self._bytes = len(piece)
        self[piece] = value
        return value
