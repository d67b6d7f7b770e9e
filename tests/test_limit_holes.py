"""What a limit has to hold against besides answers: dearer tiers, midnight, processes that end, a busy ledger."""

from contextlib import closing
from typing import Any

import pytest
from mcp import Client

from genai_batch.resources.ledger import Ledger
from genai_batch.resources.spend import Account
from tests.benchmarks.limited_jobs import charged
from tests.world import MODEL, World, call, finish, row, start

pytestmark = pytest.mark.anyio
FULL = {"output_tokens": 5_000, "output_sigma": 0}
"""Answers as long as they may be."""


def rows_of(count: int, **request: Any) -> list[dict[str, Any]]:
    """Rows whose answers may take 1,000 tokens."""
    rows = [row(f"k{n}", f"Say {n}.", max_output_tokens=1_000) for n in range(count)]
    for line in rows:
        line["request"] |= request
    return rows


def account(world: World, job_id: str) -> Account:
    """The money of the latest attempt of a job."""
    with closing(Ledger(world.home)) as ledger:
        money = ledger.account(job_id, ledger.job(job_id).attempt)
    assert money is not None
    return money


async def bound_of(client: Client, source: str, lane: str) -> float:
    """What a source can cost at most in a lane."""
    return (await call(client, "estimate_cost", source=source, model=MODEL, lane=lane))["cost_usd"]["high"]


@pytest.mark.parametrize(("lane", "asked"), [("flex", {}), ("live", {"service_tier": "flex"})])
async def test_a_row_at_flex_that_is_served_at_standard_stays_within_the_bound(
    world: World, lane: str, asked: dict[str, Any]
) -> None:
    await world.set(drawn=FULL, flex={"downgraded": 1, "seed": 1})
    async with world.client() as client:
        source = world.write("a.jsonl", rows_of(20, **asked))
        high = await bound_of(client, source, lane)
        status = await finish(client, await start(client, source, lane=lane, concurrency=4, max_cost_usd=high))
    assert (status["done"], status["cost_usd"]["actual"]) == (20, pytest.approx(charged(world.home)))
    assert 0.9 * high < charged(world.home) <= high


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("lane", "asked"), [("flex", {}), ("live", {"service_tier": "flex"})])
async def test_a_small_job_at_flex_finishes_once_it_is_approved(
    world: World, lane: str, asked: dict[str, Any], count: int
) -> None:
    await world.set(drawn=FULL)
    async with world.client(max_cost_usd_per_day=10) as client:
        source = world.write("a.jsonl", rows_of(count, **asked))
        job_id = await start(client, source, lane=lane, concurrency=4, max_cost_usd=0.000001, confirm=True)
        assert (await finish(client, job_id))["done"] == count
