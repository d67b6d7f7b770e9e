"""A process that reads stretches for another: `python -m genai_batch.resources.results_index.worker`.

Stretches come over stdin and what they hold goes over stdout, each as its length and MessagePack. It ends with its
stdin, so it cannot outlive its parent.
"""

import sys
from typing import IO, Any

import msgspec
from msgspec import Struct

from genai_batch.resources.results_index.runs import Stretch


def send(file: IO[bytes], message: Struct) -> None:
    """Write a message."""
    body = msgspec.msgpack.encode(message)
    file.write(len(body).to_bytes(4, "little"))
    file.write(body)
    file.flush()


def receive(file: IO[bytes], kind: Any) -> Any:
    """Read a message, or None at the end."""
    if len(head := file.read(4)) < 4:
        return None
    return msgspec.msgpack.decode(file.read(int.from_bytes(head, "little")), type=kind)


def main() -> None:
    """Answer until there is nothing more to do."""
    while stretch := receive(sys.stdin.buffer, Stretch):
        send(sys.stdout.buffer, stretch.read())


if __name__ == "__main__":
    main()
