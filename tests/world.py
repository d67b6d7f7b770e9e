"""The world a test runs in: a home, a folder of sources, and the emulator instead of the network."""

import json
import os
import sys
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx2
from mcp import Client, StdioServerParameters
from mcp_types import CallToolResult, TextContent, TextResourceContents

from genai_batch.resources.jobs import Job, new_id
from genai_batch.resources.ledger import Ledger
from genai_batch.resources.untyped import is_object
from genai_batch.server.app import build_server
from genai_batch.server.emulator import create_app
from genai_batch.server.settings import Settings
from genai_batch.tools.lanes.embedded import EmbeddedTransport
from genai_batch.tools.lanes.means import Pace

MODEL = "gemini-3.8-flash"
LIMIT_USD = 100
"""Limit of a world, since rows that state no max_output_tokens can cost $0.12 each; tests of limits set their own."""
OVER = tuple(f"JOB_STATE_{end}" for end in ("SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"))
Era = Literal["auto", "legacy"]


def request(prompt: str, **settings: Any) -> dict[str, Any]:
    """A GenerateContentRequest with one user turn."""
    made: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}
    return made | ({"generation_config": settings} if settings else {})


def row(key: str, prompt: str = "Say hello.", **settings: Any) -> dict[str, Any]:
    """A line of a source."""
    return {"key": key, "request": request(prompt, **settings)}


@dataclass
class World:
    """A machine with a home and a folder `work`; the emulator stands for the network, `time` is what its clock says."""

    work: Path
    home: Path
    time: float = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()

    def write(self, name: str, rows: Iterable[dict[str, Any]] | bytes | str) -> str:
        """Write a source and return its name."""
        text = rows if isinstance(rows, bytes | str) else "".join(json.dumps(line) + "\n" for line in rows)
        (self.work / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    def settings(self, **changes: Any) -> Settings:
        """Settings of an offline server in this world that asks as often as it can."""
        given = Settings("emulator", "offline", self.home, (self.work,), max_cost_usd=LIMIT_USD, pace=Pace(0, 0, 0))
        return replace(given, **changes)

    def env(self, **more: str) -> dict[str, str]:
        """The environment of a process in this world."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        own = {
            "GENAI_BATCH_HOME": str(self.home),
            "GENAI_BATCH_ROOTS": str(self.work),
            "GENAI_BATCH_BACKEND": "emulator",
            "GENAI_BATCH_MAX_COST_USD": str(LIMIT_USD),
        }
        return {**kept, **own, **more}

    @asynccontextmanager
    async def client(
        self, mode: Era = "auto", message_handler: Any = None, elicitation_callback: Any = None, **changes: Any
    ) -> AsyncGenerator[Client]:
        """A real MCP client of a real server, in this process."""
        hears = {"message_handler": message_handler, "elicitation_callback": elicitation_callback}
        given = {name: what for name, what in hears.items() if what}
        async with Client(build_server(self.settings(**changes), lambda: self.time), mode=mode, **given) as client:
            yield client

    @asynccontextmanager
    async def stdio(self, **env: str) -> AsyncGenerator[Client]:
        """A real MCP client of a real server process."""
        server = StdioServerParameters(
            command=sys.executable, args=["-m", "genai_batch", "serve"], env=self.env(**env), cwd=self.work
        )
        async with Client(server) as client:
            yield client

    async def admin(self, method: str, path: str, body: Any = None) -> Any:
        """Call the emulator's admin endpoint."""
        transport = EmbeddedTransport(create_app(self.home / "emulator"))
        async with httpx2.AsyncClient(transport=transport, base_url="http://emulator.invalid/emulator") as http:
            reply = await http.request(method, path, json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def arm(self, fault: str, **params: Any) -> None:
        """Arm a fault of the emulator."""
        await self.admin("POST", "/faults", {"fault": fault, **params})

    async def set(self, **settings: Any) -> None:
        """Change settings of the emulator."""
        await self.admin("POST", "/settings", settings)

    async def advance(self, seconds: float) -> None:
        """Let time pass, here and at the emulator."""
        self.time += seconds
        await self.admin("POST", "/clock", {"advance_s": seconds})

    async def bill(self) -> list[dict[str, Any]]:
        """The batches the emulator has made, which is what somebody would have paid for."""
        bills = await self.admin("GET", "/billing")
        return [batch for bill in bills.values() for batch in bill["batches"]]

    async def calls(self, kind: str = "") -> list[dict[str, Any]]:
        """What was sent to the emulator so far, without the admin's calls."""
        log = (await self.admin("GET", "/log"))["calls"]
        return [call for call in log if kind in call["path"] and not call["path"].startswith("/emulator")]


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool that answers."""
    reply = await client.call_tool(tool, arguments)
    assert not reply.is_error, text_of(reply)
    assert is_object(reply.structured_content)
    return reply.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    """Call a tool that refuses, and return why."""
    reply = await client.call_tool(tool, arguments)
    assert reply.is_error, reply.structured_content
    return text_of(reply)


def text_of(reply: CallToolResult) -> str:
    """The text a host that knows no structured content would show."""
    return "".join(block.text for block in reply.content if isinstance(block, TextContent))


async def read(client: Client, uri: str) -> Any:
    """Read a JSON resource."""
    content = (await client.read_resource(uri)).contents[0]
    assert isinstance(content, TextResourceContents)
    return json.loads(content.text)


async def start(client: Client, source: str, model: str = MODEL, **arguments: Any) -> str:
    """Start a job and return its id."""
    return (await call(client, "create_batch", source=source, model=model, **arguments))["job_id"]


async def finish(client: Client, job_id: str) -> dict[str, Any]:
    """Follow a job to its end."""
    status = await call(client, "check_status", job_id=job_id, wait_s=50)
    assert status["state"] in OVER, status
    return status


async def stopped(client: Client, job_id: str) -> dict[str, Any]:
    """Follow a live job until it rests: something that no pause of seconds mends has stopped it."""
    with anyio.fail_after(50):
        while "Stopped; " not in (status := await call(client, "check_status", job_id=job_id, wait_s=0.1))["notice"]:
            pass
    return status


def an_adopted_job(world: World, rows: list[dict[str, Any]]) -> str:
    """A finished job of nobody knows which requests, with rows that no check of ours has seen before."""
    job_id = new_id()
    folder = world.home / "jobs" / job_id
    folder.mkdir(parents=True)
    (folder / "results.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    ledger = Ledger(world.home)
    job = Job(
        id=job_id, name="adopted", model=MODEL, lane="batch", backend="gemini", account="x", digest=job_id,
        state="JOB_STATE_SUCCEEDED", requests=len(rows), bytes=0, makes_media=True, counts={"ok": len(rows)},
        results_bytes=(folder / "results.jsonl").stat().st_size, created_at=world.time, ended_at=world.time,
    )  # fmt: skip
    ledger.record(job, [], again=True)
    ledger.close()
    return job_id
