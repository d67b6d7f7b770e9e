"""A lane that is left to us: live for few rows or in a hurry, batch otherwise, with the reason and both prices."""

from typing import Any

import pytest

from genai_batch.resources.errors import BatchError
from genai_batch.tools.routing import How, route
from tests.world import MODEL, World, call, finish, refusal, row

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("rows", "hours", "live_usd", "lane", "why"),
    [
        (100, None, 0.02, "live", "100 rows are few"),
        (101, None, 0.02, "batch", "101 rows are many"),
        (100, None, 5.0, "batch", "live costs $2.50 more"),
        (5_000, 3, 50.0, "live", "it is needed within 3 h"),
        (5_000, 48, 50.0, "batch", "5,000 rows are many"),
    ],
)
async def test_size_price_and_deadline_decide(
    rows: int, hours: float | None, live_usd: float, lane: str, why: str
) -> None:
    found = route(How("auto", deadline_h=hours), rows, live_usd / 2, live_usd)
    assert found.lane == lane
    assert why in (found.reason or "")
    assert "live $" in (found.reason or "")


@pytest.mark.parametrize(
    ("rows", "hours", "live_usd", "flex_usd", "lane", "why"),
    [
        (100, None, 0.02, 0.01, "live", "100 rows are few"),
        (100, None, 5.0, 2.5, "flex", "100 rows (up to 1,000) take minutes there, at the price of a batch"),
        (1_000, None, 50.0, 25.0, "flex", "1,000 rows (up to 1,000) take minutes there"),
        (1_001, None, 50.0, 25.0, "batch", "1,001 rows are many (more than 1,000)"),
        (1_000, None, 50.0, 26.0, "batch", "1,000 rows are many"),
        (5_000, 3, 50.0, 25.0, "live", "it is needed within 3 h, and a batch may take 24 h"),
        (5_000, 20, 50.0, 25.0, "flex", "while flex is as cheap and has time for 5,000 rows"),
        (700, 3, 50.0, 25.0, "flex", "it is needed within 3 h"),
        (700, 3, 0.5, 0.25, "live", "it is needed within 3 h"),
        (5_000, 48, 50.0, 25.0, "batch", "5,000 rows are many"),
    ],
)
async def test_where_the_model_has_flex_size_price_and_deadline_decide_among_three(
    rows: int, hours: float | None, live_usd: float, flex_usd: float, lane: str, why: str
) -> None:
    found = route(How("auto", deadline_h=hours), rows, live_usd / 2, live_usd, flex_usd)
    assert found.lane == lane
    assert why in (found.reason or "")
    assert "; live $" in (found.reason or "")
    assert ", flex $" in (found.reason or "")


async def test_auto_takes_flex_for_some_hundred_rows_if_the_model_has_it_and_says_why(world: World) -> None:
    source = world.write("a.jsonl", [row(f"k{n}") for n in range(150)])
    async with world.client() as client:
        flex = await call(client, "create_batch", source=source, model=MODEL, lane="auto", fallback="standard")
        again = await call(client, "create_batch", source=source, model=MODEL, lane="auto")
        batch = await call(client, "create_batch", source=source, model="gemini-3.6-flash", lane="auto")
        assert (await finish(client, flex["job_id"]))["counts"] == {"ok": 150}
    assert (flex["lane"], batch["lane"]) == ("flex", "batch")
    assert "lane='auto' took flex: 150 rows (up to 1,000) take minutes there" in flex["notice"]
    assert all(f"{lane} $" in flex["notice"] for lane in ("live", "flex", "batch"))
    assert "flex" not in batch["notice"]
    assert (again["job_id"], again["existing"]) == (flex["job_id"], True)


async def test_auto_says_what_it_took_and_is_the_same_job_when_asked_again(world: World) -> None:
    source = world.write("a.jsonl", [row("a"), row("b")])
    async with world.client() as client:
        asked: dict[str, Any] = {"source": source, "model": MODEL, "lane": "auto"}
        first = await call(client, "create_batch", **asked)
        again = await call(client, "create_batch", **asked)
    assert first["lane"] == "live"
    assert "lane='auto' took live: 2 rows are few (up to 100); live $" in first["notice"]
    assert (again["job_id"], again["existing"]) == (first["job_id"], True)


async def test_auto_does_not_pay_again_for_what_ran_as_a_batch(world: World) -> None:
    source = world.write("a.jsonl", [row("a"), row("b")])
    async with world.client() as client:
        batch = await call(client, "create_batch", source=source, model=MODEL)
        auto = await call(client, "create_batch", source=source, model=MODEL, lane="auto")
    assert (auto["job_id"], auto["existing"]) == (batch["job_id"], True)


async def test_what_a_batch_cannot_promise_is_refused(world: World) -> None:
    source = world.write("a.jsonl", [row("a")])
    async with world.client() as client:
        late = await refusal(client, "create_batch", source=source, model=MODEL, lane="batch", deadline_h=2)
        many = await refusal(client, "create_batch", source=source, model=MODEL, lane="batch", concurrency=5)
    assert "Use lane='auto'" in late
    assert "concurrency is for lane='live'" in many
    with pytest.raises(BatchError):
        How("batch", concurrency=5).refuse()
