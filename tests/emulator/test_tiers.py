"""The service tiers of generateContent: what is served at which tier, no room, downgrades, how long a call takes."""

from typing import Any

import anyio
import pytest

from .bench import MODEL, Bench, line

pytestmark = pytest.mark.anyio


async def ask(bench: Bench, text: str = "hello", tier: Any = "flex", **headers: str) -> tuple[int, str, str]:
    """Ask at a tier; the status, and the tier that the header and the usage name."""
    body = line("k", text)["request"] | ({"service_tier": tier} if tier else {})
    sent = {"x-goog-api-key": "key-1", **headers}
    reply = await bench.http.post(f"/v1beta/models/{MODEL}:generateContent", json=body, headers=sent)
    usage = reply.json().get("usageMetadata", {})
    return reply.status_code, reply.headers.get("x-gemini-service-tier", ""), usage.get("serviceTier", "")


@pytest.mark.parametrize(
    ("asked", "served"),
    [(None, "standard"), ("flex", "flex"), ("SERVICE_TIER_PRIORITY", "priority"), ("unspecified", "standard")],
)
async def test_header_and_usage_tell_the_tier_that_was_served(bench: Bench, asked: str | None, served: str) -> None:
    assert await ask(bench, tier=asked) == (200, served, f"SERVICE_TIER_{served.upper()}")


async def test_a_tier_that_there_is_not_is_refused(bench: Bench) -> None:
    assert (await ask(bench, tier="turbo"))[0] == 400


async def test_no_room_strikes_a_share_of_the_flex_calls_the_same_ones_for_the_same_seed(bench: Bench) -> None:
    async def statuses(seed: int) -> list[int]:
        await bench.admin("reset")
        await bench.admin("settings", flex={"no_room": 0.3, "seed": seed})
        return [(await ask(bench, f"hello {number}"))[0] for number in range(100)]

    first = await statuses(1)
    assert set(first) == {200, 503}
    assert 15 <= first.count(503) <= 45
    assert await statuses(1) == first
    assert await statuses(2) != first
    assert [(await ask(bench, f"hello {number}", tier="standard"))[0] for number in range(20)] == [200] * 20


async def test_the_same_request_may_find_room_the_next_time(bench: Bench) -> None:
    await bench.admin("settings", flex={"no_room": 0.5})
    assert {(await ask(bench))[0] for _ in range(20)} == {200, 503}


async def test_a_downgrade_is_served_and_billed_as_standard(bench: Bench) -> None:
    await bench.admin("settings", flex={"downgraded": 1})
    assert [await ask(bench, tier=tier) for tier in ("flex", "priority")] == [
        (200, "standard", "SERVICE_TIER_STANDARD")
    ] * 2
    [bill] = (await bench.get("/emulator/billing")).values()
    assert bill["live_tiers"]["standard"]["calls"] == bill["live_calls"] == 2
    assert bill["live_requests"] == {"count": 1, "calls": 2, "served_more_than_once": 1}


@pytest.mark.parametrize(
    ("header", "status"), [({}, 504), ({"X-Server-Timeout": "900"}, 200), ({"X-Server-Timeout": "300"}, 504)]
)
async def test_a_call_takes_minutes_of_the_clock_and_ends_where_the_server_gives_up(
    bench: Bench, header: dict[str, str], status: int
) -> None:
    await bench.admin("settings", flex={"latency_s": [700, 700]})
    answered: list[int] = []

    async def wait() -> None:
        answered.append((await ask(bench, **header))[0])

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await bench.advance(299)
        await anyio.wait_all_tasks_blocked()
        assert not answered
        await bench.advance(1_000)
    assert answered == [status]


async def test_the_words_of_an_answer_do_not_depend_on_its_tier(bench: Bench) -> None:
    texts = set[str]()
    for tier in (None, "flex", "priority"):
        body = line("k")["request"] | ({"serviceTier": tier} if tier else {})
        reply = await bench.post(f"/v1beta/models/{MODEL}:generateContent", body)
        texts.add(str(reply.json()["candidates"]))
    assert len(texts) == 1
