"""The elements of a JSON array in a file, one by one."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from genai_batch.resources.answers import Problem, brief
from genai_batch.resources.errors import InvalidRequests
from genai_batch.resources.sources.cells import NULL

_CHUNK = 1024 * 1024
_BLANK = re.compile(r"[ \t\r\n]*")


class _NotANumber(ValueError):
    """A number that is none."""


def _refuse_constant(name: str) -> None:
    raise _NotANumber(f"it holds {name}, which is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode


def elements(path: Path) -> Iterator[Any]:
    """Read the elements of an array as they come.

    Raises:
        InvalidRequests: it is no JSON array.
    """
    count = 0
    with path.open(encoding="utf-8-sig") as file:
        try:
            for element in _Reader(file).elements():
                count += 1
                yield element
        except (ValueError, RecursionError) as error:
            said = f"after element {count}: {brief(str(error), 120)}"
            fix = NULL if isinstance(error, _NotANumber) else "write an array of objects"
            raise InvalidRequests(path.name, [Problem(problem=said, fix=fix)]) from error


class _Reader:
    """A piece of the text, and where in it reading goes on."""

    def __init__(self, file: IO[str]) -> None:
        self._file, self._text, self._at, self._room = file, "", 0, _CHUNK

    def elements(self) -> Iterator[Any]:
        if self._sign() != "[":
            raise ValueError("it does not begin with [")
        self._at += 1
        if self._sign() == "]":
            return
        while True:
            yield self._element()
            sign = self._sign()
            self._at += 1
            if sign != ",":
                break
        if sign != "]":
            raise ValueError("there is no comma between two elements" if sign else "the array does not end")

    def _sign(self) -> str:
        """The next sign that is no blank; none at the end."""
        while True:
            found = _BLANK.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def _element(self) -> Any:
        """Decode an element, reading on while it is cut."""
        self._room = _CHUNK
        self._sign()
        while True:
            try:
                value, end = _decode(self._text, self._at)
                if end < len(self._text) or not self._more():
                    self._at = self._at + end - self._at if end <= len(self._text) else len(self._text)
                    return value
            except json.JSONDecodeError:  # no other ValueError: a number that is none stays wrong however it goes on
                if not self._more():
                    raise

    def _more(self) -> bool:
        """Read a piece on, each larger than the last while one element takes them; what is behind is let go."""
        more = self._file.read(self._room)
        self._text, self._at, self._room = self._text[self._at :] + more, 0, self._room * 2
        return bool(more)
