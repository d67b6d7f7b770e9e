"""What of a block is sent."""

from genai_batch.resources.preflight.sinks import Piece


class Pieces:
    """Pieces of a block in order, copied only where they differ from it."""

    def __init__(self, block: bytes) -> None:
        """Begin at its start."""
        self._block, self._view = block, memoryview(block)
        self._pieces: list[Piece] = []
        self._start = self._end = 0

    def keep(self, start: int, end: int) -> None:
        """Send bytes of the block as they are."""
        if start != self._end:
            self._flush()
            self._start = start
        self._end = end

    def put(self, piece: bytes) -> None:
        """Send something else, or a line that was looked at."""
        self._flush()
        self._pieces.append(piece)
        self._start = self._end = -1

    def done(self) -> list[Piece]:
        """All of it."""
        self._flush()
        return self._pieces

    def _flush(self) -> None:
        if self._start == 0 and self._end == len(self._block):
            self._pieces.append(self._block)
        elif self._end > self._start >= 0:
            self._pieces.append(self._view[self._start : self._end])
        self._start = self._end
