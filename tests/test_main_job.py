"""The main job, from a file of requests to answers read by key, through a real MCP client."""

import json
from typing import Any

import anyio
import pytest
from mcp import MCPError
from mcp_types import ResourceTemplateReference

from tests.world import MODEL, Era, World, call, finish, read, refusal, row, start, text_of

pytestmark = pytest.mark.anyio
SOURCE = [row("req1", "Explain photosynthesis."), {**row("req2", "What is gravity?"), "subject": "physics"}]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_file_of_requests_becomes_answers_that_are_read_by_key(world: World, mode: Era) -> None:
    source = world.write("science.jsonl", SOURCE)
    async with world.client(mode) as client:
        estimate = await call(client, "estimate_cost", source=source, model=MODEL)
        assert (estimate["requests"], estimate["problem_count"], estimate["backend"]) == (2, 0, "emulator")
        job_id = await start(client, source, name="science-questions")
        status = await finish(client, job_id)
        assert (status["state"], status["counts"], status["done"]) == ("JOB_STATE_SUCCEEDED", {"ok": 2}, 2)
        page = await call(client, "get_results", job_id=job_id)
        assert [line["key"] for line in page["results"]] == ["req1", "req2"]
        result = await read(client, page["results"][1]["uri"])
        assert (result["key"], result["outcome"], result["finish_reason"]) == ("req2", "ok", "STOP")
        assert "gravity" in result["text"]
        assert result["usage"]["output_tokens"] > 0
        assert result["cost_usd"] > 0


async def test_every_answer_says_that_no_model_was_called(world: World) -> None:
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", SOURCE))
        await finish(client, job_id)
        for tool in ("check_status", "get_results"):
            assert "No model was called" in (await call(client, tool, job_id=job_id))["notice"]
        for uri in (f"batch://jobs/{job_id}", f"batch://jobs/{job_id}/results", f"batch://jobs/{job_id}/results/req1"):
            assert "No model was called" in (await read(client, uri))["notice"]


async def test_structured_content_and_text_say_the_same(world: World) -> None:
    source = world.write("a.jsonl", SOURCE)
    async with world.client() as client:
        job_id = await start(client, source)
        await finish(client, job_id)
        for tool, arguments in (
            ("estimate_cost", {"source": source, "model": MODEL}),
            ("get_results", {"job_id": job_id}),
            ("list_jobs", {}),
        ):
            reply = await client.call_tool(tool, arguments)
            assert json.loads(text_of(reply)) == reply.structured_content
            assert "next" in json.loads(text_of(reply))


async def test_the_same_content_asked_for_twice_is_the_same_job_unless_asked_again(world: World) -> None:
    first, copy = world.write("a.jsonl", SOURCE), world.write("copy.jsonl", SOURCE)
    async with world.client() as client:
        job_id = await start(client, first)
        same = await call(client, "create_batch", source=copy, model=MODEL)
        assert (same["job_id"], same["existing"]) == (job_id, True)
        other_model = await call(client, "create_batch", source=copy, model="gemini-3.5-flash-lite")
        anew = await call(client, "create_batch", source=copy, model=MODEL, again=True)
        assert len({job_id, other_model["job_id"], anew["job_id"]}) == 3
        assert "existing" not in anew
    assert [made["requests"] for made in await world.bill()] == [2, 2, 2]


async def test_progress_comes_from_the_rows_the_provider_has_finished(world: World) -> None:
    await world.admin("POST", "/clock", {"freeze": True})
    await world.set(queue_s=10, run_s=100)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", [row(f"k{n}") for n in range(10)]))
        seen: list[tuple[str, int, float]] = []
        for seconds in (1, 19, 50, 100):
            await world.advance(seconds)
            status = await call(client, "check_status", job_id=job_id)
            seen.append((status["state"].removeprefix("JOB_STATE_"), status["done"], status["percent"]))
    assert seen == [("PENDING", 0, 0), ("RUNNING", 1, 10), ("RUNNING", 6, 60), ("SUCCEEDED", 10, 100)]


