"""What a person has in the folder they write to stays theirs: edits, tables, and what is finished and what is not."""

import csv
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import Any

import duckdb
import openpyxl
import pytest

from genai_batch.resources.errors import BatchError
from genai_batch.resources.exports import Format
from genai_batch.resources.exports.workbook import rows_of
from genai_batch.resources.pages import Wanted
from genai_batch.resources.sources.selection import Selection
from genai_batch.server.settings import open_workspace
from genai_batch.tools.check_status import check_status
from genai_batch.tools.create_batch import create_batch
from genai_batch.tools.get_results import get_results
from genai_batch.tools.placing import results_at
from tests.built import manifest
from tests.test_cli import run
from tests.test_exports import full_disk
from tests.world import MODEL, World, row, start, stopped

pytestmark = pytest.mark.anyio
FORMS: tuple[Format, ...] = ("jsonl", "csv", "sqlite", "parquet", "xlsx")


def source(world: World, keys: str, prompt: str = "Describe it.", **settings: Any) -> str:
    return world.write("a.jsonl", [{**row(key, f"{prompt} {key}", **settings), "output": f"{key}.md"} for key in keys])


async def written(
    world: World,
    form: Format | None = "jsonl",
    *,
    overwrite: bool = False,
    only: str = "",
    outcome: Wanted | None = None,
    folder: str = "out",
    is_full: bool = False,
) -> str:
    """Run the source and write its results into the folder, as a person does; return what is said of it."""
    async with open_workspace(world.settings(roots=None), lambda: world.time) as workspace:
        person = replace(workspace, overwrite=overwrite)
        results_at(person, f"{world.work}/{folder}/", form)
        choice = Selection(only=tuple(only)) if only else None
        status = await create_batch(str(world.work / "a.jsonl"), person, MODEL, choice=choice)
        while not status.is_over:
            status = await check_status(status.job_id, person, 1)
        with full_disk() if is_full else nullcontext():
            page = await get_results(status.job_id, person, outcome, output_path=f"{world.work}/{folder}/", format=form)
    return page.notice or ""


def texts(world: World) -> dict[str, str]:
    return {path.name: path.read_text() for path in (world.work / "out").iterdir() if path.suffix in (".md", ".txt")}


def table(world: World, form: str, name: str = "results") -> list[dict[str, Any]]:
    path = world.work / "out" / f"{name}.{form}"
    if form == "jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if form == "csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    if form == "xlsx":
        names, *rows = openpyxl.load_workbook(path).worksheets[0].values
        return [dict(zip(map(str, names), cells, strict=True)) for cells in rows]
    if form == "parquet":
        rows = duckdb.read_parquet(str(path))
        return [dict(zip(rows.columns, cells, strict=True)) for cells in rows.fetchall()]
    with closing(sqlite3.connect(path)) as db:
        found = db.execute("SELECT * FROM results")
        return [dict(zip([column[0] for column in found.description], cells, strict=True)) for cells in found]


@pytest.mark.parametrize("form", FORMS)
async def test_an_edited_file_is_kept_and_a_new_answer_lies_beside_it(world: World, form: Format) -> None:
    source(world, "abc")
    await written(world, form)
    first = texts(world)
    (world.work / "out/a.md").write_text("Mine.")
    assert "Files kept, since they are not as they were written: 1 (a.md)" in await written(world, form)
    assert texts(world) == {**first, "a.md": "Mine."}, "there is no new answer, so nothing is put beside it"
    source(world, "abc", "Praise it.")
    second = dict[str, str]()
    for _ in range(2):
        await written(world, form)
        second = texts(world)
        assert second.keys() == {"a.md", "a.new.md", "b.md", "c.md"}
        assert second["a.md"] == "Mine."
        assert "Praise it. a" in second["a.new.md"]
        assert "Praise it. b" in second["b.md"], "what nobody has edited is replaced"
        assert table(world, form)[0]["path"] == "a.new.md"
    source(world, "abc", "Sell it.")
    await written(world, form)
    assert texts(world).keys() == second.keys(), "the new answer takes the place of the one before"
    assert "Sell it. a" in texts(world)["a.new.md"]
    await written(world, form, overwrite=True)
    assert "Sell it. a" in texts(world)["a.md"]


