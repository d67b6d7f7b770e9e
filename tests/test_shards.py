"""A job larger than the provider's limits is several batches, sent in waves as room is made; it reads as one."""

import json
from typing import Any

import pytest

from genai_batch.resources.requests import Cut
from genai_batch.tools.lanes.window import Window
from tests.world import MODEL, World, call, finish, read, row, start

pytestmark = pytest.mark.anyio
PROMPT = "Say something about this subject. " * 12
"""About eighty tokens."""
ROWS = [row(f"k{n}", f"{n}: {PROMPT}", max_output_tokens=500) for n in range(100)]
CUT = Cut(tokens=1_700)
"""Some twenty rows."""


async def test_a_job_over_the_allowance_is_cut_between_lines_and_estimated_as_it_will_be_sent(world: World) -> None:
    source = world.write("a.jsonl", ROWS)
    async with world.client(cut=CUT) as client:
        shards = (await call(client, "estimate_cost", source=source, model=MODEL))["shards"]
        assert shards == 5
        job_id = await start(client, source)
        status = await finish(client, job_id)
        assert (status["shards"], status["counts"]) == (5, {"ok": 100})
    bills = await world.bill()
    assert [batch["requests"] for batch in bills] == [21, 21, 21, 21, 16]
    assert len({batch["display_name"] for batch in bills}) == 5


async def test_waves_are_sent_as_room_is_made_over_a_restart_and_read_as_one_job(world: World) -> None:
    await world.admin("POST", "/clock", {"freeze": True})
    await world.set(queue_s=10, run_s=100, enqueued_tokens=5_500)
    source = world.write("a.jsonl", ROWS)
    seen: list[tuple[int, str | None]] = []

    async def look(client: Any, job_id: str) -> dict[str, Any]:
        await call(client, "check_status", job_id=job_id)  # may join a look that began before time passed
        status = await call(client, "check_status", job_id=job_id)
        seen.append((len(await world.bill()), status["notice"]))
        return status

    async with world.client(cut=CUT) as client:
        job_id = await start(client, source)
        status = await look(client, job_id)
        assert (status["state"], len(await world.bill())) == ("JOB_STATE_PENDING", 2)
        assert "3 of 5 batches wait for room" in status["notice"]
        await world.advance(111)
        assert (await look(client, job_id))["done"] >= 40
    async with world.client(cut=CUT) as client:
        for _ in range(8):
            await world.advance(111)
            status = await look(client, job_id)
            if status["state"] == "JOB_STATE_SUCCEEDED":
                break
        assert (status["counts"], status["done"], status["percent"]) == ({"ok": 100}, 100, 100)
        assert max(count for count, _ in seen) == 5
        assert {"k0", "k99"} <= {
            line["key"] for line in (await read(client, f"batch://jobs/{job_id}/results?limit=200"))["results"]
        }
        await call(client, "get_results", job_id=job_id, output_path="out.jsonl")
    rows = [json.loads(line) for line in (world.work / "out.jsonl").read_text().splitlines()]
    assert [found["key"] for found in rows] == [each["key"] for each in ROWS]
    assert all(f'"{found["key"][1:]}: Say' in found["text"] for found in rows)


@pytest.mark.parametrize(("fault", "said"), [("fail", "Internal error"), ("expire", "expire")])
async def test_one_batch_that_breaks_does_not_take_the_others_with_it(world: World, fault: str, said: str) -> None:
    await world.arm(fault, after=2)
    async with world.client(cut=CUT) as client:
        status = await finish(client, await start(client, world.write("a.jsonl", ROWS)))
        assert (status["state"], status["counts"]) == ("JOB_STATE_PARTIALLY_SUCCEEDED", {"ok": 79, "missing": 21})
        assert said in status["notice"]


async def test_a_cancelled_job_sends_no_further_wave(world: World) -> None:
    await world.set(queue_s=1000, enqueued_tokens=5_500)
    async with world.client(cut=CUT) as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await call(client, "cancel_job", job_id=job_id)
        status = await finish(client, job_id)
        assert (status["state"], status["counts"]) == ("JOB_STATE_CANCELLED", {"missing": 100})
    assert len(await world.bill()) == 2


async def test_one_request_larger_than_the_allowance_is_told_when_it_is_refused(world: World) -> None:
    await world.set(enqueued_tokens=1_000)
    async with world.client() as client:
        job = await call(client, "create_batch", source=world.write("a.jsonl", ROWS), model=MODEL)
        assert (job["state"], "tier's limit" in job["notice"]) == ("JOB_STATE_QUEUED", True)


async def test_a_source_larger_than_one_file_may_be_is_cut_by_bytes(world: World) -> None:
    async with world.client(cut=Cut(bytes=20_000)) as client:
        status = await finish(client, await start(client, world.write("a.jsonl", ROWS)))
    assert (status["counts"], status["shards"]) == ({"ok": 100}, 3)


@pytest.mark.parametrize(("start_at", "length"), [(0, 0), (3, 4), (0, 10), (9, 1), (4, 0)])
async def test_a_window_reads_like_a_file_of_its_own(world: World, start_at: int, length: int) -> None:
    content = b"0123456789"
    world.write("f", content)
    wanted = content[start_at:][: length or None]
    with Window(world.work / "f", start_at, length) as window:
        assert (window.seek(0, 2), window.seek(0), window.readall()) == (len(wanted), 0, wanted)
        assert (window.seek(1), window.read(2), window.tell()) == (1, wanted[1:3], 1 + len(wanted[1:3]))
