"""Whether all requests of a source are equal, as they are where a template forgot to name a column."""

from pathlib import Path
from typing import Any

import msgspec

from genai_batch.resources.untyped import as_object

FEWEST = 3
"""Rows from which on equal requests are worth a word."""
EQUAL = "requests are equal"
_BOM = b"\xef\xbb\xbf"


def are_equal(source: Path) -> bool:
    """Whether every line holds the same request; reading ends at the first that does not."""
    first: Any = None
    with source.open("rb") as lines:
        for line in lines:
            if not (text := line.removeprefix(_BOM).strip()):
                continue
            try:
                request = as_object(msgspec.json.decode(text)).get("request")
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                return False
            if first is None:
                first = request
            if request is None or request != first:
                return False
    return first is not None
