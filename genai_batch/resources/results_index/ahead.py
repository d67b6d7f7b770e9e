"""Reading rows while they arrive: a process beside this one puts what they hold into a file, and an index takes it up.

The file is for speed alone. Each message in it says which lines it is of and has a sum; one that is cut or damaged ends
the file, and what the file does not tell is read as ever.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Self

import msgspec

from genai_batch.resources.helping import Helper, pipe, processors, receive, send, start
from genai_batch.resources.lines import MAX_KEY
from genai_batch.resources.results_index import worker
from genai_batch.resources.results_index.runs import REQUESTS, STRETCH, Asked, Run, Stretch

log = logging.getLogger("genai_batch")
LARGE = 64 * 1024 * 1024
"""Bytes to read from which on a process of its own pays."""
VERSION = 7
"""Of what is read, and of the index that is made of it; another one is made again."""
Found = tuple[Stretch, Run | Asked]


class Ahead:
    """Reads the rows of a file that is on its way, for the place they will have behind `base` bytes of other rows.

    Their keys are laid apart in `parts`. With `requests`, a file and its size, those are read first. A file that stays
    small is left to the index.
    """

    def __init__(self, file: Path, base: int, parts: int, requests: tuple[Path, int] | None = None) -> None:
        """Prepare, without starting any process."""
        self.file = file
        self._base, self._parts, self._requests = base, parts, requests
        self._path = file.with_suffix(".ahead.part")
        self._process: Helper | None = None
        self._asked: SimpleQueue[Stretch | None] = SimpleQueue()
        self._given, self._may_start = 0, processors() > 1

    def __enter__(self) -> Self:
        self._path.unlink(missing_ok=True)  # of a process that is dead, for the place its rows would have had
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing but what is kept."""
        self.end()
        self._path.unlink(missing_ok=True)

    def arrived(self, end: int) -> None:
        """Have read what is here: whole lines up to `end`, which is less than before when the file begins anew."""
        if end < self._given:
            self.end()
            self._path.unlink(missing_ok=True)
        if self._process is None and self._may_start and end >= LARGE:
            self._start()
        while self._process and end - self._given >= STRETCH:
            self._ask(self.file, self._given, self._given + STRETCH)
            self._given += STRETCH

    def end(self) -> None:
        """Read no more. The file may only be moved after that, or what is read of it is nothing."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._asked.put(None)
            with suppress(OSError):
                pipe(self._process.stdin).close()
        self._process, self._given = None, 0

    def keep(self, base: int, name: str) -> None:
        """Leave what was read to the index, now that it is recorded behind which bytes the rows stand."""
        if base == self._base and self._path.exists():
            self._path.replace(self._path.with_name(f"{name}.v{VERSION}.ahead"))

    def _start(self) -> None:
        try:
            with self._path.open("xb") as target:
                self._process = start(worker, out=target)
        except OSError as error:
            log.warning("Rows are not read while they arrive, but after that: %s", error)
            self._may_start = False
            return
        self._asked = SimpleQueue()
        Thread(target=self._feed, args=(self._process, self._asked), name="ahead", daemon=True).start()
        if self._requests:
            path, size = self._requests
            for at in range(0, size, REQUESTS):
                self._ask(path, at, min(size, at + REQUESTS), requests=True)

    def _ask(self, path: Path, start: int, end: int, *, requests: bool = False) -> None:
        base = 0 if requests else self._base
        self._asked.put(Stretch(str(path), start, end, self._parts, MAX_KEY, requests, base))

    @staticmethod
    def _feed(process: Helper, asked: "SimpleQueue[Stretch | None]") -> None:
        """Hand stretches on, in a thread, since a pipe that is full makes whoever writes wait."""
        with suppress(OSError, ValueError):  # it has ended
            while stretch := asked.get():
                send(pipe(process.stdin), stretch)


def read_ahead(folder: Path) -> Iterator[Found]:
    """What was read of a job while it arrived, in no certain order."""
    for path in sorted(folder.glob(f"*.v{VERSION}.ahead")):
        with path.open("rb") as file, suppress(msgspec.MsgspecError):
            while stretch := receive(file, Stretch):
                if (found := receive(file, Asked if stretch.requests else Run)) is None:
                    break
                yield stretch, found


def forget_ahead(folder: Path) -> None:
    """Remove what was read ahead."""
    for path in folder.glob("*.ahead"):
        path.unlink(missing_ok=True)
