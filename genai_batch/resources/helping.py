"""What a process and one that helps it have in common: messages, each as its length, its sum and MessagePack."""

import os
from struct import Struct as Layout
from typing import IO, Any
from zlib import crc32

import msgspec
from msgspec import Struct

_HEAD = Layout("<II")


def send(file: IO[bytes], message: Struct) -> None:
    """Write a message."""
    body = msgspec.msgpack.encode(message)
    file.write(_HEAD.pack(len(body), crc32(body)))
    file.write(body)
    file.flush()


def receive(file: IO[bytes], kind: Any) -> Any:
    """Read a message, or None at the end, and where one is cut or damaged."""
    if len(head := file.read(_HEAD.size)) < _HEAD.size:
        return None
    size, total = _HEAD.unpack(head)
    if crc32(body := file.read(size)) != total:
        return None
    return msgspec.msgpack.decode(body, type=kind)


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
