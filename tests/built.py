"""Files a user would write, and the requests that were made of them."""

import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import yaml
from mcp import Client
from PIL import Image

from tests.world import MODEL, World, call


def picture(colour: str = "red", form: str = "PNG") -> bytes:
    """A small picture."""
    out = BytesIO()
    Image.new("RGB", (4, 4), colour).save(out, form)
    return out.getvalue()


def put(world: World, files: Mapping[str, bytes | str]) -> None:
    """Write files with their folders."""
    for name, content in files.items():
        path = world.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def manifest(world: World, **fields: Any) -> str:
    """Write a manifest and return its name."""
    return world.write("job.yaml", yaml.safe_dump({"model": MODEL, **fields}, allow_unicode=True))


async def built(client: Client, world: World, **arguments: Any) -> list[dict[str, Any]]:
    """Make requests and read them back."""
    name = f"built-{len(list(world.work.glob('built-*')))}.jsonl"
    answer = await call(client, "build_requests", output_path=name, **arguments)
    rows = [json.loads(line) for line in (world.work / name).read_text().splitlines()]
    assert answer["requests"] == len(rows)
    return rows


def prompt(row: dict[str, Any]) -> str:
    """The words of a request."""
    return "".join(part.get("text", "") for part in row["request"]["contents"][-1]["parts"])


def prompts(rows: list[dict[str, Any]]) -> dict[str, str]:
    """The words of each request, by key."""
    return {row["key"]: prompt(row) for row in rows}
