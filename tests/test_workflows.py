"""The seven workflows people bring, each from the file they would write to the answer they wanted."""

import csv
import json
from typing import Any

import anyio
import pytest
from mcp import Client

from tests.world import MODEL, World, call, finish, read, request, row, start

pytestmark = pytest.mark.anyio


async def results(client: Client, world: World, job_id: str) -> dict[str, dict[str, Any]]:
    """Every result of a finished job, by key, as an export gives them."""
    await call(client, "get_results", job_id=job_id, output_path=f"{job_id}.jsonl")
    lines = (world.work / f"{job_id}.jsonl").read_text().splitlines()
    return {found["key"]: found for found in map(json.loads, lines)}


async def test_basic_two_lines_written_by_hand(world: World) -> None:
    source = world.write(
        "requests.jsonl",
        '{"key": "req1", "request": {"contents": [{"parts": [{"text": "Explain photosynthesis in simple terms"}]}]}}\n'
        '{"key": "req2", "request": {"contents": [{"parts": [{"text": "What is gravity?"}]}]}}\n',
    )
    async with world.client() as client:
        job_id = await start(client, source, name="science-questions")
        assert (await finish(client, job_id))["name"] == "science-questions"
        await call(client, "get_results", job_id=job_id, output_path="results.jsonl")
    rows = [json.loads(line) for line in (world.work / "results.jsonl").read_text().splitlines()]
    assert [(line["key"], "photosynthesis" in line["text"]) for line in rows] == [("req1", True), ("req2", False)]


async def test_bulk_content_one_post_per_topic_saved_as_files(world: World) -> None:
    topics = ["sustainable energy", "AI in healthcare", "space exploration"]
    source = world.write(
        "posts.jsonl",
        [row(f"blog-{n}", f"Write a 500-word blog post about {topic}.") for n, topic in enumerate(topics)],
    )
    async with world.client() as client:
        job_id = await start(client, source, name="blog-posts")
        await finish(client, job_id)
        for key, found in (await results(client, world, job_id)).items():
            (world.work / f"{key}.md").write_text(found["text"])
    for number, topic in enumerate(topics):
        assert topic in (world.work / f"blog-{number}.md").read_text()


async def test_dataset_rows_a_description_joined_back_to_its_product(world: World) -> None:
    products = [
        {"product": "Laptop", "features": "fast, lightweight", "price": 999},
        {"product": "Headphones", "features": "wireless, noise-cancelling", "price": 199},
    ]
    rows = [
        {**row(str(item["product"]), f"Describe {item['product']}: {item['features']}."), **item} for item in products
    ]
    async with world.client() as client:
        job_id = await start(client, world.write("products.jsonl", rows))
        await finish(client, job_id)
        await call(client, "get_results", job_id=job_id, output_path="products.csv", format="csv")
    with (world.work / "products.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [(line["product"], line["price"], line["features"] in line["text"]) for line in table] == [
        ("Laptop", "999", True),
        ("Headphones", "199", True),
    ]


async def test_an_email_campaign_swaps_nobody(world: World) -> None:
    people = {"alice": "Pro", "bob": "Free", "carol": "Team", "dan": "Pro"}
    rows = [row(f"email-{name}", f"Write to {name}, who is on the {plan} plan.") for name, plan in people.items()]
    await world.arm("shuffle")
    async with world.client() as client:
        job_id = await start(client, world.write("campaign.jsonl", rows))
        await finish(client, job_id)
        for name, plan in people.items():
            mail = await read(client, f"batch://jobs/{job_id}/results/email-{name}")
            assert f"Write to {name}, who is on the {plan} plan." in mail["text"]


async def test_asynchronous_monitoring_a_large_file_started_and_left(world: World) -> None:
    await world.admin("POST", "/clock", {"freeze": True})
    await world.set(queue_s=60, run_s=600)
    async with world.client() as client:
        source = world.write("large.jsonl", [row(f"r{n}", f"Row {n}.") for n in range(2_000)])
        job_id = await start(client, source, confirm=True)
        seen: list[float] = []
        while True:
            await world.advance(60)
            with anyio.fail_after(30):
                status = await call(client, "check_status", job_id=job_id)
            seen.append(status["percent"])
            if status["state"] == "JOB_STATE_SUCCEEDED":
                break
            assert status["next"].startswith("check_status")
        assert len(seen) == 11
        assert seen == sorted(seen)
        assert status["counts"] == {"ok": 2_000}
        assert (await call(client, "get_results", job_id=job_id, keys=["r1999"]))["results"][0]["outcome"] == "ok"


async def test_cost_optimised_every_model_and_lane_is_priced_before_the_run_and_paid_after(world: World) -> None:
    source = world.write("a.jsonl", [row(f"k{n}", "Summarise the plot of Hamlet. " * 20) for n in range(10)])
    async with world.client() as client:
        models = (await read(client, "batch://models"))["models"]
        prices: dict[str, float] = {}
        for model in (line["model"] for line in models if line["kind"] == "text"):
            estimate = await call(client, "estimate_cost", source=source, model=model)
            prices[model] = estimate["cost_usd"]["likely"]
            assert estimate["other_lane"]["cost_usd"] == pytest.approx(2 * prices[model], rel=0.01)
        cheapest = min(prices, key=lambda model: prices[model])
        job_id = await start(client, source, model=cheapest)
        cost = (await finish(client, job_id))["cost_usd"]
        assert cost["estimate"] == pytest.approx(prices[cheapest])
        assert 0 < cost["actual"] < 1


async def test_multi_stage_each_stage_is_made_from_the_answers_before_it(world: World) -> None:
    topics = {"post-1": "tides", "post-2": "entropy"}
    async with world.client() as client:

        async def stage(name: str, rows: list[dict[str, Any]], model: str) -> dict[str, dict[str, Any]]:
            job_id = await start(client, world.write(f"{name}.jsonl", rows), model=model, name=name)
            assert (await finish(client, job_id))["counts"] == {"ok": len(rows)}
            return await results(client, world, job_id)

        posts = await stage("posts", [row(key, f"Write about {topic}.") for key, topic in topics.items()], MODEL)
        short = await stage("summaries", [row(key, f"Summarise: {post['text']}") for key, post in posts.items()], MODEL)
        spoken = await stage(
            "speech",
            [
                {"key": key, "request": request(found["text"], response_modalities=["AUDIO"])}
                for key, found in short.items()
            ],
            "gemini-3.8-flash-tts",
        )
        for key in topics:
            assert "Summarise: [emulator]" in short[key]["text"]
            sound = (await client.read_resource(spoken[key]["media"][0]["uri"])).contents[0]
            assert sound.mime_type == "audio/wav"
