"""A limit that was stated holds for all that it was stated for: stages, repeated calls, pilots, later attempts."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from genai_batch.resources.call_costs import CallCosts
from genai_batch.resources.ledger import Ledger
from genai_batch.resources.models import find
from genai_batch.resources.requests import Cut
from genai_batch.resources.spend import Account
from tests.benchmarks.answering import answering
from tests.benchmarks.limited_jobs import DAY, charged
from tests.test_limits import LIMIT, LONG, ROWS, rested
from tests.world import MODEL, OVER, World, call, finish, refusal, row, start

pytestmark = pytest.mark.anyio
DEAR = {"drawn": {"output_tokens": 100_000, "output_sigma": 0}}
"""Answers as long as their rows allow."""


def accounts(world: World, job_id: str) -> list[Account]:
    """The money of all attempts of a job."""
    ledger = Ledger(world.home)
    try:
        attempts = range(ledger.job(job_id).attempt + 1)
        return [account for attempt in attempts if (account := ledger.account(job_id, attempt))]
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


async def test_a_call_that_states_no_limit_does_not_lift_the_one_that_a_job_has(world: World) -> None:
    await world.set(**LONG)
    async with world.client(max_cost_usd=5) as client:
        source = world.write("a.jsonl", ROWS)
        job_id = await start(client, source, lane="live", concurrency=4, max_cost_usd=LIMIT)
        await rested(client, job_id)
        paid = charged(world.home)
        again = await call(client, "create_batch", source=source, model=MODEL, lane="live")
        assert (again["job_id"], "confirm=true" in again["next"]) == (job_id, True)
        await rested(client, job_id)
        assert (charged(world.home), accounts(world, job_id)[0].allowed) == (paid, LIMIT)
        await call(client, "create_batch", source=source, model=MODEL, lane="live", confirm=True)
        assert (await finish(client, job_id))["done"] == len(ROWS)


async def test_the_same_limit_again_is_that_of_all_attempts_together(world: World) -> None:
    await world.set(**DEAR)
    await world.arm("row", match={"prompt": "bad"}, outcome="blocked", times=None)
    keys = [f"b{n}" for n in range(30)]
    room = {"max_output_tokens": 20_000}
    rows = [row(f"k{n}", f"Say {n}.", **room) for n in range(5)] + [row(key, f"bad {key}.", **room) for key in keys]
    async with world.client() as client:
        source = world.write("a.jsonl", rows)
        job_id = await start(client, source, lane="live", concurrency=4, max_cost_usd=1.5)
        await finish(client, job_id)
        await world.admin("DELETE", "/faults")
        await call(client, "resume_job", job_id=job_id, rows=keys)
        await rested(client, job_id)
        for limit in (1.5, 2.0):
            await start(client, source, lane="live", max_cost_usd=limit)
            await rested(client, job_id)
            first, second = accounts(world, job_id)
            assert first.spent + (second.allowed or 0) == pytest.approx(limit)
            assert 0.6 * limit < charged(world.home) <= limit


@pytest.mark.parametrize("lane", ["live", "batch"])
async def test_a_pilot_and_its_job_share_one_limit(world: World, lane: str) -> None:
    await world.set(drawn={"output_tokens": 5_000, "output_sigma": 0})
    rows = [row(f"k{n}", f"Say {n}.", max_output_tokens=2_000) for n in range(40)]
    async with world.client() as client:
        source = world.write("a.jsonl", rows)
        limit = (await call(client, "estimate_cost", source=source, model=MODEL, lane=lane))["cost_usd"]["high"]
        ask = {"source": source, "model": MODEL, "lane": lane, "max_cost_usd": limit}
        answer = await refusal(client, "create_batch", pilot=20, **ask)
        pilot = charged(world.home)
        assert ("The pilot job_" in answer, "Nothing else was sent" in answer) == (True, True)
        assert 0.4 * limit < pilot < 0.6 * limit
        ask["max_cost_usd"] = 1.6 * limit
        job_id = (await call(client, "create_batch", pilot=20, **ask))["job_id"]
        assert accounts(world, job_id)[0].allowed == pytest.approx(1.6 * limit - pilot)
        assert (await finish(client, job_id))["counts"] == {"truncated": 40}
        assert pilot < charged(world.home) <= 1.6 * limit


async def test_a_row_with_a_dear_tool_does_not_make_the_others_dear_after_a_restart(world: World) -> None:
    rows = [row(f"k{n}", f"Say {n}.", max_output_tokens=1_000) for n in range(60)]
    rows[50]["request"]["tools"] = [{"googleMaps": {}}]
    rows[55]["request"]["service_tier"] = "priority"
    await world.set(drawn={"output_tokens": 5_000, "output_sigma": 0}, latency_s=0.05)
    async with world.client() as client:
        source = world.write("a.jsonl", rows)
        limit = (await call(client, "estimate_cost", source=source, model=MODEL, lane="live"))["cost_usd"]["high"]
        job_id = await start(client, source, lane="live", concurrency=2, max_cost_usd=0.99 * limit)
        while (await call(client, "check_status", job_id=job_id, wait_s=0.1))["done"] < 10:
            pass
    await world.set(latency_s=0)
    async with world.client() as client:
        status = await settled(client, job_id)
    assert (status["done"] > 50, charged(world.home) <= limit) == (True, True), status


def test_each_answer_is_priced_by_the_request_of_its_key(tmp_path: Path) -> None:
    """Answers without counts of tokens cost what their own requests can, those without a key what the dearest can."""
    rows = [row(f"k{n}", f"Say {n}.", max_output_tokens=1_000) for n in range(4)]
    rows[2]["request"]["tools"] = [{"googleMaps": {}}]
    requests, results = tmp_path / "requests.jsonl", tmp_path / "results.jsonl"
    requests.write_text("".join(json.dumps(line) + "\n" for line in rows))
    costs = CallCosts(find(MODEL, DAY), "live", DAY)
    bounds = [costs.bound(json.dumps(line["request"]).encode()) for line in rows]
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 100}
    content = {"candidates": [{"content": {"parts": [{"text": "Hello."}]}, "finishReason": "STOP"}]}

    def paid(*answers: dict[str, Any]) -> float:
        results.write_text("".join(json.dumps(answer) + "\n" for answer in answers) + "cut off")
        return costs.paid_until_now(results, 0, requests)

    counted = [{"key": f"k{n}", "response": {**content, "usageMetadata": usage}} for n in range(4)]
    plain, dear = paid(counted[0]), paid(counted[2])
    assert (0 < plain < 0.01, dear > 10 * plain) == (True, True)
    assert paid(*counted) == pytest.approx(3 * plain + dear)
    assert paid({**counted[0], "key": None}) == pytest.approx(dear)
    assert paid(*({"key": f"k{n}", "response": content} for n in (0, 2))) == pytest.approx(bounds[0] + bounds[2])
    assert paid({"response": content}, {"key": "stranger", "response": content}) == pytest.approx(2 * max(bounds))
    assert paid({"metadata": {"key": "k2"}, "response": content}) == pytest.approx(bounds[2])


async def test_an_attempt_whose_cost_is_not_known_has_spent_what_it_can_have_cost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows fit into the limit, and no answer tells its tokens."""
    source = world.write("a.jsonl", [row(f"k{n}", f"Say {n}.", max_output_tokens=20_000) for n in range(20)])
    with answering(0, tokens=0) as url:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", url)
        async with world.client(backend="gemini", api_key="any key") as client:
            price = (await call(client, "estimate_cost", source=source, model=MODEL, lane="live"))["cost_usd"]
            limit = price["high"]
            job_id = await start(client, source, lane="live", concurrency=4, max_cost_usd=limit)
            status = await finish(client, job_id)
            [account] = accounts(world, job_id)
            assert (status["counts"], status["cost_usd"].get("actual")) == ({"ok": 20}, None)
            assert account.actual == pytest.approx(limit, rel=0.01)
            assert f"${limit:.2f} at most" in status["notice"]
            assert "earlier attempts" in await refusal(client, "resume_job", job_id=job_id, rows=["k0", "k1"])
            await call(client, "resume_job", job_id=job_id, rows=["k0"], confirm=True)
            await finish(client, job_id)


