"""Opening files of the user: only regular files are files, since a pipe, a socket or a device may wait for ever."""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def opened(path: Path) -> BufferedReader:
    """Open a regular file to be read, without ever waiting for what writes a pipe.

    Raises:
        OSError: it is no regular file, or cannot be opened.
    """
    _need_regular(path.stat(), path)  # before it is opened, which a device may notice
    descriptor = os.open(path, _FLAGS)
    try:
        _need_regular(os.fstat(descriptor), path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def size_of(file: BufferedReader) -> int:
    """The bytes of an open file."""
    return os.fstat(file.fileno()).st_size


def _need_regular(found: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device", str(path))
