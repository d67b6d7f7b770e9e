"""Doing tasks, such as reading stretches, here and in a process beside this one, whoever is free."""

import logging
import subprocess
import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from queue import Queue
from threading import Thread
from typing import Any, Generic, Self, TypeVar

import msgspec
from msgspec import Struct

from genai_batch.resources.helping import pipe, receive, send
from genai_batch.resources.results_index import worker
from genai_batch.resources.results_index.runs import Asked, Run, Stretch

log = logging.getLogger("genai_batch")
_AHEAD = 2
"""Tasks that a process has at a time, so that it never waits for the next."""
_WAITING = 1
"""Answers that may wait to be taken."""
Task = TypeVar("Task", bound=Struct)
Told = TypeVar("Told", bound=Struct)


class Work(ABC, Generic[Task, Told]):
    """What can be done here and in another process, task by task."""

    @abstractmethod
    def do(self, task: Task) -> Told:
        """Do a task here."""

    @abstractmethod
    def start(self) -> "subprocess.Popen[bytes]":
        """Start a process that takes tasks, and tells each again with what came of it behind it, see `helping`."""

    @abstractmethod
    def greet(self, process: "subprocess.Popen[bytes]") -> None:
        """Tell a process what it needs before the first task; it may be slow to listen."""

    @abstractmethod
    def kind(self, task: Task, /) -> Any:
        """What comes of a task, as a type."""


class Reading(Work[Stretch, Run | Asked]):
    """Reads stretches."""

    def do(self, task: Stretch) -> Run | Asked:
        """Read one here."""
        return task.read()

    def start(self) -> "subprocess.Popen[bytes]":
        """Start a process that reads."""
        command = [sys.executable, "-P", "-m", worker.__name__]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, process_group=0)  # noqa: S603 - Ctrl-C is not for it

    def greet(self, process: "subprocess.Popen[bytes]") -> None:
        """Tell it nothing: a stretch says all."""

    def kind(self, task: Stretch, /) -> Any:
        """Tell what one holds."""
        return Asked if task.requests else Run


class Pool(Generic[Task, Told]):
    """Does tasks; what comes of them comes in no certain order."""

    def __init__(self, tasks: Iterable[Task], helpers: int, work: Work[Task, Told]) -> None:
        """Prepare, without starting any process."""
        self._left, self._helpers, self._work = deque(tasks), helpers, work
        self._found: Queue[tuple[Task, Told] | None] = Queue(_WAITING)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for _ in range(self._helpers):
            self._help()
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes."""
        self._left.clear()
        self._stack.close()

    def found(self) -> Iterator[tuple[Task, Told]]:
        """Do all tasks."""
        helpers = self._helpers
        while self._left or helpers:
            with suppress(IndexError):
                task = self._left.popleft()
                yield task, self._work.do(task)
            while helpers and (not self._left or not self._found.empty()):
                if (found := self._found.get()) is None:
                    helpers -= 1
                else:
                    yield found

    def _help(self) -> None:
        process = self._work.start()
        thread = Thread(target=self._ask, args=(process,), name="index", daemon=True)
        self._stack.callback(self._end, process, thread)
        thread.start()

    def _ask(self, process: "subprocess.Popen[bytes]") -> None:
        """Have one process work, some tasks ahead; what a process that is lost had is done by another."""
        given: deque[Task] = deque()
        try:
            self._work.greet(process)
            while self._give(process, given):
                task, kind = type(given[0]), self._work.kind(given[0])
                if not receive(pipe(process.stdout), task) or not (found := receive(pipe(process.stdout), kind)):
                    break
                self._found.put((given.popleft(), found))
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("A process that helped with an index was lost (%s); the index is made without it.", error)
        finally:
            self._left.extend(given)
            self._found.put(None)

    def _give(self, process: "subprocess.Popen[bytes]", given: deque[Task]) -> bool:
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
