"""The live lane, end to end: a real MCP client, a real server, the embedded emulator."""

from typing import Any

import pytest

from genai_batch.resources import jobs
from genai_batch.tools.lanes.live.runner import Limits
from tests.world import MODEL, World, call, finish, read, refusal, row, start, stopped

pytestmark = pytest.mark.anyio


def source_of(world: World, count: int, name: str = "rows.jsonl") -> str:
    return world.write(name, [row(f"k{n}", f"Say {n}.") for n in range(count)])


async def sent(world: World) -> int:
    """Calls that the emulator has heard."""
    return len(await world.calls("generateContent"))


def rows_of(world: World, job_id: str) -> bytes:
    return (jobs.folder(world.home, job_id) / "results.jsonl").read_bytes()


async def test_a_live_job_answers_every_row_and_its_results_read_like_those_of_a_batch(world: World) -> None:
    async with world.client() as client:
        job_id = await start(client, source_of(world, 40), lane="live", concurrency=8)
        status = await finish(client, job_id)
        results = await call(client, "get_results", job_id=job_id, keys=["k7"])
        page = await read(client, f"batch://jobs/{job_id}/results/k7")
    assert (status["lane"], status["state"], status["counts"]) == ("live", "JOB_STATE_SUCCEEDED", {"ok": 40})
    assert "Say 7." in results["results"][0]["text"]
    assert page["outcome"] == "ok"
    assert await sent(world) == 40


async def test_a_live_job_costs_twice_as_much_and_is_another_job_than_the_batch_of_the_same_content(
    world: World,
) -> None:
    source = source_of(world, 5)
    async with world.client() as client:
        batch = await finish(client, await start(client, source))
        live = await finish(client, await start(client, source, lane="live"))
        again = await call(client, "create_batch", source=source, model=live["model"], lane="live")
    assert live["cost_usd"]["actual"] == pytest.approx(2 * batch["cost_usd"]["actual"])
    assert again["job_id"] == live["job_id"] != batch["job_id"]
    assert again["existing"]


async def test_a_row_that_gemini_refuses_is_a_row_with_that_error_and_the_others_go_on(world: World) -> None:
    await world.arm("http_error", call="generate", code=400, message="No such field.", times=1)
    async with world.client() as client:
        job_id = await start(client, source_of(world, 10), lane="live")
        status = await finish(client, job_id)
        wrong = await call(client, "get_results", job_id=job_id, outcome="error")
    assert status["counts"] == {"ok": 9, "error": 1}
    assert (wrong["results"][0]["error"]["code"], await sent(world)) == (400, 10)


async def test_what_passes_is_tried_again_until_it_is_answered(world: World) -> None:
    for fault in ("drop_before", "not_json", "empty_body"):
        await world.arm(fault, call="generate", times=1)
    await world.arm("http_error", call="generate", code=500, times=1)
    async with world.client() as client:
        status = await finish(client, await start(client, source_of(world, 30), lane="live", concurrency=30))
    assert (status["counts"], await sent(world)) == ({"ok": 30}, 34)


async def test_rows_that_fail_whenever_they_are_asked_end_as_errors_though_nothing_else_is_left(world: World) -> None:
    await world.arm("row", match={"prompt": "Say [1-4]\\."}, outcome="error", code=13, times=None)
    async with world.client(live=Limits(tries=2, trying=0)) as client:
        status = await finish(client, await start(client, source_of(world, 20), lane="live", concurrency=4))
    assert (status["state"], status["counts"]) == ("JOB_STATE_SUCCEEDED", {"ok": 16, "error": 4})


async def test_an_outage_pauses_all_and_costs_no_item_a_try(world: World) -> None:
    await world.arm("http_error", call="generate", code=503, times=5)
    async with world.client() as client:
        status = await finish(client, await start(client, source_of(world, 40), lane="live", concurrency=4))
    assert (status["counts"], await sent(world)) == ({"ok": 40}, 45)


