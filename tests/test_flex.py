"""The flex lane: half price when Gemini has room, no row given up for want of it, each row billed as it was served."""

import json
from typing import Any

import pytest

from genai_batch.resources import jobs, prices
from genai_batch.resources.jobs import Job
from genai_batch.resources.models import catalogue
from genai_batch.resources.prices import Lane
from genai_batch.resources.results import Results
from genai_batch.resources.truth import tell
from genai_batch.tools.lanes.live.feed import Item
from genai_batch.tools.lanes.live.runner import FALLBACK_AFTER, Limits
from genai_batch.tools.lanes.live.tiers import Served, asked_tier, with_tier
from tests.world import MODEL, World, call, finish, read, refusal, row, start

pytestmark = pytest.mark.anyio
HURRIED = Limits(room=(0.01, 0.1))
"""Pauses of a row that finds no room, for a test that does not wait for them."""


def source_of(world: World, count: int, name: str = "rows.jsonl", **members: Any) -> str:
    rows = [row(f"k{n}", f"Say {n}.") for n in range(count)]
    for each in rows:
        each["request"] |= members
    return world.write(name, rows)


async def bill(world: World) -> dict[str, Any]:
    """What the only user of the emulator would have been billed for."""
    [bill] = (await world.admin("GET", "/billing")).values()
    return bill


async def statuses(world: World) -> list[int]:
    """How the emulator answered each call, in order."""
    return [each["status"] for each in await world.calls("generateContent")]


def rows_of(world: World, job_id: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (jobs.folder(world.home, job_id) / "results.jsonl").read_text().splitlines()]


