"""What the ledger counts where answers are lost, days change, settings differ, runs break off or tell no tokens."""

from contextlib import closing
from typing import Any

import pytest
from mcp import Client

from genai_batch.resources.ledger import Ledger
from tests.benchmarks.limited_jobs import charged
from tests.test_limit_holes import account, bound_of, rows_of
from tests.world import OVER, World, call, refusal, start

pytestmark = pytest.mark.anyio
FULL = {"output_tokens": 1_000, "output_sigma": 0}
"""Answers as long as `rows_of` lets them be."""


async def over(world: World, client: Client, job_id: str, seconds: float = 600) -> dict[str, Any]:
    """Let time pass until a job is over."""
    while (status := await call(client, "check_status", job_id=job_id, wait_s=0.2))["state"] not in OVER:
        await world.advance(seconds)
    return status


def spent_today(world: World) -> float:
    """USD that are spent or set aside on the day of a world."""
    with closing(Ledger(world.home)) as ledger:
        return ledger.spent(world.time)


async def test_answers_that_are_lost_were_paid(world: World) -> None:
    await world.set(drawn=FULL)
    async with world.client() as client:
        source = world.write("a.jsonl", rows_of(60))
        limit = 1.2 * await bound_of(client, source, "batch")
        await world.arm("http_error", call="download", code=404, times=None)
        job_id = await start(client, source, max_cost_usd=limit)
        assert (await over(world, client, job_id, 36_000))["state"] == "JOB_STATE_FAILED"
        assert charged(world.home) <= (account(world, job_id).actual or 0) <= limit
        await world.admin("DELETE", "/faults")
        assert "earlier attempts" in await refusal(client, "resume_job", job_id=job_id)
        assert charged(world.home) <= limit
        await call(client, "resume_job", job_id=job_id, confirm=True)
        assert (await over(world, client, job_id))["done"] == 60
    assert account(world, job_id).actual == pytest.approx(charged(world.home) / 2), "what came home is known"


@pytest.mark.parametrize("done_s", [0, 70], ids=["before-it-ran", "in-the-middle"])
async def test_a_cancelled_batch_counts_what_may_have_run(world: World, done_s: float) -> None:
    await world.set(drawn=FULL)
    await world.arm("delay", queue_s=1, run_s=100, times=None)
    async with world.client() as client:
        source = world.write("a.jsonl", rows_of(60))
        limit = await bound_of(client, source, "batch")
        job_id = await start(client, source, max_cost_usd=limit)
        await world.advance(done_s)
        await call(client, "cancel_job", job_id=job_id)
        assert (await over(world, client, job_id))["state"] == "JOB_STATE_CANCELLED"
        assert charged(world.home) <= (account(world, job_id).actual or 0)
        assert account(world, job_id).actual == pytest.approx(limit if done_s else 0, rel=0.01)
        assert spent_today(world) == account(world, job_id).actual
