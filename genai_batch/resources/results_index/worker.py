"""A process that reads stretches for another: `python -m genai_batch.resources.results_index.worker`.

Stretches come over stdin, and each goes over stdout with what it holds behind it, see `helping`. It ends with its
stdin, so it cannot outlive its parent.
"""

import signal
import sys
from contextlib import suppress

from genai_batch.resources.helping import receive, send
from genai_batch.resources.results_index.runs import Stretch


def main() -> None:
    """Answer until there is nothing more to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who ends this
    with suppress(OSError):  # nobody reads, or the disk is full: others read what is left
        while stretch := receive(sys.stdin.buffer, Stretch):
            found = stretch.read()
            send(sys.stdout.buffer, stretch)
            send(sys.stdout.buffer, found)


if __name__ == "__main__":
    main()
