"""The lines of a job's input, read one by one; a bad line is named as Google names it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from .messages import MessageError, read_message
from .wire import Object, as_object

MESSAGE_OF_KIND = {
    "generate": "GenerateContentRequest",
    "embed": "EmbedContentRequest",
    "vertex": "GenerateContentRequest",
}


@dataclass(frozen=True)
class Row:
    """One request of a job and what its result echoes: key, inline metadata, or (Vertex) the whole line."""

    line: int
    key: str
    request: Object
    echo: Object


class LineError(ValueError):
    """A line that cannot be read; its text is what the client is shown."""


def read_rows(path: Path, kind: str) -> Iterator[Row | LineError]:
    """Every line as a row, or as what is wrong with it."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield read_row(line.rstrip(b"\r\n"), number, kind)
            except LineError as error:
                yield error


def read_row(line: bytes, number: int, kind: str) -> Row:
    """One line.

    Raises:
        LineError: When the line is not a request.
    """
    value = _decode(line, number)
    key = value.get("key", "")
    if kind != "vertex" and not isinstance(key, str):
        raise _bad(number, line, "key", "invalid value for string field 'key'")
    if "request" not in value:
        raise _bad(number, line, "", "missing field 'request'")
    try:
        request = read_message(MESSAGE_OF_KIND[kind], value["request"])
    except MessageError as error:
        raise _bad(number, line, error.name, error.problem) from None
    metadata = as_object(value.get("metadata"))
    if kind == "vertex":
        return Row(number, str(key), request, value)
    echo = {name: value[name] for name in ("key", "metadata") if name in value}
    return Row(number, str(key or metadata.get("key", "")), request, echo)


def _decode(line: bytes, number: int) -> Object:
    try:
        value: Any = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        text = str(error).rstrip(".")
        column = text.rpartition("byte ")[2].rstrip(")")
        place = int(column) + 1 if column.isdigit() else len(line) or 1
        raise LineError(f"Error on line {number}: invalid JSON, near column {place}: {text}") from None
    if not isinstance(value, dict):
        raise LineError(f"Error on line {number}: invalid JSON, near column 1: expected a JSON object")
    return cast("Object", value)


def _bad(number: int, line: bytes, name: str, problem: str) -> LineError:
    column = line.find(f'"{name}"'.encode()) + 1 if name else 0
    return LineError(f"Error on line {number}: invalid JSON, near column {max(column, 1)}: {problem}")
