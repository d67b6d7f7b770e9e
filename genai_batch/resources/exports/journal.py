"""A hidden note in a folder of results: files that were written there and that no table names (yet).

An export notes each file before it writes it. If it is killed, the next export knows by the note that these files are
ours. Once the table names them, only those stay noted that it does not name, as the answer of an earlier run to a row
that has failed since.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import msgspec

from genai_batch.resources.whole import beside

NAME = ".results.written"
Noted = tuple[str, str, str]
"""The key of a row, the path of its file in the folder, and the SHA-256 of that."""
_decode = msgspec.json.Decoder(Noted).decode
_encode = msgspec.json.Encoder().encode


class Journal:
    """The note of one folder."""

    def __init__(self, folder: Path) -> None:
        """Read and write the note in `folder`."""
        self._path = folder / NAME
        self._file: IO[bytes] | None = None

    def read(self) -> Iterator[Noted]:
        """Yield what is noted; a line that a killed process left unfinished is passed over."""
        if self._path.is_file():
            with self._path.open("rb") as file:
                for line in file:
                    try:
                        yield _decode(line)
                    except msgspec.MsgspecError:
                        continue

    def note(self, *noted: str) -> None:
        """Note a file that is about to be written: with the system at once, so that it outlives this process.

        Raises:
            OSError: the note cannot be written.
        """
        if self._file is None:
            self._file = self._path.open("ab", buffering=0)
            self._file.write(b"\n")  # ends what a killed process may have left
        self._file.write(_encode(noted) + b"\n")

    def keep(self, left: Iterable[Noted]) -> None:
        """Have only these files noted.

        Raises:
            OSError: the note cannot be written.
        """
        self.close()
        lines = (_encode(noted) + b"\n" for noted in left)
        first = next(lines, None)
        if first is None:
            self._path.unlink(missing_ok=True)
            return
        with beside(self._path) as part, part.open("xb") as file:
            file.write(first)
            file.writelines(lines)

    def close(self) -> None:
        """Let go of the note as it is."""
        if self._file:
            self._file.close()
