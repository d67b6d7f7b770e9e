"""A long line as the bytes around its key and its one text: what follows a template needs no counting of its parts.

A template is cut from a line that matched in every respect. Another line made of the same bytes, with any other two
strings in the two places, has the same members in the same order, none of them twice. A line whose key has an escape,
or may be wrong, does not follow: the lines before it have been looked at and stand.
"""

from typing import NamedTuple, Self

import msgspec
from msgspec import MsgspecError, Raw, Struct

from genai_batch.resources.preflight.keys import MAX_KEY

_raw = msgspec.json.Decoder(Raw).decode
_QUOTE = ord('"')


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

    def follow(self, block: bytes, start: int, *, is_ascii: bool) -> tuple[int, list[str]]:
        """Where the lines of a block from `start` on cease to follow the template; their keys, as they are written."""
        before, between, after = self
        view, keys, find, begins = memoryview(block), list[str](), block.find, block.startswith
        head, middle, tail = len(before), len(between), len(after)
        while start < len(block):
            end = find(b"\n", start) + 1
            quote = find(b'"', start + head, end)
            text = quote + 1 + middle
            if not (begins(before, start) and begins(between, quote + 1) and block.endswith(after, text, end)):
                break
            if block[text] != _QUOTE or block[text + 1] == _QUOTE or not _is_value(view[text : end - tail]):
                break
            if not (is_ascii or _is_utf8(view[start:end])):
                break
            key = str(view[start + head : quote], "utf-8")
            if "\\" in key or not is_good(key):
                break
            keys.append(key)
            start = end
        return start, keys


def _is_value(text: memoryview) -> bool:
    """Whether this is one JSON value, but for its UTF-8."""
    try:
        _raw(text)
    except MsgspecError:
        return False
    return True


def is_good(key: str) -> bool:
    """Whether there can be nothing wrong with a key."""
    return key.isprintable() and bool(key.strip()) and len(key.encode()) <= MAX_KEY


def _is_utf8(line: memoryview) -> bool:
    try:
        str(line, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


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
