"""Matching blocks, here and in a process that helps."""

import mmap
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from queue import SimpleQueue
from tempfile import TemporaryFile
from threading import Event, Thread
from typing import IO, Any, Self

from genai_batch.resources.helping import pipe, receive, send
from genai_batch.resources.models import Model
from genai_batch.resources.preflight import worker
from genai_batch.resources.preflight.blocks import BLOCK
from genai_batch.resources.preflight.keys import Keys
from genai_batch.resources.preflight.learning import Judged, silent
from genai_batch.resources.preflight.matching import Matched, Matcher
from genai_batch.resources.preflight.sampling import Lesson
from genai_batch.resources.preflight.worker import READY, Reply, Task

SLOT = 3 * BLOCK
"""Bytes of a block and of keys."""
_AHEAD = 8
"""Blocks that wait for the process."""
_HELD = 24
"""Blocks at most that were read and not given out."""


class WorkerLost(Exception):
    """A process ended early; the pass can be made again without any."""


class Here:
    """Matches in this process."""

    def __init__(self, step: int = 0) -> None:
        """Know nothing yet; count a row at every `step` bytes."""
        self.keys = Keys()
        self._matcher = Matcher(self.keys, step)
        self._lessons: list[Lesson] = []
        self.judged: list[Judged] = []
        """What was learned, by number."""

    def learn(self, judged: Judged, request: dict[str, Any], model: Model) -> None:
        """Recognise rows like this request from now on."""
        if self._matcher.lacks(judged.variant):
            lesson = Lesson(judged.variant, silent(request, model))
            self._matcher.learn(lesson)
            self.judged.append(judged)
            self._lessons.append(lesson)

    def note(self, key: str) -> None:
        """Take the key of a line that was not matched."""
        self.keys.add((key,))

    def results(self, blocks: Iterable[bytes | None]) -> Iterator[tuple[bytes | None, Matched | None]]:
        """Match block after block."""
        offset = 0
        for block in blocks:
            yield block, None if block is None else self._matcher.match(block, offset)
            offset += len(block or b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""


class Pool(Here):
    """Matches here and in a process that helps; results come in order, some blocks after they were read.

    A block goes to the process while it has fewer than `_AHEAD` waiting, and else is matched here, so neither idles.
    The process is started anew, never forked, so it may be used where threads and event loops run. It alone hashes
    keys, since their hashes compare only within one process.
    """

    def __init__(self, step: int = 0, *, from_the_start: bool = False) -> None:
        """Prepare, without starting it; it helps as soon as it is up, or is waited for."""
        self._waits = from_the_start
        super().__init__(step)
        self._found, self._noted = _Listed(), list[str]()
        self._matcher.keys = self._found
        self._worker = _Worker(step)
        self._stack = ExitStack()

    def note(self, key: str) -> None:
        """Have the key of a line that was not matched hashed."""
        self._noted.append(key)

    def __enter__(self) -> Self:
        self._stack.enter_context(self._worker)
        if self._waits:
            self._worker.up.wait()
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._stack.close()

    def results(self, blocks: Iterable[bytes | None]) -> Iterator[tuple[bytes | None, Matched | None]]:
        """Match blocks, some of them ahead of what is given out."""
        waiting: deque[tuple[bytes | None, Matched | None, bool]] = deque()
        offset = 0
        for block in blocks:
            waiting.append(self._matched(block, offset))
            offset += len(block or b"")
            while waiting and (len(waiting) > _HELD or not waiting[0][2] or self._worker.has_answered):
                yield self._next(waiting)
        while waiting:
            yield self._next(waiting)
        self._give(b"", 0)
        self._take()

    def _matched(self, block: bytes | None, offset: int) -> tuple[bytes | None, Matched | None, bool]:
        """Give a block to the process, or match it here; whether the process has it."""
        if block is None:
            return None, None, False
        if len(block) <= SLOT and self._worker.is_free:
            self._give(block, offset)
            return block, None, True
        found = self._matcher.match(block, offset)
        return block, Matched([*found.runs], found.met), False

    def _next(self, waiting: "deque[tuple[bytes | None, Matched | None, bool]]") -> tuple[bytes | None, Matched | None]:
        block, found, is_there = waiting.popleft()
        return block, self._take() if is_there else found

    def _give(self, block: bytes, offset: int) -> None:
        """Hand over a block, and the keys found here since the last; they are printable, so a newline parts them."""
        found = "\n".join(self._found).encode()
        if len(block) + len(found) > SLOT:
            found, self._noted = b"", self._noted + self._found
        self._worker.give(block, found, offset, self._lessons, self._noted)
        self._found.clear()
        self._noted = []

    def _take(self) -> Matched:
        reply = self._worker.take()
        self.keys.put(reply.counts, reply.hashes)
        return Matched(reply.runs, reply.met)


class _Listed(list[str]):
    """Keys that wait to be hashed elsewhere."""

    def add(self, keys: Iterable[str]) -> None:
        """Note keys."""
        self.extend(keys)


class _Worker:
    """A process, the memory shared with it, and a thread that hears its replies so that neither side ever waits."""

    def __init__(self, step: int) -> None:
        self._step = step
        self._replies: SimpleQueue[Reply | None] = SimpleQueue()
        self._tasks = self._taken = self._taught = 0
        self.up = Event()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            shared = stack.enter_context(_shared(SLOT * _AHEAD))
            self._memory = stack.enter_context(mmap.mmap(shared.fileno(), SLOT * _AHEAD))
            command = [sys.executable, "-P", "-m", worker.__name__, str(shared.fileno()), str(self._step)]
            self._process = subprocess.Popen(  # noqa: S603 - this package's own module
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=(shared.fileno(),),
                process_group=0,  # Ctrl-C is for the parent
            )
            self._listener = Thread(target=self._listen, name="preflight", daemon=True)
            self._listener.start()
            stack.callback(self._end)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def is_free(self) -> bool:
        """Whether it runs and there is room for another block."""
        return self.up.is_set() and self._tasks - self._taken < _AHEAD

    @property
    def has_answered(self) -> bool:
        """Whether a reply can be taken without waiting."""
        return not self._replies.empty()

    def give(self, block: bytes, keys: bytes, offset: int, lessons: list[Lesson], noted: list[str]) -> None:
        start = SLOT * (self._tasks % _AHEAD)
        end = start + len(block)
        self._memory[start:end] = block
        self._memory[end : end + len(keys)] = keys
        task = Task(start, len(block), len(keys), offset, lessons[self._taught :], noted)
        self._tasks, self._taught = self._tasks + 1, len(lessons)
        try:
            send(pipe(self._process.stdin), task)
        except OSError as error:
            raise WorkerLost from error

    def take(self) -> Reply:
        if (reply := self._replies.get()) is None:
            raise WorkerLost
        self._taken += 1
        return reply

    def _listen(self) -> None:
        try:
            pipe(self._process.stdout).read(len(READY))
            self.up.set()
            while (reply := receive(pipe(self._process.stdout), Reply)) is not None:
                self._replies.put(reply)
        finally:  # also after a torn reply: whoever waits is told that no more will come
            self._replies.put(None)

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for each in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                pipe(each).close()


_IN_MEMORY = hasattr(os, "memfd_create")


def _shared(size: int) -> IO[bytes]:
    """A file in memory, or one without a name where there are none in memory."""
    file: IO[bytes] = os.fdopen(os.memfd_create("preflight"), "w+b") if _IN_MEMORY else TemporaryFile()  # noqa: SIM115 - whoever asked for it closes it
    file.truncate(size)
    return file
