"""Some items only: by key, by chance, the first, or those that were changed; each is made and paid as it was asked."""

import sqlite3
from contextlib import closing
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


async def test_rows_of_a_cancelled_job_that_were_never_answered_are_sent_with_the_edited_ones(world: World) -> None:
    await world.set(queue_s=1000)
    async with world.client() as client:
        cancelled = await start(client, manifest(world, items=ITEMS))
        assert (await call(client, "cancel_job", job_id=cancelled))["counts"] == {"missing": 20}
        edited = [{**ITEMS[0], "prompt": "Edited."}, *ITEMS[1:]]
        since = manifest(world, items=edited, select={"changed_since": cancelled})
        assert len(await built(client, world, data=since)) == 20
        await world.set(queue_s=0)
        second = await start(client, since)
        await finish(client, second)
        both = manifest(world, items=edited, select={"changed_since": second})
        assert "all 20 requests were sent just so before" in await refusal(client, "create_batch", source=both)


async def test_what_a_job_has_answered_before_it_was_cancelled_is_not_sent_again(world: World) -> None:
    lines = [row(f"k{n}", f"Row {n}.") for n in range(6)]
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", lines))
        await finish(client, job_id)
        results = world.home / "jobs" / job_id / "results.jsonl"
        results.write_text("".join(results.read_text().splitlines(keepends=True)[:4]))
        (results.parent / "results.db").unlink()
        with closing(sqlite3.connect(world.home / "ledger.db")) as db:
            db.execute("UPDATE job SET counts = ? WHERE id = ?", ('{"ok":4,"missing":2}', job_id))
            db.commit()
    only = answer(run(world, "create", "a.jsonl", "--model", MODEL, "--changed-since", job_id, "--json"))
    assert only["requests"] == 2
    plain = run(world, "create", "a.jsonl", "--model", MODEL, "--again")
    assert plain.returncode == 0
    second = run(world, "estimate", "a.jsonl", "--model", MODEL, "--changed-since", only["job_id"])
    assert "all 6 requests were sent just so before" in second.stderr


TABLE = ["Mug", "Cup", "Pot", "Jar", "Lid", "Pan", "Pan"]


async def test_rows_without_keys_are_recognised_by_their_content_when_one_is_put_before_them(world: World) -> None:
    def put_rows(names: list[str]) -> None:
        put(world, {"t.csv": "what\n" + "".join(f"{name}\n" for name in names)})

    put_rows(TABLE)
    source = manifest(world, data="t.csv", prompt="About {{ what }}.")
    first = run(world, "run", source, "--quiet").stdout.split()[0]
    put_rows(["New", *TABLE])
    said = run(world, "create", source).stderr
    assert f"7 of 8 rows are those of {first}. All of them" in said
    assert f"--changed-since {first} sends only the others" in said
    async with world.client() as client:
        since = {"select": {"changed_since": first}}
        made = await built(client, world, data=manifest(world, data="t.csv", prompt="About {{ what }}.", **since))
        assert prompts(made) == {"row-000001": "About New."}
        asked = await call(client, "estimate_cost", source="job.yaml")
        assert "6 requests were sent under another number of a row" in str(asked["warnings"])
        put_rows([*TABLE, "Pan"])
        made = await built(client, world, data="job.yaml")
        assert prompts(made) == {"row-000008": "About Pan."}, "two of three equal rows were sent"


async def test_rows_that_a_job_before_the_latest_has_sent_are_said_to_be_of_that(world: World) -> None:
    lines = [row(f"k{n}", f"Row {n}.") for n in range(20)]
    source = world.write("a.jsonl", lines)
    first = run(world, "run", source, "--model", MODEL).stdout.split()[0]
    lines[0] = row("k0", "Edited.")
    world.write("a.jsonl", lines)
    run(world, "run", source, "--model", MODEL, "--changed-since", first)
    lines[0] = row("k0", "Edited again.")
    world.write("a.jsonl", lines)
    assert f"19 of 20 rows are those of {first}. All" in run(world, "create", source, "--model", MODEL).stderr
