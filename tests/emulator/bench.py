"""An emulator in process, with the real SDK and an operator's hand on it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from google import genai
from google.genai import types
from starlette.types import ASGIApp

MODEL = "gemini-3.8-flash"
Object = dict[str, Any]
Server = tuple[str, "subprocess.Popen[str]"]


def line(key: str, text: str = "hello", **request: Any) -> Object:
    """A line of a job."""
    return {"key": key, "request": {"contents": [{"role": "user", "parts": [{"text": text}]}], **request}}


def lines(count: int, **request: Any) -> list[Object]:
    """Lines r0, r1 and so on."""
    return [line(f"r{i}", f"hello {i}", **request) for i in range(count)]


def jsonl(rows: list[Object]) -> bytes:
    """Rows as a file."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@dataclass
class Bench:
    """One emulator and what stands around it."""

    folder: Path
    app: ASGIApp
    http: httpx2.AsyncClient
    clients: dict[str, genai.Client] = field(default_factory=dict[str, genai.Client])

    def sdk(self, key: str = "key-1") -> Any:  # the SDK's own annotations are partly unknown to a strict checker
        """The real SDK, its network replaced."""
        options = types.HttpOptions(base_url="http://emulator", httpx_async_client=self.http)
        return self.clients.setdefault(key, genai.Client(api_key=key, http_options=options))

    async def get(self, path: str, key: str = "key-1") -> Object:
        """A raw read."""
        return (await self.http.get(path, headers={"x-goog-api-key": key})).json()

    async def post(self, path: str, body: Object, key: str = "key-1") -> httpx2.Response:
        """A raw call."""
        return await self.http.post(path, json=body, headers={"x-goog-api-key": key})

    async def admin(self, path: str, **body: Any) -> Object:
        """An operator's order."""
        reply = await self.http.post(f"/emulator/{path}", json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def advance(self, seconds: float = 10) -> None:
        """Let time pass."""
        await self.admin("clock", advance_s=seconds)

    async def upload(self, rows: list[Object] | bytes, key: str = "key-1") -> str:
        """An input file's name."""
        path = self.folder / "input.jsonl"
        path.write_bytes(rows if isinstance(rows, bytes) else jsonl(rows))
        config = types.UploadFileConfig(mime_type="application/jsonl")
        return str((await self.sdk(key).aio.files.upload(file=path, config=config)).name)

    async def create(
        self, rows: list[Object] | bytes, key: str = "key-1", model: str = MODEL, name: str = "job"
    ) -> str:
        """A file job's name."""
        source = await self.upload(rows, key)
        batch = await self.sdk(key).aio.batches.create(model=model, src=source, config={"display_name": name})
        return str(batch.name)

    async def download(self, batch: str, key: str = "key-1") -> bytes:
        """A job's result file."""
        path = f"/v1beta/files/batch-{batch.removeprefix('batches/')}:download?alt=media"
        reply = await self.http.get(path, headers={"x-goog-api-key": key}, follow_redirects=True)
        assert reply.status_code == 200, reply.text
        return reply.content

    async def results(self, rows: list[Object]) -> list[Object]:
        """The result rows of a job that ran."""
        batch = await self.create(rows)
        await self.advance()
        return [json.loads(row) for row in (await self.download(batch)).splitlines()]


@contextmanager
def listening(state: Path, scenario: Path | None = None, **environment: str) -> Generator[Server]:
    """An emulator in a process of its own."""
    code = (
        "import sys; from pathlib import Path; from genai_batch.server.emulator import serve; "
        "serve(Path(sys.argv[1]), 0, Path(sys.argv[2]) if sys.argv[2:] else None)"
    )
    command = [sys.executable, "-c", code, str(state), *([str(scenario)] if scenario else [])]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | environment)
    try:
        assert process.stderr is not None
        match = re.search(r"emulator listening on (\S+)", process.stderr.readline())
        assert match is not None
        yield match[1], process
    finally:
        process.terminate()
        process.communicate(timeout=10)