@pytest.mark.parametrize("form", FORMS)
async def test_a_run_of_some_rows_changes_these_in_the_table_and_leaves_the_others(world: World, form: Format) -> None:
    lines = [{**row(key, f"Describe {key}."), "output": f"{key}.md", "price": n} for n, key in enumerate("abcde")]
    world.write("a.jsonl", lines)
    await written(world, form)
    before = table(world, form)
    changed = [{**lines[3], "price": 3.5}, {**row("z", "Describe z."), "output": "z.md", "colour": "red"}, lines[1]]
    world.write("a.jsonl", changed)
    assert "Rows of other keys that stay in the table: 3." in await written(world, form)
    after = table(world, form)
    in_place = [*"abcde", "z"]
    assert [line["key"] for line in after] == ([*"dzb", *"ace"] if form == "xlsx" else in_place)
    after.sort(key=lambda line: in_place.index(line["key"]))
    for number in (0, 2, 4):
        values = {name: value for name, value in after[number].items() if value not in (None, "")}
        assert values == {name: value for name, value in before[number].items() if value not in (None, "")}
    assert [float(line["price"]) for line in after[:5]] == [0, 1, 2, 3.5, 4]
    assert after[5]["colour"] == "red"


async def test_the_file_of_a_row_that_stays_is_not_taken_for_another(world: World) -> None:
    world.write("a.jsonl", [{**row("a", "First"), "output": "one.md"}])
    await written(world)
    world.write("a.jsonl", [{**row("b", "Second"), "output": "one.md"}])
    said = await written(world)
    assert "1 outputs were not used" in said
    assert [line["path"] for line in table(world, "jsonl")] == ["one.md", "b.txt"]
    assert "First" in texts(world)["one.md"]


async def test_what_was_cut_off_is_no_finished_file_until_it_is(world: World) -> None:
    source(world, "ab", max_output_tokens=4_000)
    await world.arm("row", match={"key": "a"}, outcome="max_tokens")
    assert "as the names of their files say: 1." in await written(world)
    assert texts(world).keys() == {"a.truncated.md", "b.md"}
    job = json.loads(run(world, "list", "--json").stdout)["jobs"][0]["job_id"]
    await world.admin("DELETE", "/faults")
    assert run(world, "resume", job, "--rows", "truncated").returncode == 0
    assert run(world, "status", job, "--wait", "30").returncode == 0
    assert run(world, "results", job, "--output", "out/").returncode == 0
    assert texts(world).keys() == {"a.md", "b.md"}


async def test_an_edited_table_is_kept_and_the_new_one_lies_beside_it(world: World) -> None:
    source(world, "ab")
    await written(world, "csv")
    edited = world.work / "out/results.csv"
    edited.write_text(edited.read_text().replace("key,", "KEY,"))
    source(world, "ab", "Praise it.")
    spent = len(await world.bill())
    with pytest.raises(BatchError, match="is no table of results"):
        await written(world, "csv")
    assert len(await world.bill()) == spent
    edited.write_text(edited.read_text().replace("KEY,", "key,") + "c,,ok\n")
    mine = edited.read_text()
    said = await written(world, "csv")
    assert "results.csv was edited since it was written, and is kept" in said
    assert edited.read_text() == mine
    assert [line["key"] for line in table(world, "csv", "results.new")] == ["a", "b", "c"]
    assert "a.new.md" not in texts(world), "its file nobody has edited"


async def test_a_file_that_somebody_has_changed_is_refused_before_anything_is_paid(world: World) -> None:
    source(world, "a")
    job = run(world, "run", "a.jsonl", "--model", MODEL).stdout.split()[0]
    commands = {
        "answers.csv": ("results", job), "next.jsonl": ("build", "a.jsonl", "--prompt", "Sum up {{ key }}"),
        "report.html": ("report", job), "again.jsonl": ("run", "a.jsonl", "--model", MODEL, "--again"),
    }  # fmt: skip
    for name, command in commands.items():
        (world.work / name).write_text("mine")
        spent = len(await world.bill())
        refused = run(world, *command, "--output", name)
        assert refused.returncode == 2
        assert f"{name} exists and is not what was written here last" in refused.stderr
        assert "--overwrite" in refused.stderr
        assert ((world.work / name).read_text(), len(await world.bill())) == ("mine", spent)
        assert run(world, *command, "--output", name, "--overwrite").returncode == 0
        assert run(world, *command, "--output", name).returncode == 0, "it is ours now"
    (world.work / "answers.csv").write_text("mine again")
    assert run(world, "results", job, "--output", "answers.csv").returncode == 2