@pytest.mark.parametrize(("first", "others", "batches"), [(900, 400, 1), (600, 400, 2), (488, 368, 2)])
@pytest.mark.parametrize("is_of_day", [True, False])
async def test_every_batch_that_follows_dear_ones_is_held_against_the_limits(
    world: World, is_of_day: bool, first: int, others: int, batches: int
) -> None:
    """The answers of the first batch are longer than any may be, which stands for a price that nobody knew."""
    rows = [row(f"k{n}", f"Say {n}.", max_output_tokens=100) for n in range(30)]
    await world.arm("row", match={"key": "k[0-9]$"}, outcome="ok", output_chars=first, times=None)
    await world.arm("row", match={"key": "k[12].$"}, outcome="max_tokens", output_chars=others, times=None)
    source = world.write("a.jsonl", rows)
    cut = Cut(bytes=(world.work / source).stat().st_size // 3 + 50)
    async with world.client(cut=cut) as client:
        high = (await call(client, "estimate_cost", source=source, model=MODEL))["cost_usd"]["high"]
    async with world.client(cut=cut, max_cost_usd_per_day=high if is_of_day else None) as client:
        for after in range(1, batches + 1):
            await world.arm("http_error", call="create", code=429, after=after, times=1)
        job_id = await start(client, source, max_cost_usd=None if is_of_day else high)
        status = await rested(client, job_id)
        assert ("today's limit" if is_of_day else "its limit") in status["notice"]
        assert (len(await world.bill()), charged(world.home) <= high) == (batches, True), status
        if is_of_day:
            await call(client, "resume_job", job_id=job_id, confirm=True)
            assert "today's limit" in (await rested(client, job_id))["notice"]
            world.time += 86_400
        await call(client, "resume_job", job_id=job_id, confirm=True)
        assert (await finish(client, job_id))["done"] == 30
