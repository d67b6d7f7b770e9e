"""A manifest says it all: what to ask, of what, with which settings, and where each answer goes."""

import json
from typing import Any

import jsonschema_rs
import pytest

from genai_batch.resources.sources.manifest import schema
from tests.built import built, manifest, picture, prompts, put
from tests.world import MODEL, World, call, finish, refusal

pytestmark = pytest.mark.anyio


async def run(world: World, source: str, **arguments: Any) -> dict[str, dict[str, Any]]:
    """Run a source to its end into the folder `out`, and read its rows by key."""
    async with world.client() as client:
        job = await call(client, "create_batch", source=source, **arguments)
        assert (await finish(client, job["job_id"]))["state"] == "JOB_STATE_SUCCEEDED"
        await call(client, "get_results", job_id=job["job_id"], output_path="out/")
    rows = map(json.loads, (world.work / "out" / "results.jsonl").read_text().splitlines())
    return {row["key"]: row for row in rows}


async def test_blog_images_at_given_paths(world: World) -> None:
    put(
        world,
        {"titles.csv": "slug,title,path\ntides,How tides work,blog/2026/tides.png\nbees,Bees at night,bees.png\n"},
    )
    source = manifest(
        world, model="gemini-3.1-flash-image", data="titles.csv", key="slug",
        prompt="A cover for: {{ title }}", output="{{ path }}", aspect_ratio="16:9",
    )  # fmt: skip
    rows = await run(world, source)
    assert {key: row["title"] for key, row in rows.items()} == {"tides": "How tides work", "bees": "Bees at night"}
    assert (world.work / "out/blog/2026/tides.png").read_bytes().startswith(b"\x89PNG")
    assert (world.work / "out/bees.png").exists()


async def test_a_catalogue_re_shoot_mirrors_its_folders(world: World) -> None:
    put(
        world, {"photos/mugs/a.png": picture(), "photos/mugs/b.JPG": picture("blue", "JPEG"), "photos/c.png": picture()}
    )
    source = manifest(
        world, model="gemini-3.1-flash-image", folder="photos", prompt="On white.", output="new/{{ path }}"
    )
    rows = await run(world, source)
    assert set(rows) == {"mugs/a.png", "mugs/b.JPG", "c.png"}
    assert {row["media"][0]["path"] for row in rows.values()} == {"new/mugs/a.png", "new/mugs/b.png", "new/c.png"}


async def test_social_sets_one_idea_in_several_formats(world: World) -> None:
    sizes = [{"id": "story", "aspect_ratio": "9:16"}, {"id": "post", "aspect_ratio": "1:1", "image_size": "2K"}]
    source = manifest(world, model="gemini-3.1-flash-image", prompt="Spring sale.", items=sizes)
    async with world.client() as client:
        rows = await built(client, world, data=source)
    assert prompts(rows) == {"story": "Spring sale.", "post": "Spring sale."}
    assert [row["request"]["generationConfig"]["imageConfig"] for row in rows] == [
        {"aspectRatio": "9:16"},
        {"aspectRatio": "1:1", "imageSize": "2K"},
    ]


async def test_localisation_one_text_in_many_languages(world: World) -> None:
    source = world.write(
        "job.yaml",
        f"model: {MODEL}\ndefaults:\n  text: Free delivery\n  prompt: 'Into {{{{ language }}}}: {{{{ text }}}}'\n"
        "items:\n  - {id: no, language: Norwegian}\n  - {id: de, language: German}\n",
    )
    rows = await run(world, source)
    assert list(rows) == ["no", "de"], "Norway is not False"
    assert "Into Norwegian: Free delivery" in rows["no"]["text"]
    assert (rows["de"]["language"], rows["de"]["source_text"]) == ("German", "Free delivery")


async def test_variants_have_a_seed_a_key_and_a_path_each(world: World) -> None:
    source = manifest(world, items=[{"id": "ad", "prompt": "An ad.", "count": 3, "output": "ads/ad.md", "team": "x"}])
    async with world.client() as client:
        rows = await built(client, world, data=source)
    assert [(row["key"], row["request"]["generationConfig"]["seed"], row["output"]) for row in rows] == [
        ("ad-1", 1, "ads/ad-1.md"), ("ad-2", 2, "ads/ad-2.md"), ("ad-3", 3, "ads/ad-3.md"),
    ]  # fmt: skip
    assert {(row["variant_of"], row["team"]) for row in rows} == {("ad", "x")}


