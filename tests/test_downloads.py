"""A result file comes in pieces: what came before a connection broke, or a process died, is not fetched again."""

from pathlib import Path

import pytest

from genai_batch.server.settings import open_workspace
from genai_batch.tools.check_status import check_status
from genai_batch.tools.create_batch import create_batch
from tests.world import MODEL, World, finish, row

pytestmark = pytest.mark.anyio
ROWS = [row(f"k{n}", f"Prompt number {n}.") for n in range(60)]


async def broken_off(world: World) -> Path:
    """Collect a job until the connection breaks, and return what has come."""
    await world.arm("download_drop", call="download", at_byte=9_000)
    source = world.work / world.write("a.jsonl", ROWS)
    async with open_workspace(world.settings(), lambda: world.time) as workspace:  # no server that tries again
        job_id = (await create_batch(str(source), workspace, MODEL)).job_id
        for _ in range(20):
            if "broke off" in (await check_status(job_id, workspace)).model_dump().get("notice", ""):
                break
    [part] = (world.home / "jobs" / job_id).glob("results.*.part")
    assert part.stat().st_size == 9_000
    return part


async def end(world: World, part: Path) -> list[int]:
    """Come to the end in another process, with each row there once; return how the downloads were answered."""
    await world.advance(400)
    async with world.client() as client:
        assert (await finish(client, part.parent.name))["counts"] == {"ok": 60}
    lines = (part.parent / "results.jsonl").read_text().splitlines()
    assert (len(lines), len(set(lines))) == (60, 60)
    assert not list(part.parent.glob("*.part"))
    return [each["status"] for each in await world.calls(":download")]


async def test_a_download_goes_on_where_it_broke_off_in_whichever_process(world: World) -> None:
    assert await end(world, await broken_off(world)) == [200, 206]


async def test_a_server_that_knows_no_ranges_is_asked_for_all_and_nothing_comes_twice(world: World) -> None:
    part = await broken_off(world)
    await world.arm("no_ranges", call="download")
    assert await end(world, part) == [200, 200]


async def test_a_part_that_is_not_of_the_file_is_thrown_away(world: World) -> None:
    part = await broken_off(world)
    part.write_bytes(part.read_bytes()[:-100] + b"x" * 100)
    assert await end(world, part) == [200, 206, 200]


async def test_a_part_longer_than_the_file_is_thrown_away(world: World) -> None:
    part = await broken_off(world)
    part.write_bytes(b"x" * 1_000_000)
    assert await end(world, part) == [200, 416, 200]


async def test_a_part_that_is_all_of_the_file_is_not_fetched_again(world: World) -> None:
    part = await broken_off(world)
    [whole] = (world.home / "emulator" / "results").glob("*.jsonl")
    part.write_bytes(whole.read_bytes())
    assert await end(world, part) == [200]
