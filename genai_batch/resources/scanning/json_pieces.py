r"""Pieces of JSON as bytes: how one is decoded, and whether a member stands twice in it.

msgspec keeps one of two members of one name and says nothing. But each has a name in quotation marks, so that what was
dropped shows in their number: a piece that is encoded again holds as many as it held, unless a member was dropped or a
quotation mark was written as `\u0022`.
"""

from typing import Any

import msgspec
from msgspec import MsgspecError, Raw

from genai_batch.resources.lines import repeated_member

FAILURES = (MsgspecError, ValueError, RecursionError)
"""What a decoder raises: a RecursionError and, of bytes that are no UTF-8, a ValueError are not msgspec's own."""
MAX_BRACKETS = 90
"""Brackets up to which a piece cannot be nested too deep, wherever in a line it stands."""
decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode
members_of = msgspec.json.Decoder(dict[str, Raw]).decode


def decoded(piece: bytes) -> Any:
    """Decode a piece.

    Raises:
        ValueError: it is no JSON, or is nested so deep that it has to be looked at as part of its line.
    """
    try:
        value = decode(piece)
    except FAILURES as error:
        raise ValueError from error
    if is_deep(piece):
        raise ValueError
    return value


def is_deep(piece: bytes) -> bool:
    """Whether a piece holds so many brackets that it may be nested too deep."""
    return len(piece) > 2 * MAX_BRACKETS and piece.count(b"{") + piece.count(b"[") > MAX_BRACKETS


def repeats_member(piece: bytes, quotes: int) -> bool:
    """Whether a member stands twice in an object; `quotes` marks are in the same piece encoded again."""
    if piece.count(b'"') == quotes and (b"\\" not in piece or b"u0022" not in piece):
        return False
    return repeated_member(piece) is not None


def is_flat(piece: bytes, members: dict[str, Raw]) -> bool:
    """Whether the members of an object hold all quotation marks of it but those of their own names.

    Then none of them stands twice; within them, one may.
    """
    return piece.count(b'"') == 2 * len(members) + b"".join(members.values()).count(b'"')
