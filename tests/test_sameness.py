"""What was asked before is not sent again, and what was changed beside the requests holds all the same."""

import json
from typing import Any

import pytest
import yaml

from tests.built import manifest, put
from tests.test_cli import run
from tests.world import World, call, finish, start

pytestmark = pytest.mark.anyio


def asked(world: World, **beside: Any) -> str:
    """A manifest of one item, with what stands beside its request."""
    return manifest(world, items=[{"id": "a", "prompt": "Say a.", **beside}])


async def test_a_changed_output_and_column_hold_for_the_job_that_was_paid(world: World) -> None:
    async with world.client() as client:
        first = await start(client, asked(world, output="old/a.md", team="x"))
        await finish(client, first)
        again = await call(client, "create_batch", source=asked(world, output="new/a.md", team="y"))
        assert (again["job_id"], again["existing"]) == (first, True)
        assert "Outputs and columns are now those of this source" in again["notice"]
        await call(client, "get_results", job_id=first, output_path="out/")
        unchanged = await call(client, "create_batch", source=asked(world, output="new/a.md", team="y"))
    assert "are now those" not in unchanged["notice"]
    row = json.loads((world.work / "out/results.jsonl").read_text())
    assert (row["path"], row["team"], len(await world.bill())) == ("new/a.md", "y", 1)


async def test_a_changed_column_holds_for_all_stages_of_a_pipeline(world: World) -> None:
    stages: list[dict[str, Any]] = [
        {"name": "write", "data": "t.csv", "key": "{{ id }}", "prompt": "On {{ id }}."},
        {"name": "sum", "from": "write", "prompt": "Sum up: {{ text }}", "output": "{{ place }}.md"},
    ]
    whole = yaml.safe_dump({"model": "gemini-3.8-flash", "stages": stages})
    for place in ("old", "new"):
        put(world, {"t.csv": f"id,place\na,{place}\n", "job.yaml": whole})
        done = run(world, "run", "job.yaml", "--output", f"{place}/", "--quiet")
        assert done.returncode == 0, done.stderr
    assert (world.work / "old/sum/old.md").exists()
    assert (world.work / "new/sum/new.md").exists()
    assert json.loads((world.work / "new/write/results.jsonl").read_text())["place"] == "new"
    assert len(await world.bill()) == 2
    assert "othing was sent again" in done.stdout


async def test_the_command_line_says_that_nothing_was_sent_again(world: World) -> None:
    for command in ("create", "run", "run"):
        done = run(world, command, asked(world, output="a.md"), "--quiet")
    assert "the same job as before, nothing was sent again" in done.stdout
    assert "are now those" not in done.stdout
    moved = run(world, "run", asked(world, output="b.md"), "--output", "out/", "--quiet")
    assert "Outputs and columns are now those of this source" in moved.stdout
    assert (world.work / "out/b.md").exists()
    assert len(await world.bill()) == 1
