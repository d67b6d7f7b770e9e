"""A long line as the bytes around its key and its one text: what follows a template needs no counting of its parts.

A template is cut from a line that matched in every respect. Another line made of the same bytes, with any other two
strings in the two places, has the same members in the same order, none of them twice.
"""

from typing import NamedTuple, Self

import msgspec
from msgspec import MsgspecError, Raw, Struct

from genai_batch.resources.lines import MAX_KEY

_string = msgspec.json.Decoder(str).decode


class Template(NamedTuple):
    """The bytes before the key with its first quotation mark, those between key and text, those after the text."""

    before: bytes
    between: bytes
    after: bytes

    @classmethod
    def of(cls, line: bytes) -> Self | None:
        """Cut a line that matched, if it holds one text and both strings stand in it once."""
        row = _raws(line)
        turns = row.request.contents
        if len(turns) != 1 or len(turns[0].parts) != 1:
            return None
        text, key = bytes(turns[0].parts[0].text), bytes(row.key)
        head, _, after = line.partition(text)
        before, _, between = head.partition(key)
        plain = key[:1] == b'"' and b"\\" not in key
        once = line.rfind(text) == len(head) and key not in between + after
        return cls(before + b'"', between, after) if plain and once and before + key + between == head else None

    def key(self, line: bytes) -> str | None:
        """The key of a line that follows the template, None of any other."""
        if not (line.startswith(self.before) and line.endswith(self.after)):
            return None
        start = len(self.before)
        end = line.find(b'"', start)
        if not line.startswith(self.between, end + 1):
            return None
        try:
            key = line[start:end].decode()
            text = _string(memoryview(line)[end + 1 + len(self.between) : len(line) - len(self.after)])
        except (MsgspecError, UnicodeDecodeError):
            return None
        return key if text and "\\" not in key and is_good(key) else None


def is_good(key: str) -> bool:
    """Whether there can be nothing wrong with a key."""
    return key.isprintable() and bool(key.strip()) and len(key.encode()) <= MAX_KEY


class _Part(Struct):
    text: Raw


class _Turn(Struct):
    parts: list[_Part]


class _Request(Struct):
    contents: list[_Turn] = []


class _Row(Struct):
    key: Raw
    request: _Request


_raws = msgspec.json.Decoder(_Row).decode