@pytest.mark.parametrize("output", ["file/out/", "file/", "/dev/null/x/", "file/a.csv"])
async def test_an_output_that_cannot_be_written_is_named_before_anything_is_paid(world: World, output: str) -> None:
    source(world, "a")
    (world.work / "file").write_text("mine")
    refused = run(world, "run", "a.jsonl", "--model", MODEL, "--output", output)
    assert refused.returncode == 2
    assert "is a file" in refused.stderr or "lies in no folder" in refused.stderr
    assert await world.bill() == []


async def test_folders_that_are_not_there_yet_are_made(world: World) -> None:
    source(world, "a")
    assert run(world, "run", "a.jsonl", "--model", MODEL, "--output", "new/deep/").returncode == 0
    assert (world.work / "new/deep/a.md").exists()


async def test_somebody_s_files_in_a_folder_without_a_table_are_kept(world: World) -> None:
    source(world, "ab")
    (world.work / "out").mkdir()
    (world.work / "out/a.md").write_text("Mine.")
    (world.work / "out/b.md").symlink_to(Path("nowhere"))
    await written(world)
    assert (world.work / "out/a.md").read_text() == "Mine."
    assert (world.work / "out/b.md").is_symlink()
    assert {"a.new.md", "b.new.md"} <= {path.name for path in (world.work / "out").iterdir()}


@pytest.mark.parametrize("form", FORMS)
async def test_an_export_of_some_outcomes_leaves_the_other_rows_of_the_table(world: World, form: Format) -> None:
    source(world, "abc")
    await world.arm("row", match={"key": "b"}, outcome="error")
    await written(world, form)
    before = {line["key"]: line for line in table(world, form)}
    (world.work / "out/a.md").write_text("Mine.")
    notice = await written(world, form, outcome="not_ok")
    assert "Rows of this job that are not written now and stay in the table: 2." in notice
    assert {line["key"]: line for line in table(world, form)} == before
    await written(world, form)
    assert "a.new.md" not in texts(world), "they have had this answer"


@pytest.mark.parametrize("form", FORMS)
async def test_overwrite_replaces_files_and_drops_no_row(world: World, form: Format) -> None:
    source(world, "abc")
    await written(world, form)
    source(world, "abc", "Praise it.")
    (world.work / "out/b.md").write_text("Mine.")
    await written(world, form, only="b", overwrite=True)
    assert {line["key"]: line["path"] for line in table(world, form)} == {key: f"{key}.md" for key in "abc"}
    assert "Praise it. b" in texts(world)["b.md"]
    await written(world, form)
    assert texts(world).keys() == {"a.md", "b.md", "c.md"}
    assert all("Praise it." in text for text in texts(world).values())


