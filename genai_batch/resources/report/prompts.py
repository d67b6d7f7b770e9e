"""What was asked in a row."""

from typing import Any

import msgspec

from genai_batch.resources.results import Entry, Results
from genai_batch.resources.untyped import as_list, as_object, field


def prompt(results: Results, entry: Entry) -> str:
    """The words of the last turn, with a name for what is not words; empty where the requests are not known."""
    line = results.request(entry)
    request = as_object(as_object(msgspec.json.decode(line)).get("request")) if line else {}
    contents = as_list(request.get("contents")) or [request.get("content")]
    parts = as_list(as_object(contents[-1]).get("parts"))
    return "\n".join(said for part in parts if (said := _said(as_object(part))))


def _said(part: dict[str, Any]) -> str:
    if isinstance(text := part.get("text"), str):
        return text
    for name in ("inline_data", "file_data"):
        if blob := as_object(field(part, name)):
            return f"[{field(blob, 'mime_type') or 'media'}]"
    return ""
