"""Requests for any tool, from tables, folders and earlier jobs; nothing is sent, and a file is whole or absent."""

import json

import pytest

from tests.built import built, manifest, prompts, put
from tests.test_cli import answer, run
from tests.world import MODEL, World, call, finish, refusal, row, start

pytestmark = pytest.mark.anyio


async def test_the_stages_of_a_pipeline_carry_keys_and_columns_through(world: World) -> None:
    async with world.client() as client:
        topics = [{**row("a", "Write about tides."), "price": 3}, row("b", "Write about bees.")]
        posts = await start(client, world.write("posts.jsonl", topics))
        await finish(client, posts)
        short = await built(client, world, job_id=posts, prompt="Sum up: {{ text }}", model=MODEL)
        beside = [{name: each[name] for name in each if name != "request"} for each in short]
        assert beside == [{"key": "a", "price": 3}, {"key": "b"}]
        assert "Sum up: [emulator]" in prompts(short)["a"]
        summaries = await start(client, "built-0.jsonl")
        await finish(client, summaries)
        speech = "gemini-3.8-flash-tts"
        spoken = await built(
            client, world, job_id=summaries, prompt="{{ text }}", model=speech, fields={"voice": "Kore"}
        )
        assert [each["key"] for each in spoken] == ["a", "b"]
        last = await start(client, "built-1.jsonl", model=speech)
        assert (await finish(client, last))["counts"] == {"ok": 2}


async def test_only_rows_with_the_outcome_that_is_asked_for_are_taken(world: World) -> None:
    await world.arm("row", match={"key": "bad"}, outcome="blocked", finish_reason="SAFETY")
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", [row("good"), row("bad")]))
        await finish(client, job_id)
        assert list(prompts(await built(client, world, job_id=job_id, prompt="{{ key }}"))) == ["good"]
        again = await built(client, world, job_id=job_id, prompt="Softer: {{ key }}", fields={"outcome": "blocked"})
        assert prompts(again) == {"bad": "Softer: bad"}
        both = await built(client, world, job_id=job_id, prompt="{{ outcome }}", fields={"outcome": "any"})
        assert prompts(both) == {"good": "ok", "bad": "blocked"}


async def test_a_structured_answer_is_read_by_its_fields(world: World) -> None:
    schema = {"type": "OBJECT", "properties": {"title": {"type": "STRING"}}, "required": ["title"]}
    async with world.client() as client:
        job_id = await start(client, manifest(world, schema=schema, items=[{"id": "a", "prompt": "Name it."}]))
        await finish(client, job_id)
        made = await built(client, world, job_id=job_id, prompt="A cover for {{ json.title }}.")
        assert prompts(made)["a"].startswith("A cover for ")
        answer = await refusal(client, "build_requests", output_path="x.jsonl", job_id=job_id, prompt="{{ json.nope }}")
        assert "no attribute 'nope'" in answer


async def test_a_picture_that_was_made_is_looked_at_in_the_next_stage(world: World) -> None:
    async with world.client() as client:
        drawn = await start(client, world.write("a.jsonl", [row("a", "A mug.")]), model="gemini-3.1-flash-image")
        await finish(client, drawn)
        made = await built(client, world, job_id=drawn, prompt="What is wrong with it?", model=MODEL)
        assert (await finish(client, await start(client, "built-0.jsonl")))["counts"] == {"ok": 1}
    parts = made[0]["request"]["contents"][0]["parts"]
    assert parts[0]["inlineData"]["mimeType"] == "image/png"
    assert parts[-1] == {"text": "What is wrong with it?"}


async def test_a_job_under_way_is_not_built_from(world: World) -> None:
    await world.set(queue_s=1_000)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", [row("a")]))
        answer = await refusal(client, "build_requests", output_path="x.jsonl", job_id=job_id, prompt="{{ text }}")
    assert "its results come all at once" in answer


async def test_what_could_not_be_sent_is_not_written(world: World) -> None:
    put(world, {"t.csv": "id,t\na,hot\n", "there.jsonl": "mine\n"})
    async with world.client() as client:
        fields = {"media_resolution": "HUGE"}
        answer = await refusal(
            client, "build_requests", output_path="a.jsonl", data="t.csv", prompt="x", model=MODEL, fields=fields
        )
        assert "no such media_resolution" in answer
        answer = await refusal(client, "build_requests", output_path="there.jsonl", data="t.csv", prompt="x")
        assert "exists and is not replaced" in answer
        assert "lies outside" in await refusal(
            client, "build_requests", output_path="../a.jsonl", data="t.csv", prompt="x"
        )
    assert sorted(path.name for path in world.work.iterdir()) == ["t.csv", "there.jsonl"]
    assert (world.work / "there.jsonl").read_text() == "mine\n"


async def test_the_answer_is_short_and_nothing_is_sent(world: World) -> None:
    put(world, {f"in/{'long' * 30}{n}.txt": "" for n in range(200)} | {"in/a.txt": "Words."})
    async with world.client() as client:
        reply = await client.call_tool("build_requests", {"output_path": "a.jsonl", "folder": "in", "prompt": "x"})
        assert await world.calls() == []
    assert len(json.dumps(reply.structured_content)) <= 2_000
    assert reply.structured_content
    assert reply.structured_content["warning_count"] == 200


async def test_the_command_line_builds_and_prints_the_schema(world: World) -> None:
    put(world, {"t.csv": "id,what\na,tides\n"})
    built_ = run(
        world,
        "build",
        "t.csv",
        "--prompt",
        "On {{ what }}.",
        "--set",
        "temperature=0.5",
        "--output",
        "a.jsonl",
        "--json",
    )
    assert (built_.returncode, answer(built_)["requests"]) == (0, 1)
    made = json.loads((world.work / "a.jsonl").read_text())
    assert made["request"]["generationConfig"] == {"temperature": 0.5}
    assert "items" in json.loads(run(world, "build", "--schema").stdout)["properties"]
    bad = run(world, "build", "t.csv", "--prompt", "{{ nope }}", "--output", "b.jsonl")
    assert (bad.returncode, "'nope' is undefined" in bad.stderr) == (2, True)


async def test_a_pilot_runs_some_rows_of_a_manifest(world: World) -> None:
    source = manifest(
        world, items=[{"id": f"i{n}", "prompt": f"Item {n}.", "max_output_tokens": 2_000} for n in range(30)]
    )
    async with world.client() as client:
        told = await call(client, "estimate_cost", source=source, pilot=10)
        assert (told["requests"], told["pilot"]["rows"]) == (30, 10)
        assert (await call(client, "create_batch", source=source))["requests"] == 30


async def test_what_is_wrong_with_a_row_names_its_key_once(world: World) -> None:
    put(world, {"in/a.txt": "Words.", "in/b.txt": "Words."})
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", [row("k0")]))
        await finish(client, job_id)
        stages = [{"name": "one", "job_id": job_id, "prompt": "{{ nope }}"}]
        for answer in (
            await refusal(client, "build_requests", output_path="x.jsonl", job_id=job_id, prompt="{{ nope }}"),
            await refusal(client, "create_batch", source=manifest(world, stages=stages)),
        ):
            assert answer.count("k0") == 1, answer
        answer = await refusal(client, "build_requests", output_path="x.jsonl", folder="in", prompt="{{ nope }}")
        assert answer.count("a.txt") == 1, answer
        twice = [{"id": "k1", "prompt": "x"}, {"id": "k1", "prompt": "y"}]
        assert (await refusal(client, "estimate_cost", source=manifest(world, items=twice))).count("k1") == 1