async def test_rows_of_a_job_that_still_runs_take_no_other_from_the_table(world: World) -> None:
    source(world, "abcdef")
    await written(world)
    source(world, "abcdef", "Praise it.")
    await world.arm("http_error", call="generate", code=429, quota_id="RequestsPerDay", after=2, times=None)
    async with world.client() as client:
        job = await start(client, "a.jsonl", lane="live", concurrency=1)
        await stopped(client, job)
    assert run(world, "results", job, "--output", "out/").returncode == 0
    lines = {line["key"]: line["text"] for line in table(world, "jsonl")}
    assert [*lines] == [*"abcdef"]
    assert sum("Praise it." in text for text in lines.values()) == 2
    assert texts(world).keys() == {f"{key}.md" for key in "abcdef"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("there", FORMS)
async def test_a_table_of_another_form_that_has_more_rows_is_named_before_anything_is_paid(
    world: World, there: Format, form: Format
) -> None:
    if form == there:
        return
    source(world, "abc")
    await written(world, there)
    spent = len(await world.bill())
    with pytest.raises(BatchError, match=rf"has its results in results\.{there}, and 3 .* a new results\.{form}"):
        await written(world, form, only="a")
    assert len(await world.bill()) == spent
    assert [path.name for path in (world.work / "out").glob("results*")] == [f"results.{there}"]
    await written(world, None, only="a")
    assert sorted(line["key"] for line in table(world, there)) == ["a", "b", "c"], "its own form is chosen"


async def test_results_of_a_job_may_be_had_in_a_second_form(world: World) -> None:
    source(world, "abc")
    await written(world)
    job = json.loads(run(world, "list", "--json").stdout)["jobs"][0]["job_id"]
    assert run(world, "results", job, "--output", "out/", "--format", "csv").returncode == 0
    some = run(world, "results", job, "--output", "out/", "--format", "parquet", "--outcome", "error")
    assert (some.returncode, "would be missing" in some.stderr) == (2, True)


BAD_ENDS: dict[str, dict[str, Any]] = {
    "empty": {"outcome": "ok", "text": " \n"},
    "error": {"outcome": "ok", "text": "No.", "finish_reason": "OTHER"},
    "blocked": {"outcome": "ok", "text": "Well, ", "finish_reason": "SAFETY"},
    "truncated": {"outcome": "ok", "text": "Well, ", "finish_reason": "MAX_TOKENS"},
}


@pytest.mark.parametrize("outcome", BAD_ENDS)
async def test_an_answer_that_is_not_ok_leaves_the_finished_file_of_an_earlier_one(world: World, outcome: str) -> None:
    source(world, "ab")
    await written(world)
    good = texts(world)["a.md"]
    await world.arm("row", match={"key": "a"}, **BAD_ENDS[outcome])
    source(world, "ab", "Praise it.")
    assert f"Rows that are not ok: 1 {outcome}." in await written(world)
    assert texts(world).keys() == {"a.md", f"a.{outcome}.md", "b.md"}
    assert texts(world)["a.md"] == good
    assert table(world, "jsonl")[0]["path"] == f"a.{outcome}.md"
    await world.admin("DELETE", "/faults")
    source(world, "ab", "Sell it.")
    assert "Files kept" not in await written(world)
    assert texts(world).keys() == {"a.md", "b.md"}
    assert "Sell it." in texts(world)["a.md"]
    assert [path.name for path in (world.work / "out").glob(".*")] == []


async def test_each_outcome_of_rows_without_a_finished_file_is_counted(world: World) -> None:
    for key, outcome in zip("abcd", BAD_ENDS, strict=True):
        await world.arm("row", match={"key": key}, **BAD_ENDS[outcome])
    source(world, "abcdef")
    notice = await written(world)
    assert "Rows that are not ok: 1 empty, 1 error, 1 blocked, 1 truncated." in notice
    assert "as the names of their files say: 4." in notice


@pytest.mark.parametrize("form", FORMS)
async def test_files_of_an_export_that_did_not_end_are_not_taken_for_the_user_s(world: World, form: Format) -> None:
    def long(prompt: str) -> None:
        lines = [{**row(f"k{n}", f"{prompt} {n}"), "output": f"{n}.md"} for n in range(40)]
        world.write("a.jsonl", [{**line, "note": token_hex(4_000)} for line in lines])

    long("Describe")
    await written(world, form)
    (world.work / "out/7.md").write_text("Mine.")
    long("Praise")
    with pytest.raises(BatchError, match="cannot be written"):
        await written(world, form, is_full=True)
    assert "Praise" in texts(world)["0.md"], "it has got as far as the table"
    long("Sell")
    assert "Files kept, since they are not as they were written: 1 (7.md)" in await written(world, form)
    assert texts(world).keys() == {"7.new.md", *(f"{n}.md" for n in range(40))}
    assert all("Sell" in text for name, text in texts(world).items() if name != "7.md")
    assert [path.name for path in (world.work / "out").glob(".*")] == []


async def test_a_table_in_a_folder_that_was_moved_or_copied_is_not_taken_for_an_edited_one(world: World) -> None:
    source(world, "ab")
    await written(world)
    (world.work / "out").rename(world.work / "moved")
    shutil.copytree(world.work / "moved", world.work / "copied", copy_function=shutil.copy)
    source(world, "ab", "Praise it.")
    for folder in ("moved", "copied"):
        assert "edited" not in await written(world, folder=folder)
        assert sorted(path.name for path in (world.work / folder).iterdir()) == ["a.md", "b.md", "results.jsonl"]


@pytest.mark.parametrize("form", FORMS)
async def test_a_merged_table_holds_texts_and_columns_as_they_were(world: World, form: Format) -> None:
    odd = "_x0001_ a\rb _x000D_ _x005F_ 'x =1"
    world.write("a.jsonl", [{**row(key), "Name": f"{odd} {key}"} for key in "ab"])
    await written(world, form)
    for number in range(2):
        world.write("a.jsonl", [{**row("c", f"Say {number}."), "name": f"{odd} c"}])
        await written(world, form)
    lines = rows_of(world.work / "out/results.xlsx") if form == "xlsx" else table(world, form)
    names = {
        line["key"]: next(value for name, value in line.items() if name.lower() == "name" and value) for line in lines
    }
    assert names == {key: f"{odd} {key}" for key in "abc"}


@pytest.mark.parametrize("kinds", [("{'a': 1}", "5"), ("[1, 2]", "'x'"), ("DATE '2026-01-01'", "true"), ("7", "8.5")])
async def test_parquet_tables_with_other_types_of_a_column_are_merged(world: World, kinds: tuple[str, str]) -> None:
    values: list[Any] = []
    for key, kind in zip("ab", kinds, strict=True):
        duckdb.sql(f"COPY (SELECT '{key}' AS id, {kind} AS v) TO '{world.work}/{key}.parquet'")
        manifest(world, data=f"{key}.parquet", key="id", prompt="Say {{ id }}.")
        assert run(world, "run", "job.yaml", "--output", "out/", "--format", "parquet", "--quiet").returncode == 0
    values = [line["v"] for line in table(world, "parquet")]
    assert [str(value) for value in values] in (
        ['{"a":1}', "5"], ["[1,2]", "x"], ["2026-01-01", "true"], ["7.0", "8.5"],
    )  # fmt: skip


IN_THE_WAY: dict[str, tuple[str, str]] = {
    "a folder": ("results.jsonl/", "is a folder where the table of results goes"),
    "a broken line": ("results.jsonl", "is no table of results that can be read"),
    "a table of somebody's": ("results.csv", "is no table of results that can be read (it has no column key)"),
    "a pipe": ("results.jsonl|", "is a pipe or a device where the table of results goes"),
}


@pytest.mark.parametrize("case", IN_THE_WAY)
async def test_what_keeps_a_table_from_being_written_is_named_before_anything_is_paid(world: World, case: str) -> None:
    name, said = IN_THE_WAY[case]
    source(world, "a")
    path = world.work / "out" / name.strip("/|")
    path.parent.mkdir()
    if name.endswith("/"):
        path.mkdir()
    elif name.endswith("|"):
        os.mkfifo(path)
    else:
        path.write_text('{"key": "z"}\n{"key":\n' if name.endswith("jsonl") else "name,price\nMug,3\n")
    with pytest.raises(BatchError) as error:
        await written(world)
    assert said in str(error.value)
    assert await world.bill() == []


async def test_an_output_in_whose_way_a_file_lies_is_named_by_key(world: World) -> None:
    world.write("a.jsonl", [{**row("a"), "output": "sub/a.md"}, {**row("b"), "output": "deep/er/b.md"}])
    (world.work / "out/deep").mkdir(parents=True)
    (world.work / "out/sub").write_text("Mine.")
    (world.work / "out/deep/er").symlink_to("nowhere")
    notice = await written(world)
    assert "2 outputs were not used" in notice
    assert "a file is in the place of its folder" in notice
    assert {line["path"] for line in table(world, "jsonl")} == {"a.txt", "b.txt"}


async def test_a_corrected_copy_replaces_no_file_of_the_user_s(world: World) -> None:
    world.write("a.jsonl", [row("a")])
    (world.work / "b.jsonl").write_text("Mine.")
    os.mkfifo(world.work / "pipe")
    correct = ("estimate", "a.jsonl", "--model", MODEL, "--quiet", "--fix")
    refused = run(world, *correct, "b.jsonl")
    assert (refused.returncode, (world.work / "b.jsonl").read_text()) == (2, "Mine.")
    assert "b.jsonl exists and is not what was written here last. Choose another --fix" in refused.stderr
    assert "is a pipe or a device" in run(world, *correct, "pipe", "--overwrite").stderr
    assert (world.work / "pipe").is_fifo()
    assert run(world, *correct, "b.jsonl", "--overwrite").returncode == 0
    assert run(world, *correct, "b.jsonl").returncode == 0, "it is ours now"


async def test_stdout_takes_the_output_and_nothing_else(world: World) -> None:
    source(world, "ab")
    ran = run(world, "run", "a.jsonl", "--model", MODEL, "--output", "-")
    assert [json.loads(line)["key"] for line in ran.stdout.splitlines()] == ["a", "b"]
    assert "2 rows to stdout" in ran.stderr
    job = json.loads(run(world, "list", "--json").stdout)["jobs"][0]["job_id"]
    as_csv = run(world, "results", job, "--output", "-", "--format", "csv", "--quiet").stdout
    assert [line["key"] for line in csv.DictReader(as_csv.splitlines())] == ["a", "b"]
    built = run(world, "build", "a.jsonl", "--prompt", "Sum up {{ key }}.", "--output", "/dev/stdout").stdout
    assert len([json.loads(line)["request"] for line in built.splitlines()]) == 2
    assert run(world, "report", job, "--output", "-").stdout.startswith("<!doctype html>")
    both = run(world, "results", job, "--output", "-", "--json")
    assert (both.returncode, "both print to stdout" in both.stderr) == (2, True)
    assert sorted(path.name for path in world.work.iterdir()) == ["a.jsonl"]


async def test_a_form_that_is_no_text_is_not_shown_at_a_terminal(world: World) -> None:
    terminal, theirs = os.openpty()
    command = [sys.executable, "-m", "genai_batch", "results", "job_x", "--output", "-", "--format", "parquet"]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True, env=world.env(), check=False)
    os.close(theirs)
    os.close(terminal)
    assert (done.returncode, "parquet is no text for a terminal" in done.stderr) == (2, True)


