"""What a driver does: a process that works on a home like a command line or like a host, and can be begun anew.

A driver is forked by the test. It works over a real socket against the emulator, either through the tools' functions,
as `genai-batch run` does, or through an MCP server of its own, as a host does. Its clock runs twenty times too fast:
a dead owner's lease of 30 s lapses after 1.5 s.
"""

import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import google.genai as loaded_before_the_fork
from mcp import Client

from genai_batch.resources.answers import Answer
from genai_batch.resources.errors import BatchError
from genai_batch.server.app import build_server
from genai_batch.server.settings import Settings, open_workspace
from genai_batch.tools.cancel_job import cancel_job
from genai_batch.tools.check_status import check_status
from genai_batch.tools.create_batch import create_batch
from genai_batch.tools.estimate_cost import estimate_cost
from genai_batch.tools.resume_job import resume_job
from tests.world import MODEL, OVER, text_of

STUCK_S = 60
"""Real seconds after which a driver, or a job, counts as stuck."""
SPEED = 20
LAPSE_S = 1.5
"""Real seconds after which a lease lapses."""
RESENT_S = 3
"""Real seconds after which a create that the provider does not show is sent again."""
BEGAN = time.time()
DISK = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "sqlite3.connect")
TOOLS: dict[str, Callable[..., Awaitable[Answer]]] = {
    tool.__name__: tool for tool in (estimate_cost, create_batch, check_status, cancel_job, resume_job)
}
assert loaded_before_the_fork  # so that a driver is at work at once, and kills fall into the work


class Refused(Exception):
    """A tool did not do what it was asked, and said why."""


class Ask(Protocol):
    """Calls a tool; its answer as an object."""

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]: ...


Script = Callable[[Ask], Awaitable[Any]]
"""What a driver does. It can be begun anew by any process, however far another has come."""
Dress = Callable[[Settings], AbstractAsyncContextManager[Ask]]


def fast_time() -> float:
    """Seconds since 1970 on a driver's clock."""
    return BEGAN + (time.time() - BEGAN) * SPEED


@asynccontextmanager
async def command_line(settings: Settings) -> AsyncGenerator[Ask]:
    """Call the tools' functions."""
    async with open_workspace(settings, fast_time) as workspace:

        async def ask(tool: str, **arguments: Any) -> dict[str, Any]:
            try:
                return json.loads((await TOOLS[tool](workspace=workspace, **arguments)).compact())
            except BatchError as error:
                raise Refused(f"{tool}: {error}") from error

        yield ask


@asynccontextmanager
async def host(settings: Settings) -> AsyncGenerator[Ask]:
    """Call the tools of a server in this process, which also drives every open job by itself."""
    async with Client(build_server(settings, fast_time)) as client:

        async def ask(tool: str, **arguments: Any) -> dict[str, Any]:
            if (reply := await client.call_tool(tool, arguments)).is_error:
                raise Refused(f"{tool}: {text_of(reply)}")
            return reply.structured_content or {}

        yield ask


async def to_the_end(ask: Ask, status: dict[str, Any]) -> dict[str, Any]:
    """Follow a job until it is over."""
    while status["state"] not in OVER:
        status = await ask("check_status", job_id=status["job_id"], wait_s=1)
    return status


async def whole(ask: Ask, source: Path) -> dict[str, Any]:
    """Run a job."""
    return await to_the_end(ask, await ask("create_batch", source=str(source), model=MODEL))


def strike(home: Path, moment: int, how: signal.Signals, log: Path, among: str = "") -> None:
    """Let this process stop itself at the given one of its steps: a file it opens or moves at home, a connection.

    With `among` only steps count in whose description that occurs.
    """
    steps = 0

    def hear(event: str, given: tuple[Any, ...]) -> None:
        nonlocal steps
        here = event == "socket.connect" or (event in DISK and str(home) in f"{given[0]}")
        if here and among in f"{event} {given[:2]}":
            steps += 1
            if steps == moment:
                with log.open("a") as file:
                    file.write(f"step {moment}: {event} {given[:2]}\n")
                os.kill(os.getpid(), how)

    sys.addaudithook(hear)
