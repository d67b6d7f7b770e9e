"""`extras.jsonl`: the fields that stand beside the requests of a job, a line for each request that has some.

Where they come from a table with types, the first line tells the type of each column; its key is empty, which no key
of a request is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
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


def named_apart(names: Iterable[str], is_taken: Callable[[str], bool]) -> dict[str, str]:
    """Name the fields that have a taken name `source_` and their own, or with a number where that is another field's.

    Upper and lower case count as one, since databases take them for one.
    """
    own = dict.fromkeys(names)
    used = {name.lower() for name in own if not is_taken(name)}
    apart: dict[str, str] = {}
    for name in filter(is_taken, own):
        plain = apart[name] = f"source_{name}"
        number = 1
        while apart[name].lower() in used or is_taken(apart[name]):
            number += 1
            apart[name] = f"{plain}_{number}"
        used.add(apart[name].lower())
    return apart
