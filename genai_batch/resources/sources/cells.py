"""A cell as plain JSON: dates as ISO text, whole numbers whole, and nothing that JSON has no word for."""

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any, NamedTuple

from genai_batch.resources.untyped import is_list, is_object


class Bad(NamedTuple):
    """What is wrong with a row, and what to do."""

    problem: str
    fix: str


_NOT_A_NUMBER = re.compile(rb"[:\[,]\s*(NaN|-?Infinity)\b")
NULL = "write null; of pandas, df.to_json(…) does"


def not_a_number(text: bytes) -> Bad | None:
    """What is wrong with JSON in which a number is none, as some libraries write it."""
    if match := _NOT_A_NUMBER.search(text):
        return Bad(f"holds {match[1].decode()}, which is not JSON", NULL)
    return None


class BytesInText(ValueError):
    """A template was to write bytes into a text."""

    def __init__(self, column: str) -> None:
        """Name the column."""
        super().__init__(column)
        self.column = column


class Blob:
    """Bytes of a cell, such as a picture, with the name of their file if the table has one; no text can hold them."""

    def __init__(self, column: str, content: bytes, path: str | None = None) -> None:
        """Keep the name of the column for errors."""
        self.column, self.content, self.path = column, content, path

    def __str__(self) -> str:
        raise BytesInText(self.column)

    @property
    def bytes(self) -> "Blob":
        """The same, as a template names a struct of bytes and a path."""
        return self


class FilePath(str):
    """The path in a struct of bytes and a path that has no bytes, named in a template as the path of a `Blob` is."""

    __slots__ = ()

    @property
    def path(self) -> str:
        """The path itself."""
        return str(self)

    @property
    def bytes(self) -> None:
        """Nothing: the bytes are in the file."""
        return None


_OF_BLOB = frozenset({"bytes", "path", "sampling_rate"})


def with_blobs(value: Any, column: str) -> Any:
    """Write a cell as JSON knows it, but leave bytes, and structs of bytes and a path, as a `Blob`."""
    if isinstance(value, bytes):
        return Blob(column, value)
    if is_list(value):
        return [with_blobs(each, column) for each in value]
    if not is_object(value):
        return plain(value)
    content, path = value.get("bytes"), value.get("path")
    if value.keys() <= _OF_BLOB and isinstance(content, bytes):
        return Blob(column, content, path if isinstance(path, str) else None)
    if value.keys() <= _OF_BLOB and {"bytes", "path"} <= value.keys():
        return FilePath(path) if isinstance(path, str) else path
    return {str(name): with_blobs(each, column) for name, each in value.items()}


def without_blobs(value: Any) -> Any:
    """The same value as JSON can hold it: a `Blob` is the path of its file, or nothing."""
    if isinstance(value, Blob | FilePath):
        return value.path
    if is_list(value):
        return [without_blobs(each) for each in value]
    if is_object(value):
        return {name: without_blobs(each) for name, each in value.items()}
    return value


def is_empty(value: Any) -> bool:
    """Whether a cell says nothing."""
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or (isinstance(value, list | dict) and not value)


def plain(value: Any) -> Any:
    """Write a cell of any table as JSON knows it."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, float | Decimal):
        return _number(value)
    if isinstance(value, datetime):
        at_midnight = value.time() == time() and value.tzinfo is None
        return value.date().isoformat() if at_midnight else value.isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]  # pyright: ignore[reportUnknownVariableType] - cells are of any type
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - the same
    return value.total_seconds() if isinstance(value, timedelta) else str(value)


def _number(value: float | Decimal) -> Any:
    if not isfinite(value):
        return None
    if value == int(value) and abs(value) < 2**63:
        return int(value)
    if isinstance(value, Decimal) and Decimal(repr(float(value))) != value:
        return format(value, "f")  # more digits than a number of JSON keeps
    return float(value)
