"""A copy of a source in which each request carries the id of its key."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from genai_batch.resources.checks.binding import bind
from genai_batch.resources.models import Model
from genai_batch.resources.preflight.findings import Findings

_BUFFER = 4 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


def write(source: Path, target: Path, model: Model) -> None:
    """Write the copy, line by line, of a source without problems.

    Raises:
        InvalidRequests: requests whose answers cannot carry an id, by line.
    """
    found = Findings()
    with source.open("rb", buffering=_BUFFER) as lines, target.open("wb", buffering=_BUFFER) as copy:
        copy.writelines(_bound(lines, model, found))
    if found.count:
        raise found.refusal(source.name)


def _bound(lines: Any, model: Model, found: Findings) -> Iterator[bytes]:
    for number, raw in enumerate(lines, 1):
        text = raw.removeprefix(_BOM).strip() if number == 1 else raw.strip()
        if not text:
            yield raw
            continue
        line = msgspec.json.decode(text)
        if why := bind(line["key"], line["request"], model):
            found.problem(why.problem, why.fix, line=number, key=line["key"])
        yield msgspec.json.encode(line) + b"\n"
