"""A process that matches blocks for another: `python -m genai_batch.resources.preflight.worker MEMORY`.

MEMORY is the file descriptor of memory shared with the parent, who puts blocks there. Jobs come over stdin and answers
go over stdout, each as its length and MessagePack. It ends with its stdin, so it cannot outlive its parent.
"""

import mmap
import sys
from typing import IO, Any

import msgspec
from msgspec import Struct

from genai_batch.resources.preflight.formed import Met
from genai_batch.resources.preflight.forms import Variant
from genai_batch.resources.preflight.keys import Keys
from genai_batch.resources.preflight.matching import Matcher, Run


class Task(Struct, array_like=True):
    """A block to match: where it lies; what was learned since the last; keys that others found, to be hashed here."""

    start: int
    length: int
    learned: list[Variant]
    keys: list[str]


class Reply(Struct, array_like=True):
    """What matching gave, and the hashes of the keys."""

    runs: list[Run]
    met: dict[int, Met]
    counts: bytes
    hashes: bytes


def send(file: IO[bytes], message: Task | Reply) -> None:
    """Write a message."""
    body = msgspec.msgpack.encode(message)
    file.write(len(body).to_bytes(4, "little") + body)
    file.flush()


def receive(file: IO[bytes], kind: Any) -> Any:
    """Read a message, or None at the end."""
    if len(head := file.read(4)) < 4:
        return None
    return msgspec.msgpack.decode(file.read(int.from_bytes(head, "little")), type=kind)


def main() -> None:
    """Answer until there is nothing more to do."""
    matcher = Matcher(Keys())
    with mmap.mmap(int(sys.argv[1]), 0, access=mmap.ACCESS_READ) as memory:
        while task := receive(sys.stdin.buffer, Task):
            for variant in task.learned:
                matcher.learn(variant)
            matcher.keys.add(task.keys)
            matched = matcher.match(memory[task.start : task.start + task.length])
            send(sys.stdout.buffer, Reply(list(matched.runs), dict(matched.met), *matcher.keys.take()))


if __name__ == "__main__":
    main()
