"""Some items only: by key, by chance, the first, or those that were changed; each is made and paid as it was asked."""

from typing import Any

import pytest

from tests.built import built, manifest, prompts, put
from tests.test_cli import answer, run
from tests.world import MODEL, World, call, finish, refusal, row, start

pytestmark = pytest.mark.anyio
ITEMS = [{"id": f"i{n}", "prompt": f"Item {n}."} for n in range(20)]


async def keys(world: World, **select: Any) -> list[str]:
    """The keys of what a selection makes."""
    async with world.client() as client:
        return [each["key"] for each in await built(client, world, data=manifest(world, items=ITEMS, select=select))]


async def test_a_sample_is_drawn_by_its_seed_and_keeps_the_order(world: World) -> None:
    drawn = await keys(world, sample=5, seed=1)
    assert drawn == await keys(world, sample=5, seed=1) != await keys(world, sample=5, seed=2)
    assert len(set(drawn)) == 5
    assert drawn == sorted(drawn, key=lambda key: int(key[1:]))


async def test_keys_and_a_limit_choose(world: World) -> None:
    assert await keys(world, only=["i7", "i3"]) == ["i3", "i7"]
    assert await keys(world, limit=2) == ["i0", "i1"]
    async with world.client() as client:
        source = manifest(world, items=ITEMS, select={"only": ["i3", "typo"]})
        assert "names the key 'typo', which no item has" in await refusal(client, "create_batch", source=source)


async def test_chosen_items_with_edited_prompts_are_sent_again_and_no_other(world: World) -> None:
    async with world.client() as client:
        job_id = await start(client, manifest(world, items=ITEMS))
        await finish(client, job_id)
        edited = [{**item, "prompt": "Edited."} if item["id"] in ("i4", "i9") else item for item in ITEMS]
        more = [*edited, {"id": "new", "prompt": "New."}]
        source = manifest(world, items=more, select={"changed_since": job_id})
        assert prompts(await built(client, world, data=source)) == {"i4": "Edited.", "i9": "Edited.", "new": "New."}
        again = await call(client, "create_batch", source=source)
        assert again["requests"] == 3
        assert "18 requests are left out" in again["notice"]
        same = manifest(world, items=ITEMS, select={"changed_since": job_id})
        assert "all 20 requests were sent just so before" in await refusal(client, "create_batch", source=same)
        other = manifest(world, model="gemini-3.5-flash-lite", items=ITEMS, select={"changed_since": job_id})
        assert len(await built(client, world, data=other)) == 20


async def test_the_command_line_chooses_lines_of_any_source(world: World) -> None:
    source = world.write("a.jsonl", [row(f"k{n}", f"Row {n}.") for n in range(10)])
    first = run(world, "create", source, "--model", MODEL, "--sample", "3", "--seed", "4", "--json")
    assert (first.returncode, answer(first)["requests"]) == (0, 3)
    since = ("--changed-since", answer(first)["job_id"], "--limit", "9")
    rest = answer(run(world, "run", source, "--model", MODEL, *since, "--output", "o.csv", "--quiet", "--json"))
    assert rest["written"] in (6, 7)
    missing = run(world, "estimate", source, "--model", MODEL, "--only", "k99")
    assert (missing.returncode, "no line has the key 'k99'" in missing.stderr) == (2, True)


async def test_a_manifest_on_the_command_line_needs_no_model(world: World) -> None:
    put(world, {"t.csv": "id,what\na,tides\nb,bees\n"})
    source = manifest(world, data="t.csv", prompt="About {{ what }}.")
    done = run(world, "run", source, "--output", "out.jsonl", "--quiet", "--json")
    assert (done.returncode, answer(done)["written"]) == (0, 2)
    nameless = run(world, "estimate", world.write("a.jsonl", [row("a")]))
    assert (nameless.returncode, "No model is named" in nameless.stderr) == (2, True)


async def test_what_was_changed_since_a_job_that_had_only_changes_is_compared_with_all_before_it(world: World) -> None:
    def edited(*changes: str) -> list[dict[str, str]]:
        texts: dict[str, str] = dict(zip(("i1", "i2"), changes, strict=False))
        return [{**each, "prompt": texts.get(each["id"], each["prompt"])} for each in ITEMS]

    async def since(job_id: str, *changes: str) -> dict[str, Any]:
        source = manifest(world, items=edited(*changes), select={"changed_since": job_id})
        return await call(client, "create_batch", source=source)

    async with world.client() as client:
        first = await start(client, manifest(world, items=ITEMS))
        second = await since(first, "Edited.")
        third = await since(second["job_id"], "Edited.", "Edited too.")
        assert (second["requests"], third["requests"]) == (1, 1)
        assert "19 requests are left out" in third["notice"]
        back = await since(third["job_id"], "Item 1.", "Edited too.")
        assert back["requests"] == 1, "the latest that was sent under a key counts"
        source = manifest(world, items=edited(), select={"changed_since": back["job_id"]})
        assert prompts(await built(client, world, data=source)) == {"i2": "Item 2."}


async def test_a_job_sent_before_without_a_comparison_remembers_a_later_one(world: World) -> None:
    async with world.client() as client:
        first = await start(client, manifest(world, items=ITEMS))
        edited = [{**ITEMS[0], "prompt": "Edited."}, *ITEMS[1:]]
        alone = await start(client, manifest(world, items=edited, select={"only": ["i0"]}))
        source = manifest(world, items=edited, select={"changed_since": first})
        assert (await call(client, "create_batch", source=source))["job_id"] == alone
        more = [*edited, {"id": "new", "prompt": "New."}]
        again = await call(client, "create_batch", source=manifest(world, items=more, select={"changed_since": alone}))
        assert again["requests"] == 1