async def test_numbered_rows_of_another_source_are_not_mixed_into_a_table(world: World) -> None:
    def table_of(name: str, *rows: str) -> tuple[str, ...]:
        world.write(f"{name}.csv", "name,price\n" + "\n".join(rows))
        manifest(world, data=f"{name}.csv", prompt="Describe {{ name }}.")
        return ("run", "job.yaml", "--quiet", "--output", "out/")

    assert run(world, *table_of("m1", "Mug,1", "Cup,2", "Pot,3")).returncode == 0
    assert run(world, *table_of("m1", "Mug,1", "Cup,9", "Pot,9")).returncode == 0, "rows of it were edited"
    assert run(world, *table_of("m1", "New,4", "Mug,1", "Cup,9", "Pot,9")).returncode == 0, "one was inserted"
    spent, before = len(await world.bill()), texts(world)
    refused = run(world, *(other := table_of("m2", "Good,5", "Bad,6")))
    assert (refused.returncode, "has rows of another source under the same numbers" in refused.stderr) == (2, True)
    assert (len(await world.bill()), texts(world)) == (spent, before)
    job = run(world, "create", "job.yaml").stdout.split()[0]
    assert run(world, "status", job, "--wait", "30").returncode == 0
    assert run(world, "results", job, "--output", "out/").returncode == 2, "not later either"
    assert run(world, "results", job, "--output", "else/").returncode == 0
    assert run(world, *other, "--overwrite").returncode == 0
    manifest(world, data="m1.csv", key="name", prompt="Sell {{ name }}.")
    assert run(world, "run", "job.yaml", "--quiet", "--output", "out/").returncode == 0, "they have keys of their own"


async def test_rows_whose_key_was_changed_are_told_that_others_have_their_files(world: World) -> None:
    world.write("a.jsonl", [{**row(key), "output": f"{key}.md"} for key in "ab"])
    await written(world)
    world.write("a.jsonl", [{**row(f"sku-{key}"), "output": f"{key}.md"} for key in "ab"])
    notice = await written(world)
    assert "'a' in the table has that name" in notice
    assert "2 are files of other keys in the table" in notice
    assert "write to another folder" in notice
