"""A process that matches parts for another: `python -m genai_batch.resources.results_index.matcher ASKED ANSWERED`.

These are the numbers of open files, which it shares and so reads without moving in them. How the keys lie in them comes
over stdin, and then parts; each goes over stdout with what was found in it, see `helping`. It ends with its stdin, so
it cannot outlive its parent.
"""

import os
import signal
import sys
from contextlib import suppress

from genai_batch.resources.helping import receive, send
from genai_batch.resources.results_index.laid import Keys, Parts, Read, match_plainly, pieces


def main() -> None:
    """Answer until there is nothing more to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who ends this
    asked, answered = map(_reader, sys.argv[1:])
    with suppress(OSError):  # nobody reads: others match what is left
        keys = receive(sys.stdin.buffer, Keys)
        while parts := receive(sys.stdin.buffer, Parts):
            found = match_plainly(parts, pieces(keys.asked, asked, parts), pieces(keys.answered, answered, parts))
            send(sys.stdout.buffer, parts)
            send(sys.stdout.buffer, found)


def _reader(file: str) -> Read:
    return lambda at, size: os.pread(int(file), size, at)


if __name__ == "__main__":
    main()
