"""What a response says in each of its candidates."""

from collections.abc import Iterator
from typing import Any

from genai_batch.resources.untyped import as_list, as_object, is_object

MESSAGE = 300
"""Bytes of what is said of an answer that is not what was asked for."""
_NOT_TEXT = ("functionCall", "function_call", "inlineData", "inline_data")


def texts(response: dict[str, Any]) -> Iterator[str | None]:
    """The text of each candidate, without thoughts; candidates that answer by a function call or a medium have none.

    None is a candidate with content that is neither.
    """
    for candidate in as_list(response.get("candidates")):
        parts = [part for part in as_list(as_object(as_object(candidate).get("content")).get("parts"))
                 if is_object(part) and not part.get("thought")]  # fmt: skip
        if any(name in part for part in parts for name in _NOT_TEXT):
            continue
        said = [part["text"] for part in parts if isinstance(part.get("text"), str)]
        yield "".join(said) if said else None
