"""Ctrl-C and SIGTERM at the command line: the first ends a command in good order, the second at once.

Where nothing has to be put in order the first ends it at once too. Nothing here takes time to import: a command listens
before it imports anything else.
"""

import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import NamedTuple, NoReturn

INTERRUPTED = 130
"""The exit code of a command that was interrupted."""
NOTHING_SENT = "Interrupted; nothing was sent."
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Heed(NamedTuple):
    """What the first signal does, and what is said where a second ends the process."""

    wish: Callable[[], object]
    last: Callable[[], str]


class Interrupts:
    """What the signals of this process do now."""

    def __init__(self) -> None:
        """Not listen yet."""
        self.last: Callable[[], str] = lambda: NOTHING_SENT
        """What is said where nobody heeds a signal."""
        self._heeds: list[_Heed] = []
        self._is_heard = False

    def listen(self) -> None:
        """Hear signals from now on, but none that the parent has this process ignore, as shells do for `command &`."""
        for each in _SIGNALS:
            if signal.getsignal(each) != signal.SIG_IGN:
                signal.signal(each, self._hear)

    @contextmanager
    def heeded(self, wish: Callable[[], None], last: Callable[[], str]) -> Generator[None]:
        """While this lasts the first signal calls `wish` in the running event loop; a second says `last` and ends."""
        import asyncio

        loop = asyncio.get_running_loop()
        self._heeds.append(_Heed(lambda: loop.call_soon_threadsafe(wish), last))
        try:
            yield
        finally:
            self._heeds.pop()

    def _hear(self, *_: object) -> None:
        heed = self._heeds[-1] if self._heeds else None
        if heed and not self._is_heard:
            self._is_heard = True
            heed.wish()
            return
        leave((heed.last if heed else self.last)())


def leave(text: str = "") -> NoReturn:
    """End this process now, threads that are still at work with it, after saying why."""
    with suppress(Exception):
        sys.stdout.flush()
    with suppress(OSError):
        os.write(2, f"genai-batch: {text}\n".encode() if text else b"")
    os._exit(INTERRUPTED)


interrupts = Interrupts()
"""Those of this process: signals have no other scope."""
