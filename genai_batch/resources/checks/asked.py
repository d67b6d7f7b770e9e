"""What the requests of a job ask of the form of their answers, found by line without holding the requests."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct, field

from genai_batch.resources.checks.binding import LENGTH, ref
from genai_batch.resources.lint.schema import MIMES

_BLOCK = 4 * 1024 * 1024
_MENTIONED = re.compile(rb"application\\?/json|text\\?/x\.enum")
_LONGEST = 32
"""Bytes beyond any way to write one of `MIMES`."""


class Asked(NamedTuple):
    """The form that an answer was asked to have; `schema` is JSON in Gemini's dialect or in JSON Schema, or empty."""

    mime: str
    schema: bytes = b""
    is_dialect: bool = True


class _Settings(Struct):
    mime: Any = field(default=None, name="response_mime_type")
    mime_camel: Any = field(default=None, name="responseMimeType")
    dialect: Raw = field(default=Raw(b"null"), name="response_schema")
    dialect_camel: Raw = field(default=Raw(b"null"), name="responseSchema")
    plain: Raw = field(default=Raw(b"null"), name="response_json_schema")
    plain_camel: Raw = field(default=Raw(b"null"), name="responseJsonSchema")
    hidden: Raw = field(default=Raw(b"null"), name="_responseJsonSchema")
    hidden_snake: Raw = field(default=Raw(b"null"), name="_response_json_schema")


class _Request(Struct):
    settings: _Settings | None = field(default=None, name="generation_config")
    settings_camel: _Settings | None = field(default=None, name="generationConfig")


class _Line(Struct):
    key: str
    request: _Request


_decode = msgspec.json.Decoder(_Line).decode


def asked(line: bytes, *, bound: bool = False) -> Asked | None:
    """What a line of requests asks for; None for free text, or what is no request.

    Of a bound request it is told without the id of its key, so that rows with one schema ask for the same.
    """
    try:
        key, request = (found := _decode(line)).key, found.request
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if (settings := request.settings or request.settings_camel) is None:
        return None
    mime = settings.mime or settings.mime_camel
    mime = mime if isinstance(mime, str) else ""
    dialect = _first(settings.dialect, settings.dialect_camel)
    schema = dialect or _first(settings.plain, settings.plain_camel, settings.hidden, settings.hidden_snake)
    if bound:
        schema = schema.replace(ref(key).encode(), b"?" * LENGTH)
    return Asked(mime, schema, bool(dialect) or not schema) if schema or mime in MIMES else None


def _first(*given: Raw) -> bytes:
    return next((found for raw in given if (found := bytes(raw)) != b"null"), b"")


def mentions(requests: Path) -> bool:
    """Whether a structured answer may be asked for anywhere in a file, at the speed of a search for bytes."""
    tail = b""
    with requests.open("rb") as file:
        while block := file.read(_BLOCK):
            if _MENTIONED.search(tail + block[:_LONGEST]) or _MENTIONED.search(block):
                return True
            tail = block[-_LONGEST:]
    return False
