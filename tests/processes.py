"""Processes that a test starts, and what they inherit."""

import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from typing import AnyStr


@contextmanager
def ending(process: subprocess.Popen[AnyStr]) -> Generator[subprocess.Popen[AnyStr]]:
    """Wait for a process, and kill it if the test that uses it fails, so that nobody waits for ever."""
    with process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def heed_interrupts() -> None:
    """Let Ctrl-C reach the processes that are started from here, also where a shell runs the tests in the background.

    Such a shell has SIGINT ignored, and what is ignored is inherited.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
