"""What a resource gives: text or bytes that know how long they stay true."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal, Self

from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp_types import ReadResourceResult

Scope = Literal["public", "private"]
FRESH = "fresh"
"""Where the lifetime of a content travels through the SDK, which has no place for it."""


class Text(str):
    """Text of a resource, `fresh_ms` milliseconds of which a client may do without asking again."""

    fresh_ms: int
    scope: Scope

    def __new__(cls, content: str, fresh_ms: int = 0, scope: Scope = "private") -> Self:
        """Take all three; `public` is what every caller would get."""
        text = super().__new__(cls, content)
        text.fresh_ms, text.scope = fresh_ms, scope
        return text

    def as_json_at(self, uri: str) -> dict[str, Any]:
        """The answer to who reads `uri`, as it goes over the wire."""
        content = {"uri": uri, "mimeType": "application/json", "text": self}
        return {"resultType": "complete", "contents": [content], "ttlMs": self.fresh_ms, "cacheScope": self.scope}


class Blob(bytes):
    """Bytes of a resource, which know their MIME type too."""

    fresh_ms: int
    scope: Scope
    mime_type: str
    about: dict[str, Any] | None
    """What a reader has to know of it."""

    def __new__(cls, content: bytes, mime_type: str, fresh_ms: int = 0, about: dict[str, Any] | None = None) -> Self:
        """Take all."""
        blob = super().__new__(cls, content)
        blob.mime_type, blob.fresh_ms, blob.scope, blob.about = mime_type, fresh_ms, "private", about
        return blob


def contents(item: ReadResourceContents) -> Iterator[ReadResourceContents]:
    """What goes out for one content: itself, and what is to be known of it as text, for hosts that pass over meta."""
    held = item.content
    if not isinstance(held, Blob):
        yield replace(item, meta=marked(held))
        return
    yield replace(item, mime_type=held.mime_type, meta={**(marked(held) or {}), **(held.about or {})})
    if held.about:
        yield ReadResourceContents(json.dumps(held.about), "application/json")


def marked(content: object) -> dict[str, Any] | None:
    """The lifetime of a content, to travel with it."""
    return {FRESH: (content.fresh_ms, content.scope)} if isinstance(content, Text | Blob) else None


def unmarked(result: ReadResourceResult) -> ReadResourceResult:
    """Put the lifetime of the contents where the protocol has it."""
    for content in result.contents:
        if content.meta and FRESH in content.meta:
            fresh_ms, scope = content.meta[FRESH]
            content.meta = {name: value for name, value in content.meta.items() if name != FRESH} or None
            result = result.model_copy(update={"ttl_ms": fresh_ms, "cache_scope": scope})
    return result