async def test_a_refusal_for_speed_pauses_everyone_once(world: World) -> None:
    await world.set(requests_per_s=20)
    async with world.client() as client:
        status = await finish(client, await start(client, source_of(world, 40), lane="live", concurrency=4))
    refused = [each for each in await world.calls("generateContent") if each["status"] == 429]
    assert status["counts"] == {"ok": 40}
    assert 0 < len(refused) <= 8


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"code": 403}, "Gemini answered 403"),
        ({"code": 404, "message": "models/x is not found for API version v1beta."}, "models/x is not found"),
        ({"code": 400, "message": "API key not valid. Please pass a valid API key."}, "API key not valid"),
        ({"code": 429, "message": "Your prepayment credits are depleted."}, "credits are depleted"),
        ({"code": 429, "quota_id": "GenerateRequestsPerDayPerProjectPerModel"}, "midnight Pacific"),
    ],
    ids=["permission", "model", "key", "balance", "day"],
)
async def test_what_no_pause_of_seconds_mends_stops_the_run_and_says_when_it_goes_on(
    world: World, fault: dict[str, Any], said: str
) -> None:
    await world.arm("http_error", call="generate", after=10, times=None, **fault)
    async with world.client() as client:
        job_id = await start(client, source_of(world, 120), lane="live", concurrency=4)
        status = await stopped(client, job_id)
        assert (status["state"], status["done"]) == ("JOB_STATE_RUNNING", 10)
        assert said in status["notice"]
        assert await sent(world) <= 14
        await world.admin("DELETE", "/faults")
        assert (await call(client, "check_status", job_id=job_id, wait_s=0.3))["done"] == 10, "it rests"
        await world.advance(24 * 3600)
        if "midnight" not in said:
            assert (await call(client, "check_status", job_id=job_id, wait_s=0.3))["done"] == 10, (
                "it waits for a person"
            )
            assert "by itself" not in status["notice"]
            await call(client, "resume_job", job_id=job_id)
        assert (await finish(client, job_id))["counts"] == {"ok": 120}
    assert await sent(world) <= 14 + 110


async def test_what_is_asked_for_the_results_of_a_stopped_run_hears_what_is_stored_and_until_when_it_rests(
    world: World,
) -> None:
    await world.arm("http_error", call="generate", code=429, quota_id="RequestsPerDay", after=3, times=None)
    async with world.client() as client:
        job_id = await start(client, source_of(world, 9), lane="live", concurrency=1)
        until = (await call(client, "check_status", job_id=job_id, wait_s=0.5))["notice"].split("by itself at ")[1][:16]
        page = await call(client, "get_results", job_id=job_id)
        again = {"job_id": job_id, "prompt": "{{ text }}", "model": MODEL}
        said = await refusal(client, "build_requests", output_path="next.jsonl", **again)
    assert (page["counts"], [line["key"] for line in page["results"]]) == ({"ok": 3, "pending": 6}, ["k0", "k1", "k2"])
    assert f"rests until {until} UTC with 3 of 9 rows stored" in said
    assert ("quota of the day" in said, f"genai-batch resume {job_id}" in said) == (True, True)
    assert ("all at once" in said, "waits for it" in said) == (False, False)


async def test_resume_job_lets_a_stopped_run_go_on_at_once(world: World) -> None:
    await world.arm("http_error", call="generate", code=429, quota_id="RequestsPerDay", after=3, times=1)
    async with world.client() as client:
        job_id = await start(client, source_of(world, 9), lane="live", concurrency=1)
        await call(client, "check_status", job_id=job_id, wait_s=0.5)
        await call(client, "resume_job", job_id=job_id)
        assert (await finish(client, job_id))["counts"] == {"ok": 9}
    assert await sent(world) == 10


@pytest.mark.parametrize("asked", [{"rows": ["k8"]}, {"rows": "truncated"}, {"lane": "batch"}], ids=str)
async def test_of_a_stopped_run_no_other_rows_are_sent_than_were_asked_for(world: World, asked: dict[str, Any]) -> None:
    await world.arm("http_error", call="generate", code=429, quota_id="RequestsPerDay", after=3, times=1)
    async with world.client() as client:
        job_id = await start(client, source_of(world, 9), lane="live", concurrency=1)
        await call(client, "check_status", job_id=job_id, wait_s=0.5)
        before = await sent(world)
        assert "cancel_job" in await refusal(client, "resume_job", job_id=job_id, **asked)
        assert await sent(world) == before
        await call(client, "cancel_job", job_id=job_id)
        await call(client, "resume_job", job_id=job_id, rows=["k8"], lane="live")
        assert (await finish(client, job_id))["counts"] == {"ok": 4, "missing": 5}
    assert await sent(world) == before + 1


