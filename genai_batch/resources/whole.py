"""Files that are there whole or not at all: written beside their place, and moved there once they are."""

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
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