async def test_settings_by_friendly_names_become_those_of_gemini(world: World) -> None:
    put(world, {"a.png": picture(), "note.txt": "A note."})
    whole = {
        "id": "a", "prompt": "Look.", "system": "Be brief.", "images": "a.png",
        "files": ["note.txt", "https://x.example/b.pdf"], "temperature": 1, "max_output_tokens": 9000,
        "thinking_level": "low",
        "schema": {"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}}}, "generation_config": {"top_p": 0.5},
    }  # fmt: skip
    async with world.client() as client:
        request = (await built(client, world, data=manifest(world, items=[whole])))[0]["request"]
    parts = request["contents"][0]["parts"]
    assert [next(iter(part)) for part in parts] == ["inlineData", "text", "fileData", "text"]
    assert (parts[1]["text"], parts[2]["fileData"]["mimeType"]) == ("A note.", "application/pdf")
    assert request["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert request["generationConfig"] == {
        "temperature": 1, "maxOutputTokens": 9000, "responseSchema": whole["schema"],
        "responseMimeType": "application/json", "thinkingConfig": {"thinkingLevel": "low"}, "top_p": 0.5,
    }  # fmt: skip


async def test_speech_and_embeddings_get_the_form_of_their_models(world: World) -> None:
    spoken = manifest(world, model="gemini-3.8-flash-tts", voice="Kore", items=[{"id": "a", "prompt": "Hello."}])
    async with world.client() as client:
        settings = (await built(client, world, data=spoken))[0]["request"]["generationConfig"]
        assert settings["responseModalities"] == ["AUDIO"]
        assert settings["speechConfig"] == {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}}
        vector = manifest(world, model="gemini-embedding-2", items=[{"id": "a", "prompt": "Hello."}])
        assert (await built(client, world, data=vector))[0]["request"] == {"content": {"parts": [{"text": "Hello."}]}}


async def test_a_manifest_of_the_skill_is_accepted_and_what_gemini_cannot_do_is_told(world: World) -> None:
    skill = {
        "defaults": {"aspectRatio": "16:9"},
        "jobs": [
            {"id": "hero", "prompt": "A hero.", "negativePrompt": "text", "count": 2, "imageUrls": ["https://x.example/a.png"]},
            {"id": "team", "prompt": "A team.", "duration": 5},
        ],
    }  # fmt: skip
    source = world.write("skill.json", json.dumps(skill))
    async with world.client() as client:
        answer = await call(
            client, "build_requests", output_path="a.jsonl", data=source, model="gemini-3.1-flash-image"
        )
    rows = [json.loads(line) for line in (world.work / "a.jsonl").read_text().splitlines()]
    assert [row["key"] for row in rows] == ["hero-1", "hero-2", "team"]
    assert rows[0]["request"]["contents"][0]["parts"][0]["fileData"]["fileUri"] == "https://x.example/a.png"
    assert rows[2]["request"]["generationConfig"]["imageConfig"] == {"aspectRatio": "16:9"}
    told = " ".join(each["problem"] for each in answer["warnings"])
    assert "'negativePrompt' is not sent" in told
    assert "'duration' is not sent" in told


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no id": ({"items": [{"prompt": "x"}]}, "items[0]: has no id"),
    "no prompt": ({"items": [{"id": "a"}]}, "items[0]: has no prompt"),
    "a repeated id": ({"items": [{"id": "a", "prompt": "x"}] * 2}, "items[1]: repeats the key of items[0]"),
    "an item that is text": ({"items": ["x"]}, "items[0]: is a string"),
    "a wrong number": ({"items": [{"id": "a", "prompt": "x", "temperature": "hot"}]}, "temperature: Input should be"),
    "an unknown field": ({"promt": "x", "data": "a.csv"}, "unknown field 'promt' Fix: did you mean 'prompt'?"),
    "two sources": ({"data": "a.csv", "folder": "b"}, "has data and folder"),
    "no source": ({"prompt": "x"}, "has no items"),
    "an output that leaves": ({"items": [{"id": "a", "prompt": "x", "output": "../a"}]}, "it leaves the folder"),
    "an absolute output": ({"items": [{"id": "a", "prompt": "x", "output": "/etc/a"}]}, "it leaves the folder"),
    "outputs that are one": (
        {"items": [{"id": "a", "prompt": "x", "output": "A.md"}, {"id": "b", "prompt": "x", "output": "a.MD"}]},
        "output 'a.MD' is that of items[0]",
    ),
    "a missing file": ({"items": [{"id": "a", "prompt": "x", "files": ["no.png"]}]}, "file 'no.png' cannot be read"),
    "a file outside": ({"items": [{"id": "a", "prompt": "x", "files": ["/etc/passwd"]}]}, "lies outside"),
    "two models": (
        {"model": None, "prompt": "x", "items": [{"id": "a", "model": "m1"}, {"id": "b", "model": "m2"}]},
        "stage 'm2': No model 'm2'",
    ),
    "another lane": ({"lane": "fast", "items": [{"id": "a", "prompt": "x"}]}, "lane: "),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
async def test_what_is_wrong_is_named_with_its_item(world: World, case: str) -> None:
    fields, said = WRONG[case]
    async with world.client() as client:
        answer = await refusal(client, "create_batch", source=manifest(world, **fields))
    assert said in answer
    assert "othing was sent" in answer
    assert await world.bill() == []


