"""Equal requests: an estimate counts them, and `dedupe` sends each once while every row gets its answer."""

import csv
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from mcp import Client
from mcp_types import TextResourceContents

from genai_batch.resources import equals, models
from genai_batch.resources.requests import Cut, Preflight
from genai_batch.resources.scanning.token_sample import SMALL
from tests.test_cli import run
from tests.test_exports import read_parquet, read_sqlite
from tests.world import MODEL, World, call, finish, read, refusal, request, row, start

pytestmark = pytest.mark.anyio
ROWS, DISTINCT = 200, 150
LANES = ("batch", "live", "flex")
DAY = date(2026, 11, 20)


def rows_of(count: int = ROWS, distinct: int = DISTINCT) -> list[dict[str, Any]]:
    """Rows of which every one behind the first `distinct` is equal to an earlier one; members change their order."""
    rows: list[dict[str, Any]] = []
    for number in range(count):
        asked = request(f"Say {number % distinct}.", max_output_tokens=100, temperature=1)
        if number >= distinct:
            asked = {"generation_config": {"temperature": 1.0, "max_output_tokens": 100}, **asked}
            asked["generation_config"] = {"temperature": 1.0, "max_output_tokens": 100}
        rows.append({"key": f"k{number:03}", "request": asked, "shelf": number, "kind": f"K{number % 7}"})
    return rows


