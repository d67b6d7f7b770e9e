"""Where results are written and as what: an ending that names no form is refused, before anything is paid."""

import pytest

from tests.test_cli import run
from tests.world import MODEL, World, call, finish, refusal, row, start

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("name", "said"),
    [("out.xls", "Excel opens .xlsx"), ("out.json", "did you mean .jsonl?"), ("out.jsonl.gz", "no form of results")],
)
async def test_an_ending_that_names_no_form_is_refused_with_those_there_are(world: World, name: str, said: str) -> None:
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", [row("a")]))
        await finish(client, job_id)
        answer = await refusal(client, "get_results", job_id=job_id, output_path=name)
        assert said in answer
        assert ".jsonl, .csv, .parquet, .sqlite" in answer
        assert not (world.work / name).exists()
        await call(client, "get_results", job_id=job_id, output_path=name, format="csv")
    assert (world.work / name).read_text().startswith("key,")


async def test_an_ending_that_names_no_form_is_refused_before_anything_is_paid(world: World) -> None:
    done = run(world, "run", world.write("a.jsonl", [row("a")]), "--model", MODEL, "--output", "out.xls")
    assert (done.returncode, "no form of results" in done.stderr) == (2, True)
    assert await world.bill() == []
