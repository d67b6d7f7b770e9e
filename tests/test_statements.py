"""How often one call asks the ledger: a step reads its job and shards once and passes them on."""

import sqlite3
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from genai_batch.server.settings import open_workspace
from genai_batch.tools.check_status import check_status
from genai_batch.tools.create_batch import create_batch
from genai_batch.tools.get_results import get_results
from genai_batch.tools.list_jobs import list_jobs
from genai_batch.tools.workspace import Workspace
from tests.world import MODEL, World, row

pytestmark = pytest.mark.anyio


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch, world: World) -> list[str]:
    """Every statement that SQLite runs from now on, in whichever database of the home but the emulator's."""
    run: list[str] = []
    connect = sqlite3.connect

    def traced(database: Any, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection = connect(database, *args, **kwargs)
        if not Path(str(database)).is_relative_to(world.home / "emulator"):
            connection.set_trace_callback(run.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    return run


async def _count(statements: list[str], call: Awaitable[Any]) -> int:
    statements.clear()
    await call
    return len(statements)


async def _started(world: World, here: Workspace) -> str:
    return (await create_batch(world.write("a.jsonl", [row(f"k{n}") for n in range(60)]), here, MODEL)).job_id


async def test_a_finished_job_is_asked_for_in_a_few_statements(world: World, statements: list[str]) -> None:
    async with open_workspace(world.settings(), lambda: world.time) as here:
        job_id = await _started(world, here)
        assert (await check_status(job_id, here, 50)).state == "JOB_STATE_SUCCEEDED"
        assert await _count(statements, check_status(job_id, here)) in range(1, 9)
        await get_results(job_id, here)
        assert await _count(statements, get_results(job_id, here)) in range(1, 9)
        assert await _count(statements, list_jobs(here)) == 1


async def test_a_running_job_is_asked_for_in_a_few_statements(world: World, statements: list[str]) -> None:
    await world.set(queue_s=0, run_s=10_000)
    async with open_workspace(world.settings(), lambda: world.time) as here:
        job_id = await _started(world, here)
        assert (await check_status(job_id, here)).state == "JOB_STATE_RUNNING"
        assert await _count(statements, check_status(job_id, here)) in range(1, 13)
