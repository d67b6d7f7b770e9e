"""A limit that was stated holds for all that it was stated for: stages, repeated calls, pilots, later attempts."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import anyio
import pytest
from mcp import Client

from genai_batch.resources.ledger import Ledger
from genai_batch.resources.spend import Account
from tests.benchmarks.limited_jobs import charged
from tests.test_limits import LIMIT
from tests.world import MODEL, OVER, World, call, finish, refusal

pytestmark = pytest.mark.anyio
DEAR = {"drawn": {"output_tokens": 100_000, "output_sigma": 0}}
"""Answers as long as their rows allow."""


def accounts(world: World, job_id: str) -> list[Account | None]:
    """The money of all attempts of a job."""
    ledger = Ledger(world.home)
    try:
        return [ledger.account(job_id, attempt) for attempt in range(ledger.job(job_id).attempt + 1)]
    finally:
        ledger.close()


async def settled(client: Client, job_id: str) -> dict[str, Any]:
    """Follow a job until it is over, or a limit has stopped it."""
    with anyio.fail_after(50):
        while True:
            status = await call(client, "check_status", job_id=job_id, wait_s=0.1)
            if status["state"] in OVER or "Stopped" in status.get("notice", ""):
                return status


async def blocked_stages(world: World, client: Client, names: str, blocked: int) -> tuple[str, list[str]]:
    """Begin a pipeline of stages whose rows are blocked but for one; return its id and those of their jobs."""
    await world.set(**DEAR)
    await world.arm("row", match={"prompt": "bad"}, outcome="blocked", times=None)
    for name in names:
        world.write(f"{name}.csv", f"n\nSay {name}\n" + "".join(f"bad {name} {n}\n" for n in range(blocked)))
    settings: Mapping[str, Any] = {"key": "{{ n }}", "prompt": "{{ n }}", "lane": "live", "max_output_tokens": 20_000}
    stages = [{"name": name, "data": f"{name}.csv", **settings} for name in names]
    if len(names) == 1:
        stages.append({"name": "two", "from": names, "prompt": "{{ key }}", "lane": "live", "max_output_tokens": 100})
    source = world.write("p.json", json.dumps({"model": MODEL, "max_cost_usd": LIMIT, "stages": stages}))
    begun = await call(client, "create_batch", source=source, confirm=True)
    pipeline = begun["pipeline"]["id"]
    with anyio.fail_after(50):
        while (await call(client, "check_status", job_id=pipeline, wait_s=0.1))["state"] not in OVER:
            pass
    ledger = Ledger(world.home)
    begun_jobs = ledger.rows("SELECT job_id FROM stage WHERE pipeline_id = ? ORDER BY number", pipeline)
    ledger.close()
    await world.admin("DELETE", "/faults")
    return pipeline, [stage["job_id"] for stage in begun_jobs]


def budget_of(world: World, pipeline: str) -> float:
    """The limit of a pipeline, in USD, as it stands now."""
    ledger = Ledger(world.home)
    try:
        return ledger.rows("SELECT budget FROM pipeline WHERE id = ?", pipeline)[0]["budget"]
    finally:
        ledger.close()


async def test_a_stage_sent_again_by_the_id_of_its_job_is_paid_out_of_the_limit_of_all_stages(world: World) -> None:
    async with world.client(max_cost_usd=5) as client:
        pipeline, jobs = await blocked_stages(world, client, "a", 60)
        budget = budget_of(world, pipeline)
        rows = [f"bad a {n}" for n in range(60)]
        await call(client, "resume_job", job_id=jobs[0], rows=rows)
        status = await settled(client, jobs[0])
        assert charged(world.home) <= budget
        assert "limit of all stages" in status["notice"]
        assert "confirm=true" in await refusal(client, "resume_job", job_id=jobs[0])
        await call(client, "resume_job", job_id=jobs[0], confirm=True)
        assert (await finish(client, jobs[0]))["counts"].get("blocked") is None
    assert charged(world.home) <= budget_of(world, pipeline)


async def test_two_stages_sent_again_at_once_share_the_limit(world: World) -> None:
    async with world.client(max_cost_usd=5) as client:
        pipeline, jobs = await blocked_stages(world, client, "ab", 25)
        budget = budget_of(world, pipeline)
        for name, job_id in zip("ab", jobs, strict=True):
            with suppress(AssertionError):  # what the first has set aside may leave too little for the second
                await call(client, "resume_job", job_id=job_id, rows=[f"bad {name} {n}" for n in range(25)])
        for job_id in jobs:
            await settled(client, job_id)
    assert charged(world.home) <= budget
