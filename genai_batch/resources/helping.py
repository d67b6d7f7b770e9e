"""A process that helps another: how it is started, and their messages, each as its length, its sum and MessagePack."""

import os
import subprocess
import sys
from struct import Struct as Layout
from types import ModuleType
from typing import IO, Any
from zlib import crc32

import msgspec
from msgspec import Struct

Helper = subprocess.Popen[bytes]
_HEAD = Layout("<II")


def start(
    module: ModuleType, *arguments: object, out: IO[bytes] | int = subprocess.PIPE, shared: tuple[int, ...] = ()
) -> Helper:
    """Start a module of ours that takes messages over stdin; it has the open files whose numbers are `shared`.

    It is started anew, never forked, so it may be used where threads and event loops run. Ctrl-C does not reach it: it
    is for the process that is helped.
    """
    command = [sys.executable, "-P", "-m", module.__name__, *map(str, arguments)]
    return subprocess.Popen(  # noqa: S603 - our module
        command, stdin=subprocess.PIPE, stdout=out, pass_fds=shared, process_group=0
    )


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
