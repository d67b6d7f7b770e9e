"""What a resource gives: text or bytes, and how long they stay true."""

import base64
import json
from dataclasses import dataclass
from typing import Any, Literal

from mcp_types import BlobResourceContents, ReadResourceResult, TextResourceContents

Scope = Literal["public", "private"]
_JSON = "application/json"


@dataclass(frozen=True)
class Content:
    """The content of a resource.

    A client may do without asking again for `fresh_ms` milliseconds; `public` is what every caller would get. `about`
    is what a reader of bytes has to know of them; `mime_type` is that of the resource where it is None.
    """

    body: str | bytes
    fresh_ms: int | None = None
    scope: Scope = "private"
    mime_type: str | None = None
    about: dict[str, Any] | None = None

    def as_result(self, uri: str, mime_type: str) -> ReadResourceResult:
        """The answer to who reads `uri`; `about` goes out as text too, for hosts that pass over meta."""
        contents: list[TextResourceContents | BlobResourceContents] = []
        if isinstance(self.body, str):
            contents.append(TextResourceContents(uri=uri, text=self.body, mime_type=self.mime_type or mime_type))
        else:
            blob = base64.b64encode(self.body).decode()
            contents.append(
                BlobResourceContents(uri=uri, blob=blob, mime_type=self.mime_type or mime_type, _meta=self.about)
            )
        if self.about:
            contents.append(TextResourceContents(uri=uri, text=json.dumps(self.about), mime_type=_JSON))
        if self.fresh_ms is None:
            return ReadResourceResult(contents=contents)
        return ReadResourceResult(contents=contents, ttl_ms=self.fresh_ms, cache_scope=self.scope)