async def test_an_item_that_fails_until_its_deadline_is_a_row_with_the_last_error(world: World) -> None:
    await world.arm("http_error", call="generate", code=500, message="Broken for good.", times=None)
    async with world.client(live=Limits(attempt=5, item=1.5)) as client:
        job_id = await start(client, source_of(world, 1), lane="live")
        status = await finish(client, job_id)
        wrong = await call(client, "get_results", job_id=job_id)
    assert status["counts"] == {"error": 1}
    assert wrong["results"][0]["error"]["code"] == 500
    assert "Broken for good." in wrong["results"][0]["error"]["message"]


async def test_an_attempt_that_takes_too_long_is_given_up_and_made_again(world: World) -> None:
    await world.arm("hang", call="generate", times=1)
    async with world.client(live=Limits(attempt=1)) as client:
        status = await finish(client, await start(client, source_of(world, 2), lane="live"))
    assert (status["counts"], await sent(world)) == ({"ok": 2}, 3)


async def test_a_job_that_runs_longer_than_it_may_ends_with_what_it_has(world: World) -> None:
    await world.set(latency_s=0.05)
    async with world.client(live=Limits(job=3600)) as client:
        job_id = await start(client, source_of(world, 100), lane="live", concurrency=2)
        await world.advance(3601)
        status = await finish(client, job_id)
    assert status["state"] == "JOB_STATE_EXPIRED"
    assert 0 < status["counts"]["ok"] < 100
    assert status["counts"]["missing"] == 100 - status["counts"]["ok"]


async def test_a_cancelled_job_keeps_what_is_answered_and_sends_nothing_more(world: World) -> None:
    await world.set(latency_s=0.05)
    async with world.client() as client:
        job_id = await start(client, source_of(world, 120), lane="live", concurrency=4)
        status = await call(client, "cancel_job", job_id=job_id)
        kept = status["counts"]["ok"]
        assert (status["state"], kept) == ("JOB_STATE_CANCELLED", await sent(world))
        assert 0 < kept == len(rows_of(world, job_id).splitlines()) < 120
        await call(client, "resume_job", job_id=job_id, rows="missing")
        assert (await finish(client, job_id))["counts"] == {"ok": 120}
    assert await sent(world) == 120


async def test_the_next_process_goes_on_where_a_run_was_left_with_a_torn_line(world: World) -> None:
    await world.set(latency_s=0.05)
    async with world.client() as client:
        job_id = await start(client, source_of(world, 100), lane="live", concurrency=4)
    before = len(rows_of(world, job_id).splitlines())
    with (jobs.folder(world.home, job_id) / "results.jsonl").open("ab") as file:
        file.write(b'{"key":"k99","respon')
    async with world.client() as client:
        assert (await finish(client, job_id))["counts"] == {"ok": 100}
    assert 0 < before < 100
    assert (await sent(world), len(rows_of(world, job_id).splitlines())) == (100, 100)


async def test_rows_sent_again_are_another_attempt_in_the_live_lane(world: World) -> None:
    await world.arm("row", match={"prompt": r"Say 1\."}, outcome="error", code=13, times=1)
    await world.arm("http_error", call="generate", code=404, times=1)
    async with world.client(live=Limits(item=0.5)) as client:
        job_id = await start(client, source_of(world, 5), lane="live", concurrency=1)
        assert (await finish(client, job_id))["counts"].get("error")
        await world.admin("DELETE", "/faults")
        await call(client, "resume_job", job_id=job_id, rows=["k0", "k1"])
        status = await finish(client, job_id)
        found = await read(client, f"batch://jobs/{job_id}/results/k1")
    assert status["counts"] == {"ok": 5}
    assert found["attempt"] == 2
