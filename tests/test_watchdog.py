"""What threatens a job that is under way is told by check_status, with the options."""

import pytest

from genai_batch.resources.requests import Cut
from tests.world import World, call, row, start

pytestmark = pytest.mark.anyio
ROWS = [row(f"k{n}", max_output_tokens=500) for n in range(200)]
HOUR = 3600


@pytest.fixture
async def world(world: World) -> World:
    """A world whose clock moves only when it is told to, and whose batches do not end by themselves."""
    await world.admin("POST", "/clock", {"freeze": True})
    await world.set(queue_s=10**6)
    return world


async def notice(world: World, hours: float, cut: Cut | None = None) -> str:
    """What is said of a job some hours after it was started."""
    async with world.client(cut=cut) as client:
        job_id = await start(client, world.write("a.jsonl", ROWS), confirm=True)
        await world.advance(hours * HOUR)
        return (await call(client, "check_status", job_id=job_id))["notice"]


async def test_all_is_well(world: World) -> None:
    assert "Options" not in await notice(world, 1)


async def test_a_job_that_does_not_move_is_told_with_its_clock_and_the_options(world: World) -> None:
    said = await notice(world, 7)
    assert "No change for 7 h; Gemini gives a batch up after 48 h, in 41 h." in said
    assert "cancel_job" in said


async def test_one_stuck_batch_is_told_though_the_others_move(world: World) -> None:
    await world.set(queue_s=10, run_s=8 * HOUR)
    await world.arm("pending_forever")
    said = await notice(world, 7, cut=Cut(tokens=300))
    assert "No change for 7 h in 1 of " in said


async def test_the_clock_of_48_hours_is_told_in_its_last_hours(world: World) -> None:
    assert "in 3.0 h, with nothing to show for it" in await notice(world, 45)


async def test_a_job_that_finds_no_room_for_hours_is_told(world: World) -> None:
    await world.set(enqueued_tokens=10)
    said = await notice(world, 9)
    assert "Batches not accepted after 9 h: 1. Options: wait, cancel other jobs" in said


@pytest.mark.parametrize("code", [403, 404])
async def test_a_key_that_may_not_see_the_batch_any_more_is_told_with_the_options(world: World, code: int) -> None:
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS), confirm=True)
        await world.arm("http_error", call="get", code=code, times=None)
        for _ in range(2):  # the second look finds the batch left alone for a while, and says the same
            said = (await call(client, "check_status", job_id=job_id))["notice"]
            assert f"Gemini answered {code}" in said
            assert "Options: use the key and project it was made with" in said
            await world.advance(HOUR)


async def test_a_model_that_ends_while_the_job_may_run_is_told(world: World) -> None:
    world.time += 10 * 86_400
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS), model="gemini-2.5-flash", confirm=True)
        said = (await call(client, "check_status", job_id=job_id))["notice"]
        assert "ends on 2026-12-01" in said
        assert "gemini-3.5-flash-lite" in said
