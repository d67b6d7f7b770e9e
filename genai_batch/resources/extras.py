"""`extras.jsonl`: the fields that stand beside the requests of a job, a line for each request that has some.

Where they come from a table with types, the first line tells the type of each column; its key is empty, which no key
of a request is.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

NAME = "extras.jsonl"
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def header(types: Mapping[str, str]) -> bytes:
    """Write the line that tells the types, in DuckDB's words."""
    return _encode({"key": "", "types": types}) + b"\n"


def is_header(line: Mapping[str, Any]) -> bool:
    """Whether a line tells types and belongs to no request."""
    return line.get("key") == ""


def types(path: Path) -> dict[str, str]:
    """Return the type of each column, or nothing where no types are told."""
    if not path.exists():
        return {}
    with path.open("rb") as file:
        first = file.readline()
    line: dict[str, Any] = _decode(first) if first else {}
    return line["types"] if is_header(line) else {}


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the fields of each request that has some, with its key."""
    if path.exists():
        with path.open("rb") as file:
            for number, line in enumerate(file):
                fields = _decode(line)
                if number or not is_header(fields):
                    yield fields
