"""What a process and one that helps it have in common: messages over pipes, each as its length and MessagePack."""

import os
from typing import IO, Any

import msgspec
from msgspec import Struct


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


def pipe(held: IO[bytes] | None) -> IO[bytes]:
    """The pipe of a process that was started with one.

    Raises:
        OSError: there is none.
    """
    if held is None:
        raise OSError("no pipe")
    return held


def processors() -> int:
    """How many may be used."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