def a_job_of(world: World, lane: Lane, rows: list[dict[str, Any]]) -> Job:
    """A finished job of a lane with rows as they were stored; its requests are not known."""
    folder = jobs.folder(world.home, job_id := jobs.new_id())
    folder.mkdir(parents=True)
    (folder / "results.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    size = (folder / "results.jsonl").stat().st_size
    return Job(
        id=job_id, name="rows", model=MODEL, lane=lane, backend="emulator", account="x", digest=job_id,
        state="JOB_STATE_SUCCEEDED", requests=len(rows), bytes=0, makes_media=False, counts={"ok": len(rows)},
        results_bytes=size, created_at=world.time, ended_at=world.time,
    )  # fmt: skip


def rows_in(world: World, job: Job) -> list[dict[str, Any]]:
    """The rows of the index of a job, in the order of their keys."""
    with Results(world.home, job) as results:
        return [{"key": entry.key, "cost_usd": entry.cost and float(entry.cost)} for entry in results.page(None, 0, 99)]


async def test_a_flex_job_costs_half_of_a_live_one_and_is_another_job(world: World) -> None:
    source = source_of(world, 12)
    async with world.client() as client:
        price = await call(client, "estimate_cost", source=source, model=MODEL, lane="flex")
        batch = await finish(client, await start(client, source))
        flex = await finish(client, await start(client, source, lane="flex"))
        live = await finish(client, await start(client, source, lane="live"))
        again = await call(client, "create_batch", source=source, model=flex["model"], lane="flex")
    assert (flex["lane"], flex["state"], flex["counts"]) == ("flex", "JOB_STATE_SUCCEEDED", {"ok": 12})
    assert flex["cost_usd"]["actual"] == pytest.approx(live["cost_usd"]["actual"] / 2)
    assert flex["cost_usd"]["actual"] == pytest.approx(batch["cost_usd"]["actual"])
    assert price["cost_usd"]["likely"] == pytest.approx(price["other_lane"]["cost_usd"] / 2, abs=1e-6)
    assert price["other_lane"]["lane"] == "live"
    assert len({batch["job_id"], flex["job_id"], live["job_id"]}) == 3
    assert (again["job_id"], again["existing"]) == (flex["job_id"], True)
    assert (await bill(world))["live_tiers"].keys() == {"flex", "standard"}


async def test_a_row_that_names_its_own_tier_keeps_it_and_is_priced_so(world: World) -> None:
    mixed = [row(f"k{n}", "Say hello.") for n in range(6)]
    for each, tier in zip(mixed, ("standard", "SERVICE_TIER_PRIORITY", "flex", None, "unspecified", ""), strict=True):
        each["request"] |= {"serviceTier": tier} if tier != "" else {}
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", mixed), lane="flex")
        status = await finish(client, job_id)
        costs = [(await read(client, f"batch://jobs/{job_id}/results/k{n}"))["cost_usd"] for n in range(6)]
        estimate = await call(client, "estimate_cost", source="a.jsonl", model=status["model"], lane="flex")
    tiers = (await bill(world))["live_tiers"]
    assert {name: tier["calls"] for name, tier in tiers.items()} == {"flex": 4, "standard": 1, "priority": 1}
    assert [round(cost / costs[2], 6) for cost in costs] == [2, 3.5, 1, 1, 1, 1]
    assert "1 rows were served, and billed, at standard" in status["notice"]
    assert "1 rows were served, and billed, at priority" in status["notice"]
    assert estimate["cost_usd"]["low"] <= status["cost_usd"]["actual"] <= estimate["cost_usd"]["high"]


@pytest.mark.parametrize(("lane", "tier"), [("flex", None), ("live", "flex")])
async def test_no_room_is_waited_for_and_no_failure_of_a_row(world: World, lane: str, tier: str | None) -> None:
    await world.set(flex={"no_room": 0.6, "seed": 3})
    source = source_of(world, 60, **({"service_tier": tier} if tier else {}))
    async with world.client(live=HURRIED._replace(tries=1, trying=0, item=1, flex_item=1)) as client:
        status = await finish(client, await start(client, source, lane=lane, concurrency=16))
    answered = await statuses(world)
    assert (status["state"], status["counts"]) == ("JOB_STATE_SUCCEEDED", {"ok": 60})
    assert answered.count(200) == 60
    assert answered.count(503) > 60, "some rows were refused more often than they may fail"
    assert (await bill(world))["live_tiers"].keys() == {"flex"}


async def test_a_429_may_be_for_want_of_room_and_is_no_end_of_a_flex_row(world: World) -> None:
    await world.arm("http_error", call="generate", code=429, retry_delay_s=0.01, times=3)
    async with world.client(live=HURRIED._replace(flex_item=0.0001)) as client:
        status = await finish(client, await start(client, source_of(world, 4), lane="flex", concurrency=1))
    assert (status["counts"], (await statuses(world)).count(429)) == ({"ok": 4}, 3)


async def test_a_tier_without_a_price_is_named_and_leaves_the_cost_unknown(world: World) -> None:
    """No emulator says such a word: the rows are written as the lane would have stored them."""
    usage = {"promptTokenCount": 100, "candidatesTokenCount": 10, "cachedContentTokenCount": 40}
    answer = {"candidates": [{"content": {"parts": [{"text": "Hi."}]}, "finishReason": "STOP"}]}
    tiers: tuple[tuple[str, dict[str, str]], ...] = (
        ("", {}), ("SERVICE_TIER_FLEX", {}), ("STANDARD", {}), ("", {"service_tier": "standard"}),
        ("FLEX", {"service_tier": "priority"}), ("turbo", {"asked_tier": "flex"}),
    )  # fmt: skip
    rows: list[dict[str, Any]] = []
    for number, (word, members) in enumerate(tiers):
        told = {"usageMetadata": usage | ({"serviceTier": word} if word else {})}
        rows.append({"key": f"k{number}", "response": answer | told, **members})
    job = a_job_of(world, "flex", rows)
    costs = [entry["cost_usd"] for entry in rows_in(world, job)]
    assert [cost and round(cost / costs[0], 6) for cost in costs] == [1, 1, 2, 2, 3.5, None]
    with Results(world.home, job) as results:
        assert results.cost is None
        assert results.tiers == [("flex", "turbo", 1), ("priority", "priority", 1), ("standard", "standard", 2)]
        assert "asked for at the service tier flex and served, at a price that is not known, at turbo" in str(
            tell(results)
        )
    batch = [entry["cost_usd"] for entry in rows_in(world, a_job_of(world, "batch", rows))]
    assert len(set(batch)) == 1, "a batch has no tiers, whatever its rows say"


async def test_while_rows_wait_for_room_the_reason_is_shown_and_after_48_h_they_are_missing(world: World) -> None:
    await world.set(flex={"no_room": 1})
    async with world.client(live=Limits(room=(3600, 3600))) as client:
        job_id = await start(client, source_of(world, 5), lane="flex")
        status = await call(client, "check_status", job_id=job_id, wait_s=2)
        assert "Waiting for room at flex: Gemini answered 503: The model is at capacity" in status["notice"]
        assert (status["state"], status["done"], await statuses(world)) == ("JOB_STATE_RUNNING", 0, [503] * 5)
        await world.advance(48 * 3600 + 1)
        status = await finish(client, job_id)
    assert (status["state"], status["counts"]) == ("JOB_STATE_EXPIRED", {"missing": 5})
    assert status["cost_usd"]["actual"] == 0


async def test_a_downgrade_is_billed_as_served_and_named(world: World) -> None:
    await world.set(flex={"downgraded": 0.25, "seed": 1})
    async with world.client() as client:
        job_id = await start(client, source_of(world, 40), lane="flex", concurrency=8)
        status = await finish(client, job_id)
        results = {f"k{n}": await read(client, f"batch://jobs/{job_id}/results/k{n}") for n in range(40)}
        report = (await client.read_resource(f"batch://jobs/{job_id}/report")).contents[0]
    down = {each["key"] for each in rows_of(world, job_id) if each.get("asked_tier") == "flex"}
    assert (await bill(world))["live_tiers"]["standard"]["calls"] == len(down) > 0
    assert f"{len(down)} rows were asked for at the service tier flex and served, and billed, at standard." in str(
        status["notice"]
    )
    rates = {key: each["cost_usd"] / _weight(each["usage"]) for key, each in results.items()}
    usual = min(rates.values())
    for key, rate in rates.items():
        assert rate == pytest.approx(usual * (2 if key in down else 1), rel=1e-6), key
    total = sum(each["cost_usd"] for each in results.values())
    assert status["cost_usd"]["actual"] == pytest.approx(total)
    assert f"{len(down)} rows were asked for at the service tier flex" in str(getattr(report, "text", ""))


def _weight(usage: dict[str, int]) -> float:
    """Tokens of a row of gemini-3.8-flash, in those of its input."""
    rate = prices.rates(MODEL, "flex", catalogue()["checked"])
    return usage["input_tokens"] + usage["output_tokens"] * float(rate.output / rate.input)


async def test_with_a_fallback_rows_that_find_no_room_three_times_are_sent_at_standard(world: World) -> None:
    await world.set(flex={"no_room": 1})
    async with world.client(live=HURRIED) as client:
        job_id = await start(client, source_of(world, 8), lane="flex", concurrency=4, fallback="standard")
        status = await finish(client, job_id)
    answered = await statuses(world)
    assert status["counts"] == {"ok": 8}
    assert (answered.count(503), answered.count(200)) == (8 * FALLBACK_AFTER, 8)
    assert "8 rows were served, and billed, at standard." in status["notice"]
    assert (await bill(world))["live_tiers"].keys() == {"standard"}


async def test_without_a_fallback_rows_wait_for_room_however_often_they_find_none(world: World) -> None:
    await world.set(flex={"no_room": 1})
    async with world.client(live=HURRIED) as client:
        job_id = await start(client, source_of(world, 8), lane="flex", concurrency=4)
        assert (await call(client, "check_status", job_id=job_id, wait_s=1))["done"] == 0
        await world.set(flex={})
        assert (await finish(client, job_id))["counts"] == {"ok": 8}
    assert (await statuses(world)).count(503) > 8 * FALLBACK_AFTER
    assert (await bill(world))["live_tiers"].keys() == {"flex"}


async def test_the_estimate_and_the_gate_go_by_what_a_fallback_may_cost(world: World) -> None:
    source = source_of(world, 200)
    async with world.client() as client:
        ask = {"source": source, "model": MODEL}
        plain = (await call(client, "estimate_cost", lane="flex", **ask))["cost_usd"]
        falling = (await call(client, "estimate_cost", lane="flex", fallback="standard", **ask))["cost_usd"]
        live = (await call(client, "estimate_cost", lane="live", **ask))["cost_usd"]
        between = (plain["likely_high"] + live["likely_high"]) / 2
        refused = await refusal(client, "create_batch", lane="flex", fallback="standard", max_cost_usd=between, **ask)
        passed = await call(client, "create_batch", lane="flex", max_cost_usd=between, **ask)
    assert (falling["low"], falling["likely"]) == (plain["low"], plain["likely"])
    assert (falling["likely_high"], falling["high"]) == (live["likely_high"], live["high"])
    assert plain["high"] == live["high"], "flex may be served, and billed, at standard without a fallback too"
    assert "may cost more than" in refused
    assert passed["lane"] == "flex"


async def test_a_fallback_is_for_flex_alone_and_a_job_under_way_keeps_its_own(world: World) -> None:
    await world.set(flex={"no_room": 1})
    source = source_of(world, 3)
    async with world.client(live=HURRIED) as client:
        ask = {"source": source, "model": MODEL}
        for lane in ("batch", "live"):
            for tool in ("create_batch", "estimate_cost"):
                assert "fallback is for lane='flex'" in await refusal(
                    client, tool, lane=lane, fallback="standard", **ask
                )
        begun = await call(client, "create_batch", lane="flex", **ask)
        same = await call(client, "create_batch", lane="flex", fallback="standard", **ask)
        assert (same["job_id"], same["existing"]) == (begun["job_id"], True)
        assert "without fallback, as it was begun; after cancel_job, resume_job(lane='live')" in same["notice"]
        await call(client, "cancel_job", job_id=begun["job_id"])
        await call(client, "resume_job", job_id=begun["job_id"], rows="missing", lane="live")
        status = await finish(client, begun["job_id"])
    assert (status["counts"], (await bill(world))["live_tiers"].keys()) == ({"ok": 3}, {"standard"})
    assert "Attempt 2 ran in the live lane, at its price." in status["notice"]


async def test_a_model_without_flex_is_refused_with_what_to_do(world: World) -> None:
    source = source_of(world, 3)
    async with world.client() as client:
        for tool in ("create_batch", "estimate_cost"):
            said = await refusal(client, tool, source=source, model="gemini-3.6-flash", lane="flex")
            assert "no price is known for gemini-3.6-flash at the service tier flex" in said
            assert "Use lane='batch' (`--lane batch`), at the same price, or a model that has flex" in said
        batch = await finish(client, await start(client, source, "gemini-3.6-flash"))
        again = await refusal(client, "resume_job", job_id=batch["job_id"], rows=["k1"], lane="flex")
    assert "Use lane='batch'" in again
    assert await statuses(world) == []


async def test_rows_of_a_batch_are_sent_again_at_flex_and_each_is_priced_in_its_lane(world: World) -> None:
    await world.arm("row", match={"key": "k[01]"}, outcome="error", code=13)
    async with world.client() as client:
        job_id = await start(client, source_of(world, 6))
        await finish(client, job_id)
        await world.admin("DELETE", "/faults")
        await call(client, "resume_job", job_id=job_id, lane="flex")
        status = await finish(client, job_id)
        page = await read(client, f"batch://jobs/{job_id}/results/k0")
    assert (status["counts"], page["attempt"]) == ({"ok": 6}, 2)
    assert "Attempt 2 ran in the flex lane, at its price." in status["notice"]
    assert (await bill(world))["live_tiers"]["flex"]["calls"] == 2


async def test_what_is_stored_of_a_flex_run_is_not_asked_for_again_by_whoever_goes_on(world: World) -> None:
    await world.set(flex={"no_room": 0.3, "latency_s": [1, 60]})
    await world.admin("POST", "/clock", {"rate": 600})
    async with world.client(live=HURRIED) as client:
        job_id = await start(client, source_of(world, 80), lane="flex", concurrency=4)
        while not (await call(client, "check_status", job_id=job_id, wait_s=0.1))["done"]:
            pass
    stored = len(rows_of(world, job_id))
    async with world.client(live=HURRIED) as client:
        assert (await finish(client, job_id))["counts"] == {"ok": 80}
    assert 0 < stored < 80
    assert (await statuses(world)).count(200) == 80
    assert (await bill(world))["live_requests"]["served_more_than_once"] == 0


async def test_latencies_of_minutes_and_no_room_are_sat_out_at_half_price(world: World) -> None:
    """`tests/benchmarks/flex.py` does the same with 1,000 rows."""
    await world.set(flex={"no_room": 0.3, "latency_s": [5, 840]})
    await world.admin("POST", "/clock", {"rate": 2000})
    source = source_of(world, 150)
    async with world.client(live=HURRIED) as client:
        flex = await finish(client, await start(client, source, lane="flex", concurrency=64))
        asked = (await bill(world))["live_requests"]
        live = await finish(client, await start(client, source, lane="live", concurrency=64))
    assert (flex["state"], flex["counts"]) == ("JOB_STATE_SUCCEEDED", {"ok": 150})
    assert flex["cost_usd"]["actual"] == pytest.approx(live["cost_usd"]["actual"] / 2)
    assert (asked["count"], asked["served_more_than_once"]) == (150, 0)
    assert 150 < asked["calls"] < 300
    assert 504 not in await statuses(world), "the server was told to try for a quarter of an hour"


async def test_a_flex_call_that_takes_longer_than_its_quarter_of_an_hour_fails_as_others_do(world: World) -> None:
    await world.set(flex={"latency_s": [1000, 1000]})
    await world.admin("POST", "/clock", {"rate": 50_000})
    async with world.client(live=HURRIED._replace(tries=1, trying=0)) as client:
        status = await finish(client, await start(client, source_of(world, 2), lane="flex"))
    assert status["counts"] == {"error": 2}
    assert set(await statuses(world)) == {504}


async def test_a_manifest_states_flex_and_its_fallback(world: World) -> None:
    await world.set(flex={"no_room": 1})
    items = [{"id": f"k{n}", "prompt": f"Say {n}."} for n in range(3)]
    manifest = {"model": MODEL, "lane": "flex", "fallback": "standard", "items": items}
    world.write("a.json", json.dumps(manifest))
    async with world.client(live=HURRIED) as client:
        status = await finish(client, (await call(client, "create_batch", source="a.json"))["job_id"])
    assert (status["lane"], status["counts"]) == ("flex", {"ok": 3})
    assert "3 rows were served, and billed, at standard." in status["notice"]


async def test_a_pilot_in_the_flex_lane_tells_flex_prices_and_keeps_room_for_a_fallback(world: World) -> None:
    source = source_of(world, 60)
    async with world.client() as client:
        ask = {"source": source, "model": MODEL, "lane": "flex"}
        piloted = await call(client, "estimate_cost", pilot=20, max_cost_usd=10, **ask)
        falling = (await call(client, "estimate_cost", fallback="standard", **ask))["cost_usd"]
        live = await call(client, "estimate_cost", source=source, model=MODEL, lane="live")
    assert piloted["cost_usd"]["likely"] == pytest.approx(live["cost_usd"]["likely"] / 2, rel=1e-3)
    assert falling["likely"] == piloted["cost_usd"]["likely"]
    assert falling["likely_high"] == live["cost_usd"]["likely_high"]


@pytest.mark.parametrize(
    ("body", "tier"),
    [
        (b'{"contents":[]}', None),
        (b'{"contents":[],"service_tier":null}', None),
        (b'{"contents":[],"serviceTier":"SERVICE_TIER_UNSPECIFIED"}', None),
        (b'{"contents":[],"serviceTier":"Flex"}', "flex"),
        (b'{"service_tier":"standard","contents":[]}', "standard"),
        (b'{"\\u0073ervice_tier":"priority","contents":[]}', "priority"),
        (b'{"contents":[{"parts":[{"text":"\\"service_tier\\":\\"flex\\""}]}]}', None),
    ],
)
async def test_a_request_asks_for_its_own_tier_else_for_that_of_its_lane(body: bytes, tier: str | None) -> None:
    assert asked_tier(body) == tier
    sent = json.loads(Item(b'"k"', body, "flex").body)
    named = [name for name in sent if name in ("service_tier", "serviceTier")]
    assert len(named) == 1
    assert {name: value for name, value in sent.items() if name not in named} == {
        name: value for name, value in json.loads(body).items() if name not in ("service_tier", "serviceTier")
    }
    if tier is None:
        assert sent[named[0]] == "flex"
    assert Item(b'"k"', body).body == body, "the live lane leaves requests as they are"
    back = json.loads(with_tier(Item(b'"k"', body, "flex").body, "standard"))
    assert {name: back[name] for name in ("service_tier", "serviceTier") if name in back} == {"serviceTier": "standard"}


async def test_a_row_tells_its_tier_where_nothing_else_does() -> None:
    assert Served("flex", "SERVICE_TIER_FLEX").members("flex", "flex") == b""
    assert Served().members("flex", "flex") == b""
    assert Served().members("standard", "flex") == b',"service_tier":"standard"'
    assert Served("standard").members("flex", "flex") == b',"service_tier":"standard","asked_tier":"flex"'
    assert Served("standard", "STANDARD").members("flex", "flex") == b',"asked_tier":"flex"'
    assert Served("", "PRIORITY").members("priority", "standard") == b""
    assert Served("priority").members("priority", "standard") == b',"service_tier":"priority"'
    assert Served("turbo").members("flex", "flex") == b',"service_tier":"turbo","asked_tier":"flex"'
