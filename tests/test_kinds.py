"""Vectors, pictures and speech in both lanes, from files a user would write."""

import json
import wave
from typing import Any

import pytest
from PIL import Image

from genai_batch.resources import jobs
from tests.built import manifest, picture, put
from tests.world import World, call, finish, refusal

pytestmark = [pytest.mark.anyio]
VECTORS, PICTURES, SPEECH = "gemini-embedding-2", "gemini-3.1-flash-image", "gemini-3.8-flash-tts"
both_lanes = pytest.mark.parametrize("lane", ["batch", "live"])


async def run(world: World, source: str, lane: str, **more: Any) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Run a source to its end into a folder named by the lane: how it ended, and its rows by key."""
    async with world.client() as client:
        job = await call(client, "create_batch", source=source, lane=lane, **more)
        status = await finish(client, job["job_id"])
        await call(client, "get_results", job_id=job["job_id"], output_path=f"{lane}/")
    rows = map(json.loads, (world.work / lane / "results.jsonl").read_text().splitlines())
    return status, {row["key"]: row for row in rows}


def vector(row: dict[str, Any]) -> list[float]:
    return row["response"]["response"]["embedding"]["values"]


def sent_of(world: World, job_id: str) -> dict[str, Any]:
    lines = jobs.requests_file(world.home, job_id).read_text().splitlines()
    return {line["key"]: line["request"] for line in map(json.loads, lines)}


@both_lanes
async def test_texts_of_a_table_become_vectors_of_the_size_asked_for(world: World, lane: str) -> None:
    put(world, {"notes.csv": "id,text\na,The tide comes in.\nb,Bees sleep at night.\n"})
    source = manifest(world, model=VECTORS, data="notes.csv", key="id", task_type="CLUSTERING", output_dimensionality=8)
    status, rows = await run(world, source, lane)
    assert status["counts"] == {"ok": 2}
    assert status["cost_usd"]["actual"] > 0
    assert [len(vector(rows[key])) for key in ("a", "b")] == [8, 8]
    asked = {"content": {"parts": [{"text": "The tide comes in."}]}, "taskType": "CLUSTERING"}
    assert sent_of(world, status["job_id"])["a"] == {**asked, "outputDimensionality": 8}


async def test_a_vector_is_the_same_in_both_lanes_and_costs_twice_as_much_live(world: World) -> None:
    items = [{"id": "a", "prompt": "A sea."}, {"id": "b", "contents": ["A shore."]}]
    source = manifest(world, model=VECTORS, items=items)
    batch, slow = await run(world, source, "batch")
    live, quick = await run(world, source, "live")
    assert {key: vector(row) for key, row in slow.items()} == {key: vector(row) for key, row in quick.items()}
    assert live["cost_usd"]["actual"] == pytest.approx(2 * batch["cost_usd"]["actual"])


async def test_a_folder_of_notes_and_pictures_becomes_vectors(world: World) -> None:
    put(world, {"notes/a.md": "The tide comes in.", "notes/b/c.png": picture()})
    status, rows = await run(world, manifest(world, model=VECTORS, folder="notes"), "live")
    asked = sent_of(world, status["job_id"])
    assert status["counts"] == {"ok": 2}
    assert asked["a.md"] == {"content": {"parts": [{"text": "The tide comes in."}]}}
    assert asked["b/c.png"]["content"]["parts"][0]["inlineData"]["mimeType"] == "image/png"
    assert all(len(vector(row)) == 3072 for row in rows.values())


async def test_an_embedding_is_of_one_content(world: World) -> None:
    source = manifest(world, model=VECTORS, items=[{"id": "a", "contents": ["A sea.", "A shore."]}])
    async with world.client() as client:
        assert "make an item of each" in await refusal(client, "create_batch", source=source)


@both_lanes
async def test_blog_images_lie_at_the_paths_that_were_given(world: World, lane: str) -> None:
    items = [{"id": "tides", "prompt": "A tide.", "output": "blog/2026/tides.png"},
             {"id": "bees", "prompt": "Bees.", "output": "bees"}]  # fmt: skip
    status, rows = await run(world, manifest(world, model=PICTURES, items=items, aspect_ratio="16:9"), lane)
    assert status["counts"] == {"ok": 2}
    assert {key: row["media"][0]["path"] for key, row in rows.items()} == {
        "tides": "blog/2026/tides.png", "bees": "bees.png",
    }  # fmt: skip
    for path in ("blog/2026/tides.png", "bees.png"):
        with Image.open(world.work / lane / path) as shown:
            shown.load()


@both_lanes
async def test_social_sets_are_one_picture_for_each_format(world: World, lane: str) -> None:
    sizes = {"story": "9:16", "post": "1:1", "banner": "4:1"}
    items = [{"id": each, "aspect_ratio": ratio, "output": f"sale/{each}"} for each, ratio in sizes.items()]
    status, rows = await run(world, manifest(world, model=PICTURES, prompt="Spring sale.", items=items), lane)
    asked = sent_of(world, status["job_id"])
    assert {key: line["generationConfig"]["imageConfig"]["aspectRatio"] for key, line in asked.items()} == sizes
    assert {row["media"][0]["path"] for row in rows.values()} == {f"sale/{each}.png" for each in sizes}


@both_lanes
async def test_speech_with_a_voice_becomes_a_wav_file(world: World, lane: str) -> None:
    put(world, {"script.csv": "id,line\none,The tide comes in.\ntwo,And goes.\n"})
    source = manifest(
        world, model=SPEECH, data="script.csv", key="id", prompt="Say calmly: {{ line }}", voice="Kore",
        output="spoken/{{ id }}.wav",
    )  # fmt: skip
    status, _ = await run(world, source, lane)
    assert status["counts"] == {"ok": 2}
    for name in ("one", "two"):
        with wave.open(str(world.work / lane / "spoken" / f"{name}.wav")) as sound:
            assert (sound.getframerate(), sound.getnframes()) == (24_000, 6_000)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a system instruction for speech": ({"model": SPEECH, "system": "Be calm."}, "write it into the text"),
    "a picture to be read aloud": ({"model": SPEECH, "files": ["a.png"]}, "send the text"),
    "tools for speech": ({"model": SPEECH, "tools": [{"google_search": {}}]}, "remove it"),
    "several candidates": ({"model": PICTURES, "candidate_count": 2}, "under keys of their own"),
    "a model of streams": ({"model": "gemini-3.8-flash-live"}, "it answers a live stream"),
    "a model of videos": ({"model": "veo-3.1"}, "video models are called one at a time"),
}


@both_lanes
@pytest.mark.parametrize("case", REFUSED)
async def test_what_gemini_does_not_allow_is_refused_with_what_to_do(world: World, case: str, lane: str) -> None:
    fields, said = REFUSED[case]
    put(world, {"a.png": picture()})
    source = manifest(world, **{"items": [{"id": "a", "prompt": "Hello."}], **fields})
    async with world.client() as client:
        assert said in await refusal(client, "create_batch", source=source, lane=lane)
    assert await world.calls("models/") == []
