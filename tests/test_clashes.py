"""An output that cannot be honoured is named before anything is paid where that is known, and in the result else."""

from pathlib import Path

import pytest
import yaml

from tests.built import manifest, picture, put
from tests.test_cli import run
from tests.world import MODEL, World, call, finish, refusal, row, start

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("output", ["results.jsonl", "Results.CSV", "results.parquet/a.md"])
async def test_an_output_that_is_the_table_of_results_is_refused_before_it_is_paid(world: World, output: str) -> None:
    source = manifest(world, items=[{"id": "a", "prompt": "x"}, {"id": "b", "prompt": "x", "output": output}])
    async with world.client() as client:
        answer = await refusal(client, "create_batch", source=source)
    assert f"items[1]: output '{output}' is that of the table of results" in answer
    assert await world.bill() == []


async def test_an_output_that_is_not_honoured_is_told_with_the_result(world: World, tmp_path: Path) -> None:
    outputs = {"a": "results.jsonl", "b": "away/b.md", "c": "good.md"}
    (world.work / "out").mkdir()
    (world.work / "out/away").symlink_to(tmp_path, target_is_directory=True)
    async with world.client() as client:
        rows = [{**row(key), "output": path} for key, path in outputs.items()]
        await finish(client, job_id := await start(client, world.write("a.jsonl", rows)))
        told = (await call(client, "get_results", job_id=job_id, output_path="out/"))["notice"]
    assert "2 outputs were not used" in told
    assert "'results.jsonl' of 'a': the table of results has that name" in told
    assert "'away/b.md' of 'b': it leaves the folder by a link" in told
    assert (world.work / "out/good.md").exists()


async def test_outputs_that_two_stages_share_and_inputs_that_are_outputs_are_named_before_they_are_paid(
    world: World,
) -> None:
    put(world, {"in/a.png": picture(), "in/b.png": picture("blue")})
    items = [
        {"id": "a", "prompt": "x", "output": "both.md", "files": ["in/a.png"]},
        {"id": "b", "prompt": "x", "output": "BOTH.md", "model": "gemini-3.5-flash-lite"},
    ]
    async with world.client() as client:
        told = (await call(client, "estimate_cost", source=manifest(world, items=items)))["warnings"]
        said = next(each["problem"] for each in told if "BOTH.md" in each["problem"])
        assert said.startswith("output 'BOTH.md' is one of stage 'gemini-3.8-flash' and of stage 'gemini-3.5-fl")
        again = [{**items[0], "output": "in/a.png"}, {"id": "b", "prompt": "x", "files": ["in/b.png"]}]
        told = (await call(client, "estimate_cost", source=manifest(world, items=again)))["warnings"]
        assert "output 'in/a.png' is a file that is read here" in told[0]["problem"]
        source = manifest(world, folder=".", include=["*.png"], prompt="x", output="{{ path }}")
        told = (await call(client, "estimate_cost", source=source))["warnings"]
        assert "and 1 more" in told[0]["problem"]
    assert await world.bill() == []


async def test_what_one_stage_could_not_honour_is_told_with_the_results_of_all(world: World) -> None:
    lines = [{**row("a"), "path": "x.md"}, {**row("b"), "path": "x.md"}]
    stages = [
        {"name": name, "data": "t.jsonl", "key": "key", "prompt": "On {{ path }}", "output": "out.md"}
        for name in ("one", "two")
    ]
    world.write("t.jsonl", [{"key": each["key"], "path": each["path"]} for each in lines[:1]])
    (world.work / "out/one").mkdir(parents=True)
    source = world.write("job.yaml", yaml.safe_dump({"model": MODEL, "stages": stages}).replace("out.md", "away/o.md"))
    (world.work / "out/one/away").symlink_to(world.home.parent, target_is_directory=True)
    done = run(world, "run", source, "--output", "out/", "--quiet")
    assert (done.returncode, "it leaves the folder by a link" in done.stdout) == (0, True), done.stderr
