"""Results are read as resources: every address leads somewhere, pages are bounded, and nothing stale is given."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from mcp import Client, MCPError
from mcp_types import INVALID_PARAMS, ListResourcesResult, ResourceTemplateReference

from genai_batch.resources import uris
from genai_batch.resources.jobs import Job
from genai_batch.resources.ledger import Ledger
from genai_batch.resources.opened import OpenResults
from genai_batch.server.listing import MOST
from tests.crawling import crawl
from tests.world import Era, World, call, finish, read, refusal, row, start, text_of

pytestmark = pytest.mark.anyio
ROWS = [row(f"k{n}", f"Prompt number {n}.", max_output_tokens=2_000) for n in range(60)]


async def mixed(world: World, client: Client) -> str:
    """A finished job of 60 rows, 12 of which are not ok in several ways."""
    await world.arm("row", match={"key": "^k[1-9]$"}, outcome="error", code=429, message="Quota exceeded for rows.")
    await world.arm("row", match={"key": "^k2[0-1]$"}, outcome="blocked")
    await world.arm("row", match={"key": "^k30$"}, outcome="max_tokens")
    job_id = await start(client, world.write("mixed.jsonl", ROWS))
    await finish(client, job_id)
    return job_id


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_whatever_is_listed_or_named_by_a_page_can_be_read(world: World, mode: Era) -> None:
    pictures = [row(f"p{n}", "A red square.", response_modalities=["TEXT", "IMAGE"]) for n in range(3)]
    async with world.client(mode) as client:
        job_id = await mixed(world, client)
        await finish(client, await start(client, world.write("b.jsonl", pictures), model="gemini-nano-banana-2.1"))
        found = await crawl(client)
        listed = {str(each.uri) for each in (await client.list_resources()).resources}
    assert listed - {uris.MODELS} <= set(found)
    assert {uris.result(job_id, line["key"]) for line in ROWS} <= set(found)
    assert sum("/media/" in uri for uri in found) == 3


async def test_the_recent_jobs_are_listed_page_by_page_up_to_a_bound(world: World) -> None:
    async with world.client() as client:
        made = Job.model_validate(await _any_job(world, client))
        ledger = Ledger(world.home)
        for n in range(MOST + 10):
            changes = {"id": f"job_{n:016}", "name": f"job {n}", "created_at": world.time + n}
            ledger.record(made.model_copy(update=changes), [], again=True)
        ledger.close()
        pages = [await client.list_resources()]
        while cursor := pages[-1].next_cursor:
            pages.append(await client.list_resources(cursor=cursor))
        jobs = [each for page in pages for each in _jobs(page)]
        assert (len(jobs), len(set(jobs))) == (MOST, MOST)
        assert all(len(page.model_dump_json().encode()) <= 40_000 for page in pages)
        for wrong in ("nonsense", "20:job_none", "99999:x"):
            with pytest.raises(MCPError) as caught:
                await client.list_resources(cursor=wrong)
            assert caught.value.code == INVALID_PARAMS


def _jobs(page: ListResourcesResult) -> list[str]:
    return [str(each.uri) for each in page.resources if str(each.uri).count("/") == 3 and "job_" in str(each.uri)]


async def _any_job(world: World, client: Client) -> dict[str, Any]:
    job_id = await start(client, world.write("one.jsonl", [row("a")]))
    await finish(client, job_id)
    ledger = Ledger(world.home)
    job = ledger.job(job_id).model_dump()
    ledger.close()
    return job


async def test_what_nothing_changes_any_more_may_be_kept_and_all_else_is_asked_for_again(world: World) -> None:
    await world.set(queue_s=1000)
    async with world.client() as client:
        running = await start(client, world.write("running.jsonl", ROWS[:5]))
        assert (await client.read_resource(uris.job(running))).ttl_ms == 0
        await world.set(queue_s=0)
        job_id = await mixed(world, client)
        kept = {key: await client.read_resource(uris.result(job_id, key)) for key in ("k0", "k3", "k0")}
        assert (kept["k0"].cache_scope, kept["k0"].ttl_ms or 0) > ("private", 60_000)
        assert kept["k3"].ttl_ms == (await client.read_resource(uris.results(job_id))).ttl_ms == 0
        fine = await start(client, world.write("fine.jsonl", ROWS[10:15]))
        await finish(client, fine)
        for uri in (uris.job(fine), uris.results(fine), uris.report(fine), uris.result(fine, "k11")):
            assert ((await client.read_resource(uri)).ttl_ms or 0) > 60_000, uri


async def test_rows_sent_again_are_read_as_they_are_now(world: World) -> None:
    await world.arm("row", match={"key": "^k[1-3]$"}, times=1, outcome="error", code=13)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await finish(client, job_id)
        uri = uris.result(job_id, "k2")
        assert [(await read(client, uri))["outcome"] for _ in range(2)] == ["error", "error"]
        await call(client, "resume_job", job_id=job_id)
        await finish(client, job_id)
        assert [(await read(client, uri))["outcome"] for _ in range(2)] == ["ok", "ok"]
        assert (await read(client, uris.results(job_id)))["counts"] == {"ok": 60}


async def test_keys_are_looked_at_by_outcome_too_and_go_with_no_cursor(world: World) -> None:
    await world.arm("row", match={"key": "^k[1-3]$"}, outcome="error", code=13)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await finish(client, job_id)
        for wanted, keys in (("error", ["k2"]), ("not_ok", ["k2"]), ("ok", ["k7"]), (None, ["k2", "k7"])):
            page = await call(client, "get_results", job_id=job_id, keys=["k2", "k7"], outcome=wanted)
            assert [each["key"] for each in page["results"]] == keys
        assert "give one of them" in await refusal(client, "get_results", job_id=job_id, keys=["k2"], cursor="1")


async def test_an_index_that_is_deleted_or_torn_while_it_is_open_is_made_again(world: World) -> None:
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await finish(client, job_id)
        uri = uris.result(job_id, "k2")
        first = await client.read_resource(uri, cache_mode="bypass")
        index = world.home / "jobs" / job_id / "results.db"
        whole = index.read_bytes()
        torn = [b"torn", whole[:5_000], whole[:8_192] + b"\xff" * (len(whole) - 8_192)]
        for damage in (index.unlink, *(lambda bytes_=bytes_: index.write_bytes(bytes_) for bytes_ in torn)):
            damage()
            for _ in range(2):
                again = await client.read_resource(uri, cache_mode="bypass")
                assert again.contents == first.contents
            assert (await call(client, "get_results", job_id=job_id, keys=["k59"]))["results"][0]["outcome"] == "ok"


async def test_many_threads_read_in_more_jobs_than_are_kept_open(world: World) -> None:
    ids: list[str] = []
    async with world.client() as client:
        for n in range(4):
            ids.append(await start(client, world.write(f"{n}.jsonl", [row(f"k{i}", f"{n}/{i}") for i in range(20)])))
            await finish(client, ids[-1])
    ledger = Ledger(world.home)
    jobs = [ledger.job(job_id) for job_id in ids]
    ledger.close()
    opened = OpenResults(world.home, limit=2)

    def look(n: int) -> bool:
        job, key = jobs[n % 4], f"k{n % 20}"

        found = opened.read(job, lambda results: results.result(results.entry(key)))
        return f'"{n % 4}/{n % 20}"' in (found.text or "")

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(look, range(2_000)))
    opened.close()
    (world.home / "jobs").rename(world.home / "elsewhere")
    shutil.rmtree(world.home / "elsewhere")


async def test_hosts_of_both_eras_hear_when_a_job_appears_and_when_its_results_do(world: World) -> None:
    await world.set(queue_s=0.2, run_s=0.2)
    heard = [anyio.Event(), anyio.Event()]

    async def hear(message: object) -> None:
        if getattr(message, "method", "") == "notifications/resources/list_changed":
            heard[heard[0].is_set()].set()

    async with world.client("legacy", message_handler=hear) as older, world.client() as newer:
        assert older.server_capabilities.resources
        assert older.server_capabilities.resources.list_changed
        with anyio.fail_after(20):
            async with newer.listen(resources_list_changed=True) as events:
                job_id = await start(newer, world.write("a.jsonl", ROWS[:3]))
                async for _ in events:
                    if uris.results(job_id) in {str(each.uri) for each in (await newer.list_resources()).resources}:
                        break
            await heard[1].wait()


async def test_outcomes_and_keys_are_completed_as_the_job_has_them(world: World) -> None:
    async with world.client() as client:
        job_id = await mixed(world, client)
        pages, one = (ResourceTemplateReference(type="ref/resource", uri=uri) for uri in (uris.RESULTS, uris.RESULT))
        given = {"job_id": job_id}
        there = await client.complete(pages, {"name": "outcome", "value": ""}, given)
        assert sorted(there.completion.values) == ["blocked", "error", "ok", "truncated"]
        keys = await client.complete(one, {"name": "key", "value": "k2"}, given)
        assert sorted(keys.completion.values) == sorted(["k2", *(f"k2{n}" for n in range(10))])
        assert not (await client.complete(one, {"name": "key", "value": "k2"}, {"job_id": "none"})).completion.values


async def test_everything_that_failed_is_one_question_and_each_message_is_said_once(world: World) -> None:
    async with world.client() as client:
        job_id = await mixed(world, client)
        page = await call(client, "get_results", job_id=job_id, outcome="not_ok")
        lines = page["results"]
        assert [line["key"] for line in lines] == [*(f"k{n}" for n in range(1, 10)), "k20", "k21", "k30"][: len(lines)]
        assert len(lines) >= 9
        assert [line["error"].get("message") for line in lines[:9]] == ["Quota exceeded for rows.", *[None] * 8]
        assert {line["error"]["code"] for line in lines[:9]} == {429}
        whole = await read(client, uris.results(job_id, outcome="not_ok", limit=200))
        assert (len(whole["results"]), "next_uri" in whole) == (12, False)
        seen: list[str] = []
        uri: str | None = uris.results(job_id, outcome="not_ok", limit=5)
        while uri:
            part = await read(client, uri)
            seen += [line["key"] for line in part["results"]]
            uri = part.get("next_uri")
        assert seen == [line["key"] for line in whole["results"]]
        assert page["cost_usd"]["actual"] == (await call(client, "check_status", job_id=job_id))["cost_usd"]["actual"]
        page = await call(client, "get_results", job_id=job_id, outcome="not_ok", output_path="x")
        assert page["written"] == sum(count for outcome, count in page["counts"].items() if outcome != "ok")


@pytest.mark.parametrize("letter", ["x", "字", "\u202e", "🙂", '"'])
async def test_a_page_of_long_keys_and_texts_in_any_script_has_room_for_a_row_and_no_more_than_2_kb(
    world: World, letter: str
) -> None:
    width = (250 // len(letter.encode())) * letter
    await world.arm("row", outcome="ok", text=letter * 3_000)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", [row(f"{n:02}{width}") for n in range(4)]))
        await finish(client, job_id)
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            reply = await client.call_tool("get_results", {"job_id": job_id, **cursor})
            assert len(text_of(reply).encode()) <= 2_000
            page = json.loads(text_of(reply))
            seen += [line["key"] for line in page["results"]]
            if not page.get("next_cursor"):
                break
            cursor = {"cursor": page["next_cursor"]}
        assert seen == [f"{n:02}{width}" for n in range(4)]
        whole = (await call(client, "get_results", job_id=job_id, keys=seen[:1]))["results"][0]
        assert whole["text"] == letter * 3_000


@pytest.mark.parametrize("letter", ["x", "字", "🙂", "\u202e"])
async def test_a_text_is_cut_by_the_bytes_it_takes_so_that_a_page_holds_as_many_rows_in_any_script(
    world: World, letter: str
) -> None:
    await world.arm("row", outcome="ok", text=letter * 3_000)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS[:10]))
        await finish(client, job_id)
        page = await call(client, "get_results", job_id=job_id)
        assert len(page["results"]) == 4
        assert all(line["text"].endswith("…") for line in page["results"])
