"""Rows that did not come out well are sent again, by kind, as attempts of the same job; what is good is kept."""

import json
from typing import Any

import anyio
import pytest

from tests.world import MODEL, World, call, finish, read, refusal, row, start

pytestmark = pytest.mark.anyio
ROWS = [row(f"k{n}", f"Prompt number {n}.", max_output_tokens=2_000) for n in range(60)]


async def sent(world: World) -> list[int]:
    """How many rows each batch had."""
    return [batch["requests"] for batch in await world.bill()]


@pytest.mark.parametrize(
    ("rule", "rows", "outcome"),
    [
        ({"outcome": "error", "code": 13}, "unfinished", "error"),
        ({"outcome": "error", "code": 13}, "failed", "error"),
        ({"outcome": "empty"}, "failed", "empty"),
        ({"outcome": "max_tokens"}, "truncated", "truncated"),
    ],
)
async def test_only_the_chosen_rows_are_sent_again_and_the_newest_good_answer_wins(
    world: World, rule: dict[str, Any], rows: str, outcome: str
) -> None:
    await world.arm("row", match={"key": "^k[1-3]$"}, times=1, **rule)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        assert (await finish(client, job_id))["counts"] == {"ok": 57, outcome: 3}
        await call(client, "resume_job", job_id=job_id, rows=rows)
        status = await finish(client, job_id)
        assert (status["job_id"], status["counts"], status["done"]) == (job_id, {"ok": 60}, 60)
        assert "more than once" not in status["notice"]
        again = await read(client, f"batch://jobs/{job_id}/results/k2")
        assert (again["outcome"], again["attempt"]) == ("ok", 2)
    assert await sent(world) == [60, 3]
    lines = (world.home / "jobs" / job_id / "results.jsonl").read_text().splitlines()
    assert len(lines) == 63, "the rows of the first attempt are kept as they came"


async def test_missing_rows_are_sent_again(world: World) -> None:
    await world.arm("omit", key="^k(7|8)$")
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await finish(client, job_id)
        await call(client, "resume_job", job_id=job_id, rows="missing")
        assert (await finish(client, job_id))["counts"] == {"ok": 60}
    assert await sent(world) == [60, 2]


async def test_a_job_that_expired_is_sent_again_as_a_whole(world: World) -> None:
    await world.arm("expire", after_s=0)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        assert (await finish(client, job_id))["state"] == "JOB_STATE_EXPIRED"
        await call(client, "resume_job", job_id=job_id)
        status = await finish(client, job_id)
        assert (status["state"], status["counts"]) == ("JOB_STATE_SUCCEEDED", {"ok": 60})


async def test_truncated_rows_get_twice_the_output(world: World) -> None:
    rows = [row("short", "Tell me everything about the sea.", max_output_tokens=20), *ROWS[:3]]
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", rows))
        assert (await finish(client, job_id))["counts"] == {"ok": 3, "truncated": 1}
        await call(client, "resume_job", job_id=job_id, rows="truncated")
    again = json.loads((world.home / "jobs" / job_id / "requests.1.jsonl").read_text())
    assert (again["key"], again["request"]["generation_config"]["max_output_tokens"]) == ("short", 40)


async def test_what_would_fail_again_is_not_paid_again(world: World) -> None:
    await world.arm(
        "row", match={"key": "^k1$"}, outcome="error", code=3, message="Request contains an invalid argument."
    )
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await finish(client, job_id)
        said = await refusal(client, "resume_job", job_id=job_id)
        assert "fail again: 1 with error 3: Request contains an invalid argument. (k1)" in said
        await call(client, "resume_job", job_id=job_id, rows=["k1"])
        status = await finish(client, job_id)
        assert status["counts"] == {"ok": 59, "error": 1}
    assert await sent(world) == [60, 1]


async def test_a_good_answer_is_not_replaced_by_a_bad_one(world: World) -> None:
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await finish(client, job_id)
        first = await read(client, f"batch://jobs/{job_id}/results/k1")
        await world.arm("row", match={"key": "^k1$"}, outcome="error")
        resumed = await call(client, "resume_job", job_id=job_id, rows=["k1"])
        assert "1 had a good answer, which clients that keep what they read may show" in resumed["notice"]
        assert (await finish(client, job_id))["counts"] == {"ok": 60}
        assert (await read(client, f"batch://jobs/{job_id}/results/k1"))["text"] == first["text"]


