"""Whether all requests of a source are equal, as they are where a template forgot to name a column."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from genai_batch.resources.untyped import as_object

FEWEST = 3
"""Rows from which on equal requests are worth a word."""
EQUAL = "requests are equal"
_BOM = b"\xef\xbb\xbf"


def may_be(start: bytes) -> bool:
    """Whether the first lines of a source hold the same request."""
    lines = [line for line in start.split(b"\n", FEWEST)[:FEWEST] if line.strip()]
    return len(lines) == FEWEST and _all_equal(lines)


def are_equal(source: Path) -> bool:
    """Whether every line holds the same request; reading ends at the first that does not."""
    with source.open("rb") as lines:
        return _all_equal(lines)


def _all_equal(lines: Iterable[bytes]) -> bool:
    first: Any = None
    for line in lines:
        if not (text := line.removeprefix(_BOM).strip()):
            continue
        try:
            request = as_object(msgspec.json.decode(text)).get("request")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        if request is None or request != (first := first or request):
            return False
    return first is not None
