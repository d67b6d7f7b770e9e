"""What killed processes leave in a home: files that were never finished. After a day nobody is at them any more."""

import shutil
from contextlib import suppress
from pathlib import Path

from genai_batch.resources import owners, scans

AGE_S = 86_400


def sweep(home: Path, now: float) -> None:
    """Remove unfinished sources, downloads and indexes, locks of ended processes and scans, all of them a day old."""
    scans.sweep(home / "scans", now)
    folder = home / "jobs"
    for path in [*folder.glob(".job_*"), *folder.glob("*/*.part")]:
        with suppress(OSError):  # another process may be sweeping too
            if now - path.stat().st_mtime > AGE_S:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (home / owners.FOLDER).glob("*.lock"):
        with suppress(OSError):  # a lease lasts half a minute, so nobody asks about an owner that ended a day ago
            if now - path.stat().st_mtime > AGE_S and owners.is_free(path):
                path.unlink()
