"""Reading stretches here and in a process beside this one, whoever is free."""

import logging
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from queue import Queue
from threading import Thread
from typing import Self

import msgspec

from genai_batch.resources.helping import pipe, receive, send
from genai_batch.resources.results_index import worker
from genai_batch.resources.results_index.ahead import Found
from genai_batch.resources.results_index.runs import Asked, Run, Stretch

log = logging.getLogger("genai_batch")
_AHEAD = 2
"""Stretches that a process has at a time, so that it never waits for the next."""
_WAITING = 1
"""Answers that may wait to be taken."""


class Pool:
    """Reads stretches; what they hold comes in no certain order."""

    def __init__(self, stretches: Iterable[Stretch], helpers: int) -> None:
        """Prepare, without starting any process."""
        self._left, self._helpers = deque(stretches), helpers
        self._found: Queue[Found | None] = Queue(_WAITING)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for _ in range(self._helpers):
            self._help()
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes."""
        self._left.clear()
        self._stack.close()

    def found(self) -> Iterator[Found]:
        """Read all stretches."""
        helpers = self._helpers
        while self._left or helpers:
            with suppress(IndexError):
                stretch = self._left.popleft()
                yield stretch, stretch.read()
            while helpers and (not self._left or not self._found.empty()):
                if (found := self._found.get()) is None:
                    helpers -= 1
                else:
                    yield found

    def _help(self) -> None:
        process = subprocess.Popen(  # noqa: S603 - this package's own module
            [sys.executable, "-P", "-m", worker.__name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        thread = Thread(target=self._ask, args=(process,), name="index", daemon=True)
        self._stack.callback(self._end, process, thread)
        thread.start()

    def _ask(self, process: "subprocess.Popen[bytes]") -> None:
        """Have one process read, some stretches ahead; what a process that is lost had is read by another."""
        given: deque[Stretch] = deque()
        try:
            while self._give(process, given):
                kind = Asked if given[0].requests else Run
                if not receive(pipe(process.stdout), Stretch) or not (found := receive(pipe(process.stdout), kind)):
                    break
                self._found.put((given.popleft(), found))
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("A process that helped with an index was lost (%s); the index is made without it.", error)
        finally:
            self._left.extend(given)
            self._found.put(None)

    def _give(self, process: "subprocess.Popen[bytes]", given: deque[Stretch]) -> bool:
        """Give a process something to do, unless it has enough; False when it has nothing left."""
        while len(given) < _AHEAD:
            try:
                given.append(self._left.popleft())
            except IndexError:
                break
            send(pipe(process.stdin), given[-1])
        return bool(given)

    def _end(self, process: "subprocess.Popen[bytes]", thread: Thread) -> None:
        process.kill()
        process.wait()
        while thread.is_alive():
            while not self._found.empty():  # it may wait for room
                self._found.get()
            thread.join(0.01)
        for each in (process.stdin, process.stdout):
            with suppress(OSError):
                pipe(each).close()
