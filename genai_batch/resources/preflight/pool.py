"""Matching blocks, here or in processes of its own."""

import mmap
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from queue import SimpleQueue
from secrets import randbelow
from tempfile import TemporaryFile
from threading import Thread
from typing import IO, Self

from genai_batch.resources.preflight import worker
from genai_batch.resources.preflight.blocks import BLOCK
from genai_batch.resources.preflight.forms import Judged
from genai_batch.resources.preflight.keys import Keys
from genai_batch.resources.preflight.matching import Matched, Matcher
from genai_batch.resources.preflight.worker import Reply, Task, receive, send

SLOT = 2 * BLOCK
_AHEAD = 4
"""Blocks that wait for each process."""


class WorkerLost(Exception):
    """A process ended early; the pass can be made again without any."""


class Here:
    """Matches in this process."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.keys = Keys()
        self._matcher = Matcher(self.keys)
        self.judged: list[Judged] = []
        """What was learned, by number."""

    def learn(self, judged: Judged) -> None:
        """Recognise such rows from now on."""
        if self._matcher.learn(judged.variant):
            self.judged.append(judged)

    def note(self, key: str) -> None:
        """Take the key of a line that was not matched."""
        self.keys.add((key,))

    def results(self, blocks: Iterable[bytes | None]) -> Iterator[tuple[bytes | None, Matched | None]]:
        """Match block after block."""
        for block in blocks:
            yield block, None if block is None else self._matcher.match(block)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""


class Pool(Here):
    """Matches in `count` processes; results come in order, some blocks after they were read.

    The processes are started anew, never forked, so it may be used where threads and event loops run. They share one
    hash seed, so their keys compare.
    """

    def __init__(self, count: int) -> None:
        """Prepare, without starting any."""
        super().__init__()
        self._count = count
        self._stack = ExitStack()
        self._workers: list[_Worker] = []
        self._new_keys: list[str] = []

    def note(self, key: str) -> None:
        """Have the key hashed by a process."""
        self._new_keys.append(key)

    def __enter__(self) -> Self:
        env = {**os.environ, "PYTHONHASHSEED": str(1 + randbelow(2**32 - 1))}
        with ExitStack() as stack:
            self._workers = [stack.enter_context(_Worker(env)) for _ in range(self._count)]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes."""
        self._stack.close()

    def results(self, blocks: Iterable[bytes | None]) -> Iterator[tuple[bytes | None, Matched | None]]:
        """Match blocks in turn, each process some blocks ahead of what is given out."""
        waiting: deque[tuple[bytes | None, _Worker | None]] = deque()
        turn = 0
        for block in blocks:
            if block is None or len(block) > SLOT:
                process = None
            else:
                process = self._workers[turn % self._count]
                turn += 1
                self._give(process, block)
            waiting.append((block, process))
            if len(waiting) >= _AHEAD * self._count:
                yield self._next(waiting)
        while waiting:
            yield self._next(waiting)
        if self._new_keys:
            self._give(self._workers[0], b"")
            self._take(self._workers[0])

    def _give(self, process: "_Worker", block: bytes) -> None:
        process.give(block, self.judged, self._new_keys)
        self._new_keys = []

    def _next(self, waiting: "deque[tuple[bytes | None, _Worker | None]]") -> tuple[bytes | None, Matched | None]:
        block, process = waiting.popleft()
        if block is None:
            return None, None
        return block, self._take(process) if process else _NOTHING_KNOWN.match(block)

    def _take(self, process: "_Worker") -> Matched:
        reply = process.take()
        self.keys.put(reply.counts, reply.hashes)
        return Matched(reply.runs, reply.met)


class _Worker:
    """One process, the memory shared with it, and a thread that hears its replies so that neither side ever waits."""

    def __init__(self, env: dict[str, str]) -> None:
        self._env = env
        self._replies: SimpleQueue[Reply | None] = SimpleQueue()
        self._tasks = self._taught = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            shared = stack.enter_context(_shared(SLOT * _AHEAD))
            self._memory = stack.enter_context(mmap.mmap(shared.fileno(), SLOT * _AHEAD))
            command = [sys.executable, "-P", "-m", worker.__name__, str(shared.fileno())]
            self._process = subprocess.Popen(  # noqa: S603 - this package's own module
                command, env=self._env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(shared.fileno(),)
            )
            self._listener = Thread(target=self._listen, name="preflight", daemon=True)
            self._listener.start()
            stack.callback(self._end)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def give(self, block: bytes, judged: list[Judged], keys: list[str]) -> None:
        start = SLOT * (self._tasks % _AHEAD)
        self._memory[start : start + len(block)] = block
        task = Task(start, len(block), [each.variant for each in judged[self._taught :]], keys)
        self._tasks, self._taught = self._tasks + 1, len(judged)
        try:
            send(_pipe(self._process.stdin), task)
        except OSError as error:
            raise WorkerLost from error

    def take(self) -> Reply:
        if (reply := self._replies.get()) is None:
            raise WorkerLost
        return reply

    def _listen(self) -> None:
        try:
            while (reply := receive(_pipe(self._process.stdout), Reply)) is not None:
                self._replies.put(reply)
        finally:  # also after a torn reply: whoever waits is told that no more will come
            self._replies.put(None)

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                _pipe(pipe).close()


_NOTHING_KNOWN = Matcher(Keys())
_IN_MEMORY = hasattr(os, "memfd_create")


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise WorkerLost
    return pipe


def _shared(size: int) -> IO[bytes]:
    """A file in memory, or one without a name where there are none in memory."""
    file: IO[bytes] = os.fdopen(os.memfd_create("preflight"), "w+b") if _IN_MEMORY else TemporaryFile()  # noqa: SIM115 - whoever asked for it closes it
    file.truncate(size)
    return file