async def test_while_rows_are_sent_again_the_good_ones_can_be_read(world: World) -> None:
    await world.arm("row", match={"key": "^k1$"}, outcome="error", times=1)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await finish(client, job_id)
        await world.set(queue_s=1000)
        resumed = await call(client, "resume_job", job_id=job_id)
        assert (resumed["state"], resumed["done"]) == ("JOB_STATE_PENDING", 59)
        page = await call(client, "get_results", job_id=job_id, keys=["k2"])
        assert page["results"][0]["outcome"] == "ok"


async def test_it_is_refused_where_it_makes_no_sense(world: World) -> None:
    await world.set(queue_s=1000)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        assert "still under way" in await refusal(client, "resume_job", job_id=job_id)
        assert "nearest" not in await refusal(client, "resume_job", job_id="job_none")


async def test_another_attempt_is_priced_and_held_back_like_the_first(world: World) -> None:
    await world.arm("expire", after_s=0)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await finish(client, job_id)
    async with world.client(max_cost_usd=0.0001) as client:
        assert "confirm=true" in await refusal(client, "resume_job", job_id=job_id)
        resumed = await call(client, "resume_job", job_id=job_id, confirm=True)
        assert resumed["cost_usd"]["estimate"] > 0
    assert await sent(world) == [60, 60]


async def test_a_job_whose_create_was_refused_is_sent_once_when_it_is_resumed(world: World) -> None:
    await world.arm("http_error", call="create", code=403)
    rows = ROWS[:20]
    async with world.client() as client:
        await refusal(client, "create_batch", source=world.write("a.jsonl", rows), model=MODEL)
        job_id = (await call(client, "list_jobs"))["jobs"][0]["job_id"]
        await call(client, "resume_job", job_id=job_id)
        assert (await finish(client, job_id))["counts"] == {"ok": 20}
    assert await sent(world) == [20]


async def test_a_retry_that_breaks_leaves_a_good_job_good(world: World) -> None:
    await world.arm("row", match={"key": "^k1$"}, outcome="error", times=1)
    source = world.write("a.jsonl", ROWS)
    async with world.client() as client:
        job_id = await start(client, source)
        await finish(client, job_id)
        await world.arm("expire", after_s=0)
        await call(client, "resume_job", job_id=job_id)
        status = await finish(client, job_id)
        assert (status["state"], status["counts"]["ok"]) == ("JOB_STATE_PARTIALLY_SUCCEEDED", 59)
        assert (await call(client, "create_batch", source=source, model=MODEL))["existing"]
    assert await sent(world) == [60, 1]


async def test_a_truncated_answer_is_kept_until_a_better_one_comes(world: World) -> None:
    await world.arm("row", match={"key": "^k1$"}, outcome="max_tokens", times=1)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await finish(client, job_id)
        await world.arm("row", match={"key": "^k1$"}, outcome="error", times=1)
        await call(client, "resume_job", job_id=job_id, rows="truncated")
        assert (await finish(client, job_id))["counts"] == {"ok": 59, "truncated": 1}
        assert (await read(client, f"batch://jobs/{job_id}/results/k1"))["text"]
        await call(client, "resume_job", job_id=job_id, rows="truncated")
    again = json.loads((world.home / "jobs" / job_id / "requests.2.jsonl").read_text())
    assert again["request"]["generation_config"]["max_output_tokens"] == 8_000


async def test_of_two_resumes_at_once_one_is_sent_and_the_other_is_told(world: World) -> None:
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await finish(client, job_id)
        await world.set(queue_s=1000)
        said: list[bool | None] = []

        async def resume(keys: list[str]) -> None:
            said.append((await client.call_tool("resume_job", {"job_id": job_id, "rows": keys})).is_error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(resume, ["k1"])
            tasks.start_soon(resume, ["k20", "k30", "k40"])
        assert sorted(map(bool, said)) == [False, True]
        await world.advance(1001)
        assert (await finish(client, job_id))["counts"] == {"ok": 60}
    assert len(await sent(world)) == 2


async def test_rows_that_may_pass_are_sent_and_the_others_named_with_their_reasons(world: World) -> None:
    await world.arm("row", match={"key": "^k[1-3]$"}, outcome="error", code=14, times=1)
    await world.arm("row", match={"key": "^k[5-9]$"}, outcome="error", code=3, message="Bad argument.")
    await world.arm("row", match={"key": "^k10$"}, outcome="blocked")
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await finish(client, job_id)
        said = (await call(client, "resume_job", job_id=job_id))["notice"]
        assert "Left out, since they would fail again: 5 with error 3: Bad argument. (k5, k6, k7, …); 1 blocked" in said
        assert (await finish(client, job_id))["counts"] == {"ok": 54, "error": 5, "blocked": 1}
    assert await sent(world) == [60, 3]


async def test_requests_that_were_changed_are_not_sent_again(world: World) -> None:
    await world.arm("omit", key="^k7$")
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await finish(client, job_id)
        file = world.home / "jobs" / job_id / "requests.jsonl"
        file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))
        assert "changed or cut" in await refusal(client, "resume_job", job_id=job_id)
    assert await sent(world) == [60]


