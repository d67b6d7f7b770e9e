"""A copy of a source in which each request that states no `max_output_tokens` has one."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from genai_batch.resources.untyped import as_object, field, is_object

_BUFFER = 4 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


def write(source: Path, target: Path, limit: int) -> bool:
    """Write the copy of a source without problems, line by line; return whether any row was changed.

    Rows that have a limit stay byte for byte as they are.
    """
    changed = False
    with source.open("rb", buffering=_BUFFER) as lines, target.open("wb", buffering=_BUFFER) as copy:
        for before, after in _limited(lines, limit):
            changed = changed or after is not before
            copy.write(after)
    return changed


def _limited(lines: Iterable[bytes], limit: int) -> Iterator[tuple[bytes, bytes]]:
    """Pair each line with what takes its place."""
    for number, raw in enumerate(lines):
        text = (raw.removeprefix(_BOM) if number == 0 else raw).strip()
        line = as_object(msgspec.json.decode(text)) if text else {}
        is_changed = is_object(line.get("request")) and set_limit(line["request"], limit)
        yield raw, msgspec.json.encode(line) + b"\n" if is_changed else raw


def set_limit(request: dict[str, Any], limit: int) -> bool:
    """Put `max_output_tokens` into a request that has none, in its own spelling; return whether it had none."""
    settings = as_object(field(request, "generation_config"))
    if field(settings, "max_output_tokens") is not None or "content" in request:
        return False
    home = _spelled(request, "generation_config", "generationConfig", like=request)
    name = _spelled(settings, "max_output_tokens", "maxOutputTokens", like=settings or request)
    request[home] = {**settings, name: limit}
    return True


def _spelled(node: dict[str, Any], snake: str, camel: str, *, like: dict[str, Any]) -> str:
    """The name of a field as it stands there already, else in the spelling of its neighbours."""
    if snake in node or camel in node:
        return snake if snake in node else camel
    return snake if all(name.islower() for name in like) else camel
