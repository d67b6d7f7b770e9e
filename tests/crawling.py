"""Reading all that a server has, from the list of its jobs on, as a host would that follows every address."""

import json
from collections.abc import Iterator
from typing import Any

from mcp import Client
from mcp_types import BlobResourceContents, TextResourceContents

from genai_batch.resources import uris
from genai_batch.resources.untyped import is_list, is_object

Contents = TextResourceContents | BlobResourceContents
UNTRUSTED = frozenset({"response", "text"})


async def crawl(client: Client, start: str = uris.JOBS) -> dict[str, Contents]:
    """Read `start` and every address that is found in what was read; of the jobs on the way, all there is."""
    found: dict[str, Contents] = {}
    left = [start]
    while left:
        if (uri := left.pop()) not in found:
            found[uri] = (await client.read_resource(uri)).contents[0]
            left += addresses(found[uri])
    return found


def addresses(content: Contents) -> list[str]:
    """The addresses that a JSON resource gives, and those that templates make of its job ids."""
    if not isinstance(content, TextResourceContents) or content.mime_type != "application/json":
        return []
    return list(_in(json.loads(content.text)))


def _in(value: Any) -> Iterator[str]:
    if is_list(value):
        for each in value:
            yield from _in(each)
    if is_object(value):
        if isinstance(job_id := value.get("job_id"), str):
            yield from (uris.job(job_id), uris.results(job_id), uris.report(job_id))
        for name, inner in value.items():
            if name in ("uri", "next_uri"):
                yield inner
            elif name not in UNTRUSTED:
                yield from _in(inner)