@pytest.mark.parametrize("lanes", [("batch", "live"), ("live", "batch")])
async def test_rows_that_failed_are_finished_in_the_other_lane_and_each_row_costs_what_its_lane_does(
    world: World, lanes: tuple[str, str]
) -> None:
    await world.arm("row", match={"prompt": r"number [1-3]\."}, outcome="error", code=13 if lanes[0] == "batch" else 3)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS[:20]), lane=lanes[0])
        assert (await finish(client, job_id))["counts"] == {"ok": 17, "error": 3}
        before = await read(client, f"batch://jobs/{job_id}/results/k2")
        await world.admin("DELETE", "/faults")
        await call(client, "resume_job", job_id=job_id, rows=["k1", "k2", "k3"], lane=lanes[1])
        status = await finish(client, job_id)
        first, second = [await read(client, f"batch://jobs/{job_id}/results/{key}") for key in ("k4", "k2")]
        back = await call(client, "resume_job", job_id=job_id, rows=["k9"])
        again = await finish(client, job_id)
        third = await read(client, f"batch://jobs/{job_id}/results/k9")
    assert (status["counts"], status["lane"], back["lane"]) == ({"ok": 20}, lanes[0], lanes[0])
    assert (before["outcome"], second["outcome"], second["attempt"], third["attempt"]) == ("error", "ok", 2, 3)
    paid = [_per_token(row, lane) for row, lane in zip((first, second, third), (*lanes, lanes[0]), strict=True)]
    assert paid == pytest.approx([paid[0]] * 3)
    assert f"attempt 2 ran in the {lanes[1]} lane" in status["notice"].lower()
    assert again["cost_usd"]["actual"] > status["cost_usd"]["actual"]


def _per_token(row: dict[str, Any], lane: str) -> float:
    """USD of a row at the rates of the live lane, over a measure of its tokens at the model's rates."""
    used = row["usage"]
    return row["cost_usd"] * (2 if lane == "batch" else 1) / (used["input_tokens"] + 5 * used["output_tokens"])


async def test_the_costs_of_rows_add_up_to_that_of_a_job_of_both_lanes(world: World) -> None:
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS[:6]))
        await finish(client, job_id)
        await call(client, "resume_job", job_id=job_id, rows=["k0", "k1", "k2"], lane="live")
        status = await finish(client, job_id)
        rows = [await read(client, f"batch://jobs/{job_id}/results/k{n}") for n in range(6)]
    live, batch = sum(row["cost_usd"] for row in rows[:3]), sum(row["cost_usd"] for row in rows[3:])
    assert status["cost_usd"]["actual"] == pytest.approx(live + live / 2 + batch, rel=1e-4)


async def test_an_attempt_in_the_live_lane_is_stopped_and_goes_on_like_a_live_job(world: World) -> None:
    await world.arm("expire", after_s=0)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await finish(client, job_id)
        await world.set(latency_s=0.4)
        await call(client, "resume_job", job_id=job_id, lane="live")
        assert "still under way" in await refusal(client, "resume_job", job_id=job_id, lane="batch")
        status = await call(client, "cancel_job", job_id=job_id)
        assert 0 < status["counts"]["ok"] < 60
        await world.set(latency_s=0)
        await call(client, "resume_job", job_id=job_id, lane="live")
    async with world.client() as client:
        assert (await finish(client, job_id))["counts"] == {"ok": 60}
    assert len(await world.calls("generateContent")) == 60


async def test_an_attempt_in_the_live_lane_is_estimated_at_twice_the_price_of_one_in_the_batch_lane(
    world: World,
) -> None:
    estimates: list[float] = []
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        estimates.append((await finish(client, job_id))["cost_usd"]["estimate"])
        for lane in ("batch", "live"):
            await call(client, "resume_job", job_id=job_id, rows=[line["key"] for line in ROWS], lane=lane)
            estimates.append((await finish(client, job_id))["cost_usd"]["estimate"])
    first, batch, live = estimates  # the second is corrected by what the first attempt did cost
    assert live - batch == pytest.approx(2 * first, rel=1e-3)
