"""A month of a person's work in one folder: no edit is lost, no row is missing, and nothing is paid unannounced."""

import json
import random
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import anyio
import pytest

from tests.processes import ending
from tests.test_cli import run
from tests.world import MODEL, World, row

pytestmark = pytest.mark.anyio
ROWS = 200
EDITED = ("k001", "k050", "k120")
CHANGED = ("k001", "k002", "k003", "k004", "k005")
FAILED = ("k007", "k070")


def source(world: World, prompt: str, changed: Iterable[str] = ()) -> None:
    keys = [f"k{number:03}" for number in range(ROWS)]
    prompts = {key: f"Praise {key}." if key in changed else f"{prompt} {key}." for key in keys}
    world.write("a.jsonl", [{**row(key, prompts[key]), "output": f"texts/{key}.md"} for key in keys])


def table(world: World) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in (world.work / "out/results.jsonl").read_text().splitlines()]
    assert len({line["key"] for line in lines}) == len(lines) == ROWS
    return {line["key"]: line for line in lines}


def answer(world: World, key: str) -> str:
    """What the file says that the table names for a row."""
    return (world.work / "out" / table(world)[key]["path"]).read_text()


async def rows_billed(world: World) -> int:
    bills = await world.admin("GET", "/billing")
    assert all(bill["rows_billed_more_than_once"] == 0 for bill in bills.values())
    return sum(bill["rows_billed"] for bill in bills.values())


async def killed(world: World, *arguments: str) -> None:
    """Start a command, and kill it at a random moment after it has begun to speak."""
    command = [sys.executable, "-m", "genai_batch", *arguments]
    with ending(
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=world.work, env=world.env())
    ) as process:
        assert process.stderr
        process.stderr.readline()
        await anyio.sleep(random.Random(len(await world.bill())).random())  # noqa: S311 - the random moment is the point
        process.kill()


async def test_nothing_of_a_month_is_lost_or_paid_twice(world: World) -> None:
    for key in FAILED:
        await world.arm("row", match={"key": key}, outcome="error")
    source(world, "Describe")
    first = run(world, "run", "a.jsonl", "--model", MODEL, "--output", "out/")
    assert first.returncode == 3, first.stderr
    job = first.stdout.split()[0]
    assert [key for key, line in table(world).items() if line["outcome"] != "ok"] == [*FAILED]

    failures = run(world, "results", job, "--outcome", "not_ok", "--output", "failures.csv")
    assert failures.returncode == 0
    assert (world.work / "failures.csv").read_text().count("\n") == 1 + len(FAILED)

    for key in EDITED:
        (world.work / f"out/texts/{key}.md").write_text(f"My own words on {key}.")
    await world.admin("DELETE", "/faults")
    assert run(world, "resume", job, "--rows", "failed").returncode == 0
    assert run(world, "status", job, "--wait", "30").returncode == 0
    assert run(world, "results", job, "--output", "out/").returncode == 0
    assert {line["outcome"] for line in table(world).values()} == {"ok"}
    assert await rows_billed(world) == ROWS

    source(world, "Describe", CHANGED)
    announced = run(world, "create", "a.jsonl", "--model", MODEL, "--max-cost-usd", "0").stderr
    assert f"{ROWS - len(CHANGED)} of {ROWS} rows are those of {job}" in announced
    assert await rows_billed(world) == ROWS, "above the limit nothing is sent"
    only = ("run", "a.jsonl", "--model", MODEL, "--changed-since", job, "--output", "out/")
    assert run(world, *only).returncode == 0
    assert await rows_billed(world) == ROWS + len(CHANGED)
    assert all(f"Praise {key}." in answer(world, key) for key in CHANGED)
    assert "Describe k100." in answer(world, "k100")

    source(world, "Sell")
    whole = ("run", "a.jsonl", "--model", MODEL, "--output", "out/")
    for _ in range(2):
        await killed(world, *whole)
    assert run(world, *whole).returncode == 0
    assert await rows_billed(world) == 2 * ROWS + len(CHANGED)
    assert all(f"Sell {key}." in answer(world, key) for key in table(world))

    for key in EDITED:
        assert (world.work / f"out/texts/{key}.md").read_text() == f"My own words on {key}."
