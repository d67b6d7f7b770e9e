"""Which process owns a lease, and whether it still lives.

An owner holds a lock on a file of its own, `owners/<id>.<machine>.lock` in the home, from its first lease until it
ends. The system frees the lock when the process ends in whatever way, so a free lock means a dead owner; a process that
sleeps keeps it. Locks mean nothing between machines that share a folder, so the name says which machine has it: an
owner of another machine, or of an earlier version, is judged by the time of its lease alone.
"""

import os
import secrets
import socket
import uuid
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout

FOLDER = "owners"


class Owner:
    """This process as an owner of leases in one home."""

    def __init__(self, home: Path) -> None:
        """Make a name that no other process has; the lock is taken by `hold`."""
        self.id = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._path = _lock_of(home, self.id)
        self._lock: FileLock | None = None

    def hold(self) -> None:
        """Take the lock before the first lease; where the disk does not allow that, leases lapse by time as before."""
        if self._lock is not None:
            return
        self._lock = FileLock(self._path, thread_local=False)
        with suppress(OSError, NotImplementedError, Timeout):
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            self._lock.acquire(timeout=0)

    def close(self) -> None:
        """Give the lock back and leave no file behind."""
        if self._lock is not None and self._lock.is_locked:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)  # while it is held, so that nobody locks a file that is gone
            with suppress(OSError):
                self._lock.release()


def is_dead(home: Path, owner: str) -> bool:
    """Whether an owner is a process of this machine that has ended; False where that is not certain."""
    path = _lock_of(home, owner)
    return path.exists() and is_free(path)


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock of an owner."""
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError, NotImplementedError):
        return False
    lock.release()
    return True


def _lock_of(home: Path, owner: str) -> Path:
    return home / FOLDER / f"{owner}.{_machine()}.lock"


@cache
def _machine() -> str:
    """A short name of the running kernel, within which locks are seen: another after each start of the machine."""
    name = f"{socket.gethostname()} {uuid.getnode()}"
    with suppress(OSError):
        name = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return sha256(name.encode()).hexdigest()[:8]