async def test_all_problems_are_counted_and_twenty_shown(world: World) -> None:
    shared = manifest(world, items=[{"id": f"i{n}"} for n in range(30)])
    async with world.client() as client:
        answer = await refusal(client, "estimate_cost", source=shared)
        assert "30 problems" in answer
        assert answer.count("has no prompt (30 rows, also items[1], items[2], …)") == 1
        templates = [{"id": f"i{n}", "number": n} for n in range(30)]
        named = "".join(f"{{% if number == {n} %}}{{{{ {'x' * (n + 1)} }}}}{{% endif %}}" for n in range(30))
        answer = await refusal(
            client, "estimate_cost", source=manifest(world, defaults={"prompt": named}, items=templates)
        )
    assert "30 problems" in answer
    assert answer.count("is undefined") <= 20
    assert "more: `genai-batch estimate" in answer


HOSTILE: dict[str, tuple[str, str]] = {
    "aliases that grow": (
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        "aliases make more than",
    ),
    "an alias of itself": ("items: &a [*a]\n", "holds it"),
    "a tag that builds": ("items: !!python/object/apply:os.system [id]\n", "could not determine a constructor"),
    "a name twice": ("model: a\nmodel: b\n", "'model' stands twice"),
    "a deep nest": ("items: " + "[" * 100_000, "is not YAML"),
    "no manifest": ("just words\n", "is a string, not a manifest"),
}


@pytest.mark.parametrize("case", HOSTILE)
async def test_a_hostile_file_is_refused(world: World, case: str) -> None:
    text, said = HOSTILE[case]
    async with world.client() as client:
        assert said in await refusal(client, "estimate_cost", source=world.write("job.yaml", text), model=MODEL)


async def test_what_the_manifest_says_of_the_job_holds(world: World) -> None:
    source = manifest(world, name="spring", max_cost_usd=0, items=[{"id": "a", "prompt": "x"}])
    async with world.client() as client:
        assert "may cost more than $0.00" in await refusal(client, "create_batch", source=source)
        job = await call(client, "create_batch", source=source, confirm=True)
        assert (job["name"], job["model"]) == ("spring", MODEL)
        assert (await call(client, "create_batch", source=source))["existing"] is True


async def test_words_of_yaml_stay_words(world: World) -> None:
    text = (
        f"model: {MODEL}\nitems:\n  - {{id: a, prompt: yes, aspect_ratio: 16:9, country: no, day: 2026-11-20, n: 1}}\n"
    )
    async with world.client() as client:
        row = (await built(client, world, data=world.write("job.yaml", text)))[0]
    assert (row["request"]["contents"][0]["parts"][0]["text"], row["country"], row["day"]) == (
        "yes",
        "no",
        "2026-11-20",
    )
    assert row["request"]["generationConfig"]["imageConfig"]["aspectRatio"] == "16:9"


def test_the_schema_takes_what_is_taken_and_refuses_what_is_refused() -> None:
    check = jsonschema_rs.validator_for(schema())
    assert check.is_valid({"model": MODEL, "items": [{"id": "a", "prompt": "x", "mine": 1}]})
    assert not check.is_valid({"promt": "x"})
    assert not check.is_valid({"items": [{"prompt": "x"}]})


async def test_what_may_be_a_slip_is_told_and_kept(world: World) -> None:
    items = [{"id": "a", "prompt": "Say {{ word }}.", "modell": "T"}]
    source = manifest(world, defaults={"seeds": 1}, items=items)
    async with world.client() as client:
        told = await call(client, "estimate_cost", source=source)
        rows = await built(client, world, data=source)
    assert [(each["problem"].partition(":")[0], each["fix"]) for each in told["warnings"][:3]] == [
        ("defaults", "did you mean 'seed'?"),
        ("items[0]", "did you mean 'model'?"),
        ("items[0]", "a template for all items is written into defaults"),
    ]
    assert (rows[0]["seeds"], rows[0]["modell"]) == (1, "T")
    assert prompts(rows) == {"a": "Say {{ word }}."}


async def test_what_can_only_be_a_slip_is_a_problem(world: World) -> None:
    source = manifest(world, defaults={"temprature": 1}, items=[{"id": "a", "prompt": "x", "sytem": "Be brief."}])
    async with world.client() as client:
        answer = await refusal(client, "estimate_cost", source=source)
    assert "defaults: 'temprature' is no field of a request Fix: did you mean 'temperature'?" in answer
    assert "items[0]: 'sytem' is no field of a request Fix: did you mean 'system'?" in answer


async def test_half_a_surrogate_pair_stops_nothing_but_its_item(world: World) -> None:
    put(world, {"t.json": '[{"id": "a", "t": "good"}, {"id": "b\\ud800", "t": "bad"}]'})
    source = world.write("job.json", '{"items": [{"id": "a", "prompt": "\\ud800"}]}')
    async with world.client() as client:
        answer = await refusal(client, "build_requests", output_path="a.jsonl", data="t.json", prompt="{{ t }}")
        assert "1 problem" in answer
        assert "row 2" in answer
        assert "is not JSON" in await refusal(client, "estimate_cost", source=source, model=MODEL)
