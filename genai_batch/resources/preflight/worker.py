"""A process that matches blocks for another: `python -m genai_batch.resources.preflight.worker MEMORY STEP`.

MEMORY is the file descriptor of memory shared with the parent, who puts blocks there; a row is counted at every STEP
bytes. It says `READY`, then tasks come over stdin and replies go over stdout, each as its length and MessagePack. It
ends with its stdin, so it cannot outlive its parent. What it imports is what its start costs: msgspec, little else.
"""

import mmap
import signal
import sys

from msgspec import Struct

from genai_batch.resources.helping import receive, send
from genai_batch.resources.preflight.formed import Met
from genai_batch.resources.preflight.keys import Keys
from genai_batch.resources.preflight.matching import Matcher, Run
from genai_batch.resources.preflight.sampling import Lesson

READY = b"up"


class Task(Struct, array_like=True):
    """A block to match, where it lies here and in its source, and keys found elsewhere, that are to be hashed here.

    `keys` bytes of them follow the block, a newline between them; `noted` are the odd ones. `learned` is new.
    """

    start: int
    length: int
    keys: int
    offset: int
    learned: list[Lesson]
    noted: list[str]


class Reply(Struct, array_like=True):
    """What matching gave, and the hashes of the keys."""

    runs: list[Run]
    met: dict[int, Met]
    counts: bytes
    hashes: bytes


def main() -> None:
    """Answer until there is nothing more to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who ends this
    keys = Keys()
    matcher = Matcher(keys, int(sys.argv[2]))
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    with mmap.mmap(int(sys.argv[1]), 0, access=mmap.ACCESS_READ) as memory:
        while task := receive(sys.stdin.buffer, Task):
            for lesson in task.learned:
                matcher.learn(lesson)
            keys.add(task.noted)
            end = task.start + task.length
            if task.keys:
                keys.add(str(memory[end : end + task.keys], "utf-8").split("\n"))
            matched = matcher.match(memory[task.start : end], task.offset)
            send(sys.stdout.buffer, Reply(list(matched.runs), dict(matched.met), *keys.take()))


if __name__ == "__main__":
    main()
