"""A process that reads stretches for another: `python -m genai_batch.resources.results_index.worker`.

Stretches come over stdin and what they hold goes over stdout, see `helping`. It ends with its stdin, so it cannot
outlive its parent.
"""

import sys

from genai_batch.resources.helping import receive, send
from genai_batch.resources.results_index.runs import Stretch


def main() -> None:
    """Answer until there is nothing more to do."""
    while stretch := receive(sys.stdin.buffer, Stretch):
        send(sys.stdout.buffer, stretch.read())


if __name__ == "__main__":
    main()
