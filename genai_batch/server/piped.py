"""Sources that come through a pipe: `-` and /dev/stdin, copied once to a file that lasts as long as the command."""

import atexit
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import IO

import msgspec

from genai_batch.resources.errors import BatchError
from genai_batch.resources.sources.lines import PIPED, STDIN
from genai_batch.resources.untyped import as_object

_FD = "/dev/fd/"
_CHUNK = 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_SOURCES: dict[str, type] = {"items": list, "jobs": list, "stages": list, "data": str, "folder": str, "job_id": str}
"""Members of which a manifest has one."""


def source_of(name: str, *, table: bool = False) -> str:
    """The path of a source; one that comes through a pipe is read to its end and kept until the command ends.

    `table` says that it may be a table, which without a name is CSV unless it begins like something else.

    Raises:
        BatchError: nothing comes through the pipe.
    """
    if name in STDIN:
        return _kept(sys.stdin.buffer, table=table)
    if name.startswith(_FD) and name.removeprefix(_FD).isdigit():
        with os.fdopen(os.dup(int(name.removeprefix(_FD))), "rb") as pipe:
            return _kept(pipe, table=table)
    return name


def _kept(pipe: IO[bytes], *, table: bool) -> str:
    if stat.S_ISDIR(os.fstat(pipe.fileno()).st_mode):
        raise BatchError("Standard input is a folder; pipe a source into the command, or name its file.")
    folder = Path(tempfile.mkdtemp(prefix=PIPED))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    part = folder / "part"
    with part.open("wb") as copy:
        shutil.copyfileobj(pipe, copy, _CHUNK)
    if not part.stat().st_size:
        raise BatchError("Nothing came through standard input; pipe a source into the command, or name its file.")
    with part.open("rb") as file:
        first = file.readline(_CHUNK)
        is_alone = not file.read(_CHUNK).strip()
    ending = ".json" if is_alone and _is_manifest(first) else _ending(first, table=table)
    path = folder / f"stdin{ending}"
    part.rename(path)
    return str(path)


def _is_manifest(line: bytes) -> bool:
    """Whether the only line of a source is a manifest of JSON, and not a request or a row."""
    try:
        value = as_object(msgspec.json.decode(line.removeprefix(_BOM)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    has_source = any(isinstance(value.get(name), kind) for name, kind in _SOURCES.items())
    return "request" not in value and has_source


def _ending(first: bytes, *, table: bool) -> str:
    """The ending that a file would have which begins with this line."""
    text = first.removeprefix(_BOM).strip()
    if first.startswith(b"PAR1"):
        return ".parquet"
    if first.startswith(b"PK\3\4"):
        return ".xlsx"
    if text.startswith(b"{") and text.endswith(b"}"):
        return ".jsonl"
    if text[:1] in (b"{", b"["):
        return ".json"
    return ".csv" if table else ".yaml"
