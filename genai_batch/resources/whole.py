"""Files that are there whole or not at all: written beside their place, and moved there once they are."""

import errno
import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAMED = 50
"""Characters of a name that the name beside it begins with; 255 bytes are the most that file systems take."""


@contextmanager
def beside(target: Path) -> Generator[Path]:
    """Give a free place beside `target` to write to; what is there when the block ends replaces it.

    Raises:
        OSError: it cannot be moved. Then, as when the block fails, nothing is left behind and `target` is as it was.
    """
    part = target.with_name(f".{target.name[:_NAMED]}.{secrets.token_hex(6)}.part")  # others may be writing it too
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def new_file(target: Path, *, may_replace: bool) -> Generator[Path]:
    """Give a free place beside `target` to write to; it becomes `target` in one step, once it is on the disk.

    Raises:
        FileExistsError: `target` is there and may not be replaced; of two who write it at once one gets this.
        OSError: as `beside` does.
    """
    with beside(target) as part:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        if not may_replace:
            _link(part, target)
    with suppress(OSError):
        sync_folder(target.parent)


def _link(part: Path, target: Path) -> None:
    """Give the file its second name, if that is free; where the file system has no links, look whether it is."""
    try:
        target.hardlink_to(part)
    except OSError:
        need_free(target)


def need_free(path: Path) -> None:
    """Stop where something is there.

    Raises:
        FileExistsError: there is.
    """
    if path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last; a system that cannot open folders does so by itself.

    Raises:
        OSError: the file system does not know how.
    """
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
