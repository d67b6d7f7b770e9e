"""Some lines of a JSONL source only."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from genai_batch.resources.answers import Problem, brief
from genai_batch.resources.errors import BatchError, InvalidRequests
from genai_batch.resources.sources.selection import Selection, Sent
from genai_batch.resources.untyped import as_object

_BOM = b"\xef\xbb\xbf"


PIPED = "genai-batch-stdin-"
"""How folders of sources are named that came through a pipe, and have no place of their own."""
STDIN = frozenset({"-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})
"""Names of standard input."""
ENDINGS = frozenset({".json", ".yaml", ".yml"})
"""Of manifests."""


def choose(source: Path, target: IO[bytes], selection: Selection, sent: Sent | None) -> int:
    """Copy the lines that are meant, byte for byte, and return how many; a line that cannot be read is one of them.

    Raises:
        InvalidRequests: a key that is asked for is not there.
        BatchError: nothing is left.
    """
    wanted, only = set(selection.only), frozenset(selection.only)
    drawn = selection.drawn(sum(1 for _ in _lines(source, only))) if selection.sample else None
    rows = passed = 0
    for number, (key, line) in enumerate(_lines(source, only)):
        if drawn is not None and number not in drawn:
            continue
        if selection.limit is not None and passed >= selection.limit:
            break
        passed += 1
        wanted.discard(key or "")
        if (
            sent is None
            or key is None
            or not sent.has(key, as_object(as_object(msgspec.json.decode(line)).get("request")))
        ):
            target.write(line + b"\n")
            rows += 1
    if wanted and not (drawn or selection.limit):
        said = [
            Problem(problem=f"no line has the key {brief(key, 80)!r}", fix="check its spelling")
            for key in sorted(wanted)
        ]
        raise InvalidRequests(source.name, said[:1_000], len(said))
    if not rows:
        why = f"all {passed:,} requests were sent just so before" if passed else "nothing is left"
        raise BatchError(f"{source.name} makes no requests: {why}. Nothing was sent.")
    return rows


def _lines(source: Path, only: frozenset[str]) -> Iterator[tuple[str | None, bytes]]:
    with source.open("rb") as file:
        for number, raw in enumerate(file):
            line = (raw.removeprefix(_BOM) if number == 0 else raw).strip()
            if not line:
                continue
            key = _key(line)
            if not only or key in only:
                yield key, line


def _key(line: bytes) -> str | None:
    try:
        key = as_object(msgspec.json.decode(line)).get("key")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return key if isinstance(key, str) else None


def base_of(manifest: Path) -> Path | None:
    """Where the paths in a manifest begin: at its folder; None, which is the working folder, if it has no place."""
    return None if manifest.parent.name.startswith(PIPED) else manifest.parent


def is_lines(source: Path) -> bool:
    """Whether a file named .json is no manifest: it holds lines of requests, or an array of them."""
    try:
        with source.open("rb") as file:
            first = file.readline(1024 * 1024).removeprefix(_BOM).strip()
        found = as_object(msgspec.json.decode(first)) if first[:1] != b"[" else {"request": first}
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return "request" in found and not found.keys() & {"items", "jobs", "data", "folder"}