async def test_a_waiting_call_reports_its_progress_and_ends_with_the_job(world: World) -> None:
    await world.set(queue_s=0.2, run_s=0.5)
    heard: list[tuple[float, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        assert progress <= (total or 0)
        heard.append((progress, message))

    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", [row(f"k{n}") for n in range(10)]))
        with anyio.fail_after(20):
            reply = await client.call_tool("check_status", {"job_id": job_id, "wait_s": 50}, progress_callback=hear)
    assert reply.structured_content
    assert reply.structured_content["state"] == "JOB_STATE_SUCCEEDED"
    assert [done for done, _ in heard] == sorted({done for done, _ in heard})
    assert any("RUNNING" in (message or "") for _, message in heard)


async def test_a_change_of_state_reaches_whoever_listens(world: World) -> None:
    await world.set(queue_s=0.3, run_s=0.3)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", SOURCE))
        uri = f"batch://jobs/{job_id}"
        with anyio.fail_after(20):
            async with client.listen(resource_subscriptions=[uri]) as events:
                async for event in events:
                    assert getattr(event, "uri", uri) == uri
                    if (await read(client, uri))["state"] == "JOB_STATE_SUCCEEDED":
                        break


@pytest.mark.filterwarnings("ignore:resources/subscribe")  # the client warns that hosts of today listen instead
async def test_a_host_of_the_older_protocol_hears_of_changes_too(world: World) -> None:
    await world.set(queue_s=0.3, run_s=0.3)
    heard = anyio.Event()

    async def hear(message: object) -> None:
        if getattr(message, "method", "") == "notifications/resources/updated":
            heard.set()

    async with world.client("legacy", message_handler=hear) as client:
        job_id = await start(client, world.write("a.jsonl", SOURCE))
        await client.subscribe_resource(f"batch://jobs/{job_id}")  # pyright: ignore[reportDeprecated] - of that protocol
        with anyio.fail_after(20):
            await heard.wait()


async def test_every_uri_that_an_answer_gives_can_be_read_back(world: World) -> None:
    keys = ["plain", "with space", "a/b/../c", "ü?#&%", "..", "/etc/passwd", "C:\\x", "a" * 200]
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", [row(key) for key in keys]))
        await finish(client, job_id)
        page = await call(client, "get_results", job_id=job_id, keys=keys)
        assert [(await read(client, line["uri"]))["key"] for line in page["results"]] == keys
        assert (await read(client, page["uri"]))["counts"] == {"ok": len(keys)}


async def test_pages_lead_to_the_next_and_together_hold_every_row_once(world: World) -> None:
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", [row(f"k{n}") for n in range(45)]))
        await finish(client, job_id)
        seen: list[str] = []
        uri: str | None = f"batch://jobs/{job_id}/results?limit=7"
        while uri:
            page = await read(client, uri)
            seen += [line["key"] for line in page["results"]]
            uri = page.get("next_uri")
        assert seen == [f"k{n}" for n in range(45)]
        by_tool: list[str] = []
        cursor = None
        while True:
            page = await call(client, "get_results", job_id=job_id, **({"cursor": cursor} if cursor else {}))
            by_tool += [line["key"] for line in page["results"]]
            if (cursor := page.get("next_cursor")) is None:
                break
        assert by_tool == seen


async def test_live_jobs_are_listed_as_resources_and_completed_by_id_and_key(world: World) -> None:
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", SOURCE))
        await finish(client, job_id)
        assert f"batch://jobs/{job_id}" in {str(each.uri) for each in (await client.list_resources()).resources}
        template = ResourceTemplateReference(type="ref/resource", uri="batch://jobs/{job_id}/results/{key}")
        ids = await client.complete(template, {"name": "job_id", "value": job_id[:6]})
        keys = await client.complete(template, {"name": "key", "value": "req"}, {"job_id": job_id})
        assert (ids.completion.values, keys.completion.values) == ([job_id], ["req1", "req2"])


async def test_an_export_joins_each_answer_with_the_fields_beside_its_request(world: World) -> None:
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", SOURCE))
        await finish(client, job_id)
        page = await call(client, "get_results", job_id=job_id, output_path="out.jsonl")
        rows = [json.loads(line) for line in (world.work / "out.jsonl").read_text().splitlines()]
        assert page["written"] == 2
        assert [(line["key"], line.get("subject"), line["outcome"]) for line in rows] == [
            ("req1", None, "ok"),
            ("req2", "physics", "ok"),
        ]
        assert "exists" in await refusal(client, "get_results", job_id=job_id, output_path="out.jsonl")
        await call(client, "get_results", job_id=job_id, output_path="out.csv", format="csv")
        assert (world.work / "out.csv").read_text().splitlines()[0].startswith("key,subject,outcome")


async def test_what_is_asked_for_wrongly_is_answered_with_the_right_way(world: World) -> None:
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", SOURCE))
        await finish(client, job_id)
        assert "Did you mean 'job_id'?" in await refusal(client, "check_status", jobid=job_id)
        assert job_id in await refusal(client, "check_status", job_id=job_id[:-1])
        assert "list_jobs" in await refusal(client, "check_status", job_id="nonsense")
        assert "'req1'" in await refusal(client, "get_results", job_id=job_id, keys=["req9"])
        assert "next_cursor" in await refusal(client, "get_results", job_id=job_id, cursor="?")
        with pytest.raises(MCPError, match="Unknown tool"):
            await client.call_tool("create_job", {})
        with pytest.raises(MCPError, match="Did you mean 'req"):
            await client.read_resource(f"batch://jobs/{job_id}/results/req")


async def test_results_of_a_job_under_way_are_refused_with_when_to_ask_again(world: World) -> None:
    await world.set(queue_s=1000)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", SOURCE))
        assert "check_status(wait_s=50)" in await refusal(client, "get_results", job_id=job_id)


async def test_a_job_is_stopped_and_stays_stopped(world: World) -> None:
    await world.set(queue_s=1000)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", SOURCE))
        assert (await call(client, "cancel_job", job_id=job_id))["state"] == "JOB_STATE_CANCELLED"
        assert (await call(client, "cancel_job", job_id=job_id))["state"] == "JOB_STATE_CANCELLED"
        status = await call(client, "check_status", job_id=job_id)
        assert status["counts"] == {"missing": 2}


async def test_small_jobs_go_inline_and_larger_ones_as_a_file(world: World) -> None:
    async with world.client() as client:
        await finish(client, await start(client, world.write("a.jsonl", [row(f"k{n}") for n in range(50)])))
        assert not await world.calls("upload")
        await finish(client, await start(client, world.write("b.jsonl", [row(f"k{n}") for n in range(51)])))
        assert len(await world.calls("/upload/v1/files")) == 1


async def test_a_batch_that_this_home_has_not_seen_is_adopted_by_its_name(world: World) -> None:
    async with world.client() as client:
        await finish(client, await start(client, world.write("a.jsonl", SOURCE)))
    name = (await world.bill())[0]["name"]
    async with world.client() as client:
        known = await call(client, "check_status", job_id=name)
        assert "Adopted" not in known["notice"]
    (world.home / "ledger.db").unlink()
    async with world.client() as client:
        status = await finish(client, (await call(client, "check_status", job_id=name))["job_id"])
        assert (status["counts"], "Adopted" in status["notice"]) == ({"ok": 2}, True)
        page = await call(client, "get_results", job_id=name)
        assert sorted(line["key"] for line in page["results"]) == ["req1", "req2"]
        assert "no batch" in await refusal(client, "check_status", job_id="batches/unknown")


async def test_a_job_outlives_the_server_that_started_it(world: World) -> None:
    await world.set(queue_s=0, run_s=1)
    source = world.write("a.jsonl", SOURCE)
    async with world.stdio() as client:
        job_id = await start(client, source)
    async with world.stdio() as client:
        assert (await call(client, "list_jobs"))["jobs"][0]["job_id"] == job_id
        assert (await finish(client, job_id))["counts"] == {"ok": 2}


@pytest.mark.parametrize("limits", [({"max_cost_usd": 0.00001}, {}), ({}, {"max_cost_usd": 0.00001})])
async def test_a_job_that_may_cost_too_much_is_refused_before_anything_is_sent(
    world: World, limits: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    of_the_server, of_the_call = limits
    source = world.write("a.jsonl", SOURCE)
    async with world.client(**of_the_server) as client:
        said = await refusal(client, "create_batch", source=source, model=MODEL, **of_the_call)
        assert "confirm=true" in said
        assert not (await call(client, "list_jobs"))["jobs"]
        assert not await world.calls()
        approved: dict[str, Any] = dict.fromkeys(of_the_call, 1.0)  # a limit that is stated holds, confirmed or not
        assert await start(client, source, **approved, confirm=True)