def items_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows as items of a manifest."""
    return [{"id": entry["key"], **{name: value for name, value in entry.items() if name != "key"}} for entry in rows]


def manifest(world: World, rows: list[dict[str, Any]], **fields: Any) -> str:
    """The same rows as items of a manifest that sends equal requests once."""
    value = {"model": MODEL, "dedupe": True, **fields, "items": items_of(rows)}
    return world.write("rows.json", json.dumps(value))


async def read_text(client: Client, uri: str) -> str:
    content = (await client.read_resource(uri)).contents[0]
    assert isinstance(content, TextResourceContents)
    return content.text


def number_in(text: str) -> int:
    return int(text.partition("Say ")[2].partition(".")[0])


async def charged(world: World) -> tuple[int, int, int]:
    """Requests that the emulator has billed, and their tokens: asked and written."""
    (bill,) = (await world.admin("GET", "/billing")).values()
    requests = bill["rows_billed"] + bill["live_calls"]
    return requests, bill["input_tokens"], bill["output_tokens"] + bill["thought_tokens"]


def read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def read_workbook(path: Path) -> list[dict[str, Any]]:
    book = openpyxl.load_workbook(path, read_only=True)
    names, *rows = book.worksheets[0].iter_rows(values_only=True)
    return [dict(zip(map(str, names), entry, strict=False)) for entry in rows]


READERS: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
    "jsonl": read_lines,
    "csv": read_csv,
    "sqlite": read_sqlite,
    "parquet": read_parquet,
    "xlsx": read_workbook,
}


@pytest.mark.parametrize("lane", LANES)
async def test_equal_requests_are_sent_and_paid_once_and_every_row_gets_its_answer(world: World, lane: str) -> None:
    rows = rows_of()
    async with world.client() as client:
        job_id = await start(client, manifest(world, rows, lane=lane))
        status = await finish(client, job_id)
        for form, reader in READERS.items():
            path = f"out.{form}"
            written = await call(client, "get_results", job_id=job_id, output_path=path)
            table = reader(world.work / path)
            assert (written["written"], len(table)) == (ROWS, ROWS), form
            assert [entry["key"] for entry in table] == [entry["key"] for entry in rows], form
            assert [int(entry["shelf"]) for entry in table] == list(range(ROWS)), form
            assert [entry["kind"] for entry in table] == [entry["kind"] for entry in rows], form
            assert [number_in(entry["text"]) for entry in table] == [n % DISTINCT for n in range(ROWS)], form
            paid = sum(float(entry["cost_usd"]) for entry in table)
            assert paid == pytest.approx(status["cost_usd"]["actual"], rel=1e-9), form
            assert all(float(entry["cost_usd"]) == 0 for entry in table[DISTINCT:]), form
        tokens = [entry["usage"] for entry in read_lines(world.work / "out.jsonl")]
    assert (status["requests"], status["rows"], status["counts"]) == (DISTINCT, ROWS, {"ok": DISTINCT})
    assert "150 requests for 200 rows" in status["notice"]
    used = tuple(sum(entry[name] for entry in tokens) for name in ("input_tokens", "output_tokens"))
    assert await charged(world) == (DISTINCT, *used)


async def test_a_row_that_gets_the_answer_of_another_is_read_like_any(world: World) -> None:
    async with world.client() as client:
        job_id = await start(client, manifest(world, rows_of()))
        await finish(client, job_id)
        page = await call(client, "get_results", job_id=job_id, keys=["k160"])
        resource = await read(client, f"batch://jobs/{job_id}/results/k160")
        last = await read(client, f"batch://jobs/{job_id}/results?cursor={190:x}")
        written = await call(client, "get_results", job_id=job_id, output_path="asked.jsonl", with_requests=True)
        report = await read_text(client, f"batch://jobs/{job_id}/report")
    assert number_in(page["results"][0]["text"]) == 10
    assert (resource["key"], resource["outcome"], resource["cost_usd"], number_in(resource["text"])) == (
        "k160",
        "ok",
        0,
        10,
    )
    assert [entry["key"] for entry in last["results"]] == [f"k{n}" for n in range(190, 200)]
    table = read_lines(world.work / "asked.jsonl")
    assert [number_in(entry["request"]["contents"][0]["parts"][0]["text"]) for entry in table] == [
        n % DISTINCT for n in range(ROWS)
    ]
    assert (written["written"], "150 requests for 200 rows" in report) == (ROWS, True)


async def test_each_row_has_a_file_of_its_own_in_a_folder(world: World) -> None:
    rows = [{**entry, "output": f"{entry['shelf']}.txt"} for entry in rows_of(6, 2)]
    source = world.write("rows.jsonl", rows)
    done = run(world, "run", source, "--model", MODEL, "--dedupe", "--output", "out/")
    assert done.returncode == 0, done.stderr
    assert "2 requests for 6 rows" in done.stderr + done.stdout
    files = {path.stem: number_in(path.read_text()) for path in (world.work / "out").glob("*.txt")}
    assert files == {str(n): n % 2 for n in range(6)}
    assert (await charged(world))[0] == 2


@pytest.mark.parametrize("lane", ["batch", "live"])
async def test_a_request_that_failed_is_sent_again_once_for_all_its_rows(world: World, lane: str) -> None:
    outcome = {"outcome": "error", "code": 13} if lane == "batch" else {"outcome": "empty"}
    await world.arm("row", match={"prompt": "Say 1[.]"}, times=1, **outcome)
    rows = rows_of(9, 3)
    async with world.client() as client:
        job_id = await start(client, manifest(world, rows, lane=lane))
        status = await finish(client, job_id)
        wrong = await call(client, "get_results", job_id=job_id, outcome="not_ok")
        assert (status["counts"], "sends the 1 that failed again" in status["next"]) == (
            {"ok": 2, outcome["outcome"]: 1},
            True,
        )
        assert [entry["key"] for entry in wrong["results"]] == ["k001", "k004", "k007"]
        await world.admin("DELETE", "/faults")
        await call(client, "resume_job", job_id=job_id)
        status = await finish(client, job_id)
        await call(client, "get_results", job_id=job_id, output_path="out.jsonl")
    table = read_lines(world.work / "out.jsonl")
    assert (status["counts"], status["rows"]) == ({"ok": 3}, 9)
    assert [number_in(entry["text"]) for entry in table] == [n % 3 for n in range(9)]
    assert [entry["attempt"] for entry in table] == [2 if n % 3 == 1 else 1 for n in range(9)]
    batches, calls = await world.bill(), await world.calls("generateContent")
    assert [batch["requests"] for batch in batches] == ([3, 1] if lane == "batch" else [])
    assert len(calls) == (0 if lane == "batch" else 4)
    if lane == "batch":  # a live call that came back empty was paid too, and its answer no longer stands
        assert sum(entry["cost_usd"] for entry in table) == pytest.approx(status["cost_usd"]["actual"])


async def test_a_key_that_is_named_sends_the_request_of_its_row_again(world: World) -> None:
    async with world.client() as client:
        job_id = await start(client, manifest(world, rows_of(6, 2)))
        await finish(client, job_id)
        await call(client, "resume_job", job_id=job_id, rows=["k003", "k005"])
        status = await finish(client, job_id)
    assert ((await charged(world))[0], status["counts"]) == (3, {"ok": 2})


async def test_the_same_job_has_the_same_rows_for_its_requests(world: World) -> None:
    rows = rows_of(6, 2)
    source, other = world.write("a.jsonl", rows), world.write("b.jsonl", rows[:5])
    deduped = world.write("a.json", json.dumps({"model": MODEL, "dedupe": True, "items": items_of(rows)}))
    fewer = world.write("b.json", json.dumps({"model": MODEL, "dedupe": True, "items": items_of(rows[:5])}))
    distinct = world.write("c.jsonl", rows[:2])
    async with world.client() as client:
        jobs = [await start(client, entry) for entry in (source, other, distinct, deduped, fewer)]
        assert len({*jobs}) == len(jobs)
        again = await call(client, "create_batch", source=deduped, model=MODEL)
        assert (again["existing"], again["job_id"]) == (True, jobs[3])


async def test_dedupe_changes_nothing_where_no_two_requests_are_equal(world: World) -> None:
    rows = rows_of(5, 5)
    async with world.client() as client:
        plain = await start(client, world.write("a.json", json.dumps({"model": MODEL, "items": items_of(rows)})))
        answer = await call(client, "create_batch", source=manifest(world, rows), model=MODEL)
    assert (answer["job_id"], answer["existing"], answer.get("rows")) == (plain, True, None)


async def test_an_estimate_counts_equal_requests_and_prices_them(world: World) -> None:
    source = world.write("rows.jsonl", rows_of())
    async with world.client() as client:
        plain = await call(client, "estimate_cost", source=source, model=MODEL)
        once = await call(client, "estimate_cost", source=manifest(world, rows_of()), model=MODEL)
    (message,) = [entry["problem"] for entry in plain["warnings"] if "equal" in entry["problem"]]
    assert message.startswith("50 of 200 requests are equal to an earlier one; they cost about $")
    cost = float(message.rpartition("$")[2])
    assert cost == pytest.approx(plain["cost_usd"]["likely"] - once["cost_usd"]["likely"], rel=0.1)
    assert (plain["requests"], once["requests"], once["rows"]) == (ROWS, DISTINCT, ROWS)
    assert not [entry for entry in once.get("warnings", []) if "equal" in entry["problem"]]
    shown = run(world, "estimate", source, "--model", MODEL)
    assert "sends each once" in shown.stdout
    assert "--dedupe" in shown.stdout
    assert "150 for 200 rows" in run(world, "estimate", source, "--model", MODEL, "--dedupe").stdout


async def test_faults_and_repeated_keys_of_equal_rows_are_named_row_by_row(world: World) -> None:
    bad: list[dict[str, Any]] = [{"key": key, "request": {"contents": []}} for key in ("a", "b")]
    rows = [row("k0"), *bad, row("k1"), row("k1")]
    async with world.client() as client:
        source = world.write("a.jsonl", rows)
        for name in ("plain", "dedupe"):
            options = ["--dedupe"] if name == "dedupe" else []
            done = run(world, "estimate", source, "--model", MODEL, "--all", "--json", *options)
            problems = json.loads(done.stdout)["problems"]
            assert [entry["line"] for entry in problems] == [2, 3, 5], name
        message = await refusal(
            client, "create_batch", source=world.write("b.jsonl", [row("k"), row("k")]), model=MODEL
        )
    assert "repeats the key of line 1" in message


async def test_what_a_job_sent_once_counts_as_sent_for_all_its_rows(world: World) -> None:
    rows = rows_of(9, 3)
    async with world.client() as client:
        job_id = await start(client, manifest(world, rows))
        await finish(client, job_id)
        more = [*rows, {**row("new", "Something else."), "shelf": 1, "kind": "K"}]
        select = {"changed_since": job_id}
        answer = await call(client, "create_batch", source=manifest(world, more, select=select), model=MODEL)
    assert answer["requests"] == 1
    assert "9 requests are left out" in answer["notice"]


async def test_checks_hold_an_answer_against_the_request_that_was_sent(world: World) -> None:
    rows = rows_of(9, 3)
    async with world.client() as client:
        job_id = await start(client, manifest(world, rows), check_binding=True)
        status = await finish(client, job_id)
        await call(client, "get_results", job_id=job_id, output_path="out.jsonl")
        resource = await read(client, f"batch://jobs/{job_id}/results/k008")
    table = read_lines(world.work / "out.jsonl")
    assert (status["counts"], status["rows"], len(table)) == ({"ok": 3}, 9, 9)
    texts = [entry["text"] for entry in table]
    assert texts == texts[:3] * 3
    assert "ref" not in texts[8]
    assert (resource["text"], "verified" in resource.get("notice", "")) == (texts[8], False)


async def test_a_picture_is_there_under_every_key(world: World) -> None:
    model = "gemini-3.1-flash-image"
    rows = rows_of(3, 1)
    async with world.client() as client:
        job_id = await start(client, manifest(world, rows, model=model), model)
        await finish(client, job_id)
        await call(client, "get_results", job_id=job_id, output_path="rows.jsonl")
        piece = (await client.read_resource(f"batch://jobs/{job_id}/media/k002/0")).contents[0]
        written = await call(client, "get_results", job_id=job_id, output_path="out/")
    paths = [Path(entry["media"][0]["path"]) for entry in read_lines(world.work / "rows.jsonl")]
    assert len({*paths}) == 3
    assert len({path.read_bytes() for path in paths}) == 1
    assert piece.mime_type == "image/png"
    assert (written["written"], len(list((world.work / "out").glob("k00*")))) == (3, 3)


async def test_the_next_stage_reads_every_row_and_may_send_equal_requests_once_too(world: World) -> None:
    first = {"name": "first", "dedupe": True, "items": [{"id": f"k{n}", "prompt": f"Say {n % 2}."} for n in range(6)]}
    second = {"name": "second", "from": "first", "key": "{{ key }}", "prompt": "Repeat: {{ text }}"}
    third = {"name": "third", "from": "second", "key": "{{ key }}", "prompt": "Sum up: {{ text }}", "dedupe": True}
    source = world.write("s.json", json.dumps({"model": MODEL, "stages": [first, second, third]}))
    async with world.client() as client:
        begun = await call(client, "create_batch", source=source, model=MODEL)
        status = await call(client, "check_status", job_id=begun["pipeline"]["id"], wait_s=50)
        last = await call(client, "check_status", job_id=status["pipeline"]["stages"][2]["job_id"])
    stages = {entry["name"]: entry["requests"] for entry in status["pipeline"]["stages"]}
    assert (stages, last["rows"]) == ({"first": 2, "second": 6, "third": 2}, 6)
    assert "are not in" not in f"{status.get('notice')} {last.get('notice')}"


async def test_a_pilot_is_drawn_from_what_is_sent(world: World) -> None:
    rows = rows_of(60, 40)
    async with world.client() as client:
        source = manifest(world, rows)
        piloted = await call(client, "estimate_cost", source=source, model=MODEL, pilot=10)
        job_id = await start(client, source, confirm=True)
        status = await finish(client, job_id)
    assert (piloted["requests"], piloted["pilot"]["rows"]) == (40, 10)
    assert (status["counts"], status["rows"], (await charged(world))[0]) == ({"ok": 40}, 60, 50)


async def test_an_index_is_made_again_and_says_when_the_file_of_equal_rows_is_gone(world: World) -> None:
    async with world.client() as client:
        job_id = await start(client, manifest(world, rows_of(9, 3)))
        await finish(client, job_id)
    folder = world.home / "jobs" / job_id
    (folder / "results.db").unlink()
    async with world.client() as client:
        await call(client, "get_results", job_id=job_id, keys=["k008"])
    with closing(sqlite3.connect(folder / "results.db")) as db:
        rows = db.execute("SELECT line, key, sent_as FROM rows ORDER BY line").fetchall()
    assert rows == [(n + 1, f"k{n:03}", None if n < 3 else f"k{n % 3:03}") for n in range(9)]
    (folder / "results.db").unlink()
    (folder / equals.NAME).rename(folder / "elsewhere")
    async with world.client() as client:
        message = await refusal(client, "get_results", job_id=job_id)
    assert f"{equals.NAME} is not what was recorded; put it back" in message


async def test_batches_are_cut_by_what_is_sent(world: World) -> None:
    rows = rows_of(60, 20)
    distinct = world.write("distinct.json", json.dumps({"model": MODEL, "items": items_of(rows[:20])}))
    async with world.client(cut=Cut(bytes=2_000)) as client:
        few = await call(client, "create_batch", source=distinct, model=MODEL)
        status = await call(client, "create_batch", source=manifest(world, rows), model=MODEL)
    assert (status["shards"], status["requests"], status["rows"]) == (few["shards"], 20, 60)
    assert few["shards"] > 1


def test_requests_are_equal_as_json_values() -> None:
    alike = ['{"a":1,"b":[1,{"c":null}]}', '{"b": [1.0, {"c": null}], "a": 1e0}', r'{"b":[1,{"\u0063":null}],"a":1}']
    unlike = ['{"a":true,"b":[1,{"c":null}]}', '{"a":1,"b":[{"c":null},1]}', '{"a":"1"}', '{"a":1}', '{"a":1.5}']
    assert len({equals.digest_of(entry.encode()) for entry in alike}) == 1
    assert len({equals.digest_of(entry.encode()) for entry in [alike[0], *unlike]}) == len(unlike) + 1


@pytest.mark.parametrize("text", ["Question {} of many, each of which is about something else.", "{} " * 40, "{:05}"])
@pytest.mark.parametrize("key", ["{}", "k{:06}", "a name such as {} is long"])
def test_a_large_source_is_counted_exactly_once_equal_requests_show(tmp_path: Path, text: str, key: str) -> None:
    rows = [row(key.format(n), text.format(*[n % 3_800] * 40)) for n in range(5_000)]
    source = tmp_path / "large.jsonl"
    source.write_text("".join(json.dumps({**entry, "shelf": n}) + "\n" for n, entry in enumerate(rows)))
    assert source.stat().st_size > SMALL
    scan = Preflight(source, models.find(MODEL, DAY)).run()
    assert scan.equal.rows == 1_200
    distinct = tmp_path / "distinct.jsonl"
    distinct.write_text("".join(json.dumps(entry) + "\n" for entry in rows[:3_800]))
    assert Preflight(distinct, models.find(MODEL, DAY)).run().equal.rows == 0


async def test_a_job_that_sent_requests_once_is_known_again_by_all_its_rows(world: World) -> None:
    rows = [{**row(f"k{n}", f"Say {n % 3}."), "shelf": n} for n in range(9)]
    source = world.write("rows.jsonl", rows)
    assert run(world, "run", source, "--model", MODEL, "--dedupe", "--quiet").returncode == 0
    done = run(world, "create", source, "--model", MODEL)
    assert "9 of 9 rows are those of job_" in done.stdout + done.stderr
    assert len(await world.bill()) == 2, "it is told, and nobody is there to be asked"


async def test_the_report_draws_from_all_rows(world: World) -> None:
    async with world.client() as client:
        job_id = await start(client, manifest(world, rows_of(12, 3)))
        await finish(client, job_id)
    done = run(world, "report", job_id, "--output", "page.html", "--no-open")
    page = (world.work / "page.html").read_text()
    assert done.returncode == 0, done.stderr
    assert ("k011" in page, "All 12 rows." in page, "3 requests for 12 rows" in page) == (True, True, True)
