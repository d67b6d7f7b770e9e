"""A row is ok only if its answer is what was asked for: it fits its schema, and it belongs to its request."""

import json
import sqlite3
import subprocess
import sys
from typing import Any

import pytest

from genai_batch.resources.checks.binding import ref
from tests.world import MODEL, World, call, finish, read, refusal, request, row, start

pytestmark = pytest.mark.anyio
SCHEMA = {
    "type": "OBJECT",
    "properties": {"name": {"type": "STRING"}, "stars": {"type": "INTEGER", "minimum": 1, "maximum": 5}},
    "required": ["name", "stars"],
    "propertyOrdering": ["stars", "name"],
}
JSON = {"response_mime_type": "application/json"}
REVIEWS = [row(f"k{n}", f"Review number {n}.", **JSON, response_schema=SCHEMA) for n in range(6)]
POEMS = [row(f"k{n}", f"Poem number {n}.") for n in range(6)]
CALL = {"tool_config": {"function_calling_config": {"mode": "ANY"}},
        "tools": [{"function_declarations": [{"name": "f", "description": "Files it."}]}]}  # fmt: skip


async def run(world: World, rows: list[dict[str, Any]], **arguments: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run a job; return its status and all its results."""
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", rows), **arguments)
        status = await finish(client, job_id)
        await call(client, "get_results", job_id=job_id, output_path=f"{job_id}.jsonl")
    lines = (world.work / f"{job_id}.jsonl").read_text().splitlines()
    return status, {found["key"]: found for found in map(json.loads, lines)}


async def test_an_answer_that_does_not_fit_its_schema_is_an_error_and_is_sent_again(world: World) -> None:
    await world.arm("row", match={"key": "^k3$"}, outcome="off_schema", times=1)
    await world.arm("row", match={"key": "^k4$"}, outcome="disobeys", times=1)
    status, found = await run(world, REVIEWS)
    assert status["counts"] == {"ok": 4, "error": 2}
    assert "2 answers do not fit their schema, see error schema_mismatch: 'k3', 'k4'." in status["notice"]
    assert found["k3"]["error"] == {
        "code": "schema_mismatch",
        "message": "The top level: \"stars\" is a required property. It is an object with 'name'.",
        "retryable": True,
    }
    assert "is not JSON" in found["k4"]["error"]["message"]
    async with world.client() as client:
        await call(client, "resume_job", job_id=status["job_id"], rows="failed")
        ended = await finish(client, status["job_id"])
    assert (ended["counts"], "schema" in ended["notice"]) == ({"ok": 6}, False)


@pytest.mark.parametrize(
    "settings",
    [
        {"response_json_schema": {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}},
        {"responseSchema": SCHEMA},
        {"response_mime_type": "text/x.enum", "response_schema": {"type": "STRING", "enum": ["good", "bad"]}},
        {},
    ],
    ids=["JSON Schema", "camelCase", "choices", "any JSON"],
)
async def test_every_way_to_ask_for_a_form_is_heeded(world: World, settings: dict[str, Any]) -> None:
    await world.arm("row", match={"key": "^k1$"}, outcome="disobeys")
    status, found = await run(world, [row(f"k{n}", f"Number {n}.", **JSON | settings) for n in range(4)])
    assert (status["counts"], found["k1"]["error"]["code"]) == ({"ok": 3, "error": 1}, "schema_mismatch")


async def test_every_row_is_held_against_the_schema_of_its_own_request(world: World) -> None:
    await world.arm("shuffle")
    await world.arm("swap", key="^own[12]$")
    only = {f"own{n}": {"type": "OBJECT", "properties": {f"m{n}": {"type": "STRING"}}, "required": [f"m{n}"]}
            for n in range(40)}  # fmt: skip
    rows = [row(key, f"For {key}.", **JSON, response_schema=schema) for key, schema in only.items()]
    status, found = await run(world, [*rows, row("free", "In words.")])
    assert [key for key, line in found.items() if line["outcome"] == "error"] == ["own1", "own2"]
    assert status["counts"] == {"ok": 39, "error": 2}


async def test_a_function_call_is_no_answer_to_hold_against_a_schema(world: World) -> None:
    asked = {"key": "k", "request": request("File it.", **JSON, response_schema=SCHEMA) | CALL}
    status, found = await run(world, [asked])
    assert (status["counts"], "text" in found["k"]) == ({"ok": 1}, False)


async def test_a_schema_that_is_not_understood_fails_no_row_and_is_told(world: World) -> None:
    rows = [row(f"k{n}", **JSON, response_json_schema={"$ref": "http://example.com/schema"}) for n in range(3)]
    status, _ = await run(world, rows)
    assert status["counts"] == {"ok": 3}
    assert "3 ok answers were not held against their schema, which is not understood (Resource" in status["notice"]


async def test_a_job_of_which_it_was_not_noted_is_judged_the_same(world: World) -> None:
    await world.arm("row", match={"key": "^k3$"}, outcome="off_schema")
    status, found = await run(world, REVIEWS)
    with sqlite3.connect(world.home / "ledger.db") as ledger:
        assert ledger.execute("SELECT checks FROM job").fetchall() == [("schema",)]
        ledger.execute("UPDATE job SET checks = NULL")
    next(world.home.glob("jobs/job_*/results.db")).unlink()
    async with world.client() as client:
        page = await call(client, "get_results", job_id=status["job_id"], outcome="error")
    assert [(line["key"], line["error"]) for line in page["results"]] == [("k3", found["k3"]["error"])]


async def test_rows_that_do_not_fit_are_told_apart_from_those_that_are_missing(world: World) -> None:
    await world.arm("omit", key="^k[01]$")
    await world.arm("row", match={"key": "^k[34]$"}, outcome="off_schema")
    status, found = await run(world, REVIEWS)
    assert status["counts"] == {"ok": 2, "error": 2, "missing": 2}
    assert [key for key, line in found.items() if line["outcome"] == "missing"] == ["k0", "k1"]
    assert [key for key, line in found.items() if line["outcome"] == "error"] == ["k3", "k4"]


async def test_missing_and_repeated_rows_are_named(world: World) -> None:
    await world.arm("omit", key="^k[1-5]$")
    await world.arm("duplicate", key="^k0$")
    status, _ = await run(world, [row(f"k{n}", f"Number {n}.") for n in range(60)])
    assert "5 requests got no answer: 'k1', 'k2', 'k3', …." in status["notice"]
    assert "1 answers came again for the same key in one attempt ('k0')" in status["notice"]


@pytest.mark.parametrize("rows", [POEMS, REVIEWS], ids=["free text", "structured"])
async def test_an_id_goes_out_with_each_request_and_is_taken_out_of_its_answer(
    world: World, rows: list[dict[str, Any]]
) -> None:
    _, plain = await run(world, rows)
    status, found = await run(world, rows, check_binding=True)
    assert status["counts"] == {"ok": 6}
    assert "ref" not in status["notice"]
    sent = (world.home / "jobs" / status["job_id"] / "requests.jsonl").read_text().splitlines()
    raw = (world.home / "jobs" / status["job_id"] / "results.jsonl").read_text().splitlines()
    for line, came in zip(sent, raw, strict=True):
        own = ref(json.loads(line)["key"])
        assert (own in line, own in came) == (True, True)
        assert own not in found[json.loads(line)["key"]]["text"]
    if rows is REVIEWS:
        assert set(json.loads(found["k1"]["text"])) == {"name", "stars"}
    assert found["k1"]["text"].split(" ")[0] == plain["k1"]["text"].split(" ")[0]


@pytest.mark.parametrize("rows", [POEMS, REVIEWS], ids=["free text", "structured"])
async def test_swapped_answers_are_errors_that_name_the_other_row(world: World, rows: list[dict[str, Any]]) -> None:
    await world.arm("swap", key="^k[24]$")
    status, found = await run(world, rows, check_binding=True)
    assert status["counts"] == {"ok": 4, "error": 2}
    assert found["k2"]["error"] == {
        "code": "swapped",
        "message": "The answer carries the ref of 'k4': it belongs to that row.",
        "retryable": True,
    }
    assert "2 answers belong to other rows, see error swapped: 'k2', 'k4'." in status["notice"]
    async with world.client() as client:
        await call(client, "resume_job", job_id=status["job_id"], rows="failed")
        assert (await finish(client, status["job_id"]))["counts"] == {"ok": 6}


@pytest.mark.parametrize(("rows", "how"), [(POEMS, "disobeys"), (REVIEWS, "off_schema")])
async def test_an_answer_without_its_id_is_counted_and_stays_ok(
    world: World, rows: list[dict[str, Any]], how: str
) -> None:
    await world.arm("row", match={"key": "^k5$"}, outcome=how)
    status, _ = await run(world, rows, check_binding=True)
    assert status["counts"] == {"ok": 6}
    assert "1 ok answers do not carry their ref, so whose they are was not verified: 'k5'." in status["notice"]
    async with world.client() as client:
        told = await read(client, f"batch://jobs/{status['job_id']}/results/k5")
    assert "not verified" in told["notice"]


async def test_a_bound_job_is_another_job_and_counts_what_it_adds(world: World) -> None:
    source = world.write("a.jsonl", POEMS)
    async with world.client() as client:
        plain = await call(client, "create_batch", source=source, model=MODEL)
        bound = await call(client, "create_batch", source=source, model=MODEL, check_binding=True)
        again = await call(client, "create_batch", source=source, model=MODEL, check_binding=True)
    assert plain["job_id"] != bound["job_id"] == again["job_id"]
    assert again["existing"]
    assert bound["name"] == plain["name"] == "a"
    assert bound["cost_usd"]["estimate"] > plain["cost_usd"]["estimate"]
    assert [path.name for path in (world.home / "jobs").glob(".*")] == []


async def test_what_is_not_asked_for_is_not_looked_for(world: World) -> None:
    async with world.client() as client:
        for source, bound in ((POEMS, False), (REVIEWS, False), (POEMS, True)):
            await start(client, world.write("a.jsonl", source), check_binding=bound)
    with sqlite3.connect(world.home / "ledger.db") as ledger:
        assert ledger.execute("SELECT checks FROM job ORDER BY checks").fetchall() == [("",), ("binding",), ("schema",)]


async def test_the_command_line_asks_for_it_too(world: World) -> None:
    await world.arm("swap", key="^k[24]$", times=2)
    for command in ("run", "create"):
        arguments = [command, world.write("a.jsonl", POEMS), "--model", MODEL, "--check-binding", "--again", "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "genai_batch", *arguments],
            capture_output=True, text=True, timeout=60, cwd=world.work, env=world.env(), check=False,
        )  # fmt: skip
        assert done.returncode == (3 if command == "run" else 0), done.stderr
        job = json.loads(done.stdout.splitlines()[-1])["job_id"]
        assert "[ref: " in (world.home / "jobs" / job / "requests.jsonl").read_text()


CANNOT: dict[str, tuple[dict[str, Any], str]] = {
    "choices": (request("x", response_mime_type="text/x.enum", response_schema={"type": "STRING", "enum": ["a"]}),
                "no object at the top"),
    "any JSON": (request("x", **JSON), "no object at the top"),
    "a list": (request("x", **JSON, response_schema={"type": "ARRAY", "items": {"type": "STRING"}}), "no object"),
    "a member of that name": (
        request("x", **JSON, response_schema={"type": "OBJECT", "properties": {"ref": {"type": "STRING"}}}),
        "'ref' of its own"),
    "another format": (request("x", response_mime_type="application/xml"), "application/xml"),
    "a picture": (request("x", response_modalities=["IMAGE"]), "a picture"),
    "sound": (request("x", response_modalities=["AUDIO"]), "sound"),
    "a function call": (request("x") | CALL, "a function call"),
}  # fmt: skip


@pytest.mark.parametrize("case", CANNOT)
async def test_what_cannot_carry_an_id_is_refused_by_line_before_anything_is_sent(world: World, case: str) -> None:
    asked, said = CANNOT[case]
    source = world.write("a.jsonl", [row("good"), {"key": "odd", "request": asked, "note": "kept"}])
    async with world.client() as client:
        told = await refusal(client, "create_batch", source=source, model=MODEL, check_binding=True)
        assert ("a.jsonl: 1 problem" in told, "line 2: key 'odd': " in told, said in told) == (True, True, True), told
        assert not (await call(client, "list_jobs"))["jobs"]
    assert not await world.calls("batchGenerateContent")


async def test_embeddings_cannot_carry_an_id(world: World) -> None:
    rows = [{"key": "e", "request": {"content": {"parts": [{"text": "x"}]}}}]
    async with world.client() as client:
        arguments = {"source": world.write("a.jsonl", rows), "model": "gemini-embedding-2", "check_binding": True}
        assert "line 1: key 'e': the answer is an embedding" in await refusal(client, "create_batch", **arguments)


async def test_problems_of_the_source_come_first_with_their_own_lines(world: World) -> None:
    source = world.write("a.jsonl", [row("a"), {"key": "b"}, row("c", **JSON)])
    async with world.client() as client:
        told = await refusal(client, "create_batch", source=source, model=MODEL, check_binding=True)
    assert "line 2: key 'b': has no request" in told
    assert "line 3" not in told


async def test_lines_are_taken_as_they_may_come_and_extra_fields_are_kept(world: World) -> None:
    lines = [json.dumps({**line, "note": f"für {line['key']}"}, ensure_ascii=False) for line in POEMS]
    world.write("odd.jsonl", "\ufeff" + "\r\n\r\n".join(lines))
    async with world.client() as client:
        job_id = await start(client, "odd.jsonl", check_binding=True)
        assert (await finish(client, job_id))["counts"] == {"ok": 6}
        await call(client, "get_results", job_id=job_id, output_path="out.jsonl")
    rows = list(map(json.loads, (world.work / "out.jsonl").read_text().splitlines()))
    assert [line["note"] for line in rows] == [f"für k{n}" for n in range(6)]
